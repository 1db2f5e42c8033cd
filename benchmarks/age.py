"""How fast faces are aged: python benchmarks/age.py RUN [--pictures N] [--threads N]

Cold: one picture through the command line, imports and finding included; on the very first start, when Python
compiles what it imports, and on a later one. Warm, faces a second: of a folder of pictures, read and aged in
batches through the ager, at its own size and with the change made to the picture's own pixels at 128 px, for
a younger and an older age; one picture after another, as the page does it; with nine ages of each face; with
other glasses, which are another net's work; and through the whole of `nenrin age` (reading, finding, ageing,
writing). Pictures are whole faces of 180 px, and older ones are asked for where no age is named.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

import nenrin
from nenrin.cli import main as command
from nenrin.models.samples import to_tensor

SIDE = 128  # pixels
YOUNG, OLD = 20, 70  # years
AGES = (5, 15, 25, 35, 45, 55, 65, 75, 85)  # years


def cold(words: list[str], threads: int, compiled: Path) -> tuple[float, float]:
    """Seconds and processor seconds of `nenrin age` in a process of its own, with byte code in a folder."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPYCACHEPREFIX": str(compiled)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(
        [sys.executable, "-m", "nenrin", *words], check=True, stdout=subprocess.DEVNULL, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, busy


def main() -> None:
    """Print seconds from cold, and faces a second when warm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--pictures", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cold", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--find", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ager = nenrin.load(options.run)
    astronaut = Image.fromarray(data.astronaut()).crop((140, 20, 320, 200))  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        for index in range(options.pictures):
            astronaut.save(folder / f"{index}.jpg")
        files = sorted(folder.iterdir())
        words = ["age", "--to", f"{OLD}", "--checkpoint", options.run, "-o", f"{name}/out"]
        for start in ("the first start", "a later one") if options.cold else ():
            seconds, busy = cold([*words, str(files[0])], options.threads, Path(name) / "compiled")
            print(f"cold, one picture, {start}: {seconds:.1f} s, {busy:.1f} s of processor time", flush=True)

        def batches(years: float, size: int | None) -> None:
            for one in ager.age_all(files, years, face="whole", size=size):
                assert one.strips

        for years in (YOUNG, OLD):
            for size in (None, SIDE):
                what = f"a folder, to {years}, {size or ager.size} px"
                report(what, options.pictures, *timed(lambda y=years, s=size: batches(y, s)))  # type: ignore[misc]

        def enlarged(years: float) -> None:
            (strip,) = ager.age(astronaut, years, face="whole")
            ager.enlarge(astronaut, strip, years, SIDE)

        other = "clear" if ager.estimate(seen(astronaut, ager.size)).glasses[0] == 0 else "none"
        alone: dict[str, Callable[[], object]] = {
            f"one by one, to {YOUNG}, {ager.size} px": lambda: ager.age(astronaut, YOUNG, face="whole"),
            f"one by one, to {OLD}, {ager.size} px": lambda: ager.age(astronaut, OLD, face="whole"),
            f"one by one, to {OLD}, then {SIDE} px too": lambda: enlarged(OLD),
            f"one by one, {len(AGES)} ages of each": lambda: ager.age(astronaut, AGES, face="whole"),
            f"one by one, glasses {other}": lambda: ager.age(astronaut, OLD, face="whole", glasses=other),
        }
        for what, run in alone.items():
            report(what, options.pictures, *timed(lambda r=run: [r() for _ in files]))  # type: ignore[misc]
        whole = ["--face", "whole"]
        kinds = (whole, [*whole, "--size", f"{SIDE}"], ["--face", "find"])
        for more in kinds if options.find else kinds[:-1]:
            with contextlib.redirect_stdout(io.StringIO()):
                spent = timed(lambda m=more: command([*words, str(folder), *m]))  # type: ignore[misc]
            report(" ".join(["nenrin age", *more]), options.pictures, *spent)


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds and processor seconds of a second run, when everything is warm."""
    run()
    began, busy = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began, time.process_time() - busy


def seen(picture: Image.Image, size: int) -> torch.Tensor:
    """The whole picture as a face, (1, 3, size, size)."""
    return to_tensor(np.asarray(picture.resize((size, size)))[None])


def report(what: str, faces: int, seconds: float, busy: float) -> None:
    """One line."""
    print(
        f"{what}: {faces / seconds:.0f} faces/s, {busy / faces * 1e3:.1f} ms of processor time each",
        flush=True,
    )


if __name__ == "__main__":
    main()

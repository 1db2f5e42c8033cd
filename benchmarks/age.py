"""How fast faces are aged: python benchmarks/age.py RUN [--pictures N] [--threads N]

Cold: one picture through the command line, imports and finding included. Warm, faces a second: through the
ager alone, that is read, aged and answered at the model's own size; the same and then the change made to the
picture's own pixels at 128 px, as `--paste` and the page do it; with nine ages of each face; with other
glasses, which are another net's work; and through the whole of `nenrin age` (reading, finding, ageing,
writing). One age each where none are named.
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
AGES = (5, 15, 25, 35, 45, 55, 65, 75, 85)  # years


def cold(words: list[str], threads: int) -> tuple[float, float]:
    """Seconds and processor seconds of `nenrin age` in a process of its own."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
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
        words = ["age", "--to", "60", "--checkpoint", options.run, "-o", f"{name}/out"]
        if options.cold:
            seconds, busy = cold([*words, str(folder / "0.jpg")], options.threads)
            print(f"cold, one picture: {seconds:.1f} s, {busy:.1f} s of processor time")

        def enlarged() -> None:
            (strip,) = ager.age(astronaut, [60], face="whole")
            ager.enlarge(astronaut, strip, 60, SIDE)

        other = "clear" if ager.estimate(seen(astronaut, ager.size)).glasses[0] == 0 else "none"
        alone: dict[str, Callable[[], object]] = {
            f"ager alone, {ager.size} px": lambda: ager.age(astronaut, [60], face="whole"),
            f"and at {SIDE} px of the picture's own pixels": enlarged,
            f"ager alone, {len(AGES)} ages of each face": lambda: ager.age(astronaut, AGES, face="whole"),
            f"ager alone, glasses {other}": lambda: ager.age(astronaut, [60], face="whole", glasses=other),
        }
        for what, run in alone.items():
            run()
            began, busy = time.perf_counter(), time.process_time()
            for _ in range(options.pictures):
                run()
            report(what, options.pictures, time.perf_counter() - began, time.process_time() - busy)
        for face in ("whole", "find") if options.find else ("whole",):
            began, busy = time.perf_counter(), time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                code = command([*words, str(folder), "--face", face])
            assert code == 0
            seconds, busy = time.perf_counter() - began, time.process_time() - busy
            report(f"nenrin age --face {face}", options.pictures, seconds, busy)


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

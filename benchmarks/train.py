"""Our training against the plain one that everyone writes: python benchmarks/train.py [SET] [--size S] [...]

The same net (CAAE) on the same faces. Plain: float32, NCHW, Adam as it comes, JPEG files opened by PIL in a
DataLoader. Ours: channels_last, bf16 where the processor computes in it, Adam in one pass, faces from one
memory-mapped array, the next batch made meanwhile. Then the loader alone, on an array of `--memory`
megabytes, with what it holds of it. Where others share the cores, time it with `--threads 1 --workers 0`
and by processor time: then decoding is counted too, and nothing waits for another thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nenrin.domains.array import FaceArray, Rows, pack
from nenrin.domains.faceset import FaceSet
from nenrin.domains.twins import build_twins, sample_people
from nenrin.ground import computes_bf16
from nenrin.models.config import build, resolve
from nenrin.models.data import Batch, Faces, Sampler, conditions
from nenrin.models.train import prefetch


class Files(Dataset[tuple[Tensor, int]]):
    """JPEG files, one by one, as a tutorial reads them."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.open(self.folder / f"{index}.jpg").convert("RGB")
        return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 127.5 - 1, index


def plain(faces: FaceArray, folder: Path, options: argparse.Namespace) -> Callable[[int], None]:
    """Train some steps in the plain way."""
    model = build(resolve("caae", None, settings(options)))
    optimizers: dict[str, torch.optim.Optimizer] = {
        name: torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for name, net in model.nets.items()
    }
    files = Files(folder, len(faces))
    loader = DataLoader(files, options.batch, shuffle=True, num_workers=options.workers, drop_last=True)

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def run(steps: int) -> None:
        for _ in range(steps):
            images, rows = next(batches)
            batch = Faces(
                images=images,
                masks=torch.ones(len(images), 1, *images.shape[2:]),
                condition=conditions(faces, rows.numpy()),
            )
            model.step(Batch.alone(batch), optimizers, torch.Tensor.backward, 0)

    return run


def ours(faces: FaceArray, options: argparse.Namespace) -> Callable[[int], None]:
    """Train some steps as `models/train.py` does, without its log."""
    model = build(resolve("caae", None, settings(options))).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = model.optimizers()
    sampler, bf16 = Sampler(faces, batch=options.batch, seed=0), computes_bf16("cpu")

    def run(steps: int) -> None:
        with prefetch(sampler, 0) as coming:
            for _ in range(steps):
                batch = next(coming).ready("cpu", torch.channels_last)
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    model.step(batch, optimizers, torch.Tensor.backward, 0)

    return run


def settings(options: argparse.Namespace) -> list[str]:
    """The net of both."""
    return [f"size={options.size}", f"width={options.width}"]


def loader_alone(size: int, megabytes: int, batch_size: int, seconds: float) -> None:
    """Pictures a second from an array of so many megabytes, and what the process holds meanwhile."""
    count = megabytes * 2**20 // (size * size * 4)
    with tempfile.TemporaryDirectory() as name:
        pixels, masks = (
            np.lib.format.open_memmap(f"{name}/{what}.npy", "w+", np.uint8, (count, size, size, *channels))
            for what, channels in (("pixels", (3,)), ("masks", ()))
        )
        rng = np.random.default_rng(0)
        block = rng.integers(0, 256, (256, size, size, 3), dtype=np.uint8)
        for start in range(0, count, 256):
            pixels[start : start + 256] = block[: len(pixels[start : start + 256])]
            masks[start : start + 256] = 255
        pixels, masks = (np.load(f"{name}/{what}.npy", mmap_mode="r") for what in ("pixels", "masks"))
        faces = synthetic(pixels, masks)
        sampler = Sampler(faces, batch=batch_size, seed=0)
        process, held = psutil.Process(), list[float]()
        for ready in (False, True):
            began, busy, step = time.perf_counter(), time.process_time(), 0
            with prefetch(sampler, 0) as coming:
                while time.perf_counter() - began < seconds / 2:
                    batch = next(coming)
                    if ready:
                        batch.ready("cpu", torch.channels_last)
                    step += 1
                    if step % 20 == 1:
                        held.append(process.memory_info().rss / 2**20)
            done, took, busy = step * batch_size, time.perf_counter() - began, time.process_time() - busy
            print(
                f"loader alone, {'made floats' if ready else 'bytes, mirrored'}, {size} px, batches of "
                f"{batch_size}, {count:,} faces of {megabytes} MB: {done / took:,.0f} pictures/s, "
                f"{busy / done * 1e6:.0f} us of processor time each",
                flush=True,
            )
        print(f"memory: {held[0]:.0f} MB at first, {max(held):.0f} MB at most", flush=True)


def synthetic(pixels: NDArray[np.uint8], masks: NDArray[np.uint8]) -> FaceArray:
    """An array of faces over a memory map, their ages spread evenly."""
    count = len(pixels)
    every, zeros, words = np.arange(count), np.zeros(count, np.int64), np.full(count, "train")
    return FaceArray(
        pixels=Rows(pixels, every),
        masks=Rows(masks, every),
        ids=[str(i) for i in every],
        domains=("photo",),
        age=(every % 90).astype(np.float32),
        domain=zeros,
        glasses=zeros,
        gender=zeros,
        identity=zeros,
        identities=("nobody",),
        view=np.full(count, -1),
        split=words,
        source=words,
        source_id=words,
    )


def main() -> None:
    """Print both speeds, their ratio, and the loader's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("set", nargs="?", help="a set of faces; drawn people unless given")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8, help="of each round")
    parser.add_argument("--rounds", type=int, default=5, help="of each loop, in turn")
    parser.add_argument("--people", type=int, default=60, help="drawn ones, where no set is named")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="of the plain DataLoader")
    parser.add_argument("--memory", type=int, default=2048, help="megabytes of the loader's array")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the loader alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.set:
            sets = [FaceSet.open(Path(options.set))]
        else:
            people = sample_people(options.people, seed=0)
            sets = list(
                build_twins(
                    folder / "photo",
                    folder / "manga",
                    people=people,
                    ages_per_person=6,
                    size=options.size,
                    seed=0,
                    workers=0,
                )
            )
        faces = pack(sets, size=options.size, splits=["train"], cache=folder / "arrays")
        faces = faces.select(slice(2000))
        (folder / "files").mkdir()
        for row in range(len(faces)):
            Image.fromarray(faces.pixels[row]).save(folder / "files" / f"{row}.jpg", quality=95)
        loops = {"plain": plain(faces, folder / "files", options), "ours": ours(faces, options)}
        rates, busy = ({loop: list[float]() for loop in loops} for _ in range(2))
        seen = options.steps * options.batch
        # In turn, so that other work on the machine slows both alike.
        for number in range(options.rounds + 1):
            for loop, run in loops.items():
                began, began_busy = time.perf_counter(), time.process_time()
                run(options.steps)
                if number:  # the first round warms up
                    rates[loop].append(seen / (time.perf_counter() - began))
                    busy[loop].append((time.process_time() - began_busy) / seen * 1e3)
        medians = {loop: statistics.median(each) for loop, each in rates.items()}
        costs = {loop: statistics.median(each) for loop, each in busy.items()}
        print(
            f"CAAE at {options.size} px, width {options.width:g}, batch {options.batch}, {options.threads} "
            f"threads, bf16 {'yes' if computes_bf16('cpu') else 'no'}: plain {medians['plain']:.1f}, ours "
            f"{medians['ours']:.1f} pictures/s, {medians['ours'] / medians['plain']:.2f} times "
            f"(load {os.getloadavg()[0]:.1f}); processor time each, the plain loop's workers left out: "
            f"{costs['plain']:.1f} and {costs['ours']:.1f} ms",
            flush=True,
        )
    loader_alone(128, options.memory, 64, options.seconds)


if __name__ == "__main__":
    main()

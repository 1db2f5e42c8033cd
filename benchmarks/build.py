"""Faces a second, processor time and memory of a build: python benchmarks/build.py FOLDER... [--limit N].

Runs `nenrin build` in a process of its own and adds up the memory of it and of its workers while it works.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

EVERY = 1.0  # seconds between two looks at the memory, each of which takes 40 ms of a core


def build(folders: list[str], out: Path, *options: str) -> tuple[float, float, int]:
    """Build once: seconds, processor seconds of all processes, and the peak of their memory in bytes."""
    command = [sys.executable, "-m", "nenrin", "build", *folders, "-o", str(out), *options]
    start = time.perf_counter()
    before = os.times()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory(psutil.Process(process.pid)))
        time.sleep(EVERY)
    seconds, after = time.perf_counter() - start, os.times()
    if process.returncode:
        sys.exit(process.returncode)
    # Children are counted when they have ended, and theirs with them.
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, busy, peak


def memory(process: psutil.Process) -> int:
    """Bytes that a process and all below it hold, pages that they share counted once (Linux's PSS)."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += each.memory_full_info().pss
    return total


def main() -> None:
    """Build all the pictures, and a tenth of them, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--limits", type=int, nargs="*", default=[1000, 9000], help="pictures of each build")
    options = parser.parse_args()
    for limit in options.limits:
        with tempfile.TemporaryDirectory() as folder:
            load = os.getloadavg()[0]
            words = ["--workers", str(options.workers), "--size", str(options.size), "--limit", str(limit)]
            seconds, busy, peak = build(options.folders, Path(folder) / "set", *words)
            written = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
            print(
                f"{limit} pictures: {limit / seconds:.1f}/s ({seconds:.0f} s, start and end included), "
                f"{busy / limit * 1e3:.1f} ms of processor time each, memory of all processes at most "
                f"{peak / 1e6:,.0f} MB, {written / 1e6:,.0f} MB written, load before {load:.1f}",
                flush=True,
            )
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

"""Faces a second, processor time and memory of a build: python benchmarks/build.py FOLDER... [--limits N...].

Runs `nenrin build` in a process of its own and adds up the memory of it and of its workers while it works.
`--ray` starts a Ray cluster on this machine, of as many cores as `--workers` says, and builds on that.
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
from collections.abc import Iterator
from pathlib import Path

import psutil

PORT = 26379  # of the cluster
EVERY = 1.0  # seconds between two looks at the memory, each of which takes 40 ms of a core


def build(
    folders: list[str], out: Path, *options: str, cluster: psutil.Process | None = None
) -> tuple[float, float, int]:
    """Build once: seconds, processor seconds of all processes, and the peak of their memory in bytes.

    Those of a `cluster` that it works on are counted with it.
    """
    command = [sys.executable, "-m", "nenrin", "build", *folders, "-o", str(out), *options]
    start = time.perf_counter()
    before = os.times()
    earlier = busy_times(cluster) if cluster else {}
    there = dict(earlier)  # Ray's processes end when the build does: their times are noted as they go
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory(psutil.Process(process.pid)) + (memory(cluster) if cluster else 0))
        there |= busy_times(cluster) if cluster else {}
        time.sleep(EVERY)
    seconds, after = time.perf_counter() - start, os.times()
    if process.returncode:
        sys.exit(process.returncode)
    # Children are counted when they have ended, and theirs with them.
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, busy + sum(there.values()) - sum(earlier.values()), peak


def memory(process: psutil.Process) -> int:
    """Bytes that a process and all below it hold, pages that they share counted once (Linux's PSS)."""
    total = 0
    for each in family(process):
        with contextlib.suppress(psutil.Error):
            total += each.memory_full_info().pss
    return total


def busy_times(process: psutil.Process) -> dict[int, float]:
    """Processor seconds so far of a process and of each one below it, by number."""
    times = {}
    for each in family(process):
        with contextlib.suppress(psutil.Error):
            times[each.pid] = sum(each.cpu_times()[:2])
    return times


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    with contextlib.suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []


@contextlib.contextmanager
def ray_cluster(cores: int) -> Iterator[tuple[str, psutil.Process]]:
    """A cluster on this machine with that many cores to work on: its address, and the process above it."""
    ray = Path(sys.executable).with_name("ray")
    words = ["start", "--head", "--block", f"--num-cpus={cores}", f"--port={PORT}", "--disable-usage-stats"]
    process = subprocess.Popen(
        [ray, *words, "--include-dashboard=false"],
        env=os.environ | {"RAY_worker_niceness": "0"},  # else others on the machine go first
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        while "Ray runtime started" not in (line := process.stdout.readline()):
            if not line:
                sys.exit("Ray's cluster did not start")
        yield f"127.0.0.1:{PORT}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Build all the pictures, and a tenth of them, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--limits", type=int, nargs="*", default=[1000, 9000], help="pictures of each build")
    options = parser.parse_args()
    for limit in options.limits:
        with tempfile.TemporaryDirectory() as folder:
            load = os.getloadavg()[0]
            words = ["--size", str(options.size), "--limit", str(limit)]
            out = Path(folder) / "set"
            if options.ray:
                with ray_cluster(options.workers) as (address, cluster):
                    seconds, busy, peak = build(
                        options.folders, out, *words, "--ray", address, cluster=cluster
                    )
            else:
                words += ["--workers", str(options.workers)]
                seconds, busy, peak = build(options.folders, out, *words)
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

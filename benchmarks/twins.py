"""How many twins are drawn in a second: python benchmarks/twins.py [--pictures N] [--workers N] [--size S]

Processor time is printed too: unlike the clock, it means the same on a machine that does other work.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from typing import Literal

import cv2
import numpy as np

from nenrin.domains.twins import draw, sample_people, sample_views

CHUNK = 256
Job = tuple[Literal["photo", "manga"], int, int]


def work(job: Job) -> float:
    """Draw one chunk, sampling included, and return the processor seconds it took."""
    domain, seed, size = job
    start = time.process_time()
    people, views = sample_people(CHUNK, seed=seed), sample_views(CHUNK, seed=seed)
    rng = np.random.default_rng(seed)
    ages, glasses = rng.uniform(1, 90, CHUNK), rng.integers(0, 3, CHUNK)
    draw(people, ages, domain=domain, glasses=glasses, views=views, size=size)
    return time.process_time() - start


def one_thread() -> None:
    """A process a core: threads of their own would only get in each other's way."""
    cv2.setNumThreads(1)


def main() -> None:
    """Print pictures a second for each domain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=8192)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers, initializer=one_thread) as pool:
        for domain in ("photo", "manga"):
            jobs: list[Job] = [
                (domain, seed, options.size) for seed in range(max(options.pictures // CHUNK, 1))
            ]
            pool.map(work, jobs[: 2 * options.workers])  # imports, caches
            start = time.perf_counter()
            busy = sum(pool.imap_unordered(work, jobs))
            seconds = time.perf_counter() - start
            count = CHUNK * len(jobs)
            rate, cost = count / seconds, busy / count * 1e6
            print(
                f"{domain}: {rate:,.0f} pictures/s at {options.size} px on {options.workers} processes "
                f"({cost:,.0f} us of processor time a picture)"
            )


if __name__ == "__main__":
    main()

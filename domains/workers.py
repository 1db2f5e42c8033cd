"""Runs jobs in worker processes; each writes a file, whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from nenrin.ground import NenrinError, atomic_path

# Read by torch when a job imports it.
WORKER_ENVIRONMENT = {
    # oneDNN caches code for each shape, and MTCNN's batches have a new shape every time.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16",
    # There are as many processes as cores already.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class Job(Protocol):
    """Some pictures, and the file to write for them. It is sent to other processes by pickle."""

    @property
    def path(self) -> Path: ...

    def __len__(self) -> int:
        """How many pictures."""

    def run(self) -> None:
        """Write the file."""


def run_jobs(jobs: Iterable[Job], workers: int) -> Iterator[int]:
    """Run jobs, in this process if `workers` is 0; yields the number of pictures of each finished job.

    The result does not depend on `workers`. Finished jobs stay finished after any interruption.
    """
    if workers == 0:
        for job in jobs:
            yield run_job(job)
        return
    # A fork would copy the threads of torch and Arrow in whatever state they are in.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    pending: set[Future[int]] = set()
    try:
        for job in jobs:
            pending.add(pool.submit(run_job, job))
            if len(pending) > 2 * workers:  # enough to keep them busy, few enough to hold in memory
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BrokenProcessPool:
        raise NenrinError(
            "a worker was killed, perhaps for memory: run the command again with fewer workers to go on"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def run_job(job: Job) -> int:
    """Run one job, in whatever process this is; returns the number of its pictures."""
    job.run()
    # The allocator keeps freed memory in fragments that the next job cannot use: release it to the system.
    with contextlib.suppress(AttributeError):  # only glibc's has this
        ctypes.CDLL(None).malloc_trim(0)
    return len(job)


def _start_worker() -> None:
    os.environ |= WORKER_ENVIRONMENT
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()  # a parent killed with SIGKILL cannot stop its workers
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write a job's rows atomically; `NenrinError` where that fails."""
    table = pa.Table.from_pylist(list(rows), schema=schema)
    try:
        with atomic_path(path) as part:
            pq.write_table(table, part, compression="none")
    except OSError as error:
        raise NenrinError(
            f"cannot write to {path.parent}: {error.strerror or error}; free some space and try again"
        ) from None

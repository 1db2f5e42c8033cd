"""Files written in threads while the next faces are aged: most of that time is waiting for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

Rows = list[dict[str, Any]]

THREADS = 4
AHEAD = 4_000_000  # pixels that may wait to be written


class Writing:
    """Runs jobs that write files and return rows; `rows` are those of the jobs done, in the jobs' order."""

    def __init__(self) -> None:
        self.rows: Rows = []
        self._pool = ThreadPoolExecutor(THREADS)
        self._jobs: deque[tuple[int, Future[Rows]]] = deque()
        self._pixels = 0

    def add(self, pixels: int, job: Callable[[], Rows]) -> Future[Rows]:
        """Start a job that holds so many pixels, when there is room. Raises what an earlier job raised."""
        while self._jobs and self._pixels + pixels > AHEAD:
            self._take()
        self._jobs.append((pixels, self._pool.submit(job)))
        self._pixels += pixels
        return self._jobs[-1][1]

    def finish(self) -> None:
        """Wait for all jobs. Raises what one of them raised."""
        while self._jobs:
            self._take()

    def stop(self) -> None:
        """Begin no other job; those that have begun keep their rows."""
        self._pool.shutdown(cancel_futures=True)
        for _, job in self._jobs:
            if not job.cancelled() and job.exception() is None:
                self.rows += job.result()
        self._jobs.clear()

    def _take(self) -> None:
        pixels, job = self._jobs[0]
        self.rows += job.result()
        self._jobs.popleft()
        self._pixels -= pixels

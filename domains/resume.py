"""Work in jobs, so that after any interruption the same call continues to the same set.

The jobs' files are kept under `.build/` in the set until all are there; then the set is written from them.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

import nenrin
from nenrin.domains.cluster import run_on_ray
from nenrin.domains.faceset import FaceSet, SetWriter, check_vacant
from nenrin.domains.storage import load_row
from nenrin.domains.workers import Job, run_jobs
from nenrin.ground import NenrinError, UsageError, track, write_text

_FOLDER = ".build"


def finished(out: Path, fingerprint: str) -> FaceSet | None:
    """The set itself if it is already made; `UsageError` if another one, or other files, are in its place."""
    check_vacant(out)
    if not (out / "set.toml").is_file():
        return None
    faces = FaceSet.open(out)
    if faces.meta.build != fingerprint:
        raise UsageError(
            f"{out} holds a set of other pictures or options, or of another nenrin: remove it or "
            "choose another folder"
        )
    return faces if faces.meta.complete else None


@contextmanager
def workplace(out: Path, fingerprint: str, *, name: str = _FOLDER) -> Iterator[Path]:
    """The folder of the jobs' files, locked for this process; files of other work or releases are dropped.

    `fingerprint` identifies everything that determines the result.
    """
    folder = out / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise NenrinError(
            f"cannot write to {out}: {error.strerror or error}; choose another folder"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another command is writing to {out}: wait for it or choose another folder"
            ) from None
        stamp, now = folder / "fingerprint", f"{fingerprint} {nenrin.__version__}"
        if not stamp.is_file() or stamp.read_text() != now:
            for stale in folder.iterdir():
                if stale.is_dir():
                    shutil.rmtree(stale)
                elif stale.name != "lock":
                    stale.unlink()
            write_text(stamp, now)
        yield folder


def gather(folder: Path, writer: SetWriter) -> None:
    """Write the faces of all jobs' files, in the order of their names."""
    for path in sorted(folder.glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            writer.add(load_row(row))


def clear(out: Path, *, name: str = _FOLDER) -> None:
    """Remove the jobs' files of a set that is finished."""
    shutil.rmtree(out / name, ignore_errors=True)


def process(
    jobs: Callable[[], Iterator[Job]],
    total: int,
    *,
    workers: int,
    label: str,
    ray: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Run the jobs whose files are not there yet, with a progress bar over `total` pictures.

    They run in `workers` processes, or on the Ray cluster at `ray` (see `cluster.run_on_ray`).

    `jobs` is called twice, so that they need not be held in memory, and must yield the same each time.
    """
    ready = 0
    missing: set[Path] = set()
    for job in jobs():
        if job.path.is_file():
            ready += len(job)
        else:
            missing.add(job.path)
    todo = (job for job in jobs() if job.path in missing)
    # A handful of pictures is done before another process would have started.
    counts = run_on_ray(todo, ray) if ray and missing else run_jobs(todo, workers if len(missing) > 1 else 0)

    def pictures() -> Iterator[int]:
        yield from range(ready)
        done = ready
        for count in counts:
            for _ in range(count):
                done += 1
                yield done
            if on_progress is not None:
                on_progress(done, total)

    for _ in track(pictures(), label, total):
        pass

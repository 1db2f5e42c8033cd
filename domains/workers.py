"""Run a build's chunks in processes of their own; each chunk becomes a file, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nenrin.domains.duplicates import HASH_BYTES
from nenrin.domains.pipeline import FinderName, Hashed, Pipeline, Unreadable
from nenrin.domains.storage import STORED, load_row, store_row
from nenrin.ground import NenrinError, atomic_path
from nenrin.scrapers.raw import Raw

CHUNK = 64  # pictures; what a kill loses at most, for each worker
_HASHED = STORED.append(pa.field("hash", pa.binary(HASH_BYTES)))


@dataclasses.dataclass(kw_only=True, slots=True)
class Chunk:
    """Some pictures of one source, and the file that they become."""

    path: Path
    importer: str
    raws: list[Raw]
    fractions: list[NDArray[np.float32] | None]
    size: int
    finder: FinderName
    domain: str | None


def run_chunks(chunks: Iterable[Chunk], workers: int) -> Iterator[int]:
    """Process chunks, in this process if `workers` is 0; yields the number of pictures of each that is done.

    The outcome does not depend on `workers`. What is done stays done whatever stops it.
    """
    if workers == 0:
        for chunk in chunks:
            yield run_chunk(chunk)
        return
    # A fork would copy the threads of torch and Arrow in whatever state they are in.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    pending: set[Future[int]] = set()
    try:
        for chunk in chunks:
            pending.add(pool.submit(run_chunk, chunk))
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


def _start_worker() -> None:
    # oneDNN keeps code for each shape it has met, and MTCNN's batches have a new one every time.
    os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = "16"
    import torch

    torch.set_num_threads(1)  # there are as many processes as cores already
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()  # a parent killed with SIGKILL cannot stop its workers
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


_pipelines: dict[tuple[str, int, str, str | None], Pipeline] = {}  # a worker's, kept for their nets


def run_chunk(chunk: Chunk) -> int:
    """Process one chunk and write its file; the number of pictures in it."""
    from nenrin.domains.importers import importer_named

    key = (chunk.importer, chunk.size, chunk.finder, chunk.domain)
    if key not in _pipelines:
        _pipelines[key] = Pipeline(
            importer_named(chunk.importer), size=chunk.size, finder=chunk.finder, domain=chunk.domain
        )
    rows, unreadable = [], []
    for outcome in _pipelines[key].run(chunk.raws, chunk.fractions):
        if isinstance(outcome, Unreadable):
            unreadable.append(dataclasses.asdict(outcome))
        else:
            rows.append({**store_row(outcome.face), "hash": outcome.hash})
    schema = _HASHED.with_metadata({"unreadable": json.dumps(unreadable)})
    table = pa.Table.from_pylist(rows, schema=schema)
    try:
        with atomic_path(chunk.path) as part:
            pq.write_table(table, part, compression="none")
    except OSError as error:
        raise NenrinError(
            f"cannot write to {chunk.path.parent}: {error.strerror or error}; free some space and try again"
        ) from None
    return len(chunk.raws)


def chunk_labels(path: Path) -> pa.Table:
    """A chunk's rows without the pictures."""
    return pq.read_table(path, columns=["id", "identity", "source", "source_id", "verdict", "hash"])


def chunk_unreadable(path: Path) -> list[Unreadable]:
    """The pictures of a chunk that gave no pixels."""
    metadata = pq.read_schema(path).metadata
    return [Unreadable(**values) for values in json.loads(metadata[b"unreadable"])]


def chunk_faces(path: Path) -> Iterator[Hashed]:
    """A chunk's faces in order."""
    for row in pq.read_table(path).to_pylist():
        yield Hashed(hash=row.pop("hash"), face=load_row(row))

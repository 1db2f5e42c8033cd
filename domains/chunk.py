"""Chunks of pictures of one source: the jobs of a build, and the files that they write."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nenrin.domains.duplicates import HASH_BYTES
from nenrin.domains.pipeline import Hashed, Pipeline, Unreadable
from nenrin.domains.storage import STORED, load_row, store_row
from nenrin.domains.workers import write_rows
from nenrin.scrapers.raw import Raw

CHUNK = 64  # pictures; also the most that each worker loses by a kill
_HASHED = STORED.append(pa.field("hash", pa.binary(HASH_BYTES)))

_pipelines: dict[tuple[str, int, str, str | None], Pipeline] = {}  # a worker's, kept for their nets


@dataclasses.dataclass(kw_only=True, slots=True)
class Chunk:
    """Some pictures of one source, and the file to write for them."""

    path: Path
    importer: str
    raws: list[Raw]
    fractions: list[NDArray[np.float32] | None]
    size: int
    finder: str
    domain: str | None

    def __len__(self) -> int:
        return len(self.raws)

    def run(self) -> None:
        """Find, align and write the faces; unreadable pictures are named in the file's metadata."""
        from nenrin.domains.importers import importer_named

        key = (self.importer, self.size, self.finder, self.domain)
        if key not in _pipelines:
            _pipelines[key] = Pipeline(
                importer_named(self.importer), size=self.size, finder=self.finder, domain=self.domain
            )
        rows, unreadable = [], []
        for outcome in _pipelines[key].run(self.raws, self.fractions):
            if isinstance(outcome, Unreadable):
                unreadable.append(dataclasses.asdict(outcome))
            else:
                rows.append({**store_row(outcome.face), "hash": outcome.hash})
        write_rows(self.path, rows, _HASHED.with_metadata({"unreadable": json.dumps(unreadable)}))


def chunk_labels(path: Path) -> pa.Table:
    """A chunk's rows without the pictures."""
    return pq.read_table(path, columns=["id", "identity", "source", "source_id", "verdict", "hash"])


def chunk_unreadable(path: Path) -> list[Unreadable]:
    """The unreadable pictures of a chunk."""
    metadata = pq.read_schema(path).metadata
    return [Unreadable(**values) for values in json.loads(metadata[b"unreadable"])]


def chunk_faces(path: Path) -> Iterator[Hashed]:
    """A chunk's faces in order."""
    for row in pq.read_table(path).to_pylist():
        yield Hashed(hash=row.pop("hash"), face=load_row(row))

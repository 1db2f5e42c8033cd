"""A set of faces on disk: Parquet shards with the pictures inside, `set.toml`, and a data card."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

import nenrin
from nenrin.domains.align import TEMPLATE
from nenrin.domains.card import Tally, data_card
from nenrin.domains.decisions import DECIDED, KEYS, Decisions, path_of
from nenrin.domains.face import DOMAINS, Face
from nenrin.domains.storage import LABELS, STORED, load_row, store_row
from nenrin.ground import NenrinError, UsageError, read_toml, write_text, write_toml

FORMAT_VERSION = 1
SHARD_BYTES = 500 * 2**20  # below the 512 MB that a shard may have
SEVERAL = "several: each face names its own"  # licences of one source
GROUP_ROWS = 128  # rows written, and held in memory, at a time


@dataclasses.dataclass(kw_only=True, slots=True)
class SetMeta:
    """What `set.toml` holds."""

    name: str
    format_version: int
    size: int  # pixels of a side
    template: list[list[float]]  # (5, 2) in units of the side
    domains: tuple[str, ...]
    complete: bool  # False while it is being written, or after that was interrupted
    software: str
    sources: dict[str, int]  # faces by source
    licences: dict[str, str]  # by source
    build: str | None = None  # fingerprint of the inputs and options it was built from
    note: str | None = None  # what else a reader of the card should know of its making
    cleaned: int | None = (
        None  # version of the checks whose scores the faces have; see `nenrin.domains.clean`
    )


class FaceSet:
    """A folder of shards `faces-00000.parquet` ..., opened for reading.

    A person's decisions in a review (`nenrin.domains.decisions`) override what is stored.
    """

    def __init__(self, path: Path, meta: SetMeta) -> None:
        self.path = path
        self.meta = meta
        self.decisions = Decisions(path_of(path))
        new = sorted(self.decisions.domains - set(meta.domains))
        if new:
            meta.domains = (*meta.domains, *new)

    @classmethod
    def open(cls, path: str | Path) -> FaceSet:
        """Open a set. Raises `UsageError` if it is missing, no set, or of another format version."""
        path = Path(path)
        if not path.is_dir():
            raise UsageError(f"{path} does not exist; build a set with: nenrin build RAW... -o {path}")
        if not (path / "set.toml").is_file():
            raise UsageError(f"{path} is no set of faces: it has no set.toml; nenrin build makes one")
        values = read_toml(path / "set.toml")
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise UsageError(
                f"{path} is of format version {version}, this nenrin reads {FORMAT_VERSION}: build it again"
            )
        try:
            meta = SetMeta(**{**values, "domains": tuple(values["domains"])})
        except (KeyError, TypeError) as error:
            raise UsageError(f"{path / 'set.toml'} is damaged ({error}): build the set again") from None
        return cls(path, meta)

    @property
    def shards(self) -> list[Path]:
        """The Parquet files, in order."""
        return sorted(self.path.glob("faces-[0-9]*.parquet"))

    def __len__(self) -> int:
        return sum(_open(shard).metadata.num_rows for shard in self.shards)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows' labels; the pictures are read only if "image" is named."""
        names = list(LABELS if columns is None else columns)
        if len(self.decisions) and set(names) & set(DECIDED):
            table = self.stored([*names, *(key for key in KEYS if key not in names)])
            keys = zip(*(table[key].to_pylist() for key in KEYS), strict=True)
            return self.decisions.apply_to(table, keys).select(names)
        return self.stored(names)

    def stored(self, columns: Sequence[str] | None = None) -> pa.Table:
        """As `table`, before any person's decision."""
        names = list(LABELS if columns is None else columns)
        parts = []
        for shard in self.shards:
            parts.append(_open(shard).read(columns=names).replace_schema_metadata(None))
        schema = pa.schema([STORED.field(name) for name in names])
        return (
            pa.concat_tables([_arranged(part, schema) for part in parts]) if parts else schema.empty_table()
        )

    def faces(self) -> Iterator[Face]:
        """All rows in order, a few at a time: memory does not grow with the set."""
        for shard in self.shards:
            for batch in _open(shard).iter_batches(batch_size=GROUP_ROWS):
                yield from (self.decisions.apply(load_row(row)) for row in batch.to_pylist())


def _arranged(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns asked for, in their order; null where an older set lacks one."""
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(schema.names).cast(schema)


def _open(shard: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(shard)
    except (pa.ArrowInvalid, OSError) as error:
        raise NenrinError(
            f"{shard} cannot be read ({str(error).splitlines()[0]}): build the set again"
        ) from None


def check_vacant(path: Path) -> None:
    """Raise `UsageError` for a folder without a set that holds files: a set's would replace or join them.

    Hidden files are no hindrance: an interrupted command leaves its work in some, and systems their notes.
    """
    if path.is_dir() and not (path / "set.toml").is_file():
        strange = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
        if strange:
            raise UsageError(f"{path} holds other files ({strange[0]}): choose a new folder")


class SetWriter:
    """Write a set. A shard appears whole or not at all; after a kill the shards so far are a valid set.

    A folder that holds a set already is refused unless `replace` is given; one that holds other files always.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str,
        size: int,
        domains: Sequence[str] = DOMAINS,
        licences: Mapping[str, str] | None = None,
        build: str | None = None,
        note: str | None = None,
        replace: bool = False,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        self.path = Path(path)
        if (self.path / "set.toml").exists() and not replace:
            raise UsageError(f"{self.path} holds a set already: remove it or choose another folder")
        check_vacant(self.path)
        self.meta = SetMeta(
            name=name,
            format_version=FORMAT_VERSION,
            size=size,
            template=[[round(float(v), 6) for v in point] for point in TEMPLATE],
            domains=tuple(domains),
            complete=False,
            software=f"nenrin {nenrin.__version__}",
            sources={},
            licences=dict(licences or {}),
            build=build,
            note=note,
        )
        self._tally = Tally()
        self._shard_bytes = shard_bytes
        self._shard = 0
        self._rows: list[dict[str, Any]] = []
        self._sources: Counter[str] = Counter()
        self._writer: pq.ParquetWriter | None = None
        self._written = 0  # picture bytes in the open shard
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for stale in (*self.path.glob("faces-*.parquet"), *self.path.glob(".faces-*.part")):
                stale.unlink()
            self._write_meta()
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def add(self, face: Face) -> None:
        """Append a face."""
        if face.domain not in self.meta.domains:
            raise UsageError(f"domain {face.domain!r} is not in the set's vocabulary {self.meta.domains}")
        self._rows.append(store_row(face))
        self._tally.add(face)
        self._sources[face.source] += 1
        if face.licence is not None:
            known = self.meta.licences.setdefault(face.source, face.licence)
            if known != face.licence:
                self.meta.licences[face.source] = SEVERAL
        if len(self._rows) >= GROUP_ROWS:
            self._flush()

    def close(self) -> FaceSet:
        """Finish the last shard, `set.toml` and the data card; the set is complete."""
        self._flush()
        self._finish_shard()
        self.meta.complete = True
        try:
            write_text(
                self.path / "README.md",
                data_card(
                    self.meta.name, self.meta.size, self.meta.licences, self._tally, note=self.meta.note
                ),
            )
            self._write_meta()
        except OSError as error:
            raise _unwritable(self.path, error) from None
        return FaceSet(self.path, self.meta)

    def abandon(self) -> None:
        """Drop the unfinished shard; the finished ones stay, and the set stays marked as incomplete."""
        if self._writer is not None:
            # Closing writes the footer, which fails again on a full disk; the file goes either way.
            with contextlib.suppress(OSError):
                self._writer.close()
            self._writer = None
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    @property
    def _part(self) -> Path:
        return self.path / f".faces-{self._shard:05d}.parquet.part"

    def _flush(self) -> None:
        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, schema=STORED)
        size = sum(len(row["image"]["bytes"]) for row in self._rows)
        if self._written and self._written + size > self._shard_bytes:
            self._finish_shard()
        try:
            if self._writer is None:
                # Pictures are compressed already; snappy helps the labels alone.
                self._writer = pq.ParquetWriter(self._part, STORED, compression="snappy")
            self._writer.write_table(table)
        except OSError as error:
            self.abandon()
            raise _unwritable(self.path, error) from None
        self._written += size
        self.meta.sources = dict(sorted(self._sources.items()))
        self._rows.clear()

    def _finish_shard(self) -> None:
        if self._writer is None:
            return
        try:
            self._writer.close()
            with self._part.open("rb+") as stream:
                os.fsync(stream.fileno())
            self._part.replace(self.path / f"faces-{self._shard:05d}.parquet")
            self._write_meta()
        except OSError as error:
            self.abandon()
            raise _unwritable(self.path, error) from None
        self._writer = None
        self._written = 0
        self._shard += 1

    def _write_meta(self) -> None:
        values = dataclasses.asdict(self.meta)
        write_toml(self.path / "set.toml", {key: value for key, value in values.items() if value is not None})


def _unwritable(path: Path, error: OSError) -> NenrinError:
    return NenrinError(
        f"cannot write to {path}: {error.strerror or error}; free some space or choose another folder"
    )

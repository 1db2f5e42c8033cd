"""Rewrites labels of a finished set; the pictures are copied as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nenrin.domains.card import Tally, data_card
from nenrin.domains.faceset import GROUP_ROWS, FaceSet
from nenrin.domains.storage import STORED, load_row
from nenrin.ground import NenrinError, atomic_path, write_text, write_toml


def rewrite(faces: FaceSet, columns: Mapping[str, Sequence[Any]], **meta: Any) -> None:
    """Replace these columns, one value for each face, and the fields of `set.toml` given by `meta`.

    A shard changes as a whole or not at all. `set.toml` is written last, so what it says of the columns is
    true of all shards. Raises `NenrinError` where writing fails; the same call then starts over.
    """
    start = 0
    try:
        for shard in faces.shards:
            file = pq.ParquetFile(shard)
            with atomic_path(shard) as part, pq.ParquetWriter(part, STORED, compression="snappy") as writer:
                for batch in file.iter_batches(batch_size=GROUP_ROWS):
                    table = pa.Table.from_batches([batch]).cast(STORED)
                    for name, values in columns.items():
                        place = STORED.get_field_index(name)
                        column = pa.array(values[start : start + len(table)], STORED.field(name).type)
                        table = table.set_column(place, STORED.field(name), column)
                    writer.write_table(table)
                    start += len(table)
        for name, value in meta.items():
            setattr(faces.meta, name, value)
        tally = Tally()
        for batch in faces.table().to_batches(max_chunksize=GROUP_ROWS):
            for row in batch.to_pylist():
                tally.add(load_row({**row, "image": {"bytes": b"", "path": ""}}))
        write_text(
            faces.path / "README.md",
            data_card(faces.meta.name, faces.meta.size, faces.meta.licences, tally, note=faces.meta.note),
        )
        known = {key: value for key, value in dataclasses.asdict(faces.meta).items() if value is not None}
        write_toml(faces.path / "set.toml", known)
    except OSError as error:
        raise NenrinError(
            f"cannot write to {faces.path}: {error.strerror or error}; free some space and try again"
        ) from None

"""How a `Face` is laid out in Parquet, so that datasets, DuckDB and pandas open a set as it is."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from nenrin.domains.face import SCHEMA, Face, from_row, to_row

MAPS = tuple(field.name for field in SCHEMA if pa.types.is_map(field.type))
LABELS = tuple(name for name in SCHEMA.names if name != "image")


def _stored(field: pa.Field) -> pa.Field:
    """A field that `datasets` can open: maps become lists of (key, value), and every column is nullable."""
    if field.name not in MAPS:
        return field.with_nullable(True)
    entry = pa.struct([("key", field.type.key_type), ("value", field.type.item_type)])
    return pa.field(field.name, pa.list_(entry))


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """A type as `datasets.Features` describes it."""
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "List"}
    return {"dtype": {"float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}


_FEATURES = {
    field.name: {"_type": "Image"} if field.name == "image" else _feature(_stored(field).type)
    for field in SCHEMA
}
# The shards' columns; the metadata tell `datasets` that `image` is a picture.
STORED: pa.Schema = pa.schema(
    [_stored(field) for field in SCHEMA],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)


def store_row(face: Face) -> dict[str, Any]:
    """The face as a row of `STORED`."""
    row = to_row(face)
    for name in MAPS:
        row[name] = [{"key": key, "value": value} for key, value in row[name]]
    return row


def load_row(row: dict[str, Any]) -> Face:
    """The face of a row of `STORED` (`pyarrow.Table.to_pylist`)."""
    for name in MAPS:
        row[name] = [(entry["key"], entry["value"]) for entry in row[name]]
    return from_row(row)

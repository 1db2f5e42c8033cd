"""The JSON that commands leave beside their pictures: a list, one row a line, for grep and diff too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nenrin.ground import write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as JSON."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows atomically."""
    write_text(path, as_text(rows))


def pixels(values: NDArray[Any]) -> Any:
    """Coordinates as nested lists, to a hundredth of a pixel."""
    return [pixels(v) if v.ndim else round(float(v), 2) for v in values]

"""The JSON of the command line: a list, one row a line, for grep and diff too; see docs/machines.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nenrin.ground import write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tell(as_json: bool, rows: Sequence[dict[str, Any]], *lines: str) -> None:
    """Print the rows for a machine, or the lines for a person: what a command has to say."""
    typer.echo(as_text(rows) if as_json else "".join(f"{line}\n" for line in lines), nl=False)


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as JSON."""
    if not rows:
        return "[]\n"
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows atomically."""
    write_text(path, as_text(rows))


def pixels(values: NDArray[Any]) -> Any:
    """Coordinates as nested lists, to a hundredth of a pixel."""
    return [pixels(v) if v.ndim else round(float(v), 2) for v in values]

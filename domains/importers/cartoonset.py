"""Google's Cartoon Set: flat drawn faces of one cut, with `attributes.csv`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nenrin.domains.glasses import WORN
from nenrin.domains.importers.base import Importer, columns_of, flag, read_table
from nenrin.scrapers.local import walk
from nenrin.scrapers.raw import Raw

_NUMBERED = frozenset({"file", "hair_color"})  # not yes or no


def read(folder: Path) -> Iterator[Raw]:
    """Glasses and attributes from the table; it tells neither age nor gender, nor dark glasses from clear."""
    rows = read_table(folder / "attributes.csv", required=("file", "eyeglasses"))
    table = {row["file"]: row for row in rows}
    for path, name in walk(folder):
        raw = Raw(path=path, source="cartoonset", source_id=name, identity=f"cartoonset/{path.stem}")
        row = table.get(path.name)
        if row is None:
            raw.fault = "not in the table of attributes"
        else:
            values = {key: value for key, text in row.items() if (value := flag(text)) is not None}
            glasses = values.pop("eyeglasses", None)
            raw.glasses = None if glasses is None else (WORN if glasses else "none")
            raw.attributes = {key: value for key, value in values.items() if key not in _NUMBERED}
        yield raw


IMPORTER = Importer(
    name="cartoonset",
    recognises=lambda folder: {"eyeglasses", "hair_color"} <= set(columns_of(folder / "attributes.csv")),
    read=read,
    domain="cartoon",
    licence="CC BY 4.0",
    portrait=True,
    smallest=0.2,
    # Read off the mean picture; eyes and mouth vary by less than what MTCNN errs on drawings.
    nominal=((0.367, 0.490), (0.633, 0.490), (0.5, 0.635), (0.4, 0.722), (0.6, 0.722)),
    finder="nominal",
)

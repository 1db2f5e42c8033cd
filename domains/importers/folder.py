"""A plain folder of pictures, with a CSV of labels (`labels.csv`) where there is one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from nenrin.domains.face import AGE_SOURCES, GENDERS, GLASSES, OLDEST
from nenrin.domains.importers.base import POINT_COLUMNS, Importer, points_of, read_table
from nenrin.ground import UsageError, suggest
from nenrin.scrapers.local import walk
from nenrin.scrapers.raw import Raw

_WORDS = {"gender": GENDERS, "glasses": GLASSES, "age_source": AGE_SOURCES}
_TEXTS = ("domain", "identity", "url", "author", "licence")
COLUMNS = ("file", "age", *_WORDS, *_TEXTS, *POINT_COLUMNS)


def read(folder: Path) -> Iterator[Raw]:
    """Every picture, with its row of the CSV. A wrong value and a row without a picture are faults.

    In a folder of folders without a CSV, each folder's name is the identity (a character, say).
    """
    table = _labels(folder)
    rows = (
        {}
        if table is None
        else {row["file"]: row for row in read_table(table, required=("file",), known=COLUMNS)}
    )
    if rows:
        rows = _placed(rows, [name for _, name in walk(folder)])
    for path, name in walk(folder):
        raw = Raw(path=path, source=folder.name, source_id=name)
        if table is None and "/" in name:
            raw.identity = f"{folder.name}/{path.parent.name}"
        if name in rows:
            _label(raw, rows.pop(name))
        yield raw
    for name in rows:  # the finder will say that these cannot be opened
        yield Raw(path=folder / name, source=folder.name, source_id=name)


def _labels(folder: Path) -> Path | None:
    tables = sorted(folder.glob("*.csv"))
    if len(tables) > 1 and folder / "labels.csv" not in tables:
        raise UsageError(f"{folder} holds {len(tables)} CSV files: name the one with the labels labels.csv")
    return folder / "labels.csv" if len(tables) > 1 else next(iter(tables), None)


def _placed(rows: dict[str, dict[str, str]], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The rows by the pictures' paths: one that names no path is of the only picture of that base name."""
    bases: dict[str, list[str]] = {}
    for name in names:
        bases.setdefault(name.rpartition("/")[2], []).append(name)
    placed = {}
    for file, row in rows.items():
        named = bases.get(file, [])
        placed[named[0] if len(named) == 1 and named[0] not in rows else file] = row
    return placed


def _label(raw: Raw, row: dict[str, str]) -> None:
    for name in _TEXTS:
        setattr(raw, name, row.get(name) or None)
    for name, words in _WORDS.items():
        value = row.get(name)
        if value and value not in words:
            raw.fault = f"wrong {name}: {value!r}, {suggest(value, words)}"
        else:
            setattr(raw, name, value or None)
    if age := row.get("age"):
        try:
            years = float(age)
        except ValueError:
            years = math.nan
        if 0 <= years <= OLDEST:
            raw.age, raw.age_source = years, raw.age_source or "label"
        else:
            raw.fault = f"wrong age: {age!r} is no number of years from 0 to {OLDEST:g}"
    raw.points = points_of(row)


IMPORTER = Importer(
    name="folder",
    recognises=lambda folder: True,
    read=read,
    domain=None,
    licence=None,
    portrait=False,
    smallest=0.06,
)

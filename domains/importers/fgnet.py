"""FG-NET (Lanitis and Cootes): 82 people photographed over years, `001A14.jpg` = person 001 at 14."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nenrin.domains.importers.base import Importer, names_match, points_of, read_table
from nenrin.scrapers.local import walk
from nenrin.scrapers.raw import Raw

_NAME = re.compile(r"(?P<person>\d{3})A(?P<age>\d{2})[a-z]?\.jpe?g", re.IGNORECASE)
_TABLE = "landmarks.csv"


def read(folder: Path) -> Iterator[Raw]:
    """Person and age from the name; the five points from `landmarks.csv` where it lies in the folder."""
    landmarks = {}
    if (folder / _TABLE).is_file():
        rows = read_table(folder / _TABLE, required=("file",))
        landmarks = {row["file"].lower(): points_of(row) for row in rows}
    for path, _ in walk(folder):
        raw = Raw(path=path, source="fgnet", source_id=path.name, points=landmarks.get(path.name.lower()))
        match = _NAME.fullmatch(path.name)
        if match is None:
            raw.fault = f"malformed name: {path.name}"
        else:
            raw.identity = f"fgnet/{match['person']}"
            raw.age, raw.age_source = float(match["age"]), "label"
        yield raw


IMPORTER = Importer(
    name="fgnet",
    recognises=lambda folder: names_match(_NAME.fullmatch, folder, table=_TABLE),
    read=read,
    domain="photo",
    licence="research",
    portrait=True,
    smallest=0.15,
)

"""CACD (Chen, Chen and Hsu 2014): celebrities over ten years, `53_Robin_Williams_0001.jpg`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nenrin.domains.importers.base import Importer, names_match
from nenrin.scrapers.local import walk
from nenrin.scrapers.raw import Raw

_NAME = re.compile(r"(?P<age>\d{1,2})_(?P<person>.+)_(?P<number>\d{4})\.jpe?g", re.IGNORECASE)


def read(folder: Path) -> Iterator[Raw]:
    """Age (the year of the search less the year of birth) and person from the name."""
    for path, name in walk(folder):
        raw = Raw(path=path, source="cacd", source_id=name)
        match = _NAME.fullmatch(path.name)
        if match is None:
            raw.fault = f"malformed name: {path.name}"
        else:
            raw.identity = f"cacd/{match['person']}"
            raw.age, raw.age_source = float(match["age"]), "dated"
        yield raw


IMPORTER = Importer(
    name="cacd",
    recognises=lambda folder: names_match(_NAME.fullmatch, folder),
    read=read,
    domain="photo",
    licence="research",
    portrait=True,
    smallest=0.15,
)

"""UTKFace (Zhang, Song and Qi 2017): tight crops named `age_gender_race_time.jpg.chip.jpg`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nenrin.domains.importers.base import Importer, names_match
from nenrin.scrapers.local import walk
from nenrin.scrapers.raw import Raw

_NAME = re.compile(r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_(?P<time>\d+)\.jpg(\.chip\.jpg)?")
_OLDEST = 122  # the longest life on record


def read(folder: Path) -> Iterator[Raw]:
    """Age and gender from the name; a malformed name is a fault. Nobody is named: a face is an identity."""
    for path, name in walk(folder):
        raw = Raw(path=path, source="utkface", source_id=name)
        raw.identity = f"utkface/{path.name.split('.')[0]}"
        match = _NAME.fullmatch(path.name)
        if match is None or not int(match["age"]) <= _OLDEST:
            raw.fault = f"malformed name: {path.name}"
        else:
            raw.age, raw.age_source = float(match["age"]), "label"
            raw.gender = ("male", "female")[int(match["gender"])]
        yield raw


IMPORTER = Importer(
    name="utkface",
    recognises=lambda folder: names_match(_NAME.fullmatch, folder),
    read=read,
    domain="photo",
    licence="non-commercial research",
    portrait=True,
    smallest=0.4,
    # The median of what MTCNN finds in 600 of them.
    nominal=((0.300, 0.291), (0.695, 0.291), (0.493, 0.522), (0.321, 0.695), (0.671, 0.695)),
)

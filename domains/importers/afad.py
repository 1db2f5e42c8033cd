"""AFAD, the Asian Face Age Dataset (Niu et al. 2016): `AGE/111/x.jpg` for men, `AGE/112/x.jpg` for women."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nenrin.domains.importers.base import Importer
from nenrin.scrapers.local import walk
from nenrin.scrapers.raw import Raw

_GENDERS = {"111": "male", "112": "female"}


def read(folder: Path) -> Iterator[Raw]:
    """Age and gender from the folders' names; a picture elsewhere is a fault."""
    for path, name in walk(folder):
        raw = Raw(path=path, source="afad", source_id=name)
        age, gender = path.parent.parent.name, path.parent.name
        if age.isdigit() and gender in _GENDERS:
            raw.age, raw.age_source, raw.gender = float(age), "label", _GENDERS[gender]
        else:
            raw.fault = f"not in a folder AGE/111 or AGE/112: {name}"
        yield raw


def _recognises(folder: Path) -> bool:
    return any(
        entry.is_dir() and entry.name.isdigit() and any((entry / gender).is_dir() for gender in _GENDERS)
        for root in (folder, folder / "AFAD-Full")
        if root.is_dir()
        for entry in root.iterdir()
    )


IMPORTER = Importer(
    name="afad",
    recognises=_recognises,
    read=read,
    domain="photo",
    licence="academic research",
    portrait=True,
    smallest=0.3,
)

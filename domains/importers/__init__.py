"""Importers of published sets and plain folders: one small file a source."""

from __future__ import annotations

from pathlib import Path

from nenrin.domains.importers import (
    afad,
    anime,
    cacd,
    cartoonset,
    celeba,
    fgnet,
    folder,
    imdbwiki,
    manga109,
    scraped,
    utkface,
)
from nenrin.domains.importers.base import Importer
from nenrin.ground import UsageError, suggest

# The order in which a folder is tried; the plain folder takes whatever is left.
IMPORTERS: tuple[Importer, ...] = (
    scraped.IMPORTER,
    manga109.IMPORTER,
    imdbwiki.IMPORTER,
    afad.IMPORTER,
    celeba.IMPORTER,
    cartoonset.IMPORTER,
    fgnet.IMPORTER,
    utkface.IMPORTER,
    cacd.IMPORTER,
    anime.IMPORTER,
    folder.IMPORTER,
)


def importer_of(spec: str | Path) -> tuple[Importer, Path]:
    """The importer of a folder: named in `KIND:PATH`, else recognised by what lies in it.

    Raises `UsageError` for a folder that is missing or a kind that is unknown.
    """
    kind, _, rest = str(spec).partition(":")
    if rest and not Path(spec).exists():
        return importer_named(kind), _folder(Path(rest))
    path = _folder(Path(spec))
    return next(importer for importer in IMPORTERS if importer.recognises(path)), path


def importer_named(name: str) -> Importer:
    """An importer by its name; `UsageError` for any other word."""
    by_name = {importer.name: importer for importer in IMPORTERS}
    if name not in by_name:
        raise UsageError(f"unknown kind of source {name!r}; {suggest(name, by_name)}")
    return by_name[name]


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder: name the folder that holds the pictures")
    return path

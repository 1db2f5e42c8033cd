"""Recipes: the addresses, hashes, labels and crops of a set's pictures in a TOML file, without pictures.

Replaying one fetches the same files from the same places, or reports which of them have changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nenrin
from nenrin.ground import UsageError, read_toml, suggest, write_toml
from nenrin.scrapers.archive import Archive
from nenrin.scrapers.source import Item, Page, Search, Source

VERSION = 1
Faces = Mapping[tuple[str, str], Sequence[Any]]  # (source, source_id) -> five points [x, y] of each face
_PER_PAGE = 500
_REQUIRED = ("source", "source_id", "url", "sha256")
_FIELDS = {field.name for field in dataclasses.fields(Item)} - {"fault"}


def write(folder: Path, path: Path, *, faces: Faces | None = None) -> int:
    """Write the recipe of a scrape's folder; return how many pictures it names.

    `faces` are the crops of a set that was built from it; pictures without one are left out. Raises
    `UsageError` if the pictures have no addresses that others could fetch from.
    """
    entries = []
    with Archive.reading(folder) as archive:
        for row in archive.pictures():
            item = row.item
            if not item.url.startswith(("http://", "https://")):
                raise UsageError(f"{folder} holds pictures without web addresses: a recipe cannot name them")
            item.sha256 = row.sha256
            if faces is not None:
                item.faces = list(faces.get((item.source, item.source_id), ()))
                if not item.faces:
                    continue
            entries.append(item.known())
        asked = {name: archive.asked(name) for name in ("source", "query")}
    head = {"recipe": VERSION, "made_by": f"nenrin {nenrin.__version__}", "made": datetime.now(UTC).date()}
    write_toml(path, {**head, "asked": asked, "pictures": entries})
    return len(entries)


def read(path: Path) -> list[Item]:
    """The items of a recipe. Raises `UsageError` in one line for anything that `write` would not write."""
    values = read_toml(path)
    if values.get("recipe") != VERSION:
        raise UsageError(f"{path} is no recipe of version {VERSION}")
    entries = values.get("pictures")
    if not isinstance(entries, list):
        raise UsageError(f"{path} names no pictures")
    return [_item(entry, f"{path}, picture {number}") for number, entry in enumerate(entries, 1)]


def source_of(path: Path) -> tuple[Source, str]:
    """A recipe as a source, and a query that distinguishes it from other recipes."""
    items = read(path)

    def pages(search: Search, cursor: str | None) -> Iterator[Page]:
        for start in range(int(cursor or 0), len(items), _PER_PAGE):
            end = start + _PER_PAGE
            yield Page(items=items[start:end], cursor=str(end) if end < len(items) else None)

    def fetch(search: Search, item: Item, part: Path) -> str:
        # These addresses did not come from an API, so the host's robots.txt decides.
        return search.client.download(item.url, part, robots=True).sha256

    source = Source(
        name="recipe",
        summary="what a recipe names",
        query="the recipe",
        example="",
        pages=pages,
        fetch=fetch,
    )
    return source, hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _item(entry: Any, where: str) -> Item:
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: not a table")
    for name, value in entry.items():
        if name not in _FIELDS:
            raise UsageError(f"{where}: unknown {name!r}; {suggest(name, _FIELDS)}")
        if not _fits(name, value):
            raise UsageError(f"{where}: wrong {name}: {str(value)[:80]!r}")
    for name in _REQUIRED:
        if not entry.get(name):
            raise UsageError(f"{where}: has no {name}")
    return Item(**entry)


def _fits(name: str, value: Any) -> bool:
    if name == "sha256":
        return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None
    if name == "age":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if name == "tags":
        return isinstance(value, list) and all(isinstance(tag, str) for tag in value)
    if name == "attributes":
        return isinstance(value, dict) and all(isinstance(flag, bool) for flag in value.values())
    if name == "faces":
        return isinstance(value, list) and all(_is_face(face) for face in value)
    return isinstance(value, str)


def _is_face(face: Any) -> bool:
    return (
        isinstance(face, list)
        and len(face) == 5
        and all(isinstance(point, list) and len(point) == 2 for point in face)
        and all(isinstance(value, int | float) for point in face for value in point)
    )

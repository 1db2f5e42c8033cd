"""Local pictures: in folders, archives, PDFs and videos. Nothing is sent anywhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from nenrin.ground import UsageError
from nenrin.scrapers.containers import NOT_READ, READ, open_container
from nenrin.scrapers.download import sha256_of
from nenrin.scrapers.errors import Unusable
from nenrin.scrapers.source import Item, Option, Page, Search, Source

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})
_PER_PAGE = 500  # loose pictures


def walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file below `folder` with the suffix of a picture, in order, with its path below the folder.

    Hidden files and folders are skipped. Raises `UsageError` if the folder is missing or has no picture.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name the folder that holds the pictures")
    count = 0
    for path, name in _files(folder, SUFFIXES):
        count += 1
        yield path, name
    if not count:
        raise UsageError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")


def pages(search: Search, cursor: str | None) -> Iterator[Page]:
    """The pictures of a folder or a file, in order of their names; the cursor is the last file's name."""
    path = Path(search.query)
    if not path.exists():
        raise UsageError(f"{path} does not exist: name a folder, an archive, a PDF or a video")
    root = path if path.is_dir() else path.parent
    files = _files(path, SUFFIXES | READ | NOT_READ) if path.is_dir() else iter([(path, path.name)])
    loose: list[Item] = []
    done = [] if cursor is None else cursor.split("/")
    for file, name in files:
        if name.split("/") <= done:  # in the order of `_files`, where "a/x" comes before "a-b/x"
            continue
        if file.suffix.lower() in SUFFIXES:
            loose.append(Item(source_id=name, url=quote(name)))
            if len(loose) < _PER_PAGE:
                continue
        items, loose = [*loose, *_inside(search, root, name)], []
        yield Page(items=items, cursor=name)
    yield Page(items=loose, cursor=None)


def fetch(search: Search, item: Item, path: Path) -> str:
    """Copy or extract one picture."""
    file, root = Path(search.query), Path(search.query)
    name, _, place = (unquote(part) for part in item.url.partition("#"))
    source = (root if file.is_dir() else file.parent) / name
    if place:
        open_container(source, **_settings(search)).extract(place, path)
    else:
        try:
            shutil.copyfile(source, path)
        except FileNotFoundError:
            raise Unusable("is not there") from None
    return sha256_of(path)


def _inside(search: Search, root: Path, name: str) -> list[Item]:
    """The pictures in a container, or a note of why there are none."""
    file = root / name
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return []
    try:
        if suffix not in READ:
            raise Unusable(f"is of a kind that is not read: {suffix}; unpack it first")
        places = open_container(file, **_settings(search)).places
    except Unusable as error:
        return [Item(source_id=name, url=quote(name), fault=error.what)]
    return [Item(source_id=f"{name}/{place}", url=f"{quote(name)}#{quote(place)}") for place in places]


def _settings(search: Search) -> dict[str, float]:
    settings = {}
    for name in ("dpi", "every"):
        try:
            settings[name] = float(search.options[name])
        except ValueError:
            settings[name] = 0.0
        if not 0 < settings[name] < 1e6:
            raise UsageError(f"{name} is a number above 0 and below a million, not {search.options[name]!r}")
    return settings


def _files(folder: Path, suffixes: frozenset[str]) -> Iterator[tuple[Path, str]]:
    """Files of these kinds below a folder, by name, with the path below it; hidden ones are skipped."""
    try:
        with os.scandir(folder) as entries:
            shown = sorted((each for each in entries if not each.name.startswith(".")), key=lambda e: e.name)
    except PermissionError:  # such as a disk's lost+found
        return
    for entry in shown:
        if entry.is_dir(follow_symlinks=False):
            inside = _files(folder / entry.name, suffixes)
            yield from ((path, f"{entry.name}/{name}") for path, name in inside)
        elif Path(entry.name).suffix.lower() in suffixes and entry.is_file():
            yield folder / entry.name, entry.name


SOURCE = Source(
    name="local",
    summary="folders, zip and cbz archives, PDF pages, video frames",
    query="a folder or a file",
    example="volume-01.cbz",
    pages=pages,
    fetch=fetch,
    options={
        "every": Option(default="2", help="seconds between two frames of a video"),
        "dpi": Option(default="150", help="pixels an inch of a PDF's pages"),
    },
    web=False,
)

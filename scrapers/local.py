"""Pictures that lie in a folder already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nenrin.ground import UsageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})


def walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file below `folder` that is named as a picture, in order, with its path below the folder.

    Hidden files and folders are passed over. Raises `UsageError` if the folder is missing or has no picture.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name the folder that holds the pictures")
    count = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in name.parts):
            count += 1
            yield path, name.as_posix()
    if not count:
        raise UsageError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")

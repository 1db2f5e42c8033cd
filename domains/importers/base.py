"""What a source of pictures declares about itself, and the tables that come with pictures."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from nenrin.ground import UsageError, suggest
from nenrin.scrapers.raw import Raw

Points = tuple[tuple[float, float], ...]
POINT_COLUMNS = tuple(
    f"{name}_{axis}"
    for name in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    for axis in "xy"
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Importer:
    """A source: how its folder is recognised, what it yields, and how its pictures are cut."""

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Iterator[Raw]]
    domain: str | None  # None: the user names it
    licence: str | None
    # A portrait shows one person, whose labels the picture carries. Other pictures give a row for each face.
    portrait: bool
    smallest: float  # the smallest face worth looking for, as a share of the picture's longer side
    margin: float = 0.1  # beyond the picture's edge, where a face may have a part of it; a share of that side
    # Where the five points lie in a picture that is cut to the face already, in units of its width and
    # height: used where no face is found. None: such a picture is set aside.
    nominal: Points | None = None
    # One of `finders.FINDERS`, or "nominal" where finding is known to be worse than the cut; None: default.
    finder: str | None = None


def names_match(
    pattern_matches: Callable[[str], object], folder: Path, *, table: str | None = None, share: float = 0.5
) -> bool:
    """Whether most of the first hundred files below a folder are named as a source names them.

    Never for a folder with a CSV other than `table`, the source's own: it holds labels that a person gave,
    which count more than what names say.
    """
    if any(path.name != table for path in folder.glob("*.csv")):
        return False
    names = [path.name for path in some_files(folder, 100)]
    return bool(names) and sum(bool(pattern_matches(name)) for name in names) >= share * len(names)


def some_files(folder: Path, count: int) -> list[Path]:
    """The first `count` pictures in a folder and those below it, in no order, without listing all."""
    return list(itertools.islice(_files(folder), count))


def _files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.name.startswith("."):
            yield from _files(entry)
        elif entry.suffix.lower() in (".jpg", ".jpeg", ".png"):
            yield entry


def read_table(
    path: Path, *, required: Collection[str], known: Collection[str] | None = None
) -> list[dict[str, str]]:
    """The rows of a CSV with a header. `UsageError` for a missing column, or one that is not `known`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            for name in required:
                if name not in columns:
                    raise UsageError(
                        f"{path} has no column {name!r}; it has: {', '.join(columns) or 'nothing'}"
                    )
            for name in columns:
                if known is not None and name not in known:
                    raise UsageError(f"{path} has an unknown column {name!r}; {suggest(name, known)}")
            return [
                {key: (value or "").strip() for key, value in row.items() if key is not None}
                for row in reader
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV in UTF-8: {error}") from None


def columns_of(path: Path) -> Sequence[str]:
    """The header of a CSV; empty if there is no such file."""
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        return [name.strip() for name in stream.readline().split(",")]


def points_of(row: dict[str, str]) -> Points | None:
    """The five points of a row of a landmark table, in pixels; None where one is missing or no number."""
    try:
        values = [float(row[name]) for name in POINT_COLUMNS]
    except (KeyError, ValueError):
        return None
    return tuple(zip(values[::2], values[1::2], strict=True))


def flag(value: str) -> bool | None:
    """An attribute written 1 / -1 or 1 / 0; None where it is empty or anything else."""
    return {"1": True, "-1": False, "0": False}.get(value)

"""The pictures of a pair of characters, found and aligned: `DIR/PAIR/from/*` and `DIR/PAIR/to/*`.

If no face can be found in a drawing, `DIR/points.csv` may give its five points: a column `file` (the path
below DIR) and the ten columns of `nenrin build`'s folders, left_eye_x to mouth_right_y, in pixels.

A face that is found on both sides can show only one of the two ages, and would be both the input and the
truth, so it is used for neither.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.align import align, frame_mask
from nenrin.domains.duplicates import HASH_BYTES, difference_hash, near_duplicates
from nenrin.domains.face import GENDERS, GLASSES
from nenrin.domains.find import Finder, main_face, open_picture
from nenrin.domains.finders import AUTO, open_finder
from nenrin.domains.importers.base import POINT_COLUMNS, Points, points_of, read_table
from nenrin.eval.characters import Pair, Side
from nenrin.eval.subjects import Batch
from nenrin.ground import NenrinError, UsageError
from nenrin.scrapers.local import SUFFIXES

POINTS_FILE = "points.csv"


@dataclasses.dataclass(kw_only=True, slots=True)
class Portraits:
    """The available pictures of one pair."""

    start: Batch  # the pictures that are to be aged
    goal: Batch  # the true older (or younger) self; empty where there is no reference
    notes: list[str]  # pictures that could not be used, and why


def count_pictures(folder: Path, pair: Pair) -> tuple[int, int]:
    """How many pictures of a pair lie in `folder`, at the first age and at the second."""
    young, old = (len(_pictures(folder / pair.name / side)) for side in ("from", "to"))
    return young, old


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)


class Album:
    """A folder of pictures of characters; `finder`, a name or a file, finds their faces.

    Raises `UsageError` if there is no such folder or its points are malformed.
    """

    def __init__(self, folder: Path, size: int, finder: str = AUTO) -> None:
        if not folder.is_dir():
            raise UsageError(
                f"{folder} does not exist: --pictures takes a folder with a folder for each pair"
            )
        self._folder, self._size, self._name = folder, size, finder
        self._finder: Finder | None = None  # opened if points are not given
        self._points: dict[str, Points] = {}
        table = folder / POINTS_FILE
        if table.is_file():
            for row in read_table(table, required=("file", *POINT_COLUMNS)):
                points = points_of(row)
                if points is None:
                    raise UsageError(f"{table}: the points of {row['file']!r} are not ten numbers")
                self._points[row["file"]] = points

    def open(self, pair: Pair) -> Portraits:
        """The aligned faces of a pair, as far as available."""
        notes: list[str] = []
        start = self._side(pair, "from", pair.start, notes)
        goal = self._side(pair, "to", pair.goal, notes) if pair.goal.reference else Batch.empty(self._size)
        start, goal = _apart(pair, start, goal, notes)
        for word, side, batch in (("from", pair.start, start), ("to", pair.goal, goal)):
            if not len(batch) and side.reference:
                notes.append(f"{pair.name}: no picture of {side.character} in {Path(pair.name) / word}")
        return Portraits(start=start, goal=goal, notes=notes)

    def _side(self, pair: Pair, word: str, side: Side, notes: list[str]) -> Batch:
        pictures, points, names = [], [], []
        for path in _pictures(self._folder / pair.name / word):
            try:
                picture = open_picture(path)
                points.append(self._five(path, picture))
                pictures.append(picture)
                names.append(path.relative_to(self._folder).as_posix())
            except NenrinError as error:
                notes.append(f"{pair.name}: {error}")
        if not pictures:
            return Batch.empty(self._size)
        pixels, frames = align(pictures, np.stack(points), self._size)
        count = len(pixels)
        batch = Batch.drawn(
            pixels,
            age=np.full(count, side.age),
            domain=pair.domain,
            person=[pair.name] * count,
            glasses=np.full(count, GLASSES.index(side.glasses)),
            gender=np.full(count, GENDERS.index(pair.gender)) if pair.gender else None,
        )
        batch.masks = frame_mask(frames, self._size)
        batch.picture = np.array(names)
        return batch

    def _five(self, path: Path, picture: Image.Image) -> NDArray[np.float32]:
        name = path.relative_to(self._folder).as_posix()
        if name in self._points:
            return np.array(self._points[name], dtype=np.float32)
        if self._finder is None:
            self._finder = open_finder(self._name)
        found = self._finder.find([picture])[0]
        if not found:
            raise NenrinError(f"no face was found in {name}: give its five points in {POINTS_FILE}")
        return main_face(found, picture.size).points


def _apart(pair: Pair, start: Batch, goal: Batch, notes: list[str]) -> tuple[Batch, Batch]:
    """Both sides without faces that are the same, or nearly the same, on both; each is noted."""
    pixels = [*start.pixels, *goal.pixels]
    hashes = np.frombuffer(b"".join(map(difference_hash, pixels)), np.uint8).reshape(-1, HASH_BYTES)
    names = [*start.picture.tolist(), *goal.picture.tolist()]
    keep = np.ones(len(pixels), dtype=bool)
    for first, second in sorted(near_duplicates(hashes)):
        if first < len(start) <= second:
            keep[[first, second]] = False
            notes.append(f"{pair.name}: {names[first]} and {names[second]} show one face: neither is used")
    return start.take(keep[: len(start)]), goal.take(keep[len(start) :])

"""Draws the faces found over their pictures, for a person to check."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nenrin.domains.face import Face
from nenrin.domains.find import open_picture
from nenrin.domains.finder.boxes import box_of
from nenrin.ground import NenrinError, atomic_path
from nenrin.scrapers.raw import Raw

MARK = (255, 64, 32)
SAMPLE = 24  # pictures on a sheet
_COLUMNS, _CELL = 6, 240


def mark_faces(
    picture: Image.Image, boxes: Sequence[NDArray[np.float32]], points: Sequence[NDArray[np.float32]]
) -> Image.Image:
    """A copy with each box, its number and its five points drawn over it, in pixels of the picture."""
    marked = picture.copy()
    pen = ImageDraw.Draw(marked)
    line = max(1, round(max(picture.size) / 300))
    font = ImageFont.load_default(8 * line + 6)
    for number, (box, five) in enumerate(zip(boxes, points, strict=True), start=1):
        left, top, right, bottom = box.tolist()
        pen.rectangle((left, top, right, bottom), outline=MARK, width=line)
        pen.text((left + 2 * line, top + line), str(number), fill=MARK, font=font)
        for x, y in five.tolist():
            pen.ellipse((x - 1.5 * line, y - 1.5 * line, x + 1.5 * line, y + 1.5 * line), fill=MARK)
    return marked


class Sample:
    """Some faces of a set, spread over all by a hash, and the sheet of their pictures."""

    def __init__(self) -> None:
        self._chosen: list[tuple[int, int, Face]] = []
        self._seen = 0

    def add(self, face: Face) -> None:
        """Consider one face; no more than `SAMPLE` are held."""
        rank = int.from_bytes(hashlib.sha256(f"{face.source}/{face.source_id}".encode()).digest()[:8])
        self._seen += 1
        entry = (-rank, -self._seen, face)
        if len(self._chosen) < SAMPLE:
            heapq.heappush(self._chosen, entry)
        elif entry > self._chosen[0]:
            heapq.heapreplace(self._chosen, entry)

    def write(self, path: Path, raws: Iterator[Raw]) -> None:
        """Write a JPEG of the pictures that the faces come from, marked; without a face they have no mark."""
        faces = {(face.source, face.source_id.split("#")[0]): face for _, _, face in self._chosen}
        cells = []
        for raw in raws:
            face = faces.pop((raw.source, raw.source_id), None)
            if face is not None and (cell := _cell(raw.path, face)) is not None:
                cells.append(cell)
        rows = max(-(-len(cells) // _COLUMNS), 1)
        sheet = Image.new("RGB", (_CELL * _COLUMNS, _CELL * rows), "white")
        for number, cell in enumerate(cells):
            sheet.paste(cell, (number % _COLUMNS * _CELL, number // _COLUMNS * _CELL))
        with atomic_path(path) as part:
            sheet.save(part, "JPEG", quality=90)


def _cell(path: Path, face: Face) -> Image.Image | None:
    try:
        picture = open_picture(path)
    except NenrinError:
        return None  # it was readable when its face was found
    scale = _CELL / max(picture.size)
    width, height = (max(round(length * scale), 1) for length in picture.size)
    small = picture.resize((width, height))
    if face.points is None:
        return small
    points = face.points[None] * np.float32(scale)
    return mark_faces(small, list(box_of(points)), list(points))

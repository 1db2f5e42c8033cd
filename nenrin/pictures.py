"""Pictures that people look at: a strip of ages with captions, and boxes and points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nenrin.ground import atomic_path

GAP = 4  # pixels between the faces of a strip
INK = (32, 32, 32)
PAPER = (255, 255, 255)
MARK = (255, 64, 32)


def write_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG atomically."""
    with atomic_path(path) as part:
        picture.save(part, format="PNG")


def draw_strip(pictures: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """The faces side by side, each with its caption below. All are of the first one's size."""
    width, height = pictures[0].size
    letter = max(11, height // 11)
    font, line = ImageFont.load_default(letter), letter * 3 // 2
    step = width + GAP
    strip = Image.new("RGB", (step * len(pictures) - GAP, height + line), PAPER)
    pen = ImageDraw.Draw(strip)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        strip.paste(picture, (index * step, 0))
        pen.text((index * step + width // 2, height + line // 2), caption, fill=INK, font=font, anchor="mm")
    return strip


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

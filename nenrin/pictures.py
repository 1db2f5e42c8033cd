"""Pictures that people look at: a strip of ages with captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from nenrin.ground import atomic_path

GAP = 4  # pixels between the faces of a strip
INK = (32, 32, 32)
PAPER = (255, 255, 255)
_EFFORT = 2  # of 9: a third of the time that 6 takes, for files larger by a twelfth


def write_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG atomically."""
    with atomic_path(path) as part:
        picture.save(part, format="PNG", compress_level=_EFFORT)


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

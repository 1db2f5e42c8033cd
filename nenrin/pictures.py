"""Pictures that people look at: a strip of ages with captions, a face put back in place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from nenrin.ground import atomic_path

GAP = 4  # pixels between the faces of a strip
INK = (32, 32, 32)
PAPER = (255, 255, 255)


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


def paste_face(
    whole: Image.Image, face: Image.Image, matrix: NDArray[np.float32], *, reach: float = 0.86
) -> Image.Image:
    """Put an aligned face back into its picture, with a soft oval edge.

    `matrix` (2, 3) takes pixels of `whole` to pixels of `face` (`nenrin.domains.align.similarity`); `reach`
    is the oval's share of the square.
    """
    size = face.size[0]
    oval = Image.new("L", face.size, 0)
    margin = (1 - reach) * size / 2
    ImageDraw.Draw(oval).ellipse((margin, margin, size - margin, size - margin), fill=255)
    oval = oval.filter(ImageFilter.GaussianBlur(margin / 2))
    # PIL's affine takes output pixels (the whole picture's) to input pixels (the face's), as the matrix does.
    place = tuple(np.asarray(matrix, dtype=float).reshape(-1).tolist())
    affine, bicubic = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    warped = face.transform(whole.size, affine, place, bicubic)
    return Image.composite(warped, whole, oval.transform(whole.size, affine, place, bicubic))

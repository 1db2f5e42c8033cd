"""Open pictures and find the faces in them: box, five points, score."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from nenrin.ground import NenrinError, UsageError

MAX_PIXELS = 100_000_000  # 300 MB decoded: above this a file is a mistake or a decompression bomb
_BATCH = 16  # pictures at a time; more is no faster on a CPU and takes memory


@dataclasses.dataclass(kw_only=True, slots=True)
class Found:
    """A face in a picture, in its pixels."""

    box: NDArray[np.float32]  # (4,) left, top, right, bottom
    points: NDArray[np.float32]  # (5, 2) x, y in the order of `face.POINTS`
    score: float  # the finder's confidence, 0 to 1
    domain: str | None = None  # the domain that the finder assigns; None if it cannot tell


class Finder(Protocol):
    """Finds faces in RGB pictures of any sizes; returns a list for each of them, surest first."""

    def find(self, pictures: Sequence[Image.Image]) -> list[list[Found]]: ...


class NoFaceError(NenrinError):
    """A picture without a face."""


class MTCNNFinder:
    """MTCNN (Zhang et al. 2016) with facenet-pytorch's weights. For photographs.

    Faces smaller than `smallest`, a fraction of the longer side, are not looked for; the time is proportional
    to its inverse square. Pictures with a longer side than `side` pixels are searched at that size, with a
    black `margin` about them (a fraction of the longer side), so that boxes of cut-off faces fit.
    """

    def __init__(self, *, smallest: float = 0.06, margin: float = 0.1, side: int = 640) -> None:
        from nenrin.domains.mtcnn import Cascade

        self._cascade = Cascade()
        self._smallest = smallest
        self._margin = margin
        self._side = side

    def find(self, pictures: Sequence[Image.Image]) -> list[list[Found]]:
        """Faces of each RGB picture, surest first."""
        return [
            faces
            for start in range(0, len(pictures), _BATCH)
            for faces in self._batch(pictures[start : start + _BATCH])
        ]

    def _batch(self, pictures: Sequence[Image.Image]) -> list[list[Found]]:
        # The nets take pictures of one size: each is put into a black square, a margin from the top left.
        side = min(self._side, max(max(picture.size) for picture in pictures))
        edge = round(self._margin * side)
        canvas = np.zeros((len(pictures), side + 2 * edge, side + 2 * edge, 3), dtype=np.uint8)
        scales = [min(1.0, side / max(picture.size)) for picture in pictures]
        for row, picture, scale in zip(canvas, pictures, scales, strict=True):
            width, height = (max(round(length * scale), 1) for length in picture.size)
            small = picture if scale == 1 else picture.resize((width, height), Image.Resampling.BILINEAR)
            row[edge : edge + height, edge : edge + width] = np.asarray(small)
        answers = []
        found = self._cascade(canvas, max(self._smallest * side, 20.0))
        for scale, (boxes, points) in zip(scales, found, strict=True):
            faces = [
                Found(
                    box=(box[:4] - edge) / np.float32(scale),
                    points=(five - edge) / np.float32(scale),
                    score=float(box[4]),
                )
                for box, five in zip(boxes, points, strict=True)
            ]
            answers.append(sorted(faces, key=lambda face: -face.score))
        return answers


def main_face(faces: Sequence[Found], size: tuple[int, int]) -> Found:
    """The main face of a portrait of (W, H) pixels: large and near the middle."""
    middle = np.array(size) / 2

    def weight(face: Found) -> float:
        left, top, right, bottom = face.box
        distance = np.hypot(*(np.array([(left + right) / 2, (top + bottom) / 2]) - middle))
        return float(np.sqrt(max(right - left, 0) * max(bottom - top, 0)) - distance)

    return max(faces, key=weight)


def open_picture(path: str | Path) -> Image.Image:
    """A picture file as RGB; see `decode_picture`. `NenrinError` too if it is missing or no regular file."""
    if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
        raise NenrinError(f"{path} is no regular file")  # reading from a pipe might never end
    try:
        return decode_picture(Path(path), name=str(path))
    except FileNotFoundError:
        raise NenrinError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise NenrinError(f"{path} is a folder, not a picture") from None


def decode_picture(
    file: Path | BinaryIO, *, name: str, most: int = MAX_PIXELS, formats: tuple[str, ...] | None = None
) -> Image.Image:
    """A picture as RGB, see `as_rgb`; the first frame of an animation.

    `formats` are Pillow's names of those to try, by default all. Raises `NenrinError` in one line that begins
    with `name`, if it is no picture, truncated or has more than `most` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of bombs and odd EXIF data; the limit is ours
            with Image.open(file, formats=formats) as picture:
                if picture.width * picture.height > most:
                    raise NenrinError(
                        f"{name} has {picture.width} x {picture.height} pixels, more than "
                        f"{most // 10**6} million: reduce it first"
                    )
                return as_rgb(picture)
    except (FileNotFoundError, IsADirectoryError):
        raise
    except Image.DecompressionBombError:
        raise NenrinError(f"{name} has too many pixels: reduce it first") from None
    except UnidentifiedImageError:
        raise NenrinError(f"{name} is not a picture that can be read") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise on damage
        raise NenrinError(f"{name} is damaged: {error}") from None


def as_rgb(picture: Image.Image | str | Path) -> Image.Image:
    """A picture, or that of a file, as RGB: rotated by its EXIF data, transparency on white, 16 bits as 8.

    What it returns, it returns as it is when called again. Raises `UsageError` for what is neither,
    `NenrinError` if there is no pixel, and as `open_picture` does.
    """
    if isinstance(picture, str | Path):
        return open_picture(picture)
    if not isinstance(picture, Image.Image):
        raise UsageError(f"a picture is one of PIL's or the path of a file, not {type(picture).__name__}")
    if not picture.width or not picture.height:
        raise NenrinError(f"a picture of {picture.width} x {picture.height} pixels shows nothing")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):  # 16 bits a pixel or more, which Pillow would cut off at 255
        values = np.asarray(picture).astype(np.float32)
        top = 65535.0 if picture.mode.startswith("I") else max(float(values.max()), 1.0)
        return Image.fromarray((values * (255 / top)).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")

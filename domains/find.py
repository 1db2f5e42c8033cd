"""Open pictures and find the faces in them: box, five points, score."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from nenrin.ground import NenrinError

if TYPE_CHECKING:
    from facenet_pytorch import MTCNN

MAX_PIXELS = 100_000_000  # 300 MB decoded: above this a file is a mistake or a decompression bomb
_BATCH = 16  # pictures at a time; more is no faster on a CPU and takes memory
_THRESHOLDS = (0.6, 0.7, 0.7)  # of the three nets, as published (Zhang et al. 2016)


@dataclasses.dataclass(kw_only=True, slots=True)
class Found:
    """A face in a picture, in its pixels."""

    box: NDArray[np.float32]  # (4,) left, top, right, bottom
    points: NDArray[np.float32]  # (5, 2) x, y in the order of `face.POINTS`
    score: float  # the finder's confidence, 0 to 1


class Finder(Protocol):
    """Finds faces in RGB pictures of any sizes; the answer has a list, best first, for each of them."""

    def find(self, pictures: Sequence[Image.Image]) -> list[list[Found]]: ...


class MTCNNFinder:
    """MTCNN (Zhang et al. 2016) of facenet-pytorch, whose package holds the weights. For photographs.

    Faces smaller than `smallest`, as a share of the longer side, are not looked for: the time goes with
    the inverse square of it. Pictures with a longer side than `side` pixels are searched at that size.
    """

    def __init__(self, *, smallest: float = 0.06, side: int = 640, device: str = "cpu") -> None:
        from facenet_pytorch import MTCNN

        self._nets: MTCNN = MTCNN(device=device)
        self._device = device
        self._smallest = smallest
        self._side = side

    def find(self, pictures: Sequence[Image.Image]) -> list[list[Found]]:
        """Faces of each RGB picture, surest first."""
        return [
            faces
            for start in range(0, len(pictures), _BATCH)
            for faces in self._batch(pictures[start : start + _BATCH])
        ]

    def _batch(self, pictures: Sequence[Image.Image]) -> list[list[Found]]:
        import torch
        from facenet_pytorch.models.utils.detect_face import detect_face

        # The nets take pictures of one size: each is put into the top left of a black square.
        side = min(self._side, max(max(picture.size) for picture in pictures))
        canvas = np.zeros((len(pictures), side, side, 3), dtype=np.uint8)
        scales = [min(1.0, side / max(picture.size)) for picture in pictures]
        for row, picture, scale in zip(canvas, pictures, scales, strict=True):
            width, height = (max(round(length * scale), 1) for length in picture.size)
            small = picture if scale == 1 else picture.resize((width, height), Image.Resampling.BILINEAR)
            row[:height, :width] = np.asarray(small)
        with torch.inference_mode():
            # MTCNN.detect stacks its answers, which fails where some pictures have faces and some have none.
            boxes, points = detect_face(
                canvas,
                max(self._smallest * side, 20.0),
                self._nets.pnet,
                self._nets.rnet,
                self._nets.onet,
                _THRESHOLDS,
                self._nets.factor,
                self._device,
            )
        answers = []
        for scale, its_boxes, its_points in zip(scales, boxes, points, strict=True):
            its_boxes = np.asarray(its_boxes, dtype=np.float32).reshape(-1, 5)
            its_points = np.asarray(its_points, dtype=np.float32).reshape(-1, 5, 2)
            faces = [
                Found(box=box[:4] / np.float32(scale), points=five / np.float32(scale), score=float(box[4]))
                for box, five in zip(its_boxes, its_points, strict=True)
            ]
            answers.append(sorted(faces, key=lambda face: -face.score))
        return answers


def main_face(faces: Sequence[Found], size: tuple[int, int]) -> Found:
    """The face that a portrait of (W, H) pixels shows: large and near the middle."""
    middle = np.array(size) / 2

    def weight(face: Found) -> float:
        left, top, right, bottom = face.box
        distance = np.hypot(*(np.array([(left + right) / 2, (top + bottom) / 2]) - middle))
        return float(np.sqrt(max(right - left, 0) * max(bottom - top, 0)) - distance)

    return max(faces, key=weight)


def open_picture(path: str | Path) -> Image.Image:
    """A picture as RGB, turned as its EXIF data say, transparency on white.

    Raises `NenrinError` in one line if it is missing, no picture, truncated or above `MAX_PIXELS`.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of bombs and odd EXIF data; the limit is ours
            with Image.open(path) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise NenrinError(
                        f"{path} has {picture.width} x {picture.height} pixels, more than "
                        f"{MAX_PIXELS // 10**6} million: reduce it first"
                    )
                return _rgb(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise NenrinError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise NenrinError(f"{path} is a folder, not a picture") from None
    except Image.DecompressionBombError:
        raise NenrinError(f"{path} has too many pixels: reduce it first") from None
    except UnidentifiedImageError:
        raise NenrinError(f"{path} is not a picture that can be read") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise on damage
        raise NenrinError(f"{path} is damaged: {error}") from None


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")

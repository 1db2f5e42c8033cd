"""The second look: a net examines each found face again, alone and at one size, and says whether it is a face
and where exactly its points are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.finder.boxes import Floats
from nenrin.domains.finder.look import Eyes, Seen

CLOSE = Path(__file__).parent / "weights" / "close.onnx"
SIDE, BOX = 80, 44  # pixels: side of a view, and of the found box in it
# The views of a place, whose results are combined: factors on the size, and whether mirrored.
_WAYS = ((1.0, False), (1.0, True), (1.12, False), (1.12, True))
_SWAP = [1, 0, 2, 4, 3]  # left and right, in a mirror
_GREY = (128, 128, 128)  # beyond the picture's edges, as at the first look


def view(box: Floats, nearer: float = 1.0) -> NDArray[np.float64]:
    """The (2, 3) matrix from the picture to the view of a box (4,) in it, enlarged by `nearer`."""
    middle = (box[:2] + box[2:]) / 2
    scale = nearer * BOX / max(float((box[2:] - box[:2]).mean()), 1e-3)
    return np.column_stack([np.eye(2) * scale, SIDE / 2 - scale * middle])


def crop(picture: Image.Image, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The view (SIDE, SIDE, 3) of an RGB picture by its matrix."""
    # Downsample with a box filter if it is far larger than the view, else interpolate.
    left, top = -matrix[:, 2] / matrix[0, 0]
    reach = SIDE / matrix[0, 0]
    box = (np.floor([left, top]) - 2, np.ceil([left + reach, top + reach]) + 2)
    low = np.maximum(box[0], 0).astype(int)
    high = np.minimum(box[1], picture.size).astype(int)
    if (high <= low).any():
        return np.full((SIDE, SIDE, 3), _GREY, np.uint8)
    part = picture.crop((*low, *high))
    shrink = max(int(1 / matrix[0, 0]), 1)
    pixels = np.asarray(part.reduce(shrink) if shrink > 1 else part)
    moved = np.column_stack([matrix[:, :2] * shrink, matrix[:, 2] + matrix[:, :2] @ low])
    moved[:, 2] += moved[:, :2].sum(1) * 0.5 - 0.5  # OpenCV counts from the pixels' centres
    return cv2.warpAffine(
        pixels, moved, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=_GREY
    ).astype(np.uint8, copy=False)


class CloseEyes:
    """The net of the second look. Raises `NenrinError` for a file that is missing or damaged."""

    def __init__(self, path: Path = CLOSE) -> None:
        self._eyes = Eyes(path)

    def look(
        self, picture: Image.Image, boxes: Sequence[Floats] | Floats, least: Floats | float = 0.0
    ) -> Seen:
        """The result for each of N boxes of a picture, in their order and the picture's pixels. A box that
        the first view scores below `least` keeps that score without further views."""
        if not len(boxes):
            return _seen(np.zeros((0, 18), np.float32))
        (rows,) = self._views(picture, boxes, _WAYS[:1])
        worth = np.flatnonzero(rows[:, 4] >= least)
        if len(worth):
            again = self._views(picture, [boxes[int(i)] for i in worth], _WAYS[1:])
            told = np.concatenate([rows[None, worth], again])
            rows[worth] = told.mean(0)
            rows[worth, 4] = np.exp(np.log(np.maximum(told[:, :, 4], 1e-9)).mean(0))
        return _seen(rows)

    def _views(
        self, picture: Image.Image, boxes: Sequence[Floats] | Floats, ways: Sequence[tuple[float, bool]]
    ) -> Floats:
        """Outputs (W, N, 18) for each box in each of W views."""
        matrices = {nearer: [view(box, nearer) for box in boxes] for nearer, _ in ways}
        crops = {
            nearer: np.stack([crop(picture, matrix) for matrix in some]) for nearer, some in matrices.items()
        }
        seen = [crops[nearer][:, :, ::-1] if mirrored else crops[nearer] for nearer, mirrored in ways]
        told = self._eyes.answers(np.concatenate(seen))[:, 0].reshape(len(ways), len(boxes), -1)
        for (nearer, mirrored), rows in zip(ways, told, strict=True):
            if mirrored:
                rows[:] = _back(rows)
            scale = np.array([matrix[0, 0] for matrix in matrices[nearer]], np.float32)[:, None]
            places = np.array([0, 1, 2, 3, *range(5, 15)])
            shift = np.stack([matrix[:, 2] for matrix in matrices[nearer]])[:, np.arange(len(places)) % 2]
            rows[:, places] = (rows[:, places] - shift) / scale
        return told


def _back(rows: Floats) -> Floats:
    """Outputs for a mirrored view, mirrored back."""
    turned = rows.copy()
    turned[:, [0, 2]] = SIDE - rows[:, [2, 0]]
    points = rows[:, 5:15].reshape(-1, 5, 2)[:, _SWAP]
    turned[:, 5:15] = np.stack([SIDE - points[..., 0], points[..., 1]], -1).reshape(-1, 10)
    return turned


def _seen(rows: Floats) -> Seen:
    return Seen(
        boxes=rows[:, :4], points=rows[:, 5:15].reshape(-1, 5, 2), scores=rows[:, 4], domains=rows[:, 15:]
    )

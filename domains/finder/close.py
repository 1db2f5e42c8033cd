"""The second look: each face that was found is looked at again, alone and at one size, by a net that says
whether it is one and where exactly its points are."""

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
SIDE, BOX = 80, 44  # pixels of a view, and in it of the box that was found
_SWAP = [1, 0, 2, 4, 3]  # left and right, in a mirror
_GREY = (128, 128, 128)  # beyond the picture's edges, as at the first look


def view(box: Floats) -> NDArray[np.float64]:
    """(2, 3): from the picture to the view of a box (4,) in it."""
    middle = (box[:2] + box[2:]) / 2
    scale = BOX / max(float((box[2:] - box[:2]).mean()), 1e-3)
    return np.column_stack([np.eye(2) * scale, SIDE / 2 - scale * middle])


def crop(picture: Image.Image, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The view (SIDE, SIDE, 3) of an RGB picture by its matrix."""
    # Reduced with a box filter where it is far larger than the view, else sampled between its pixels.
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

    def look(self, picture: Image.Image, boxes: Sequence[Floats] | Floats) -> Seen:
        """What is seen in each of N boxes of a picture, in their order and the picture's pixels."""
        if not len(boxes):
            empty = np.zeros((0, 18), np.float32)
            return _seen(empty)
        matrices = [view(box) for box in boxes]
        views = np.stack([crop(picture, matrix) for matrix in matrices])
        told = self._eyes.answers(np.concatenate([views, views[:, :, ::-1]]))[:, 0]
        # A face is one in the mirror too; its points are where both see them.
        there, mirrored = told[: len(views)], _back(told[len(views) :])
        rows = (there + mirrored) / 2
        rows[:, 4] = np.sqrt(there[:, 4] * mirrored[:, 4])
        scale = np.array([matrix[0, 0] for matrix in matrices], np.float32)[:, None]
        places = np.array([0, 1, 2, 3, *range(5, 15)])
        shift = np.stack([matrix[:, 2] for matrix in matrices])[:, np.arange(len(places)) % 2]
        rows[:, places] = (rows[:, places] - shift) / scale
        return _seen(rows.astype(np.float32))


def _back(rows: Floats) -> Floats:
    """What was seen in a mirrored view, as it lies in the view."""
    turned = rows.copy()
    turned[:, [0, 2]] = SIDE - rows[:, [2, 0]]
    points = rows[:, 5:15].reshape(-1, 5, 2)[:, _SWAP]
    turned[:, 5:15] = np.stack([SIDE - points[..., 0], points[..., 1]], -1).reshape(-1, 10)
    return turned


def _seen(rows: Floats) -> Seen:
    return Seen(
        boxes=rows[:, :4], points=rows[:, 5:15].reshape(-1, 5, 2), scores=rows[:, 4], domains=rows[:, 15:]
    )

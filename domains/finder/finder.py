"""Our finder: the net, over pictures of any sizes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.find import Found
from nenrin.domains.finder.boxes import Floats
from nenrin.domains.finder.look import DOMAINS, WEIGHTS, Eyes, Seen, merge

SURE = 0.35  # the score of a face; chosen on the validation part of benchmarks/illustrations.csv
_BATCH = 8  # pictures at a time; more is no faster on a CPU and takes memory
_ENOUGH = 40.0  # pixels of a face's box that the points need
_LARGE = (
    224  # a picture with a longer side is also looked at small, where its large faces are of a size known to
)
_SMALL = 144  # the net
_LEAST = 96  # pixels of the longer side; smaller pictures are enlarged, by no more than
_ENLARGE = 3.0
_GREY = 128  # beyond the edges, as the net's own padding


class NetFinder:
    """Finds faces in photographs, paintings and manga alike (its card is `weights/README.md`).

    Faces whose box is smaller than `smallest`, a share of the longer side, are not looked for; pictures are
    searched at as few pixels as that allows, and at most at `side`. `margin` is a share of the longer side,
    beyond the edges, where faces that are cut off have their rest.
    """

    def __init__(
        self, *, smallest: float = 0.04, margin: float = 0.1, side: int = 512, sure: float = SURE
    ) -> None:
        self._eyes = Eyes(WEIGHTS)
        self._side = min(side, max(round(_ENOUGH / smallest), _LEAST))
        self._margin = margin
        self._sure = sure

    def find(self, pictures: Sequence[Image.Image]) -> list[list[Found]]:
        """Faces of each RGB picture, surest first."""
        return [
            faces
            for start in range(0, len(pictures), _BATCH)
            for faces in self._batch(pictures[start : start + _BATCH])
        ]

    def points_in(self, picture: Image.Image, box: Floats) -> Floats | None:
        """The five points (5, 2) of the face in a box (4,) that another finder found; None where none is
        seen."""
        side = float(max(box[2] - box[0], box[3] - box[1]))
        corner = (box[:2] + box[2:]) / 2 - side
        whole = tuple(round(float(v)) for v in (*corner, *(corner + 2 * side)))
        (seen,) = self._look([picture.crop(whole)], 160, 0.02)
        if not len(seen.scores):
            return None
        middles = (seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2
        near = int(np.argmin(np.abs(middles - side).max(1)))
        return None if np.abs(middles[near] - side).max() > side / 3 else seen.points[near] + corner.round()

    def _batch(self, pictures: Sequence[Image.Image]) -> list[list[Found]]:
        return [
            [
                Found(
                    box=seen.boxes[row],
                    points=seen.points[row],
                    score=float(seen.scores[row]),
                    domain=DOMAINS[int(seen.domains[row].argmax())],
                )
                for row in range(len(seen.scores))
            ]
            for seen in self._look(pictures, self._side, self._sure)
        ]

    def _look(self, pictures: Sequence[Image.Image], side: int, least: float) -> list[Seen]:
        """What is seen in each picture, in its pixels, searched at `side` pixels and, if large, also
        small."""
        scales = []
        for picture in pictures:
            longest = max(picture.size)
            scales.append(min(side / longest, max(1.0, min(_LEAST / longest, _ENLARGE))))
        canvas, edges = self._canvas(pictures, scales)
        looks = [(self._eyes.look(canvas, least), 1.0)]
        if max(canvas.shape[1:3]) > _LARGE:
            small = _SMALL / max(canvas.shape[1:3])
            looks.append((self._eyes.look(_reduced(canvas, small), least), small))
        answers = []
        for row, (scale, edge) in enumerate(zip(scales, edges, strict=True)):
            found = np.concatenate([candidates[row] / _places(size) for candidates, size in looks])
            found[:, [0, 1, 2, 3, *range(5, 15)]] -= edge
            answers.append(merge(found / _places(scale)))
        return answers

    def _canvas(
        self, pictures: Sequence[Image.Image], scales: Sequence[float]
    ) -> tuple[NDArray[np.uint8], list[int]]:
        """The pictures, scaled, in grey ones of one size with a margin, and the margins in pixels."""
        sizes = [
            tuple(max(round(length * scale), 1) for length in picture.size)
            for picture, scale in zip(pictures, scales, strict=True)
        ]
        edges = [round(self._margin * max(size)) for size in sizes]
        width, height = (
            -(-max(size[axis] + 2 * edge for size, edge in zip(sizes, edges, strict=True)) // 32) * 32
            for axis in (0, 1)
        )
        canvas = np.full((len(pictures), height, width, 3), _GREY, np.uint8)
        for row, picture, size, edge in zip(canvas, pictures, sizes, edges, strict=True):
            small = picture if picture.size == size else picture.resize(size, Image.Resampling.BILINEAR)
            row[edge : edge + size[1], edge : edge + size[0]] = np.asarray(small)
        return canvas, edges


def _places(scale: float) -> Floats:
    """What divides candidates (M, 18) by a scale: their box and points, not what is sure."""
    divisor = np.full(15 + len(DOMAINS), scale, np.float32)
    divisor[[4, *range(15, len(divisor))]] = 1
    return divisor


def _reduced(canvas: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Smaller pictures in grey ones, whose sides are multiples of 32."""
    height, width = (max(round(length * scale), 1) for length in canvas.shape[1:3])
    small = np.full((len(canvas), -(-height // 32) * 32, -(-width // 32) * 32, 3), _GREY, np.uint8)
    for row, picture in zip(small, canvas, strict=True):
        row[:height, :width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return small

"""Our finder: the net, over pictures of any sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nenrin.domains.find import Found
from nenrin.domains.finder.boxes import Floats, box_of
from nenrin.domains.finder.close import CLOSE, CloseEyes
from nenrin.domains.finder.look import DOMAINS, WEIGHTS, Eyes, Seen, merge

SURE = 0.6  # the score of a face; chosen on the validation part of benchmarks/illustrations.csv
_FIRST = 0.4  # the weight of the first look's score in the geometric mean of both; chosen there too
_MAYBE = 0.25  # the score from which what the first look sees says where a face is
_ENOUGH = 40.0  # pixels of a face's box that the points need
# A picture is looked at again and again, each time by this much smaller, until a face that fills it is of a
# size that the net learned, which are those within 96 pixels.
_STEP, _LAST = 0.42, 96
_ENLARGE = 3.0  # what a picture smaller than that is enlarged by, at most
_GREY = 128  # beyond the edges, as the net's own padding


class NetFinder:
    """Finds faces in photographs, paintings and manga alike (docs/finder.md).

    Faces whose box is smaller than `smallest`, a share of the longer side, are not looked for; pictures are
    searched at as few pixels as that allows, and at most at `side`. `margin` is a share of the longer side,
    beyond the edges, where large faces that are cut off have their rest.
    """

    def __init__(
        self,
        *,
        smallest: float = 0.04,
        margin: float = 0.1,
        side: int = 512,
        sure: float = SURE,
        weights: Path = WEIGHTS,
        close: Path | None = CLOSE,
    ) -> None:
        self._eyes = Eyes(weights)
        self._close = None if close is None else CloseEyes(close)
        self._side = min(side, max(round(_ENOUGH / smallest), _LAST))
        self._smallest = smallest
        self._margin = margin
        self._sure = sure

    def find(self, pictures: Sequence[Image.Image]) -> list[list[Found]]:
        """Faces of each RGB picture, surest first."""
        return [self._find(picture) for picture in pictures]

    def points_in(self, picture: Image.Image, box: Floats) -> Floats | None:
        """The five points (5, 2) of the face in another finder's box (4,); None if it sees none."""
        side = float(max(box[2] - box[0], box[3] - box[1]))
        corner = (box[:2] + box[2:]) / 2 - side
        left, top, right, bottom = (round(float(v)) for v in (*corner, *(corner + 2 * side)))
        seen = self._look(picture.crop((left, top, right, bottom)), 2 * _LAST, 0.02)
        if not len(seen.scores):
            return None
        off = np.abs((seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2 - side).max(1)
        near = int(off.argmin())
        if off[near] >= side / 3:
            return None
        corner = np.array([left, top], np.float32)
        points: Floats = seen.points[near] + corner
        if self._close is not None:
            points = self._close.look(picture, seen.boxes[near : near + 1] + np.tile(corner, 2)).points[0]
        return points

    def looked_at(self, picture: Image.Image, points: Sequence[Floats]) -> list[float]:
        """The second look's scores of the faces that another finder has by their points (5, 2); 1 where there
        is no second look."""
        if self._close is None or not points:
            return [1.0] * len(points)
        return [float(score) for score in self._close.look(picture, box_of(np.stack(points))).scores]

    def _find(self, picture: Image.Image) -> list[Found]:
        if self._close is None:
            seen = self._look(picture, self._side, self._sure)
        else:
            seen = self._again(self._close, picture, self._look(picture, self._side, _MAYBE))
        least = self._smallest * max(picture.size)
        return [
            Found(box=box, points=points, score=float(score), domain=DOMAINS[int(domains.argmax())])
            for box, points, score, domains in zip(
                seen.boxes, seen.points, seen.scores, seen.domains, strict=True
            )
            if box[2] - box[0] >= least
        ]

    def _again(self, close: CloseEyes, picture: Image.Image, first: Seen) -> Seen:
        """Of what the first look saw, what the second sees too: with its points, and a score of both."""
        # What is less sure than this is none, whatever the second look says.
        maybe = first.scores >= self._sure ** (1 / _FIRST)
        first = Seen(
            boxes=first.boxes[maybe],
            points=first.points[maybe],
            scores=first.scores[maybe],
            domains=first.domains[maybe],
        )
        # Nor what the first of the second look's four views leaves no hope for.
        least = (self._sure / first.scores**_FIRST) ** (4 / (1 - _FIRST))
        second = close.look(picture, first.boxes, least)
        scores = first.scores**_FIRST * second.scores ** (1 - _FIRST)
        sure = np.argsort(-scores, kind="stable")
        sure = sure[scores[sure] >= self._sure]
        points = second.points[sure]
        if len(sure):  # nearer to a face's middle than the first look came, its points are more exact
            points = close.look(picture, box_of(points)).points
        return Seen(
            boxes=first.boxes[sure],
            points=points,
            scores=scores[sure],
            domains=first.domains[sure],
        )

    def _look(self, picture: Image.Image, side: int, least: float) -> Seen:
        """What is seen in a picture, in its pixels, searched at `side` pixels and smaller."""
        longest = max(picture.size)
        size = min(side, max(longest, min(_LAST, _ENLARGE * longest)))
        found = []
        while True:
            last = size <= 1.2 * _LAST
            found.append(self._once(picture, size / longest, self._margin if last else 0, least))
            if last:
                return merge(np.concatenate(found))
            size = max(_STEP * size, _LAST)

    def _once(self, picture: Image.Image, scale: float, margin: float, least: float) -> Floats:
        """The candidates (M, 18), in the picture's pixels, of one look at it at a scale."""
        width, height = (max(round(length * scale), 1) for length in picture.size)
        edge = round(margin * max(width, height))
        canvas = np.full((1, _whole(height + 2 * edge), _whole(width + 2 * edge), 3), _GREY, np.uint8)
        # Reduced by two thirds of a step or more with a box filter first: as good, and several times faster.
        small = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        canvas[0, edge : edge + height, edge : edge + width] = np.asarray(small)
        (rows,) = self._eyes.look(canvas, least)
        places = [0, 1, 2, 3, *range(5, 15)]
        rows[:, places] = (rows[:, places] - edge) / np.float32(scale)
        return rows


def _whole(length: int) -> int:
    """The next multiple of the net's largest stride."""
    return -(-length // 32) * 32

"""Our finder: applies the nets to pictures of any size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nenrin.domains.find import Found
from nenrin.domains.finder.boxes import Floats, box_of
from nenrin.domains.finder.close import CLOSE, CloseEyes
from nenrin.domains.finder.look import DOMAINS, WEIGHTS, Eyes, Seen, merge

SURE = 0.6  # least score of a face; chosen on the validation part of benchmarks/illustrations.csv
_FIRST = 0.4  # weight of the first look's score in the geometric mean of both; chosen there too
_MAYBE = 0.25  # least score of the first look's candidates, which are merged before the second look
_ENOUGH = 40.0  # pixels of a face's box that the points need
# A picture is searched repeatedly, each time smaller by this factor, until a face that fills it is of a size
# that the net learned (up to 96 pixels).
_STEP, _LAST = 0.42, 96
_ENLARGE = 3.0  # largest enlargement of a picture smaller than that
_GREY = 128  # padding beyond the edges, equal to the net's own


class NetFinder:
    """Finds faces in photographs, paintings and manga alike (docs/finder.md).

    Faces whose box is smaller than `smallest`, a fraction of the longer side, are not looked for. Pictures
    are searched at as few pixels as that allows, at most at `side`. `margin`, a fraction of the longer side,
    is added around pictures, for large faces that are cut off.
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
        """The five points (5, 2) of the face in another finder's box (4,); None if none is found."""
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
        """The second look's scores of another finder's faces, given by their points (5, 2); 1 if there is no
        second look."""
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
        """The first look's faces that the second look confirms, with its points and a combined score."""
        # Below this score no second look can make it a face.
        maybe = first.scores >= self._sure ** (1 / _FIRST)
        first = Seen(
            boxes=first.boxes[maybe],
            points=first.points[maybe],
            scores=first.scores[maybe],
            domains=first.domains[maybe],
        )
        # Nor if the first of the second look's four views scores below this.
        least = (self._sure / first.scores**_FIRST) ** (4 / (1 - _FIRST))
        second = close.look(picture, first.boxes, least)
        scores = first.scores**_FIRST * second.scores ** (1 - _FIRST)
        sure = np.argsort(-scores, kind="stable")
        sure = sure[scores[sure] >= self._sure]
        points = second.points[sure]
        if len(sure):  # look again at the better centred boxes, for more exact points
            points = close.look(picture, box_of(points)).points
        return Seen(
            boxes=first.boxes[sure],
            points=points,
            scores=scores[sure],
            domains=first.domains[sure],
        )

    def _look(self, picture: Image.Image, side: int, least: float) -> Seen:
        """The faces in a picture, in its pixels, searched at `side` pixels and smaller."""
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
        """The candidates (M, 18), in the picture's pixels, of one search at a scale."""
        width, height = (max(round(length * scale), 1) for length in picture.size)
        edge = round(margin * max(width, height))
        canvas = np.full((1, _whole(height + 2 * edge), _whole(width + 2 * edge), 3), _GREY, np.uint8)
        # Large reductions start with a box filter, which is as good and several times faster.
        small = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        canvas[0, edge : edge + height, edge : edge + width] = np.asarray(small)
        (rows,) = self._eyes.look(canvas, least)
        places = [0, 1, 2, 3, *range(5, 15)]
        rows[:, places] = (rows[:, places] - edge) / np.float32(scale)
        return rows


def _whole(length: int) -> int:
    """The next multiple of the net's largest stride."""
    return -(-length // 32) * 32

"""Composes training pictures from the sources: faces of all domains at any size, on any background."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from nenrin.domains.finder import looks
from nenrin.domains.finder.boxes import Floats
from nenrin.domains.finder.looks import Pixels
from nenrin.domains.finder.placing import by_centres, hidden, moved, share_within, turned
from nenrin.domains.finder.sources import Picture
from nenrin.domains.finder.trouble import Trouble

_T = TypeVar("_T")

# Probability of each source for a pasted face.
MIX = {
    "utkface": 0.16, "drawn-utkface": 0.1, "celeba": 0.08, "fgnet": 0.08, "drawn-fgnet": 0.05,
    "cartoonset": 0.05, "twins-photo": 0.06, "twins-manga": 0.12, "anime": 0.3,
}  # fmt: skip
_LEAST, _LARGEST, _MOST = 9.0, 100.0, 0.95  # side of a face's box: in pixels, and as a fraction of the canvas


@dataclasses.dataclass(kw_only=True, slots=True)
class Canvas:
    """A training picture (S, S, 3) uint8 RGB and its F faces, in its pixels."""

    pixels: NDArray[np.uint8]
    boxes: Floats  # (F, 4)
    points: Floats  # (F, 5, 2)
    trust: Floats  # (F,) weight of the points; below 0 for a half hidden face, which is ignored
    domain: NDArray[np.int64]  # (F,) index into `look.DOMAINS`


class Composer:
    """Draws training pictures; the same generator draws the same ones."""

    def __init__(
        self, sources: Mapping[str, Sequence[Picture]], size: int, trouble: Sequence[Trouble] = ()
    ) -> None:
        self._sources = sources
        self._trouble = trouble
        self._illustrated = [picture for picture in sources.get("illustrations", ()) if len(picture.boxes)]
        self._size = size
        self._most = min(_MOST * size, _LARGEST)
        self._decoded: dict[int, list[Pixels]] = {}
        self._names = [name for name in MIX if sources.get(name)]
        share = np.array([MIX[name] for name in self._names])
        self._share = share / share.sum()

    def draw(self, rng: Generator) -> Canvas:
        """One training picture."""
        canvas = self.ground(rng)
        kind = rng.random()
        if kind < 0.3:
            self._paste_some(canvas, rng, 1, self._most)
        elif kind < 0.55:
            self._paste_some(canvas, rng, int(rng.integers(2, 5)), 0.45 * self._size)
        elif kind < 0.75:
            self._paste_some(canvas, rng, int(rng.integers(5, 9)), 0.25 * self._size)
        canvas.pixels = looks.weather(canvas.pixels, rng)
        return canvas

    def ground(self, rng: Generator) -> Canvas:
        """A background: an illustration with its faces, a picture without faces, a place mistaken for a face,
        pieces of faces too small to count, or a pattern."""
        size = self._size
        canvas = _empty(looks.pattern(size, rng))
        kind = rng.random()
        whole = "illustrations" if kind < 0.35 else "scenes"
        if kind < 0.55 and self._sources.get(whole):
            picture = _pick(self._sources[whole], rng)
            height, width = self._levels(picture)[0].shape[:2]
            # From the whole of it down to a fourth.
            scale = size / max(height, width) * np.exp(rng.uniform(np.log(0.7), np.log(4)))
            middle = rng.random(2) * (width, height)
            self._stamp(canvas, picture, turned(middle, rng.random(2) * size, scale, rng), "all", rng)
        elif kind < 0.8 and self._trouble:
            trouble = _pick(self._trouble, rng)
            side = float(np.exp(rng.uniform(np.log(_LEAST), np.log(self._most))))
            self.lay(canvas, trouble.picture, trouble.box, rng.uniform(0.1, 0.9, 2) * size, side, rng)
        elif kind < 0.9:
            picture = self.face(rng)
            side = float(np.ptp(picture.boxes[0, ::2]))
            # An eye or a mouth alone, larger than the canvas, is not a face.
            scale = size / side * rng.uniform(2.2, 5)
            middle = picture.boxes[0, :2] + rng.random(2) * side
            matrix = turned(middle, np.full(2, size / 2), scale, rng)
            piece: Pixels = cv2.warpAffine(
                self._levels(picture)[0], by_centres(matrix), (size, size), borderMode=cv2.BORDER_REFLECT_101
            ).astype(np.uint8, copy=False)
            canvas.pixels = looks.tiles(piece, rng) if rng.random() < 0.5 else piece
        return canvas

    def plain(self, rng: Generator) -> Canvas:
        """A ground of one colour."""
        return _empty(np.full((self._size, self._size, 3), rng.integers(0, 256, 3), np.uint8))

    def face(self, rng: Generator) -> Picture:
        """A picture of one face, of any source."""
        return _pick(self._sources[self._names[int(rng.choice(len(self._names), p=self._share))]], rng)

    def _paste_some(self, canvas: Canvas, rng: Generator, count: int, most: float) -> None:
        for _ in range(count):
            picture = self.face(rng)
            side = float(np.exp(rng.uniform(np.log(_LEAST), np.log(most))))
            for _ in range(5):
                # A large face may extend over the edge by a fifth.
                low = min(0.3 * side, self._size / 2)
                goal = rng.uniform(low, self._size - low, 2)
                new = np.concatenate([goal - side * 0.7, goal + side * 0.7])
                if not (share_within(canvas.boxes, new) > 0.05).any():
                    break
            else:
                continue
            self.put(canvas, picture, 0, goal, side, rng)

    def put(
        self,
        canvas: Canvas,
        picture: Picture,
        face: int,
        goal: NDArray[np.floating],
        side: float,
        rng: Generator,
        *,
        shape: str | None = None,
    ) -> None:
        """Paste a picture onto the canvas, all of it or the part around its face, so that the face's box is
        centred at `goal` with that side."""
        if shape is None:
            shape = ("all", "square", "oval")[int(rng.choice(3, p=[0.4, 0.2, 0.4]))]
        self.lay(canvas, picture, picture.boxes[face], goal, side, rng, shape=shape)

    def lay(
        self,
        canvas: Canvas,
        picture: Picture,
        box: Floats,
        goal: NDArray[np.floating],
        side: float,
        rng: Generator,
        *,
        shape: str = "all",
    ) -> None:
        """As `put`, for any box in the picture."""
        matrix = turned((box[:2] + box[2:]) / 2, goal, side / float(np.ptp(box[::2])), rng)
        self._stamp(canvas, picture, matrix, shape, rng)

    def known(self, rng: Generator) -> tuple[Picture, int] | None:
        """A face of a whole illustration; None if there is none."""
        if not self._illustrated:
            return None
        picture = _pick(self._illustrated, rng)
        return picture, int(rng.integers(len(picture.boxes)))

    def trouble(self, rng: Generator) -> Trouble | None:
        """A place that was mistaken for a face; None if there is none."""
        return _pick(self._trouble, rng) if self._trouble else None

    def _levels(self, picture: Picture) -> list[Pixels]:
        """An image pyramid by halves, decoded once, for quick downsampling."""
        levels = self._decoded.get(id(picture))
        if levels is None:
            decoded = cv2.imdecode(np.frombuffer(picture.encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
            assert decoded is not None, "the sources were opened once"
            levels = [decoded.astype(np.uint8, copy=False)]
            while min(levels[-1].shape[:2]) > 16:
                half = (levels[-1].shape[1] // 2, levels[-1].shape[0] // 2)
                small = cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA)
                levels.append(small.astype(np.uint8, copy=False))
            self._decoded[id(picture)] = levels
        return levels

    def _stamp(self, canvas: Canvas, picture: Picture, matrix: Floats, shape: str, rng: Generator) -> None:
        """Paste a picture onto the canvas by its (2, 3) matrix, all of it or the part around its face."""
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        levels = self._levels(picture)
        height, width = levels[0].shape[:2]
        # Only what the picture's outline holds is drawn.
        corners = (
            np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ matrix[:, :2].T + matrix[:, 2]
        )
        left, top = np.floor(corners.min(0)).clip(0, self._size - 1).astype(int)
        right, bottom = np.ceil(corners.max(0)).clip(1, self._size).astype(int)
        if right <= left or bottom <= top:
            return
        # Antialiasing: use the smallest level that need not be enlarged.
        pixels = levels[min(int(-np.log2(min(scale, 1))), len(levels) - 1)]
        shrunk = np.array(pixels.shape[1::-1]) / (width, height)
        mask: Pixels = np.full(pixels.shape[:2], 255, np.uint8)
        if shape != "all":
            mask[:] = 0
            looks.outline(mask, picture.boxes[0] * np.tile(shrunk, 2).astype(np.float32), shape, rng)
        inside = matrix - np.array([[0, 0, left], [0, 0, top]])
        inside = by_centres(inside @ np.diag([*(1 / shrunk), 1.0]))
        size = (int(right - left), int(bottom - top))
        over = cv2.warpAffine(pixels, inside, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.warpAffine(mask, inside, size, flags=cv2.INTER_LINEAR)
        if shape != "all":
            alpha = cv2.GaussianBlur(alpha, (0, 0), 0.5 + rng.random() * 0.04 * self._size * min(scale, 1))
        there = (slice(top, bottom), slice(left, right))
        canvas.pixels[there] = looks.blend(
            canvas.pixels[there], over.astype(np.uint8, copy=False), alpha.astype(np.uint8, copy=False)
        )
        covered = np.zeros((self._size, self._size), np.uint8)
        covered[there] = alpha
        kept = np.array([hidden(covered, box) for box in canvas.boxes]).reshape(-1)
        canvas.trust[kept > 0.2] = -1
        keep = kept < 0.7
        boxes, points = moved(picture, matrix)
        trust = picture.trust.copy()
        seen = share_within(np.array([[0, 0, self._size, self._size]], np.float32), boxes)
        side = boxes[:, 2] - boxes[:, 0]
        trust[(seen < 0.6) | (side < 0.8 * _LEAST) | (side > 1.15 * self._most)] = -1
        new = seen > 0.15
        canvas.boxes = np.concatenate([canvas.boxes[keep], boxes[new]])
        canvas.points = np.concatenate([canvas.points[keep], points[new]])
        canvas.trust = np.concatenate([canvas.trust[keep], trust[new]])
        canvas.domain = np.append(canvas.domain[keep], np.full(new.sum(), picture.domain))


def _empty(pixels: Pixels) -> Canvas:
    return Canvas(
        pixels=pixels,
        boxes=np.zeros((0, 4), np.float32),
        points=np.zeros((0, 5, 2), np.float32),
        trust=np.zeros(0, np.float32),
        domain=np.zeros(0, np.int64),
    )


def _pick(pictures: Sequence[_T], rng: Generator) -> _T:
    return pictures[int(rng.integers(len(pictures)))]

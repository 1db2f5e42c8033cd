"""Hair as curves: what lies over the forehead, what falls behind the head, and its locks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.curves import Floats, mirror, ramp, spline
from nenrin.domains.twins.growth import BRAINCASE
from nenrin.domains.twins.head import Head
from nenrin.domains.twins.people import FRONTS, STRANDS

_SKULL = mirror(
    np.array(
        [[0, -113, 0], [20, -111, 0], [40, -103, 0], [57, -90, 0], [69, -70, 0], [75, -46, 0], [77, -22, 0],
         [77, -6, 0], [74, 9, 0]],
        np.float32,
    )
)  # fmt: skip
_ACROSS = np.array([-70, -67, -62, -53, -40, -21, 0, 21, 40, 53, 62, 67, 70], np.float32)
# Heights of the hairline at `_ACROSS`, for each of FRONTS; the part of "side" is on the left.
_LINE = np.array(
    [
        [9, -8, -26, -46, -59, -65, -66, -65, -59, -46, -26, -8, 9],
        [9, -2, -15, -25, -28, -30, -30, -30, -28, -25, -15, -2, 9],
        [9, -6, -22, -38, -56, -68, -56, -46, -38, -28, -13, -2, 9],
        [9, 2, -8, -20, -38, -58, -70, -58, -38, -20, -8, 2, 9],
        [9, -6, -25, -40, -46, -48, -46, -49, -45, -41, -25, -6, 9],
    ],
    np.float32,
)
_JAG = np.array([0.8, 2.6, 1.6, 1.4, 6.0], np.float32)  # millimetres by which locks overhang the line
_BACK = mirror(
    np.array([[0, -110, -30], [40, -100, -30], [70, -70, -30], [82, -30, -30], [85, 10, -30]], np.float32)
)
_ENDS = np.array([[84, 50, -30], [84, 86, -30], [66, 104, -30], [24, 110, -30]], np.float32)
SAMPLES = 45
_BEARD = np.array(
    [[-65, 22, 14], [-60, 50, 18], [-52, 74, 28], [-41, 92, 48], [-26, 106, 68], [0, 113, 86], [26, 106, 68],
     [41, 92, 48], [52, 74, 28], [60, 50, 18], [65, 22, 14], [56, 46, 40], [46, 62, 60], [32, 62, 84],
     [12, 54, 94], [0, 53, 96], [-12, 54, 94], [-32, 62, 84], [-46, 62, 60], [-56, 46, 40]],
    np.float32,
)  # fmt: skip
_MOUSTACHE = np.array(
    [[0, 54, 98], [13, 55, 96], [27, 63, 90], [32, 71, 86], [20, 65, 92], [0, 62, 96], [-20, 65, 92],
     [-32, 71, 86], [-27, 63, 90], [-13, 55, 96]],
    np.float32,
)  # fmt: skip


class Hair:
    """The hair of N heads."""

    def __init__(self, head: Head) -> None:
        people, age, style = head.people, head.age, head.style
        self.head = head
        tall = 0.045 + 0.10 * people.hair_volume + 0.06 * people.curl + style.puff
        tall = tall * np.clip(age.cover, 0.05, 1)
        self._volume = tall * (1 - 0.95 * age.recede)
        #: Locks at the sides cover the ears of those with long hair.
        self.covers = (people.back > 0) & (age.years > 2.5)
        self._length = np.where(self.covers, people.back, 0) * np.clip((age.years - 2.5) / 6, 0.35, 1)
        self._infant = 1 - ramp(age.years, 0, 4)
        outer, inner = self._outer(), self._inner(style.jag)
        self.outer: Floats = head.place(outer)  # (N, SAMPLES, 2) left to right over the top
        self.inner: Floats = head.place(inner)  # (N, SAMPLES, 2) left to right along the hairline

    def _outer(self) -> Floats:
        skull = np.repeat(_SKULL[None], len(self.head.people), axis=0)
        around = np.array([0.15, 0.5, 0.8, 1, 1, 1, 1, 1, 1], np.float32)
        around = np.concatenate([around, around[-2::-1]])
        skull = BRAINCASE + (skull - BRAINCASE) * (1 + self._volume[:, None] * around)[..., None]
        skull[:, [0, -1], 1] -= self._infant[:, None] * 20
        self._drop(skull, 1.22)
        line = spline(skull.astype(np.float32), SAMPLES)
        t = np.linspace(0, 1, SAMPLES, dtype=np.float32)
        curl = self.head.people.curl[:, None] * 2.2 * np.sin(46 * t) + 0.7 * np.sin(23 * t + 1.0)
        away = line - BRAINCASE
        away /= np.linalg.norm(away, axis=-1, keepdims=True)
        curled: Floats = line + away * (curl * np.clip(self.head.age.cover, 0, 1)[:, None])[..., None]
        return curled

    def _inner(self, jag: float) -> Floats:
        people, age = self.head.people, self.head.age
        line = _LINE[people.front]
        line = np.where((people.part[:, None] > 0), line, line[:, ::-1])
        top = -113 * (1 - (np.abs(_ACROSS) / 76) ** 2.6)
        # A baby's hairline is high, a balding man's recedes, first at the temples.
        young = self._infant[:, None]
        line = line * (1 - young) + np.minimum(_LINE[0] - 8, 0.98 * top + 16) * young
        temples = 0.55 + 0.45 * np.exp(-(((np.abs(_ACROSS) - 36) / 16) ** 2))
        gone = np.clip(1.25 * age.recede[:, None] * temples, 0, 1) * (np.abs(_ACROSS) < 60)
        line = line * (1 - gone) + (top + 1) * gone
        points = np.empty((*line.shape, 3), np.float32)
        points[..., 0] = _ACROSS
        points[..., 1] = line
        points[..., 2] = 84 * np.sqrt(1 - (_ACROSS / 80) ** 2) * np.clip((line + 118) / 50, 0, 1)
        points[:, [0, -1], 1] -= young * 14
        self._drop(points, 0.93)
        curve = spline(points, SAMPLES)
        t = np.arange(SAMPLES)
        wave = np.where(t % 4 == 0, 1.0, np.where(t % 4 == 2, -0.4, 0.2)) * np.exp(-(((t - 22) / 17.0) ** 4))
        amount = _JAG[people.front] * jag * (0.6 + 0.4 * people.strands[:, 0]) * (1 - 0.8 * age.recede)
        curve[..., 1] += amount[:, None] * wave * np.minimum(age.cover, 1)[:, None]
        return curve

    def _drop(self, points: Floats, out: float) -> None:
        """Let the ends of a line from side to side hang down, as far as the hair is long."""
        # A bob ends beside the chin, long hair below the picture.
        fall = 72 * np.minimum(self._length, 1) + 140 * np.maximum(self._length - 1, 0)
        for end, share in ((0, 1.0), (1, 0.55), (-1, 1.0), (-2, 0.55)):
            points[:, end, 1] += share * fall
            points[:, end, 0] *= 1 + (out - 1) * share * np.minimum(self._length, 1)

    def front(self) -> Floats:
        """The hair in front, (N, 2 SAMPLES, 2), clockwise."""
        return np.concatenate([self.outer, self.inner[:, ::-1]], axis=1)

    def back(self) -> Floats:
        """The hair behind the head, (N, 48, 2); that of short hair hides behind the skull."""
        people = self.head.people
        count = len(people)
        grow = (1 + self._volume)[:, None, None]
        top = BRAINCASE + (np.repeat(_BACK[None], count, axis=0) - BRAINCASE) * grow
        ends = np.repeat(_ENDS[None], count, axis=0)
        reach = np.clip(self._length, 0, 2)[:, None]
        ends[..., 1] = 20 + (ends[..., 1] - 20) * np.where(
            reach > 1, 1 + 1.6 * (reach - 1), 0.2 + 0.8 * reach
        )
        ends[..., 0] *= np.where(reach > 0, 1 + 0.1 * reach + 0.12 * people.hair_volume[:, None], 0.72)
        left = ends[:, ::-1] * np.array([-1, 1, 1], np.float32)
        top[..., 0] *= np.where(reach > 0, 1.0, 0.92)
        return spline(
            self.head.place(np.concatenate([top, ends, left], axis=1).astype(np.float32)), 48, closed=True
        )

    def beard(self) -> Floats:
        """A full beard, (N, 48, 2)."""
        return spline(self.head.place(_BEARD), 48, closed=True)

    def moustache(self) -> Floats:
        """A moustache, (N, 32, 2)."""
        return spline(self.head.place(_MOUSTACHE), 32, closed=True)

    def locks(self) -> Floats:
        """Lines along the hair in front, (N, STRANDS, 6, 2): fallen forward, or combed away from the part."""
        people = self.head.people
        jitter = people.strands - 0.5
        rows = np.arange(len(jitter))[:, None]
        last = SAMPLES - 1
        # Fallen forward: from the crown to the hairline, leaning to one side.
        at = 0.2 * last + (np.arange(STRANDS) + 0.5 + 0.7 * jitter) / STRANDS * (0.6 * last)
        start = at.astype(np.int64)
        end = np.clip(at + people.part[:, None] + 3 * jitter[:, ::-1], 0, last).astype(np.int64)
        t = np.linspace(0.1, 1.0, 6, dtype=np.float32)[:, None]
        outer, inner = self.outer[rows, start][:, :, None], self.inner[rows, end][:, :, None]
        fallen = outer * (1 - t) + inner * t
        fallen = fallen + (fallen - self.outer[:, None, last // 2, None]) * (0.14 * np.sin(np.pi * t))
        # Combed: beside the hairline, from the part to the ends on either side.
        falls = np.isin(people.front, [FRONTS.index("bangs"), FRONTS.index("tousled")])
        falls = falls | ((people.front == FRONTS.index("back")) & (people.back == 0))
        part = np.where(people.front == FRONTS.index("side"), last / 2 - 7 * people.part, last / 2)[:, None]
        ends = np.where(np.arange(STRANDS) % 2, last, 0)
        # Hair that falls forward hangs down at the sides as well, from the temples.
        part = np.where(falls[:, None], np.where(ends > 0, 0.8 * last, 0.2 * last), part)
        t = np.linspace(0.05, 0.94, 6, dtype=np.float32)
        along = part[:, :, None] * (1 - t) + ends[:, None] * t  # (N, STRANDS, 6)
        depth = ((np.arange(STRANDS) // 2 + 0.5 + jitter) / (STRANDS / 2)).clip(0.04, 0.96)[:, :, None, None]
        outer, inner = (_sample(line, along) for line in (self.outer, self.inner))
        combed = outer * (1 - depth) + inner * depth
        hangs = self.covers[:, None] & (np.arange(STRANDS) % 7 < 2)
        drawn: Floats = np.where((falls[:, None] & ~hangs)[..., None, None], fallen, combed).astype(
            np.float32
        )
        return drawn


def _sample(line: Floats, at: NDArray[np.floating]) -> Floats:
    """Points of `line` (N, K, 2) at fractional indices `at` (N, ...)."""
    low = np.minimum(at.astype(np.int64), line.shape[1] - 2)
    rows = np.arange(len(line)).reshape(-1, *(1,) * (at.ndim - 1))
    part = (at - low)[..., None]
    points: Floats = line[rows, low] * (1 - part) + line[rows, low + 1] * part
    return points

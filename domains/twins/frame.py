"""Where a head lies in the picture: grown, turned and brought to the template.

Everything here is in units of the picture's side, [0, 1], so that the same curves are drawn at any size.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.align import TEMPLATE
from nenrin.domains.twins.anatomy import EYES, MOUTH, NOSE
from nenrin.domains.twins.curves import Floats
from nenrin.domains.twins.growth import Age, grow
from nenrin.domains.twins.people import People, View


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Proportions:
    """What a style of drawing does to a face, relative to life."""

    eye_width: float = 1.0
    eye_height: float = 1.0
    eye_growth: float = 1.0  # exponent on the law that makes young eyes large
    eye_dimorphism: float = 1.0  # how far men's eyes are narrower than women's
    iris_width: float = 1.0
    iris_height: float = 1.0
    nose: float = 1.0
    mouth: float = 1.0
    pointed: float = 0.0
    brow_rise: float = 0.0  # millimetres
    jag: float = 1.0  # how far locks overhang the hairline
    puff: float = 0.0  # volume of the hair beyond the person's own
    fold: float = 1.0  # width of the lines that are wrinkles


LIFE = Proportions()
MANGA = Proportions(
    eye_width=1.28, eye_height=2.0, eye_growth=1.35, iris_width=1.5, iris_height=1.8, nose=0.7, mouth=0.6,
    pointed=0.5, brow_rise=7.0, eye_dimorphism=3.0, jag=2.0, puff=0.05,
)  # fmt: skip


class Frame:
    """N grown, posed and aligned heads."""

    def __init__(self, people: People, age: Age, views: View, style: Proportions) -> None:
        self.people, self.age, self.views, self.style = people, age, views, style
        # Both styles share one frame: that of the lifelike head, whose eyes and mouth fit the template.
        self._turn = _rotation(views.yaw, views.pitch, views.roll)
        eyes = np.repeat(EYES[None], len(people), axis=0)
        eyes[..., 0] *= 1 + 0.03 * people.eye_spacing[:, None]
        eyes[..., 1] += 1.2 * people.eye_height[:, None]
        anchor: Floats = np.concatenate([eyes, np.broadcast_to([MOUTH, NOSE], (len(people), 2, 3))], 1)
        grown = grow(anchor, people, age)
        flat: Floats = (grown @ self._turn)[..., :2]
        target = np.stack([TEMPLATE[0], TEMPLATE[1], TEMPLATE[3:].mean(axis=0)])
        self._linear, self._shift = _similarity(flat[:, :3], target)
        #: Length of an adult's millimetre on this face: soft parts scale with the distance of the eyes.
        self.unit: Floats = (grown[:, 1, 0] - grown[:, 0, 0]) / (63 * (1 + 0.03 * people.eye_spacing))
        self.scale: Floats = np.hypot(self._linear[:, 0, 0], self._linear[:, 1, 0])  # picture sides per mm
        self.eyes = self._align(flat[:, :2])  # (N, 2, 2)
        self.mouth = self._align(flat[:, 2:3])  # (N, 1, 2)

    def place(self, points: Floats, *, body: bool = False) -> Floats:
        """Template points (M, 3) or (N, M, 3) in the picture, (N, M, 2). The `body` does not turn along."""
        grown = grow(points, self.people, self.age, pointed=self.style.pointed)
        turned: Floats = grown[..., :2] if body else (grown @ self._turn)[..., :2]
        return self._align(turned)

    def _align(self, flat: Floats) -> Floats:
        placed: Floats = flat @ self._linear
        placed += self._shift
        return placed

    def attach(self, centres: Floats, offsets: NDArray[np.floating]) -> Floats:
        """Flat shapes about each of `centres` (N, E, 2), (N, E, K, 2); `offsets` (N, K, 2) in adult mm."""
        flat = offsets.astype(np.float32, copy=False) @ self._turn[:, :2, :2]
        sized: Floats = np.multiply(flat @ self._linear, self.unit[:, None, None])
        return centres[:, :, None] + sized[:, None]

    def pair(self, middle: Floats, right: NDArray[np.floating]) -> Floats:
        """A flat shape `right` (N, K, 2) of `middle` (1, 3) and, first, its mirror image: (N, 2, K, 2)."""
        flip = np.array([-1, 1], np.float32)
        left = self.attach(self.place(middle * np.append(flip, np.float32(1))), right * flip)
        return np.concatenate([left, self.attach(self.place(middle), right)], axis=1)


def _rotation(yaw: Floats, pitch: Floats, roll: Floats) -> Floats:
    """Matrices (N, 3, 3) that turn row vectors: first pitch, then yaw, then roll."""
    (a, b, c) = (np.deg2rad(angle) for angle in (yaw, pitch, roll))
    zero, one = np.zeros_like(a), np.ones_like(a)

    def matrix(*rows: list[Floats]) -> Floats:
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    about_x = matrix([one, zero, zero], [zero, np.cos(b), -np.sin(b)], [zero, np.sin(b), np.cos(b)])
    about_y = matrix([np.cos(a), zero, -np.sin(a)], [zero, one, zero], [np.sin(a), zero, np.cos(a)])
    about_z = matrix([np.cos(c), np.sin(c), zero], [-np.sin(c), np.cos(c), zero], [zero, zero, one])
    return (about_x @ about_y @ about_z).astype(np.float32)


def _similarity(source: Floats, target: Floats) -> tuple[Floats, Floats]:
    """A, b of the best p A + b (Umeyama 1991) from each of `source` (N, M, 2) to `target` (M, 2)."""
    middle, goal = source.mean(axis=1, keepdims=True), target.mean(axis=0)
    p, q = source - middle, target - goal
    norm = (p * p).sum(axis=(1, 2))
    cos = (p * q).sum(axis=(1, 2)) / norm
    sin = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(axis=1) / norm
    linear = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], axis=-2).astype(np.float32)
    return linear, (goal - middle @ linear).astype(np.float32)

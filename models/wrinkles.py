"""Wrinkles, which mean faces cannot show: no two people have them in the same place, so a mean blurs them.

They are drawn instead, as soft strokes shaded by light from above, each deepening between two ages. Their
places follow a map of where registered old faces have more dark ridges than young ones, which
`benchmarks/ridges.py` computes. That texture needs a layer of its own beside mean shape and colour is due to
Tiddeman, Burt and Perrett (2001).
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nenrin.models.change import scaled, shift
from nenrin.models.registration import FIELD
from nenrin.models.toning import sharpness

SIDE = 160  # pixels of the maps: the finest wrinkle is about one of them wide
_MIDDLE = 0.497  # of the side: the mean face's axis of symmetry
_POINTS = 48  # along a stroke
_WOBBLE = 0.0022  # of the side: standard deviation of strokes from their curves
_UNEVEN = 0.3  # how much the depth of a stroke varies along it
_SOFT, _SOFT_SHARE = 3.2, 0.55  # soft shadow about a crease: width as a multiple of the crease's, and weight
_LIT_AT, _LIT_WIDTH, _LIT_SHARE = (
    2.8,
    1.5,
    0.5,
)  # lit slope beside it: offset and width as multiples, and weight
_OWN = 0.45  # how much deeper or shallower than usual a person's wrinkle is at most
_BLURRED = 40  # pixels: resolution of the wrinkles of a blurred face
_SPREAD = 10.0  # scale at which the projections of faces' shapes have a standard deviation of about 1

_Point = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Wrinkle:
    """One wrinkle or several that come together, of the left half unless `whole`."""

    ages: tuple[float, float]  # years at which it begins to show and at which it is complete
    depth: float  # factor on the creases
    width: float  # standard deviation of the crease's profile, in shares of the side
    lit: _Point  # towards the slope that catches the light, x outwards and y down
    strokes: tuple[tuple[_Point, ...], ...]  # quadratic Bezier curves, in fractions of the side
    whole: bool = False  # spans the face, and is not mirrored


_SKIN = (
    # nasolabial folds
    _Wrinkle(
        ages=(25, 72), depth=1.0, width=0.0080, lit=(0.8, -0.6),
        strokes=(((0.425, 0.578), (0.378, 0.622), (0.352, 0.700)),),
    ),
    # under the eyes: the bag, and its lower edge
    _Wrinkle(
        ages=(35, 75), depth=0.80, width=0.0058, lit=(0, -1),
        strokes=(((0.432, 0.462), (0.365, 0.515), (0.285, 0.470)),),
    ),
    _Wrinkle(
        ages=(48, 88), depth=0.80, width=0.0070, lit=(0, -1),
        strokes=(((0.422, 0.485), (0.362, 0.552), (0.290, 0.500)),),
    ),
    # crow's feet
    _Wrinkle(
        ages=(38, 78), depth=0.85, width=0.0040, lit=(0, 1),
        strokes=(
            ((0.264, 0.418), (0.242, 0.409), (0.214, 0.392)),
            ((0.259, 0.432), (0.237, 0.433), (0.207, 0.428)),
            ((0.263, 0.446), (0.241, 0.457), (0.214, 0.470)),
        ),
    ),
    # forehead
    _Wrinkle(
        ages=(42, 80), depth=0.21, width=0.0056, lit=(0, 1), whole=True,
        strokes=(((0.335, 0.282), (0.490, 0.256), (0.668, 0.284)),),
    ),
    _Wrinkle(
        ages=(38, 78), depth=0.24, width=0.0060, lit=(0, 1), whole=True,
        strokes=(((0.350, 0.310), (0.500, 0.284), (0.655, 0.308)),),
    ),
    _Wrinkle(
        ages=(52, 88), depth=0.16, width=0.0056, lit=(0, 1), whole=True,
        strokes=(((0.365, 0.252), (0.500, 0.230), (0.640, 0.255)),),
    ),
    # between the brows
    _Wrinkle(
        ages=(42, 82), depth=0.65, width=0.0050, lit=(0.9, 0.4),
        strokes=(((0.468, 0.352), (0.478, 0.378), (0.473, 0.408)),),
    ),
    # from the corners of the mouth down
    _Wrinkle(
        ages=(46, 84), depth=0.75, width=0.0070, lit=(0.9, 0.3),
        strokes=(((0.352, 0.732), (0.334, 0.764), (0.338, 0.812)),),
    ),
    # over the upper lip
    _Wrinkle(
        ages=(62, 92), depth=0.45, width=0.0034, lit=(1, 0),
        strokes=tuple(
            ((x, 0.646), (x + (_MIDDLE - x) * 0.1, 0.664), (x + (_MIDDLE - x) * 0.15, 0.682))
            for x in (0.402, 0.426, 0.449, 0.473)
        ),
    ),
    # down the cheeks
    _Wrinkle(
        ages=(60, 92), depth=0.50, width=0.0060, lit=(1, -0.2),
        strokes=(
            ((0.300, 0.560), (0.284, 0.630), (0.296, 0.725)),
            ((0.331, 0.545), (0.312, 0.600), (0.306, 0.655)),
        ),
    ),
    # over the chin
    _Wrinkle(
        ages=(45, 85), depth=0.45, width=0.0072, lit=(0, 1), whole=True,
        strokes=(((0.436, 0.790), (0.497, 0.762), (0.558, 0.790)),),
    ),
)  # fmt: skip


# A drawing shows only the deepest, as a line with little shadow.
_INK = (
    _Wrinkle(
        ages=(35, 75), depth=0.75, width=0.0056, lit=(0.8, -0.6),
        strokes=(((0.423, 0.588), (0.382, 0.628), (0.362, 0.695)),),
    ),
)  # fmt: skip
_INK_SHADOW = 0.2


class Wrinkles(nn.Module):
    """Maps of the wrinkles that the mean face gets from one age to another. Nothing is learned.

    With `ink` they are those of a drawing, the same for everybody.
    """

    def __init__(self, *, ink: bool = False) -> None:
        super().__init__()
        random = np.random.default_rng(0)
        maps, ages = [], []
        shares = (_INK_SHADOW, 0.0) if ink else (_SOFT_SHARE, _LIT_SHARE)
        for wrinkle in _INK if ink else _SKIN:
            for side in (1,) if wrinkle.whole else (1, -1):
                maps.append(_map(wrinkle, side, *shares, random))
                ages.append(wrinkle.ages)
        chance = random.standard_normal((2 * FIELD**2, len(maps))) * (not ink) * _SPREAD / FIELD
        self.maps, self.ages, self.chance = (
            nn.Buffer(torch.from_numpy(np.asarray(one, np.float32)), persistent=False)
            for one in (maps, ages, chance)
        )

    def forward(self, own: Tensor, asked: Tensor, places: Tensor) -> Tensor:
        """Depth of the wrinkles that faces of ages `own` get until the ages `asked`, (B,) years each, in the
        mean face's frame: (B, 1, SIDE, SIDE), about 1 in the deepest fold. Growing younger adds none.

        `places` (B, 2, FIELD, FIELD) is where the mean face lies in each face. A fixed random projection of
        it weights the wrinkles, so that a person has the same ones at every age.
        """
        start, end = self.ages.unbind(1)
        here, there = (((years[:, None] - start) / (end - start)).clamp(0, 1) for years in (own, asked))
        deeper = (there - here).clamp(min=0) * (1 + _OWN * torch.tanh(places.flatten(1) @ self.chance))
        return torch.einsum("bk,khw->bhw", deeper, self.maps)[:, None]


def wrinkled(
    net: nn.Module,
    images: Tensor,
    own: Tensor,
    asked: Tensor,
    places: Tensor,
    back: Tensor,
    flow: Tensor,
    skin: Tensor,
) -> Tensor:
    """The creases (B, 1, SIDE, SIDE) that (B, 3, S, S) faces get from one age to another, for a `Change`.

    `net` is `Wrinkles`, `places` (B, 2, FIELD, FIELD) where the mean face lies in each face, `back` its
    `inverse`, and `flow` (B, 2, h, w) the change's flow. Creases are kept to the `skin` (B, 1, S, S), and no
    sharper than the face.
    """
    moved = flow + shift(scaled(back, flow.shape[-2:]), flow)
    lines = shift(net(own, asked, places), moved, "zeros")
    soft = scaled(scaled(lines, (_BLURRED, _BLURRED)), (SIDE, SIDE))
    return torch.lerp(soft, lines, sharpness(images)) * scaled(skin, (SIDE, SIDE))


def _map(
    wrinkle: _Wrinkle, side: int, soft_share: float, lit_share: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """Depth of one wrinkle, (SIDE, SIDE), negative where it catches the light. `side` is 1 for the left half
    of the face and -1 for the right."""
    crease = np.zeros((SIDE, SIDE), np.float32)
    for points in wrinkle.strokes:
        along = np.linspace(0, 1, _POINTS)[:, None]
        a, b, c = np.asarray(points)
        curve = (1 - along) ** 2 * a + 2 * along * (1 - along) * b + along**2 * c
        curve += _WOBBLE * _smooth(random, 2)
        if side < 0:
            curve[:, 0] = 2 * _MIDDLE - curve[:, 0]
        uneven = 1 - _UNEVEN * np.abs(_smooth(random, 1)[:, 0])
        deep = np.sin(math.pi * along[:, 0]).clip(0) ** 0.6 * uneven
        crease = np.maximum(crease, _stroke(curve, deep))
    width = wrinkle.width * SIDE
    x, y = wrinkle.lit[0] * -side, wrinkle.lit[1]
    core, soft = _blurred(crease, width), _blurred(crease, _SOFT * width)
    off = _LIT_AT * width / math.hypot(x, y)
    moved = np.asarray([[1, 0, off * x], [0, 1, off * y]])
    lit = cv2.warpAffine(_blurred(crease, _LIT_WIDTH * width), moved, (SIDE, SIDE))
    return np.asarray(wrinkle.depth * (core + soft_share * soft - lit_share * lit), np.float32)


def _smooth(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Smooth noise along a stroke: (_POINTS, count), of mean 0 and standard deviation 1 at its knots."""
    knots = random.standard_normal((6, count))
    at = np.linspace(0, len(knots) - 1, _POINTS)
    return np.stack([np.interp(at, np.arange(len(knots)), one) for one in knots.T], axis=1)


def _stroke(curve: NDArray[np.float64], deep: NDArray[np.float64]) -> NDArray[np.float32]:
    """A line one pixel wide, (SIDE, SIDE), through points (N, 2) in fractions of the side, of depth (N,)."""
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    at = np.round((curve * SIDE - 0.5) * 16).astype(int)  # sixteenths of a pixel
    for start, end, depth in zip(at, at[1:], deep, strict=False):
        one = np.zeros_like(drawn)
        cv2.line(one, start.tolist(), end.tolist(), 255 * float(np.clip(depth, 0, 1)), 1, cv2.LINE_AA, 4)
        np.maximum(drawn, one, out=drawn)
    return np.asarray(drawn / 255, np.float32)


def _blurred(line: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """A line one pixel wide, widened to a Gaussian profile of `width` pixels, its standard deviation."""
    blurred = cv2.GaussianBlur(line, (0, 0), width) * (width * math.sqrt(2 * math.pi))
    return np.asarray(blurred, np.float32)

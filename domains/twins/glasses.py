"""Glasses, the same in both domains but for a few strengths."""

from __future__ import annotations

import dataclasses

import numpy as np

from nenrin.domains.twins.curves import stroke
from nenrin.domains.twins.head import Head
from nenrin.domains.twins.raster import Colour, Pixels, fill, fixed

CLEAR, DARK = 1, 2  # indices into GLASSES
_HINGES = np.array([[-74, 4, -4], [74, 4, -4]], np.float32)  # where the temples meet the ears


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How strongly a style draws glasses."""

    rim: float  # width, as a part of the lens
    wire: float  # width of the bridge, mm
    gleam: tuple[Colour, Colour]  # of the light on a clear and on a dark lens


PHOTO = Look(rim=0.115, wire=2.4, gleam=((250, 251, 252), (92, 94, 104)))
MANGA = Look(rim=0.1, wire=2.2, gleam=((255, 255, 255), (120, 122, 132)))


class Glasses:
    """N pairs; `colour` has a row for each."""

    def __init__(self, head: Head, side: int, look: Look, *, colour: list[list[float]]) -> None:
        lens = head.lenses(1.0)
        mm = head.scale * head.unit
        bridge = np.stack([lens[:, 0, 0], lens[:, 1, 14]], 1)
        hinges = head.place(_HINGES)
        arms = np.stack([np.stack([lens[:, e, 14 * (1 - e)], hinges[:, e]], 1) for e in (0, 1)], 1)
        self._lens, self._inside = fixed(lens, side), fixed(head.lenses(1 - look.rim), side)
        self._bridge = fixed(stroke(bridge, look.wire * mm, ends=(1, 1)), side)
        self._temples = fixed(stroke(arms, 0.92 * look.wire * mm[:, None], ends=(1, 1)), side)
        self._gleam = fixed(head.gleam(), side)
        self._colour = colour
        self._light = look.gleam

    def paint(self, i: int, canvas: Pixels, kind: int, *, temples: bool) -> None:
        """Put a pair of `kind` on picture `i`; hair may hide the temples."""
        colour = self._colour[i]
        if kind == DARK:
            fill(canvas, self._inside[i], (34, 32, 38))
        fill(canvas, self._gleam[i], self._light[kind - CLEAR])
        for outer, inner in zip(self._lens[i], self._inside[i], strict=True):
            fill(canvas, [outer, inner], colour)
        fill(canvas, [self._bridge[i]], colour)
        if temples:
            fill(canvas, self._temples[i], colour)

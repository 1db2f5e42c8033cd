"""Filling polygons with OpenCV: sub-pixel coordinates, antialiased, a few microseconds a shape."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.curves import Floats

Pixels = NDArray[np.uint8]
Fixed = NDArray[np.int32]
Colour = Sequence[float]

_BITS = 4  # binary places of a coordinate


def fixed(shape: Floats, side: int) -> Fixed:
    """Curves in picture sides as the fixed-point pixel coordinates OpenCV wants: 0 is the first centre."""
    return np.rint((shape * side - 0.5) * (1 << _BITS)).astype(np.int32)


def fill(canvas: Pixels, shapes: Sequence[Fixed] | Fixed, colour: Colour) -> None:
    """Fill closed `shapes`, each (K, 2). Where two of them overlap, it stays empty: two outlines make a ring."""
    cv2.fillPoly(canvas, shapes, colour, cv2.LINE_AA, _BITS)


def fill_hard(canvas: Pixels, shapes: Sequence[Fixed] | Fixed, colour: Colour) -> None:
    """Fill a mask without softening its edge."""
    cv2.fillPoly(canvas, shapes, colour, cv2.LINE_8, _BITS)


def lines(canvas: Pixels, curves: Sequence[Fixed], colour: Colour, thickness: int) -> None:
    """Draw open curves (K, 2) of `thickness` pixels."""
    cv2.polylines(canvas, curves, False, colour, thickness, cv2.LINE_AA, _BITS)


def colours(values: Floats) -> list[list[float]]:
    """RGB rows (N, 3) as plain numbers, which OpenCV reads faster than arrays."""
    listed: list[list[float]] = np.rint(np.clip(values, 0, 255)).tolist()
    return listed


def mix(a: Floats, b: Floats | Sequence[float], share: Floats | float) -> Floats:
    """Colours between `a` and `b`; `share` (N,) or a number is the part of `b`."""
    part = np.asarray(share, np.float32)
    part = part[:, None] if part.ndim else part
    return (a * (1 - part) + np.asarray(b, np.float32) * part).astype(np.float32)

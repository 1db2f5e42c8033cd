"""Filling polygons with OpenCV: sub-pixel coordinates, antialiased, a few microseconds a shape."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.curves import Floats

Pixels = NDArray[np.uint8]
Fixed = NDArray[np.int32]
Shapes = Sequence[Fixed] | Fixed  # (M, K, 2), or M arrays (K, 2)
Colour = Sequence[float]

_BITS = 4  # binary places of a coordinate


def fixed(shape: Floats, side: int) -> Fixed:
    """Curves in picture sides as the fixed-point pixel coordinates OpenCV wants: 0 is the first centre."""
    places: Fixed = np.rint((shape * side - 0.5) * (1 << _BITS)).astype(np.int32)
    return places


def fill(canvas: Pixels, shapes: Shapes, colour: Colour) -> None:
    """Fill closed `shapes`, each (K, 2). Where two overlap, it stays empty: two outlines make a ring."""
    cv2.fillPoly(canvas, list(shapes), colour, cv2.LINE_AA, _BITS)


def fill_hard(canvas: Pixels, shapes: Shapes, colour: Colour) -> None:
    """Fill a mask without softening its edge."""
    cv2.fillPoly(canvas, list(shapes), colour, cv2.LINE_8, _BITS)


def lines(canvas: Pixels, curves: Shapes, colour: Colour, thickness: int) -> None:
    """Draw open curves (K, 2) of `thickness` pixels."""
    cv2.polylines(canvas, list(curves), False, colour, thickness, cv2.LINE_AA, _BITS)


def flood(canvas: Pixels, colour: Colour) -> None:
    """Make the whole canvas one colour."""
    cv2.rectangle(canvas, (0, 0, canvas.shape[1], canvas.shape[0]), colour, -1)


def paste(picture: Pixels, shapes: Shapes, canvas: Pixels, mask: Pixels) -> None:
    """Copy `picture` to `canvas` inside `shapes`; `mask` (H, W) is overwritten."""
    mask[:] = 0
    fill_hard(mask, shapes, (255,))
    cv2.copyTo(picture, mask, canvas)


def blur(picture: Pixels, width: int) -> Pixels:
    """The mean over `width` x `width` pixels."""
    return np.asarray(cv2.blur(picture, (width, width)), np.uint8)


def enlarge(picture: Pixels, side: int) -> Pixels:
    """`picture` smoothly enlarged to `side` x `side` pixels."""
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def shrink(canvas: Pixels, out: Pixels) -> None:
    """The canvas at the size of `out`, each pixel the mean of those it covers."""
    cv2.resize(canvas, (out.shape[1], out.shape[0]), dst=out, interpolation=cv2.INTER_AREA)


def add(a: Pixels, b: Pixels, offset: int) -> Pixels:
    """a + b + `offset`, kept within [0, 255]."""
    return np.asarray(cv2.addWeighted(a, 1, b, 1, offset), np.uint8)

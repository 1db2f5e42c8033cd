"""Curves as arrays: splines, tapered strokes, rings; N faces at once."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@functools.cache
def _basis(knots: int, count: int, closed: bool) -> Floats:
    """Weights (count, knots) of a Catmull-Rom spline through `knots` points, sampled `count` times."""
    at = np.linspace(0, knots if closed else knots - 1, count, endpoint=not closed)
    weights = np.zeros((count, knots), np.float32)
    for row, position in enumerate(at):
        start = int(min(position, knots - 1 if closed else knots - 2))
        t = position - start
        cubic = (
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        )
        for offset, weight in zip((-1, 0, 1, 2), cubic, strict=True):
            knot = start + offset
            weights[row, knot % knots if closed else min(max(knot, 0), knots - 1)] += weight
    return weights


def spline(points: Floats, count: int, *, closed: bool = False) -> Floats:
    """A smooth curve (..., count, D) through `points` (..., M, D) in order."""
    return _basis(points.shape[-2], count, closed) @ points


def mirror(half: Floats) -> Floats:
    """A symmetric open curve (2M-1, 3) from its right half (M, 3), which starts at x = 0.

    It runs from the far end on the left through the first point to the far end on the right.
    """
    return np.concatenate([half[:0:-1] * np.array([-1, 1, 1], np.float32), half])


def normals(line: Floats, *, closed: bool = False) -> Floats:
    """Unit normals (..., K, 2) of `line` (..., K, 2)."""
    if closed:
        along = np.roll(line, -1, axis=-2) - np.roll(line, 1, axis=-2)
    else:
        along = np.empty_like(line)
        along[..., 1:-1, :] = line[..., 2:, :] - line[..., :-2, :]
        along[..., 0, :] = line[..., 1, :] - line[..., 0, :]
        along[..., -1, :] = line[..., -1, :] - line[..., -2, :]
    length = np.sqrt(along[..., :1] ** 2 + along[..., 1:] ** 2) + np.float32(1e-9)
    across: Floats = np.concatenate([-along[..., 1:], along[..., :1]], axis=-1)
    across /= length
    return across


def stroke(line: Floats, width: Floats | float, *, ends: tuple[float, float] = (0.1, 0.1)) -> Floats:
    """A brush stroke (..., 2K, 2): a polygon along `line` (..., K, 2), thick in the middle.

    `width` broadcasts to (...); `ends` are the widths of the two ends as fractions of it.
    """
    t = np.linspace(0, 1, line.shape[-2], dtype=np.float32)
    taper = (ends[0] * (1 - t) + ends[1] * t) * (1 - np.sin(np.pi * t)) + np.sin(np.pi * t)
    half = normals(line) * (np.asarray(width, np.float32)[..., None] * taper / 2)[..., None]
    return np.concatenate([line - half, (line + half)[..., ::-1, :]], axis=-2)


def outset(shape: Floats, width: Floats | float) -> Floats:
    """The closed `shape` (..., K, 2) grown by `width` (broadcast to (...))."""
    along = np.roll(shape, -1, axis=-2) - np.roll(shape, 1, axis=-2)
    clockwise = np.sign((shape[..., 0] * along[..., 1]).sum(axis=-1))  # the sign of the area, y down
    outward = np.asarray(width, np.float32) * clockwise
    grown: Floats = shape - normals(shape, closed=True) * outward[..., None, None]
    return grown


def ellipse(count: int) -> Floats:
    """A unit circle (count, 2), clockwise on the screen."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(t), np.sin(t)], axis=1).astype(np.float32)


def ramp(value: Floats, start: float, end: float) -> Floats:
    """0 up to `start`, 1 from `end`, straight between."""
    share: Floats = np.clip((value - np.float32(start)) / np.float32(end - start), 0, 1)
    return share


def bump(value: Floats, centre: float, width: float) -> Floats:
    """A smooth hill of height 1 around `centre`."""
    hill: Floats = np.exp(-(((value - np.float32(centre)) / np.float32(width)) ** 2))
    return hill

"""Placement of a picture on a training picture, and how much of it is visible there."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from nenrin.domains.finder.boxes import Floats
from nenrin.domains.finder.sources import Picture

_SWAP = np.array([1, 0, 2, 4, 3])  # left and right, in a mirror


def by_centres(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """One of our (2, 3) matrices for OpenCV, which counts from pixel centres."""
    shifted = matrix.astype(np.float64)
    shifted[:, 2] += shifted[:, :2].sum(1) * 0.5 - 0.5
    return shifted


def turned(middle: NDArray[np.floating], goal: NDArray[np.floating], scale: float, rng: Generator) -> Floats:
    """A random (2, 3) matrix that rotates by some degrees, stretches a little, may mirror, and maps `middle`
    to `goal`."""
    angle = np.deg2rad(np.clip(rng.normal(0, 13), -40, 40))
    stretch = np.exp(rng.normal(0, 0.06))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = scale * turn @ np.diag([mirror * stretch, 1 / stretch])
    return np.column_stack([linear, goal - linear @ middle]).astype(np.float32)


def moved(picture: Picture, matrix: Floats) -> tuple[Floats, Floats]:
    """The picture's boxes and points, mapped by a (2, 3) matrix. Boxes follow their centres and stay
    upright."""
    points = picture.points @ matrix[:, :2].T + matrix[:, 2]
    if np.linalg.det(matrix[:, :2]) < 0:
        points = points[:, _SWAP]
    middle = (picture.boxes[:, :2] + picture.boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = (picture.boxes[:, 2:] - picture.boxes[:, :2]) / 2 * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return np.concatenate([middle - half, middle + half], 1).astype(np.float32), points.astype(np.float32)


def share_within(frames: Floats, boxes: NDArray[np.floating]) -> Floats:
    """The fraction of each box that lies within a frame; one of the two may be a single row."""
    boxes = np.atleast_2d(boxes)
    across = np.minimum(frames[:, 2], boxes[:, 2]) - np.maximum(frames[:, 0], boxes[:, 0])
    down = np.minimum(frames[:, 3], boxes[:, 3]) - np.maximum(frames[:, 1], boxes[:, 1])
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    share: Floats = (across.clip(0) * down.clip(0) / np.maximum(area, 1e-6)).astype(np.float32)
    return share


def hidden(alpha: NDArray[np.uint8], box: Floats) -> float:
    """The fraction of a box (4,) that a mask (S, S) covers; 1 for a box that lies outside."""
    left, top, right, bottom = np.clip(box, 0, alpha.shape[0]).astype(int)
    part = alpha[top:bottom, left:right]
    return float(part.mean()) / 255 if part.size else 1.0

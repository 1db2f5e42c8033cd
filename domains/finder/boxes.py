"""Boxes of faces: from a face's points, and their overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.align import similarity

Floats = NDArray[np.float32]

# A face's box by its points, in the template's units: cheek to cheek, brows to chin. Square in every domain.
BOX = np.array([0.21, 0.27, 0.79, 0.85], dtype=np.float32)


def box_of(points: NDArray[np.floating]) -> Floats:
    """The boxes (B, 4) of faces by their points (B, 5, 2), in the same pixels; upright even if the face is
    tilted."""
    inverse = similarity(points, 1).astype(np.float64)
    scale = 1 / np.hypot(inverse[:, 0, 0], inverse[:, 1, 0])
    rotation = inverse[:, :, :2].transpose(0, 2, 1) * (scale**2)[:, None, None]
    middle = rotation @ ((BOX[:2] + BOX[2:]) / 2 - inverse[:, :, 2])[:, :, None]
    half = ((BOX[2:] - BOX[:2]) / 2) * scale[:, None]
    return np.concatenate([middle[:, :, 0] - half, middle[:, :, 0] + half], 1).astype(np.float32)


def overlap(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Overlap of boxes (M, 4) and (N, 4), (M, N) each: as fractions of the union, and of the smaller."""
    across = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    down = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    both = across.clip(0) * down.clip(0)
    first = ((a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]))[:, None]
    second = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    tiny = np.float32(1e-6)
    return both / np.maximum(first + second - both, tiny), both / np.maximum(np.minimum(first, second), tiny)

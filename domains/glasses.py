"""Distinguishes dark from clear glasses, where a source says only that glasses are worn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.align import TEMPLATE

WORN = "worn"  # in `Raw.glasses`: glasses of a kind that the source does not name
# On CelebA and the Cartoon Set, with few exceptions, glasses of a tint below the first are dark and above the
# second clear. In between are half-dark lenses, shadows and hair, so the kind stays unknown.
DARK, CLEAR = 0.30, 0.45
_LENS = 0.06  # half the side of the squares that are compared, at each eye and on each cheek
_CHEEKS = ((0.36, 0.60), (0.64, 0.60))


def tint(image: NDArray[np.uint8]) -> float:
    """The brightness of the lenses relative to the cheeks, of an aligned face (H, W, 3): about 0 to 1."""
    size = image.shape[0]
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)

    def middle(centres: NDArray[np.floating], half: float) -> float:
        boxes = []
        for x, y in centres * size:
            rows, columns = (slice(round(c - half * size), round(c + half * size) + 1) for c in (y, x))
            boxes.append(grey[rows, columns].ravel())
        return float(np.median(np.concatenate(boxes)))

    lenses = middle(TEMPLATE[:2] + np.array([0, 0.02]), _LENS)  # a lens hangs a little below its eye
    return lenses / max(middle(np.array(_CHEEKS), 0.045), 1.0)


def kind(of_tint: float) -> str | None:
    """`dark`, `clear`, or None where the tint does not tell."""
    if of_tint < DARK:
        return "dark"
    return "clear" if of_tint > CLEAR else None

"""The adult head as points in millimetres: x to the viewer's right, y down, z towards the viewer."""

from __future__ import annotations

import numpy as np

from nenrin.domains.twins.curves import Floats, mirror

EYES = np.array([[-31.5, 0, 75], [31.5, 0, 75]], np.float32)
MOUTH = np.array([0, 68, 92], np.float32)
NOSE = np.array([0, 36, 112], np.float32)
NOSE_BASE = np.array([[0, 46, 96]], np.float32)
FACE = mirror(
    np.array(
        [
            [0, 112, 86], [13, 111, 80], [26, 105, 66], [40, 92, 46], [51, 74, 26], [59, 50, 16],
            [65, 24, 12], [67, 0, 8], [66, -22, 6], [63, -46, 6], [56, -68, 8], [42, -90, 8],
            [22, -106, 4], [0, -112, 0],
        ],
        np.float32,
    )
)[1:]  # fmt: skip
EAR = np.array([[74, 16, -4]], np.float32)
EAR_SHAPE = np.array(
    [[-6, -21], [3, -24], [9, -20], [11, -10], [9, 2], [6, 12], [2, 21], [-6, 22], [-13, 10], [-13, -8]],
    np.float32,
)
NECK = np.array(
    [[-46, 60, 0], [-44, 95, 0], [-46, 120, 0], [-60, 138, 0], [-110, 154, 0], [-150, 200, 0], [150, 200, 0],
     [110, 154, 0], [60, 138, 0], [46, 120, 0], [44, 95, 0], [46, 60, 0]], np.float32
)  # fmt: skip
CLOTH = np.array(
    [[-50, 127, 0], [-70, 136, 0], [-112, 145, 0], [-165, 175, 0], [-165, 290, 0], [165, 290, 0],
     [165, 175, 0], [112, 145, 0], [70, 136, 0], [50, 127, 0], [33, 150, 0], [0, 162, 0], [-33, 150, 0]],
    np.float32,
)  # fmt: skip


def _wrinkles() -> Floats:
    """The folds of an old face, (S, 2, 3, 3): right and left, three points each, on the adult template."""
    right = [
        [[8, -47, 84], [26, -49, 80], [46, -45, 62]],  # forehead
        [[9, -57, 78], [26, -59, 74], [44, -55, 58]],
        [[8, -67, 70], [24, -69, 66], [40, -65, 52]],
        [[4, -24, 90], [5.5, -16, 91], [4.5, -8, 90]],  # glabella
        [[50, -4, 62], [57, -9, 52], [63, -11, 42]],  # crow's feet
        [[51, 1, 62], [58, 1, 52], [65, 2, 40]],
        [[49, 6, 62], [56, 11, 52], [62, 15, 42]],
        [[19, 9, 78], [30, 15, 78], [45, 10, 70]],  # under the eye
        [[17, 13, 78], [29, 22, 78], [43, 19, 68]],
        [[18, 38, 92], [27, 50, 88], [34, 66, 80]],  # nasolabial
        [[29, 76, 84], [33, 86, 80], [33, 97, 74]],  # marionette
        [[46, 40, 60], [51, 54, 52], [50, 70, 46]],  # cheek
    ]
    both = np.stack([np.array(right), np.array(right) * [-1, 1, 1]], axis=1)
    return both.astype(np.float32)


WRINKLES = _wrinkles()
# The age at which each fold begins to show, and how deep it is in the end.
WRINKLE_ONSET = np.array([28, 36, 48, 34, 32, 38, 46, 34, 52, 25, 42, 58], np.float32)
WRINKLE_DEPTH = np.array([0.8, 0.75, 0.6, 0.7, 0.7, 0.7, 0.6, 0.6, 0.6, 1, 0.9, 0.6], np.float32)

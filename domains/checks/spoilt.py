"""Some of a set's own faces with a fault put into them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray
from nenrin.domains.checks.faults import spoil

BATCH = 60  # faces at a time: as many of each fault


def spoil_rows(
    faces: FaceArray, rows: NDArray[np.int64], kinds: NDArray[np.int64], generator: torch.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The pixels (B, 64, 64, 3) and masks (B, 64, 64) of these faces, spoilt as `kinds` (B,) says."""
    masks = (torch.from_numpy(faces.masks[rows])[:, None] > 127).float()
    images = torch.from_numpy(faces.pixels[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
    made, outlines = spoil(images * masks, masks, torch.from_numpy(kinds), generator)
    pixels = ((made + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(pixels), (outlines[:, 0] * 255).to(torch.uint8).numpy()

"""Find faces that are nearly the same picture, so that they end up in one split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HASH_BYTES = 32
NEAR = 20  # of 256 bits; two pictures of different people differ in about 100
_BANDS = 16  # of two bytes each: hashes compared are those that agree in one band at least


def difference_hash(pixels: NDArray[np.uint8]) -> bytes:
    """The signs of the brightness differences of (H, W, 3) pixels: 128 across, 128 down; 32 bytes."""
    grey = Image.fromarray(pixels).convert("L")
    across = np.asarray(grey.resize((17, 8), Image.Resampling.BOX), dtype=np.int16)
    down = np.asarray(grey.resize((8, 17), Image.Resampling.BOX), dtype=np.int16)
    bits = np.concatenate([(np.diff(across, axis=1) > 0).ravel(), (np.diff(down, axis=0) > 0).ravel()])
    return np.packbits(bits).tobytes()


def near_duplicates(hashes: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Pairs of rows of (N, 32) hashes that differ in at most `NEAR` bits.

    Two hashes that differ in fewer bits than there are bands agree in a band; beyond that a pair may be
    missed, though seldom: it must differ in every band.
    """
    seen: set[tuple[int, int]] = set()
    words = np.ascontiguousarray(hashes).view(np.uint16).reshape(len(hashes), _BANDS)
    for band in words.T:
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(band[order]) != 0])
        for bucket in np.split(order, starts[1:]):
            for i, first in enumerate(bucket[:-1]):
                others = bucket[i + 1 :]
                distance = np.bitwise_count(hashes[others] ^ hashes[first]).sum(axis=1)
                for other in others[distance <= NEAR]:
                    pair = (int(min(first, other)), int(max(first, other)))
                    if pair not in seen:
                        seen.add(pair)
                        yield pair

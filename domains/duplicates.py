"""Find faces that are nearly the same picture, so that they end up in one split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HASH_BYTES = 32
# Of 256 bits. Among UTKFace and anime faces, all pairs up to this distance are one picture twice (recoloured,
# turned or recropped); from 34 on there are pairs of two people.
NEAR = 32
_INNER = (0.22, 0.30, 0.78, 0.86)  # part of an aligned face where every source has pixels
_LAYOUTS = 2  # ways to cut a hash into 16 bands of two bytes; only hashes that agree in a band are compared


def difference_hash(pixels: NDArray[np.uint8]) -> bytes:
    """The signs of an aligned face's (H, W, 3) brightness differences: 128 across, 128 down; 32 bytes."""
    size = pixels.shape[0]
    left, top, right, bottom = (round(share * size) for share in _INNER)
    grey = Image.fromarray(pixels).convert("L").crop((left, top, right, bottom))
    across = np.asarray(grey.resize((17, 8), Image.Resampling.BOX), dtype=np.int16)
    down = np.asarray(grey.resize((8, 17), Image.Resampling.BOX), dtype=np.int16)
    bits = np.concatenate([(np.diff(across, axis=1) > 0).ravel(), (np.diff(down, axis=0) > 0).ravel()])
    return np.packbits(bits).tobytes()


def near_duplicates(hashes: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Pairs of rows of (N, 32) hashes that differ in at most `NEAR` bits.

    All pairs that differ in fewer than 16 bits are found; of those at the limit, 99 in 100.
    """
    seen: set[tuple[int, int]] = set()
    for band in _bands(hashes):
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order])) + 1
        for bucket in np.split(order, starts):
            for i, first in enumerate(bucket[:-1]):
                others = bucket[i + 1 :]
                distance = np.bitwise_count(hashes[others] ^ hashes[first]).sum(axis=1)
                for other in others[distance <= NEAR]:
                    pair = (int(min(first, other)), int(max(first, other)))
                    if pair not in seen:
                        seen.add(pair)
                        yield pair


def _bands(hashes: NDArray[np.uint8]) -> Iterator[NDArray[np.uint16]]:
    """The hashes with their bits shuffled, cut into 16-bit words: (N,) for each band of each layout."""
    bits = np.unpackbits(hashes, axis=1)
    for layout in range(_LAYOUTS):
        shuffled = bits[:, np.random.default_rng(layout).permutation(bits.shape[1])]
        yield from np.ascontiguousarray(np.packbits(shuffled, axis=1)).view(np.uint16).T

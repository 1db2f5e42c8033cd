"""Which faces are one picture twice: near by perceptual hash, and alike in an embedding of their pixels."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray
from nenrin.domains.duplicates import HASH_BYTES, difference_hash, near_duplicates

_SIDE = 16  # the embedding is that many pixels squared
_INNER = (slice(14, 55), slice(14, 50))  # of 64: what every source has pixels of
_MANY = 50_000  # from here on a comparison of all with all takes minutes, and the hash must do
_BLOCK = 512
_NEIGHBOURS = 3
_SLACK = 3  # pixels
_ZOOMS = (0.95, 0.975, 1.0, 1.025, 1.05)
_SAMPLE = 1000  # faces of a group whose nearest neighbours say how alike two different pictures are


@dataclasses.dataclass(kw_only=True, slots=True)
class Twice:
    """How near each of N faces' nearest neighbour is: -log(1 - correlation)."""

    nearness: NDArray[np.float32]  # (N,) NaN: nobody is near, or this one is the better of the two
    twin: NDArray[np.int64]  # (N,) the other's row; -1 where nearness is NaN
    usual: NDArray[np.float32]  # (N,) of a sample of faces, duplicate or not; NaN for the others
    groups: NDArray[np.integer]  # (N,) what is usual is asked within each


def find_twice(
    faces: FaceArray,
    enlarged: NDArray[np.float32],
    *,
    among: NDArray[np.integer],
    groups: NDArray[np.integer],
) -> Twice:
    """Compare the faces of each of `among` (N,) with each other, whatever their source.

    Of two that are nearly the same the more enlarged one is the suspect, and of two equal ones the later.
    What is usual is asked within `groups` (N,): drawings by one program are more alike than photographs.
    """
    vectors, hashes = _describe(faces)
    nearness = np.full(len(faces), np.nan, dtype=np.float32)
    twin = np.full(len(faces), -1, dtype=np.int64)
    usual = nearness.copy()
    rng = np.random.default_rng(0)
    for family in np.unique(among):
        rows = np.flatnonzero(among == family)
        for pair in _candidates(vectors[rows], hashes[rows]):
            one, two = rows[pair // len(rows)], rows[pair % len(rows)]  # one < two
            near = _nearness(faces, one, two)
            worse, better = (one, two) if enlarged[one] > 1.05 * enlarged[two] else (two, one)
            if not near <= nearness[worse]:  # NaN too
                nearness[worse], twin[worse] = near, better
        for group in np.unique(groups[rows]):
            members = rows[groups[rows] == group]
            sample = rng.choice(members, min(_SAMPLE, len(members)), replace=False)
            alike = vectors[sample] @ vectors[rows].T
            alike[np.arange(len(sample)), np.searchsorted(rows, sample)] = -1  # itself
            for row, other in zip(sample, rows[alike.argmax(1)], strict=True):
                usual[row] = _nearness(faces, row, other) if row != other else np.nan
    return Twice(nearness=nearness, twin=twin, usual=usual, groups=groups)


def _candidates(vectors: NDArray[np.float32], hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pairs worth a look, in order: near by hash, and each one's nearest by embedding where there are few
    enough. A pair is one number, the first row times how many there are, plus the second."""
    count = len(vectors)
    pairs = [np.array([a * count + b for a, b in near_duplicates(hashes)], dtype=np.int64)]
    if count <= _MANY:
        for start in range(0, count, _BLOCK):
            alike = vectors[start : start + _BLOCK] @ vectors.T
            row = np.arange(start, start + len(alike))[:, None]
            alike[row - start, row] = -1  # itself
            most = min(_NEIGHBOURS, count)
            other = np.argpartition(alike, -most)[:, -most:]
            found = np.minimum(row, other) * count + np.maximum(row, other)
            pairs.append(found[row != other])
    return np.unique(np.concatenate(pairs))


def _nearness(faces: FaceArray, one: int, two: int) -> float:
    """-log(1 - correlation) of two faces' details, wherever the second lies within some pixels of the first,
    and a little larger or smaller: a copy that was cut a little otherwise is aligned a little otherwise."""
    a, b = (_details(faces.pixels[row]) for row in (one, two))
    inner = np.ascontiguousarray(a[_SLACK:-_SLACK, _SLACK:-_SLACK])
    best = -1.0
    for zoom in _ZOOMS:
        size = (round(b.shape[1] * zoom), round(b.shape[0] * zoom))
        zoomed = cv2.resize(b, size, interpolation=cv2.INTER_LINEAR) if zoom != 1 else b
        best = max(best, float(cv2.matchTemplate(zoomed, inner, cv2.TM_CCOEFF_NORMED).max()))
    return float(-np.log(max(1 - best, 1e-3)))


def _details(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """An aligned face's middle without its light and shade: faces lit alike are not the same face."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[_INNER].astype(np.float32)
    details: NDArray[np.float32] = cv2.GaussianBlur(grey, (0, 0), 1) - cv2.GaussianBlur(grey, (0, 0), 6)
    return details


def _describe(faces: FaceArray) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Unit vectors (N, 256), whose products are correlations, and hashes (N, 32)."""
    vectors = np.empty((len(faces), _SIDE * _SIDE), dtype=np.float32)
    hashes = np.empty((len(faces), HASH_BYTES), dtype=np.uint8)
    for row in range(len(faces)):
        pixels = faces.pixels[row]
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[_INNER].astype(np.float32)
        small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        small = small - cv2.GaussianBlur(small, (0, 0), 4)  # faces lit alike are not the same face
        vectors[row] = (small / (np.linalg.norm(small) + 1e-6)).ravel()
        hashes[row] = np.frombuffer(difference_hash(pixels), dtype=np.uint8)
    return vectors, hashes

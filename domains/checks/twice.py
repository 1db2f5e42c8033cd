"""Finds pictures that are in a set twice, by perceptual hash and by an embedding of their pixels."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray
from nenrin.domains.duplicates import HASH_BYTES, difference_hash, near_duplicates

_SIDE = 16  # pixels: the embedding is a picture of this side
_INNER = (slice(14, 55), slice(14, 50))  # of 64: where every source has pixels
_MANY = 50_000  # from here on comparing all pairs takes minutes, so only the hash is used
_BLOCK = 512
_NEIGHBOURS = 3
_SLACK = 3  # pixels
_ZOOMS = (0.95, 0.975, 1.0, 1.025, 1.05)
_SAMPLE = 1000  # faces of a group whose nearest neighbours show how alike different pictures are


@dataclasses.dataclass(kw_only=True, slots=True)
class Twice:
    """How near each of N faces' nearest neighbour is: -log(1 - correlation)."""

    nearness: NDArray[np.float32]  # (N,) NaN if nothing is near, or this one is the better of the two
    twin: NDArray[np.int64]  # (N,) the other's row; -1 where nearness is NaN
    usual: NDArray[np.float32]  # (N,) of a sample of faces, duplicate or not; NaN for the others
    groups: NDArray[np.integer]  # (N,) within which `usual` is compared


def find_twice(
    faces: FaceArray,
    enlarged: NDArray[np.float32],
    *,
    among: NDArray[np.integer],
    groups: NDArray[np.integer],
) -> Twice:
    """Compare the faces of each of `among` (N,) with each other, whatever their source.

    Of two that are nearly the same the more enlarged one is the suspect, and of two equal ones the later.
    What is usual is estimated within `groups` (N,): drawings by one program are more alike than photographs.
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
    """Candidate pairs, in order: those near by hash and, if there are few enough faces, each one's nearest by
    embedding. A pair is encoded as the first row times the number of rows, plus the second."""
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
    """-log(1 - correlation) of two faces' details, at the best shift within some pixels and the best of some
    scales, because a copy with a different crop is aligned slightly differently."""
    a, b = (_details(faces.pixels[row]) for row in (one, two))
    inner = np.ascontiguousarray(a[_SLACK:-_SLACK, _SLACK:-_SLACK])
    best = -1.0
    for zoom in _ZOOMS:
        size = (round(b.shape[1] * zoom), round(b.shape[0] * zoom))
        zoomed = cv2.resize(b, size, interpolation=cv2.INTER_LINEAR) if zoom != 1 else b
        best = max(best, float(cv2.matchTemplate(zoomed, inner, cv2.TM_CCOEFF_NORMED).max()))
    return float(-np.log(max(1 - best, 1e-3)))


def _details(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The middle of an aligned face, high-pass filtered: faces lit alike are not the same face."""
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

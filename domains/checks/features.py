"""Faces as vectors: where which edges are, how strong and how fine they are, and rough colours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 64  # px of the faces that are described
# What is looked at of them, brows to chin and cheek to cheek: rows and columns.
WINDOW = (slice(11, 59), slice(8, 56))
_SIDE = 48
_HOG = cv2.HOGDescriptor((_SIDE, _SIDE), (12, 12), (6, 6), (6, 6), 9)  # Dalal and Triggs 2005
_GRID = 6  # energies are taken in so many rows and columns
_COLOURS = 12


def describe(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One aligned face (64, 64, 3) RGB and where it has pixels (64, 64): (D,)."""
    face, inside = pixels[WINDOW], mask[WINDOW]
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    # Histograms are normalised and forget how strong an edge is; blur and writing are told by just that.
    fine = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    half = cv2.resize(grey, (_SIDE // 2, _SIDE // 2), interpolation=cv2.INTER_AREA)
    coarse = np.abs(cv2.Laplacian(half, cv2.CV_32F))
    energies = [np.log1p(_reduce(part, _GRID)) for part in (fine, coarse, fine**2)]
    colours = _reduce(face, _COLOURS).astype(np.float32) / 64
    return np.concatenate(
        [
            _HOG.compute(grey).ravel() * 4,
            *(part.ravel() for part in energies),
            colours.ravel(),
            _reduce(inside, _GRID).astype(np.float32).ravel() / 255,
        ]
    )


def _reduce(image: NDArray[np.generic], side: int) -> NDArray[np.float32]:
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


class Basis:
    """What varies most among faces (principal components), and smooth functions of it.

    The functions are random Fourier features (Rahimi and Recht 2007): a linear rule in them is a kernel
    machine in the components, at a cost that grows with the faces and not with their square.
    """

    def __init__(self, vectors: NDArray[np.float32], *, components: int = 400, functions: int = 1200) -> None:
        rng = np.random.default_rng(0)
        sample = vectors[rng.choice(len(vectors), min(len(vectors), 6000), replace=False)]
        self._mean = sample.mean(0)
        centred = sample - self._mean
        values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        keep = np.argsort(values)[::-1][:components]
        # Between the components as they are and all alike: the small ones tell people apart, and hold noise.
        self._axes = axes[:, keep] / np.sqrt(values[keep].clip(1e-6) + values[keep[0]] * 0.01)
        inner = self._project(sample[:600])
        apart = ((inner[: len(inner) // 2, None] - inner[None, -(len(inner) // 2) :]) ** 2).sum(-1)
        width = float(np.median(apart)) if apart.size else float(len(keep))
        self._turns = (rng.normal(size=(len(keep), functions)) * np.sqrt(1.5 / width)).astype(np.float32)
        self._starts = rng.uniform(0, 2 * np.pi, functions).astype(np.float32)

    def _project(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((vectors - self._mean) @ self._axes).astype(np.float32)  # type: ignore[no-any-return]

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) -> (N, components + functions + 1); the last is 1."""
        inner = self._project(vectors)
        waves = np.cos(inner @ self._turns + self._starts) * 3
        return np.concatenate([inner, waves, np.ones((len(inner), 1), np.float32)], 1, dtype=np.float32)

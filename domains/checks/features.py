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
_BLOCK = 36  # values of a block of the histograms: 2 x 2 cells, 9 directions
_EDGES, _ENERGIES = _HOG.getDescriptorSize(), 3 * _GRID**2  # how many values of a vector are which


def describe(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One aligned face (64, 64, 3) RGB and where it has pixels (64, 64): (D,)."""
    face, inside = pixels[WINDOW], mask[WINDOW]
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    # Histograms are normalised and forget how strong an edge is; blur and writing are told by just that.
    fine = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    half = cv2.resize(grey, (_SIDE // 2, _SIDE // 2), interpolation=cv2.INTER_AREA)
    coarse = np.abs(cv2.Laplacian(half, cv2.CV_32F))
    energies = [np.log1p(_reduce(part, _GRID)) for part in (fine, coarse, fine**2)]
    colours = _reduce(face, _COLOURS) / 64
    return np.concatenate(
        [
            np.asarray(_HOG.compute(grey)).ravel() * 4,
            *(part.ravel() for part in energies),
            colours.ravel(),
            _reduce(inside, _GRID).ravel() / 255,
        ]
    )


def _reduce(image: NDArray[np.uint8] | NDArray[np.float32], side: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)


class Basis:
    """What varies most among the faces of a set (principal components), and how badly the first few of them
    explain each part of a face: what is not of faces, such as writing or a hand, cannot be made of them."""

    def __init__(self, vectors: NDArray[np.float32], *, components: int = 600, explaining: int = 60) -> None:
        rng = np.random.default_rng(0)
        sample = vectors[rng.choice(len(vectors), min(len(vectors), 8000), replace=False)]
        self._mean, self._spread = sample.mean(0), sample.std(0) + 1e-3
        centred = sample - self._mean
        values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        order = np.argsort(values)[::-1]
        kept = order[: min(components, len(sample) // 2)]
        self._few = axes[:, order[:explaining]]
        # Between the components as they are and all alike: the small ones tell people apart, and hold noise.
        self._axes = axes[:, kept] / np.sqrt(values[kept].clip(0) + values[order[0]] * 0.01 + 1e-9)
        unexplained = self._unexplained(sample)
        self._level, self._range = unexplained.mean(0), unexplained.std(0) + 1e-3

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) -> (N, F); the last is 1."""
        inner = (vectors - self._mean) @ self._axes
        rest = (self._unexplained(vectors) - self._level) / self._range
        return np.concatenate([inner, rest, np.ones((len(inner), 1))], 1, dtype=np.float32)

    def _unexplained(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log energies of what the first components leave over: of each part, and of the worst parts."""
        centred = vectors - self._mean
        rest = ((centred - (centred @ self._few) @ self._few.T) / self._spread) ** 2
        edges, energies, colours = np.split(rest, np.cumsum([_EDGES, _ENERGIES]), axis=1)
        by_block = edges.reshape(len(rest), -1, _BLOCK).mean(-1)
        by_energy = energies.reshape(len(rest), 3, -1).mean(1)
        cells = _COLOURS // _GRID
        colours = colours[:, : 3 * _COLOURS**2].reshape(len(rest), _GRID, cells, _GRID, cells, 3)
        by_colour = colours.mean((2, 4, 5)).reshape(len(rest), -1)
        worst = [np.sort(part, 1)[:, -8:] for part in (by_block, by_colour)]
        return np.log(np.concatenate([by_block, by_energy, by_colour, *worst], 1) + 0.05)

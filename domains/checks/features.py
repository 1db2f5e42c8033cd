"""Describes faces as vectors: histograms of edges, their strength and scale, coarse colours, and features of
MTCNN's last net."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from nenrin.domains.mtcnn import ONet, load

SIZE = 64  # px of the faces that are described
# The part of them that is described, brows to chin and cheek to cheek: rows and columns.
WINDOW = (slice(11, 59), slice(8, 56))
_SIDE = 48
_HOG = cv2.HOGDescriptor((_SIDE, _SIDE), (12, 12), (6, 6), (6, 6), 9)  # Dalal and Triggs 2005
_GRID = 6  # rows and columns of the grid of energies
_COLOURS = 12
_PART = 500  # vectors at a time, in steps that take many times their size
_BLOCK = 36  # values of a block of the histograms: 2 x 2 cells, 9 directions
# Numbers of values in a vector: histograms, energies, colours and the mask; then the net's.
_EDGES, _ENERGIES, _REST = _HOG.getDescriptorSize(), 3 * _GRID**2, 3 * _COLOURS**2 + _GRID**2
_TEXTURES, _PLACES, _THINGS = 1152, 1152, 256
# Components kept of our own values, and of the net's textures, places and things.
_COMPONENTS = (600, 300, 300, 150)
_EXPLAINING = 60  # first directions, which explain what is of faces


class Describer:
    """Aligned faces (N, 64, 64, 3) RGB, and where they have pixels (N, 64, 64), to vectors (N, D) float16.

    The net was trained to tell faces from all else and to mark their points, in 48 pixels as here.
    """

    def __init__(self) -> None:
        self._net = ONet()
        load(self._net, "onet")
        # Twice as fast. (torch takes the format alone too, its stubs do not.)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, pixels: NDArray[np.uint8], masks: NDArray[np.uint8]) -> NDArray[np.float16]:
        own = np.stack([_own(face[WINDOW], mask[WINDOW]) for face, mask in zip(pixels, masks, strict=True)])
        # stays channels last
        images = torch.from_numpy(np.ascontiguousarray(pixels[:, *WINDOW])).permute(0, 3, 1, 2)
        with torch.inference_mode():
            textures = self._net.textures((images.float() - 127.5) / 128)
            places, things = self._net.features(textures)
            answers = torch.cat(self._net.decide(things), 1)
            # Writing is a texture that may be anywhere, so take each texture's maximum and mean.
            strong = torch.cat(
                [
                    F.adaptive_max_pool2d(textures, 3).flatten(1),
                    F.adaptive_avg_pool2d(textures, 3).flatten(1),
                ],
                1,
            )
        return np.concatenate([own, strong, places, things, answers], 1, dtype=np.float16)


def mirrored(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, H, W) or (N, H, W, 3), left for right."""
    return np.ascontiguousarray(images[:, :, ::-1])


def _own(face: NDArray[np.uint8], inside: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    # Histograms are normalised and lose the strength of edges, which is what reveals blur and writing.
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


class Axes:
    """The directions in which vectors vary most (principal components)."""

    def __init__(self, sample: NDArray[np.float32], components: int) -> None:
        self._mean = sample.mean(0)
        centred = sample - self._mean
        values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        order = np.argsort(values)[::-1]
        kept = order[: min(components, len(sample) // 2)]
        self.axes = axes[:, order]  # (D, D), the first explains most
        # Partial whitening: small components distinguish people, but also hold noise.
        self._scaled = axes[:, kept] / np.sqrt(values[kept].clip(0) + values[order[0]] * 0.01 + 1e-9)

    def centred(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D), with the sample's mean subtracted."""
        moved: NDArray[np.float32] = vectors - self._mean
        return moved

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) -> (N, components)."""
        inner: NDArray[np.float32] = self.centred(vectors) @ self._scaled
        return inner


class Basis:
    """The principal components of a set's faces, and the residual that the first few leave in each part of a
    face: what does not belong to faces, such as writing or a hand, is not explained by them."""

    def __init__(self, sample: NDArray[np.float16]) -> None:
        own, *net = _split(sample)
        *layers, answers = net
        self._own, *self._layers = (
            Axes(part, count) for part, count in zip((own, *layers), _COMPONENTS, strict=True)
        )
        self._few, self._spread = self._own.axes[:, :_EXPLAINING], own.std(0) + 1e-3
        self._answer, self._sway = answers.mean(0), answers.std(0) + 1e-3
        parts = [self._unexplained(own[i : i + _PART]) for i in range(0, len(own), _PART)]
        unexplained = np.concatenate(parts)
        self._level, self._range = unexplained.mean(0), unexplained.std(0) + 1e-3
        self.width = self(sample[:1]).shape[1]

    def __call__(self, vectors: NDArray[np.float16]) -> NDArray[np.float32]:
        """(N, D) -> (N, width); the last is 1."""
        own, *layers, answers = _split(vectors)
        rest = (self._unexplained(own) - self._level) / self._range
        seen = [axes(layer) / 2 for axes, layer in zip(self._layers, layers, strict=True)]
        said = ((answers - self._answer) / self._sway).clip(-6, 6) / 2
        return np.concatenate(
            [self._own(own), rest, *seen, said, np.ones((len(own), 1))], 1, dtype=np.float32
        )

    def _unexplained(self, own: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log energies of the first components' residual, for each part and for the worst parts."""
        centred = self._own.centred(own)
        rest = ((centred - (centred @ self._few) @ self._few.T) / self._spread) ** 2
        edges, energies, colours = np.split(rest, np.cumsum([_EDGES, _ENERGIES]), axis=1)
        by_block = edges.reshape(len(rest), -1, _BLOCK).mean(-1)
        by_energy = energies.reshape(len(rest), 3, -1).mean(1)
        cells = _COLOURS // _GRID
        colours = colours[:, : 3 * _COLOURS**2].reshape(len(rest), _GRID, cells, _GRID, cells, 3)
        by_colour = colours.mean((2, 4, 5)).reshape(len(rest), -1)
        worst = [np.sort(part, 1)[:, -8:] for part in (by_block, by_colour)]
        return np.log(np.concatenate([by_block, by_energy, by_colour, *worst], 1) + 0.05)


def _split(vectors: NDArray[np.float16]) -> list[NDArray[np.float32]]:
    """The parts of vectors: own values, the net's textures, its places, its things, its answers."""
    return np.split(
        vectors.astype(np.float32),
        np.cumsum([_EDGES + _ENERGIES + _REST, _TEXTURES, _PLACES, _THINGS]),
        axis=1,
    )

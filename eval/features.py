"""What takes long is done once: aged faces, and what is read off them, under a hash of their making.

The key names the pictures by their bytes and the extractor (or ager) by its weights and preprocessing, so a
second protocol, a second evaluation, or one that was killed and started again, reads a file instead of
running a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nenrin.eval.nets import chunks, to_tensor
from nenrin.ground import atomic_path, track

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
_VERSION = "1"  # of how faces are cropped and resized on their way into an extractor


class FeatureStore:
    """Arrays on disk under `folder`. What is cached is dropped by deleting the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str, function: Callable[[Tensor], Tensor], pixels: Pixels, label: str = "") -> Floats:
        """`function` of (N, 3, H, W) in [-1, 1] over (N, H, W, 3) uint8 pictures, concatenated."""
        return self._read(key, label or key, (pixels,), lambda rows: function(to_tensor(pixels[rows])))

    def pairs(self, key: str, function: Callable[[Tensor, Tensor], Tensor], a: Pixels, b: Pixels) -> Floats:
        """The same for a function of two pictures, such as a distance: (N,)."""
        return self._read(key, key, (a, b), lambda rows: function(to_tensor(a[rows]), to_tensor(b[rows])))

    def outputs(self, key: str, inputs: Sequence[NDArray[Any]], compute: Callable[[], Pixels]) -> Pixels:
        """The aged faces that `compute` makes of the `inputs`, mapped from the disk: memory stays flat."""
        path = self._path(key, inputs)
        if not path.is_file():
            _write(path, compute())
        made: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        return made

    def _read(
        self, key: str, label: str, inputs: tuple[Pixels, ...], compute: Callable[[slice], Tensor]
    ) -> Floats:
        path = self._path(key, inputs)
        if path.is_file():
            cached: Floats = np.load(path, allow_pickle=False)
            return cached
        parts = []
        with torch.no_grad():
            for rows in track(list(chunks(len(inputs[0]))), f"reading faces: {label}"):
                parts.append(compute(rows).float().numpy())
        result: Floats = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        _write(path, result)
        return result

    def _path(self, key: str, inputs: Sequence[NDArray[Any]]) -> Path:
        digest = hashlib.sha256(f"{_VERSION} {key}".encode())
        for array in inputs:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return self._folder / f"{digest.hexdigest()[:32]}.npy"


def _write(path: Path, array: NDArray[Any]) -> None:
    with atomic_path(path) as part, part.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)

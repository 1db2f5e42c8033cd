"""Features extracted once: in batches, and kept under the hash of pictures and extractor.

The key names the pictures by their bytes and the extractor by its weights and preprocessing, so a second
protocol, or a second evaluation of the same outputs, reads a file instead of running a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

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
    """Feature arrays on disk under `folder`. What is cached is dropped by deleting the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str, function: Callable[[Tensor], Tensor], pixels: Pixels, label: str = "") -> Floats:
        """`function` of (N, 3, H, W) in [-1, 1] over (N, H, W, 3) uint8 pictures, concatenated."""
        return self._cached(key, label or key, (pixels,), lambda rows: function(to_tensor(pixels[rows])))

    def pairs(self, key: str, function: Callable[[Tensor, Tensor], Tensor], a: Pixels, b: Pixels) -> Floats:
        """The same for a function of two pictures, such as a distance: (N,)."""
        return self._cached(key, key, (a, b), lambda rows: function(to_tensor(a[rows]), to_tensor(b[rows])))

    def _cached(
        self, key: str, label: str, inputs: tuple[Pixels, ...], compute: Callable[[slice], Tensor]
    ) -> Floats:
        digest = hashlib.sha256(f"{_VERSION} {key}".encode())
        for pixels in inputs:
            digest.update(repr(pixels.shape).encode())
            digest.update(np.ascontiguousarray(pixels).data)
        path = self._folder / f"{digest.hexdigest()[:32]}.npy"
        if path.is_file():
            cached: Floats = np.load(path, allow_pickle=False)
            return cached
        parts = []
        with torch.no_grad():
            for rows in track(list(chunks(len(inputs[0]))), f"reading faces: {label}"):
                parts.append(compute(rows).float().numpy())
        result: Floats = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        with atomic_path(path) as part, part.open("wb") as stream:
            np.save(stream, result, allow_pickle=False)
        return result

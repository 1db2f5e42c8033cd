"""Caches slow results on disk: aged faces, and features and estimates of faces, under a hash of their inputs.

The key identifies the pictures by their bytes and the extractor (or ager) by its weights and preprocessing. A
second protocol, a second evaluation, or one that was killed and started again, then reads a file instead of
running a network. Arrays are written in parts, a chunk of faces each, so a kill loses only the current chunk.
"""

from __future__ import annotations

import hashlib
import shutil
import weakref
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
AGED, READ = 64, 128  # faces of a chunk


class FeatureStore:
    """Arrays on disk under `folder`. Delete the folder to empty the cache."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: dict[int, bytes] = {}  # by the id() of live arrays
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str, function: Callable[[Tensor], Tensor], pixels: Pixels, label: str = "") -> Floats:
        """`function` of (N, 3, H, W) in [-1, 1] over (N, H, W, 3) uint8 pictures, concatenated."""
        return self.read(key, label or key, (pixels,), lambda rows: function(to_tensor(pixels[rows])))

    def pairs(self, key: str, function: Callable[[Tensor, Tensor], Tensor], a: Pixels, b: Pixels) -> Floats:
        """The same for a function of two pictures, such as a distance: (N,)."""
        return self.read(key, key, (a, b), lambda rows: function(to_tensor(a[rows]), to_tensor(b[rows])))

    def outputs(
        self, key: str, inputs: Sequence[NDArray[Any]], compute: Callable[[slice], Pixels], label: str
    ) -> Pixels:
        """The aged faces that `compute` makes from rows of `inputs`, mapped from the disk."""
        path = self._made(key, inputs, compute, f"ageing with {label}", AGED)
        made: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        return made

    def read(
        self, key: str, label: str, inputs: tuple[Pixels, ...], compute: Callable[[slice], Tensor]
    ) -> Floats:
        """The results of `compute` for rows of `inputs`, concatenated."""

        def rows_of(rows: slice) -> Floats:
            with torch.no_grad():
                values: Floats = compute(rows).float().numpy()
            return values

        path = self._made(key, inputs, rows_of, f"reading faces: {label}", READ)
        read: Floats = np.load(path, allow_pickle=False)
        return read

    def _made(
        self,
        key: str,
        inputs: Sequence[NDArray[Any]],
        compute: Callable[[slice], NDArray[Any]],
        label: str,
        size: int,
    ) -> Path:
        """The file of `compute`'s results for all rows; chunks that exist already are not computed again."""
        path = self._path(key, inputs)
        if path.is_file():
            return path
        rows, parts = list(chunks(len(inputs[0]), size)), path.with_suffix(".parts")
        if len(rows) < 2:
            _write(path, compute(rows[0]) if rows else np.zeros(0, np.float32))
            return path
        files = [parts / f"{chunk.start:07d}-{chunk.stop:07d}.npy" for chunk in rows]
        try:
            for chunk, file in track(list(zip(rows, files, strict=True)), label):
                if not file.is_file() and not path.is_file():
                    _write(file, compute(chunk))
            if not path.is_file():
                _join(path, files, len(inputs[0]))
        except FileNotFoundError:  # another evaluation joined the parts, and took them away
            if not path.is_file():
                raise
        shutil.rmtree(parts, ignore_errors=True)
        return path

    def _path(self, key: str, inputs: Sequence[NDArray[Any]]) -> Path:
        digest = hashlib.sha256(f"{_VERSION} {key}".encode())
        for array in inputs:
            digest.update(self._digest(array))
        return self._folder / f"{digest.hexdigest()[:32]}.npy"

    def _digest(self, array: NDArray[Any]) -> bytes:
        """A digest of its bytes, computed once, although every extractor asks for it."""
        known = self._digests.get(id(array))
        if known is None:
            digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
            known = self._digests[id(array)] = digest.digest()
            weakref.finalize(array, self._digests.pop, id(array), None)
        return known


def _join(path: Path, files: Sequence[Path], count: int) -> None:
    """Concatenate the parts into one array, with one part in memory at a time."""
    first = np.load(files[0], mmap_mode="r", allow_pickle=False)
    with atomic_path(path) as part:
        whole = np.lib.format.open_memmap(part, "w+", first.dtype, (count, *first.shape[1:]))
        done = 0
        for file in files:
            rows = np.load(file, allow_pickle=False)
            whole[done : done + len(rows)] = rows
            done += len(rows)
        assert done == count, f"{done} rows of {count}"
        whole.flush()


def _write(path: Path, array: NDArray[Any]) -> None:
    with atomic_path(path) as part, part.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)

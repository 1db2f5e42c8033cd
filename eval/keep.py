"""Caches judges on disk under a hash of the faces they learn from, so that they are trained only once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from nenrin.domains.array import FaceArray
from nenrin.ground import write_bytes

_VERSION = "3"  # of everything in `judges`, `labels` and `nets` that changes what a judge learns
Tensors = dict[str, NDArray[Any]]


def kept(path: Path, train: Callable[[], Tensors]) -> Tensors:
    """The content of this file; if it is missing or damaged, it is trained and written first.

    A judge just trained is read back too, so that a second evaluation uses exactly the same one.
    """
    if path.is_file():
        try:
            return load_file(path)
        except SafetensorError:
            path.unlink()
    write_bytes(path, save({k: np.ascontiguousarray(v) for k, v in train().items()}))
    return load_file(path)


def key_of(kind: str, faces: FaceArray, labels: Sequence[NDArray[Any]], more: str) -> str:
    """A judge's key, from everything it learns from: faces, their labels and its settings."""
    digest = hashlib.sha256(f"{_VERSION} {faces.pixels.shape[1:]} {more}".encode())
    for id_, domain, *values in zip(faces.ids, faces.domain, *labels, strict=True):
        said = " ".join(f"{value:.2f}" for value in values)
        digest.update(f"{id_} {said} {faces.domains[domain]}\n".encode())
    return f"{kind}-{digest.hexdigest()[:16]}"

"""Vectors of all faces in a file: for a set they take gigabytes, and they are only read sequentially."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2048  # vectors at a time


class Vectors:
    """A file of vectors of one width, stored in half precision, and read a block at a time."""

    def __init__(self, file: Path, width: int) -> None:
        self._file, self.width = file, width
        self._count = 0
        file.write_bytes(b"")

    def __len__(self) -> int:
        return self._count

    def add(self, vectors: NDArray[np.floating]) -> None:
        """Append (B, width)."""
        with self._file.open("ab") as stream:
            np.ascontiguousarray(vectors, dtype=np.float16).tofile(stream)
        self._count += len(vectors)

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """All in order: their rows, and (B, width)."""
        with self._file.open("rb") as stream:
            for start in range(0, self._count, _BLOCK):
                rows = slice(start, min(start + _BLOCK, self._count))
                block = np.fromfile(stream, np.float16, (rows.stop - start) * self.width)
                yield rows, block.reshape(-1, self.width).astype(np.float32)

"""The scores of a set's faces as columns: a dictionary for each face takes thirty times as much memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Scores(Sequence[list[dict[str, Any]]]):
    """Name -> (N,) of N faces, NaN where a face has none. Indexing gives rows as a set stores them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.columns: dict[str, Floats] = {}

    @classmethod
    def read(cls, stored: pa.ChunkedArray) -> Scores:
        """Of a set's column `scores`."""
        scores = cls(len(stored))
        start = 0
        for chunk in stored.chunks:
            rows = start + pc.list_parent_indices(chunk).to_numpy()
            names, values = (chunk.flatten().field(name) for name in ("key", "value"))
            names = names.dictionary_encode()
            places, numbers = names.indices.to_numpy(), values.to_numpy(zero_copy_only=False)
            for place, name in enumerate(names.dictionary.to_pylist()):
                mine = places == place
                scores.put(name, numbers[mine], rows[mine])
            start += len(chunk)
        return scores

    def put(self, name: str, values: NDArray[np.floating], rows: NDArray[Any]) -> None:
        """Set the scores of some rows by a name; the other rows keep theirs."""
        if name not in self.columns:
            self.columns[name] = np.full(self._count, np.nan, dtype=np.float32)
        self.columns[name][rows] = values

    def get(self, name: str) -> Floats:
        """(N,), NaN where there is none."""
        found = self.columns.get(name)
        return np.full(self._count, np.nan, dtype=np.float32) if found is None else found

    def of(self, row: int) -> dict[str, float]:
        """The scores of one face."""
        return {name: float(v) for name, v in self._values(row)}

    def _values(self, row: int) -> list[tuple[str, np.float32]]:
        return [(n, self.columns[n][row]) for n in sorted(self.columns) if not np.isnan(self.columns[n][row])]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> list[dict[str, Any]]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[dict[str, Any]]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        return [{"key": name, "value": value} for name, value in self._values(index)]

"""What the page shows: the suspects of a set, worst first, and their pictures."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pyarrow.parquet as pq

from nenrin.domains.checks.verdicts import SUSPICION, TWIN
from nenrin.domains.decisions import Decision
from nenrin.domains.face import DOMAINS
from nenrin.domains.faceset import FaceSet
from nenrin.ground import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A face to look at, as the page is told of it."""

    row: int  # in the set
    id: str
    source: str
    source_id: str
    reason: str
    score: float
    verdict: str  # the checks'
    twin: int | None  # row of the picture that it is nearly
    age: float | None
    gender: str | None
    glasses: str | None
    domain: str


class Queue:
    """The suspects of a set. Pictures are read when they are asked for."""

    def __init__(self, faces: FaceSet) -> None:
        self.faces = faces
        if faces.meta.cleaned is None:
            raise UsageError(f"{faces.path} has no scores yet: run nenrin clean {faces.path} first")
        self.suspects = sorted(
            (
                _suspect(row, values)
                for row, values in enumerate(faces.stored().to_pylist())
                if values["verdict"] != "keep"
            ),
            key=lambda suspect: suspect.score,
        )
        # What a build set aside was not examined: it has a reason, and no score.
        self.suspects = [suspect for suspect in self.suspects if suspect.score < 2]
        self.by_row = {suspect.row: suspect for suspect in self.suspects}
        self.domains = list(dict.fromkeys((*faces.meta.domains, *DOMAINS)))
        self._groups = [
            (shard, group, pq.ParquetFile(shard).metadata.row_group(group).num_rows)
            for shard in faces.shards
            for group in range(pq.ParquetFile(shard).metadata.num_row_groups)
        ]
        self._group = functools.lru_cache(maxsize=16)(self._read_group)

    def decided(self) -> dict[int, dict[str, Any]]:
        """Row -> verdict and labels of the suspects that a person has decided on."""
        found = {}
        for suspect in self.suspects:
            decision = self.faces.decisions.of(suspect.id, suspect.source, suspect.source_id, suspect.reason)
            if decision is not None:
                found[suspect.row] = {"verdict": decision.verdict, "labels": decision.labels}
        return found

    def decide(self, row: int, verdict: str | None, labels: dict[str, Any]) -> None:
        """Write down a decision, None to take it back. `UsageError` for a row or label that is none."""
        suspect = self.by_row.get(row)
        if suspect is None:
            raise UsageError(f"row {row} is no suspect")
        self.faces.decisions.add(
            Decision(
                id=suspect.id,
                source=suspect.source,
                source_id=suspect.source_id,
                verdict=verdict,  # type: ignore[arg-type]  # Decision itself refuses any other word
                labels=labels,
            )
        )

    def picture(self, row: int) -> bytes:
        """A face's encoded picture. `UsageError` where there is no such row."""
        start = 0
        for number, (_, _, count) in enumerate(self._groups):
            if 0 <= row - start < count:
                return self._group(number)[row - start]
            start += count
        raise UsageError(f"no face {row}")

    def _read_group(self, number: int) -> list[bytes]:
        shard, group, _ = self._groups[number]
        column = pq.ParquetFile(shard).read_row_group(group, columns=["image"])["image"]
        return [picture["bytes"] for picture in column.to_pylist()]


def _suspect(row: int, values: dict[str, Any]) -> Suspect:
    scores = {entry["key"]: entry["value"] for entry in values["scores"] or ()}
    twin = scores.get(TWIN)
    return Suspect(
        row=row,
        reason=values["reason"] or "",
        score=scores.get(SUSPICION, 2.0),
        twin=None if twin is None or "near-duplicate" not in (values["reason"] or "") else int(twin),
        **{
            name: values[name]
            for name in ("id", "source", "source_id", "verdict", "age", "gender", "glasses", "domain")
        },
    )

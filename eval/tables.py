"""Scores as tables: one for each domain, with a group for each case, and ceilings, agers, floors in order."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from nenrin.eval import metrics
from nenrin.eval.results import Score
from nenrin.eval.wording import minus

ORDER = {"ceiling": 0, "ager": 1, "embedder": 1, "floor": 2}


@dataclasses.dataclass(kw_only=True, slots=True)
class Cell:
    """One number of a table, as text."""

    value: str
    interval: str
    count: str  # empty if the column gives it
    best: bool = False


@dataclasses.dataclass(kw_only=True, slots=True)
class Column:
    """A metric by one backend."""

    metric: str
    backend: str
    arrow: str
    count: str  # n and persons, if all rows share them


@dataclasses.dataclass(kw_only=True, slots=True)
class Row:
    """One subject's numbers."""

    subject: str
    role: str
    cells: list[Cell | None]


@dataclasses.dataclass(kw_only=True, slots=True)
class Group:
    """The rows of one case."""

    title: str
    rows: list[Row]


@dataclasses.dataclass(kw_only=True, slots=True)
class Table:
    """All scores of one protocol in one domain."""

    title: str
    columns: list[Column]
    groups: list[Group]


def tables(scores: Sequence[Score]) -> list[Table]:
    """Pivot the scores of one protocol."""
    made = []
    for domain in dict.fromkeys(s.domain for s in scores):
        here = [s for s in scores if s.domain == domain]
        columns = {
            (metric, backend): _column([s for s in here if (s.metric, s.backend) == (metric, backend)])
            for metric, backend in dict.fromkeys((s.metric, s.backend) for s in here)
        }
        groups = [
            Group(title=case, rows=_rows([s for s in here if s.case == case], columns))
            for case in dict.fromkeys(s.case for s in here)
        ]
        made.append(Table(title=domain, columns=list(columns.values()), groups=groups))
    return made


def _rows(scores: Sequence[Score], columns: Mapping[tuple[str, str], Column]) -> list[Row]:
    subjects = sorted(dict.fromkeys((s.role, s.subject) for s in scores), key=lambda p: ORDER[p[0]])
    found = {(s.subject, (s.metric, s.backend)): s for s in scores}
    best = {key: _best([s for s in scores if (s.metric, s.backend) == key]) for key in columns}
    return [
        Row(
            subject=name,
            role=role,
            cells=[
                _cell(score, column, best=score is best[key]) if (score := found.get((name, key))) else None
                for key, column in columns.items()
            ],
        )
        for role, name in subjects
    ]


def _best(scores: Sequence[Score]) -> Score | None:
    """The best of several agers, if the metric has a better direction."""
    agers = [s for s in scores if s.role in ("ager", "embedder") and s.estimate.defined and s.better]
    merits = [s.better * s.estimate.value for s in agers]
    return agers[merits.index(max(merits))] if len(set(merits)) > 1 else None


def _column(scores: Sequence[Score]) -> Column:
    counts = [_count(s) for s in scores]
    return Column(
        metric=scores[0].metric,
        backend=scores[0].backend,
        arrow={1: "↑", -1: "↓", 0: ""}[scores[0].better],
        count=max(dict.fromkeys(counts), key=counts.count),  # the n of most rows goes into the header
    )


def _count(score: Score) -> str:
    estimate = score.estimate
    people = "person" if estimate.identities == 1 else "persons"
    return f"n {estimate.n:,}, {estimate.identities:,} {people}"


def _cell(score: Score, column: Column, *, best: bool) -> Cell | None:
    estimate = score.estimate
    if not estimate.n:
        return None
    count = "" if _count(score) == column.count else _count(score)
    if not estimate.defined:
        recovery = score.metric in (metrics.IDENTITY_RECOVERY, metrics.PERCEPTUAL_RECOVERY)
        why = "the ceiling does not beat the copy" if recovery else "too little to go by"
        return Cell(value="undefined", interval=why, count=count)

    def said(value: float) -> str:
        if score.percent:
            return f"{100 * value:.0f}"
        return f"{value:.{1 if abs(estimate.value) >= 10 else 2}f}"

    value, interval = said(estimate.value), f"{said(estimate.low)} to {said(estimate.high)}"
    if math.isnan(estimate.low):
        interval = "no interval"
    return Cell(value=minus(value + "%" * score.percent), interval=minus(interval), count=count, best=best)

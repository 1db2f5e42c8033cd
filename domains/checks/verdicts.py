"""From scores to verdicts by thresholds, without looking at the pictures again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.checks.checks import CHECKS
from nenrin.ground import UsageError, suggest

SUSPICION = "suspicion"  # the score that suspects are ranked by: the lowest of all checks
TWIN = "near_duplicate.row"  # the row in the set of the picture that this one nearly equals


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Thresholds for verdicts. Scores are fractions of sound faces that would look at least as bad."""

    review: float = 0.02  # fraction of the faces, the worst ones, that a person is shown
    drop: float = 1e-6  # a face with a lower score is left out unless a person keeps it
    # Limits of single checks for showing a face, by name: 0 switches the check off, 1e-4 shows all below it.
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        known = [check.name for check in CHECKS]
        for name, value in (("review", self.review), ("drop", self.drop), *self.limits.items()):
            if name not in ("review", "drop", *known):
                raise UsageError(f"unknown check {name!r}; {suggest(name, known)}")
            if not 0 <= value <= 1:
                raise UsageError(f"{name} takes a share from 0 to 1, not {value:g}")


def decide(
    scores: NDArray[np.floating], thresholds: Thresholds, row_of: Callable[[int], Mapping[str, Any]]
) -> tuple[list[str], list[str | None]]:
    """Verdicts and reasons for N examined faces, from their scores (N, number of checks).

    `row_of` returns the labels of a face, with its `scores` as a dict and as `twin` the name of the picture
    that it may duplicate; it is called for suspects only. The reasons of a face are all the checks by which
    it is a suspect, worst first.
    """
    limits = np.array([thresholds.limits.get(check.name, np.nan) for check in CHECKS])
    open_to_all = np.where(np.isnan(limits), scores, 1.0)
    worst = np.sort(open_to_all.min(1))
    count = round(thresholds.review * len(scores))
    shared = worst[count - 1] if 0 < count <= len(worst) else -1.0
    bounds = np.where(np.isnan(limits), min(shared, 0.5), limits)
    suspected = (scores <= bounds) & (bounds > 0)
    verdicts = ["keep"] * len(scores)
    reasons: list[str | None] = [None] * len(scores)
    for face in np.flatnonzero(suspected.any(1)).tolist():
        values = scores[face]
        named = [int(i) for i in np.argsort(values, kind="stable") if suspected[face, i]]
        verdicts[face] = "drop" if values[named[0]] < thresholds.drop else "review"
        row = row_of(face)
        reasons[face] = _said([CHECKS[i].reason(row) for i in named])
    return verdicts, reasons


def _said(reasons: Sequence[str]) -> str:
    """All reasons in one text. Faces are counted by what comes before its first colon, the worst reason."""
    first, *others = reasons
    if not others:
        return first
    return f"{first}{', also ' if ':' in first else ': also '}{', '.join(others)}"

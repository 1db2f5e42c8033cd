"""The checks: each turns the evidence on the faces into one number for each face, higher being worse."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray
from nenrin.domains.checks.labels import to_log
from nenrin.domains.checks.opinion import FAULTS, Floats, Opinion
from nenrin.domains.checks.tails import rarity, rarity_among_sound
from nenrin.domains.checks.twice import Twice

_FINE = 2.0  # enlargement up to which nobody sees it
# Factors on the scores of checks. Two different pictures are alike more often than an exponential tail says
# (babies, dark glasses). Faces of another domain lie far out, and nearer ones are just a style of their own.
# Glasses are easy to see, so suspects are few, and half of them are worth showing. Enlargement is known
# exactly, not estimated.
_WEIGHTS = {"near_duplicate": 3.0, "wrong_domain": 3.0, "wrong_glasses": 0.5, "too_small": 0.3}


@dataclasses.dataclass(kw_only=True, slots=True)
class Evidence:
    """The evidence on N faces that the checks use."""

    faces: FaceArray
    opinion: Opinion
    enlarged: Floats  # (N,) aligned pixels for each pixel of the source picture; NaN if unknown
    twice: Twice


class Check(Protocol):
    """One check. `name` is its key in `Face.scores`; the statistic itself is kept as `name.raw`."""

    @property
    def name(self) -> str: ...

    def statistic(self, evidence: Evidence) -> Floats:
        """(N,), higher is worse; NaN where the check does not apply."""
        ...

    def reason(self, row: Mapping[str, Any]) -> str:
        """Why a face is suspected, for a person; `row` is the face's row with its `scores`."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Looks:
    """How much more a face looks like one with this fault added than like a sound one."""

    name: str
    said: str

    def statistic(self, evidence: Evidence) -> Floats:
        return evidence.opinion.fault[:, FAULTS.index(self.name)]

    def reason(self, row: Mapping[str, Any]) -> str:
        return self.said


@dataclasses.dataclass(frozen=True, slots=True)
class TooSmall:
    """How much the picture was enlarged."""

    name: str = "too_small"

    def statistic(self, evidence: Evidence) -> Floats:
        return np.log(evidence.enlarged)

    def reason(self, row: Mapping[str, Any]) -> str:
        return f"too small: enlarged {row['scores']['enlarged']:.1f} times"


@dataclasses.dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Similarity to the nearest other picture. Of two nearly equal ones, the smaller is the suspect."""

    name: str = "near_duplicate"

    def statistic(self, evidence: Evidence) -> Floats:
        return evidence.twice.nearness

    def reason(self, row: Mapping[str, Any]) -> str:
        return f"near-duplicate: of {row['twin']}"


@dataclasses.dataclass(frozen=True, slots=True)
class WrongAge:
    """Distance of the labelled age from the apparent age, on a scale where years count less with age."""

    name: str = "wrong_age"

    def statistic(self, evidence: Evidence) -> Floats:
        off: Floats = np.abs(to_log(evidence.faces.age) - to_log(evidence.opinion.age))
        return off

    def reason(self, row: Mapping[str, Any]) -> str:
        return f"wrong age: labelled {row['age']:g}, looks {max(row['scores']['age.seen'], 0):.0f}"


@dataclasses.dataclass(frozen=True, slots=True)
class WrongLabel:
    """How much likelier another label is than the given one (margin: Northcutt, Jiang and Chuang 2021)."""

    label: str

    @property
    def name(self) -> str:
        return f"wrong_{self.label}"

    def statistic(self, evidence: Evidence) -> Floats:
        label = getattr(evidence.faces, self.label)
        looks = getattr(evidence.opinion, self.label)
        if looks.shape[1] < 2 or not (label >= 0).any():
            return np.full(len(label), np.nan, dtype=np.float32)
        rows = np.arange(len(label))
        given = looks[rows, np.maximum(label, 0)]
        others = looks.copy()
        others[rows, np.maximum(label, 0)] = -np.inf
        return np.where(label >= 0, others.max(1) - given, np.nan).astype(np.float32)

    def reason(self, row: Mapping[str, Any]) -> str:
        return f"wrong {self.label}: labelled {row[self.label]}"


CHECKS: tuple[Check, ...] = (
    Looks("not_a_face", "not a face"),
    Looks("part", "part of a face"),
    Looks("turned", "turned away"),
    Looks("text", "text over the face"),
    Looks("occluded", "something before the face"),
    Looks("blurred", "blurred"),
    TooSmall(),
    NearDuplicate(),
    WrongAge(),
    WrongLabel("domain"),
    WrongLabel("gender"),
    WrongLabel("glasses"),
)


def score_all(evidence: Evidence, groups: NDArray[np.integer]) -> dict[str, tuple[Floats, Floats]]:
    """For each check by name: scores (N,) in [0, 1], lower = worse, within each of `groups`, and its
    statistic (N,).

    A bad face differs from a sound one in every way: a part of a face looks covered and turned too. So each
    fault of the picture is scored a second time, relative to faces that have no other fault.
    """
    found = {check.name: score(check, evidence, groups) for check in CHECKS}
    first = np.stack([scores for scores, _ in found.values()])
    for number, check in enumerate(CHECKS):
        if isinstance(check, Looks):
            own, statistic = found[check.name]
            others = np.delete(first, number, 0).min(0)
            found[check.name] = rarity_among_sound(statistic, groups, own, others), statistic
    return found


def score(check: Check, evidence: Evidence, groups: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """A check's scores (N,) in [0, 1], lower = worse, within each of `groups`, and its statistic (N,)."""
    statistic = check.statistic(evidence)
    if isinstance(check, NearDuplicate):
        # Drawings by one program are more alike than photographs, and copies are more than a few per cent.
        twice = evidence.twice
        scores = rarity(statistic, twice.groups, twice.usual, through=(0.80, 0.95))
    else:
        scores = rarity(statistic, groups)
    scores = np.minimum(_WEIGHTS.get(check.name, 1) * scores, 1).astype(np.float32)
    if isinstance(check, WrongLabel):
        scores[~(statistic > 0)] = 1  # a face that looks most like its own label is never a suspect
    if isinstance(check, TooSmall):
        scores[~(evidence.enlarged > _FINE)] = 1  # nor is the smallest of large pictures
    return scores, statistic

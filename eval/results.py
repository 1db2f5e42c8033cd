"""A protocol's results: plain numbers, each with its n, interval and backend, and what the report shows."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nenrin.eval import metrics
from nenrin.eval.stats import Estimate
from nenrin.eval.subjects import Pixels, Role


class Who(NamedTuple):
    """The subject of a number, and its role."""

    name: str
    role: Role


@dataclasses.dataclass(kw_only=True, slots=True)
class Sample:
    """The values behind a mean, kept so that two agers can be compared face by face."""

    values: NDArray[np.float64]  # (N,) the same faces in the same order for every subject of a case
    groups: NDArray[Any]  # (N,) persons

    def by_person(self) -> NDArray[np.float64]:
        """The mean of each person's known values, (P,), persons in alphabetical order; NaN if none."""
        _, member = np.unique(self.groups, return_inverse=True)
        known = np.isfinite(self.values)
        totals = np.bincount(member, np.where(known, self.values, 0))
        counts = np.bincount(member, known)
        return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


@dataclasses.dataclass(kw_only=True, slots=True)
class Score:
    """One number of the report."""

    protocol: str
    domain: str
    case: str = ""  # which part of the question: growing older, growing younger
    subject: str  # the ager, floor or ceiling
    role: Role
    metric: str  # a name of `nenrin.eval.metrics`
    backend: str  # which judge, embedder or distance made it
    estimate: Estimate
    sample: Sample | None = None  # None if the number is not a mean
    members: tuple[str, ...] = ()  # the agers pooled in it, which differ by their seed alone

    @property
    def better(self) -> int:
        """1 where more is better, -1 where less is, 0 where neither."""
        return metrics.better(self.metric)

    @property
    def percent(self) -> bool:
        """Whether the value is a fraction."""
        return self.metric in metrics.SHARES

    @property
    def place(self) -> tuple[str, str, str, str, str]:
        """The key that comparable numbers share."""
        return self.protocol, self.domain, self.case, self.metric, self.backend


@dataclasses.dataclass(kw_only=True, slots=True)
class Curve:
    """A line of a plot: asked age against judged age of one subject, with the quartiles of its faces."""

    protocol: str
    domain: str
    subject: str
    role: Role
    backend: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]


@dataclasses.dataclass(kw_only=True, slots=True)
class Confusion:
    """How often faces asked (or known) to have one value were judged to have another."""

    protocol: str
    domain: str
    subject: str
    role: Role
    backend: str
    words: list[str]
    counts: list[list[int]]  # asked x judged


@dataclasses.dataclass(kw_only=True, slots=True)
class StripRow:
    """Pictures side by side under the strip's columns; None leaves a gap."""

    label: str
    pictures: list[Pixels | None]
    captions: list[str]


@dataclasses.dataclass(kw_only=True, slots=True)
class Strip:
    """One person at all asked ages, a row for each subject."""

    protocol: str
    domain: str
    title: str
    columns: list[str]
    rows: list[StripRow]
    worst: bool = False  # shown because it went wrong, not chosen at random


@dataclasses.dataclass(kw_only=True, slots=True)
class Result:
    """The answer of one protocol."""

    protocol: str
    question: str
    method: str  # how it was measured, for the reader of the report
    scores: list[Score] = dataclasses.field(default_factory=list)
    details: list[Score] = dataclasses.field(
        default_factory=list
    )  # the same, each character a case of its own
    curves: list[Curve] = dataclasses.field(default_factory=list)
    confusions: list[Confusion] = dataclasses.field(default_factory=list)
    strips: list[Strip] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)  # what could not be measured, and why

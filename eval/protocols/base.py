"""What a protocol is given, and what it hands back: plain numbers, each with its n, interval and backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.align import OUTSIDE
from nenrin.eval import stats
from nenrin.eval.features import FeatureStore
from nenrin.eval.identity import Embedder
from nenrin.eval.judges import Judge
from nenrin.eval.panel import Panel
from nenrin.eval.perceptual import Perceptual
from nenrin.eval.stats import Estimate
from nenrin.eval.subjects import Batch, Pixels, Role, Subject, age_faces


@dataclasses.dataclass(kw_only=True, slots=True)
class Score:
    """One number of the report."""

    protocol: str
    domain: str
    case: str = ""  # which half of the question: growing older, growing younger
    subject: str  # the ager, floor or ceiling
    role: Role
    metric: str  # a constant of the protocol's file
    backend: str  # which judge, embedder or distance made it
    estimate: Estimate
    better: int = 0  # 1 higher is better, -1 lower, 0 neither
    percent: bool = False


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
    worst: bool = False  # shown because it went wrong, not drawn by the seed


@dataclasses.dataclass(kw_only=True, slots=True)
class Result:
    """The answer of one protocol."""

    protocol: str
    question: str
    method: str  # how it was measured, for the reader of the report
    scores: list[Score] = dataclasses.field(default_factory=list)
    curves: list[Curve] = dataclasses.field(default_factory=list)
    strips: list[Strip] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)  # what could not be measured, and why


@dataclasses.dataclass(kw_only=True, slots=True)
class Contender:
    """A subject and what it stands for."""

    subject: Subject
    role: Role

    @property
    def name(self) -> str:
        """The subject's name."""
        return self.subject.name


@dataclasses.dataclass(kw_only=True, slots=True)
class Bench:
    """Everything a protocol works with."""

    contenders: Sequence[Contender]  # agers, then floors
    faces: Batch  # the test split of the sets
    panel: Panel
    embedders: Sequence[Embedder]  # the first is the one strips and plots speak of
    perceptual: Perceptual
    store: FeatureStore
    size: int  # px at which faces are compared
    people: int  # how many a protocol takes in a domain
    shown: int  # how many of them the report shows
    seed: int
    resamples: int

    def domains(self) -> list[str]:
        """The domains of the test faces, in order of appearance."""
        return [d for d in dict.fromkeys(self.faces.domain.tolist()) if d]

    def aged(self, contender: Contender, batch: Batch, to: NDArray[np.floating]) -> Pixels:
        """The batch at the ages `to` (N,) by this contender; grey where the input has no pixels."""
        return _hide(age_faces(contender.subject, batch, to), batch.masks)

    def embed(self, embedder: Embedder, pixels: Pixels) -> NDArray[np.float32]:
        """Unit vectors (N, D)."""
        return self.store.get(embedder.key, embedder.embed, pixels, embedder.name)

    def judged(self, judge: Judge, pixels: Pixels) -> NDArray[np.float32]:
        """Years (N,), to the hundredth: below it lies the noise of summing in another order, which would
        rank equal pictures."""
        return np.round(self.store.get(judge.key, judge.judge, pixels, judge.name), 2)

    def distance(self, a: Pixels, b: Pixels, seen: Pixels | None = None) -> NDArray[np.float32]:
        """Perceptual distances (N,); pixels where `seen` (N, H, H) is 0 are grey on both sides."""
        if seen is not None:
            a, b = _hide(a, seen), _hide(b, seen)
        return self.store.pairs(self.perceptual.name, self.perceptual.distance, a, b)

    def mean(self, values: Any, groups: Any) -> Estimate:
        """`stats.mean` with this bench's seed and resamples."""
        return stats.mean(values, groups, seed=self.seed, resamples=self.resamples)

    def recovery(self, copy: Any, output: Any, ceiling: Any, groups: Any) -> Estimate:
        """`stats.recovery` with this bench's seed and resamples."""
        return stats.recovery(copy, output, ceiling, groups, seed=self.seed, resamples=self.resamples)


def _hide(pixels: Pixels, seen: Pixels) -> Pixels:
    """(N, H, H, 3), grey where `seen` (N, H, H) is 0."""
    return np.where((seen == 0)[..., None], np.uint8(OUTSIDE), pixels)


class EvalProtocol(Protocol):
    """A question. `run` raises `NenrinError` where these faces cannot answer it: the report says so."""

    name: str
    question: str

    def run(self, bench: Bench) -> Result:
        """Ask it of every contender."""
        ...

"""The bench that every protocol works with: agers, faces and judges, and the sheet for its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.align import OUTSIDE
from nenrin.domains.array import FaceArray
from nenrin.domains.finders import AUTO
from nenrin.eval import stats
from nenrin.eval.features import FeatureStore
from nenrin.eval.identity import Embedder
from nenrin.eval.judges import Judge, SVRJudge
from nenrin.eval.label_panel import LabelPanel
from nenrin.eval.labels import LabelJudge, NetJudge
from nenrin.eval.nets import to_tensor
from nenrin.eval.panel import Panel
from nenrin.eval.perceptual import Perceptual
from nenrin.eval.results import Result, Sample, Score, Who
from nenrin.eval.stats import Estimate
from nenrin.eval.subjects import Batch, Pixels, Role, Subject, age_faces, asked_of

Floats = NDArray[np.floating]


@dataclasses.dataclass(kw_only=True, slots=True)
class Contender:
    """A subject and its role. `key` identifies its outputs in the cache; with "" they are not cached."""

    subject: Subject
    role: Role
    key: str = ""

    @property
    def name(self) -> str:
        """The subject's name."""
        return self.subject.name

    @property
    def who(self) -> Who:
        """Its name and role, for its numbers."""
        return Who(self.name, self.role)


@dataclasses.dataclass(kw_only=True, slots=True)
class CanonOptions:
    """Where the characters of `canon` come from."""

    pictures: Path | None = None  # the user's folder, with a folder for each pair
    manifests: Sequence[Path] = ()  # instead of those that come with nenrin
    finder: str = AUTO  # for their faces: a name of `finders.FINDERS`, or a file


@dataclasses.dataclass(kw_only=True, slots=True)
class Bench:
    """Everything a protocol works with."""

    contenders: Sequence[Contender]  # agers, then floors
    faces: Batch  # the test split of the sets
    panel: Panel
    embedders: Sequence[Embedder]  # strips and plots use the first
    perceptual: Perceptual
    store: FeatureStore
    size: int  # px at which faces are compared
    people: int  # how many a protocol uses in each domain
    shown: int  # how many of them the report shows
    seed: int
    resamples: int
    labels: LabelPanel = dataclasses.field(default_factory=LabelPanel)
    gather: Callable[[], FaceArray | None] = lambda: None  # the kept faces of every split
    trained_on: Mapping[str, Collection[str]] = dataclasses.field(default_factory=dict)  # by ager: face ids
    canon: CanonOptions = dataclasses.field(default_factory=CanonOptions)
    distribution_features: str = "auto"  # a name of `nenrin.eval.distributions.NAMES`

    def domains(self) -> list[str]:
        """The domains of the test faces, in order of appearance."""
        return [d for d in dict.fromkeys(self.faces.domain.tolist()) if d]

    def of_domain(self, domain: str) -> Batch:
        """The test faces of one domain."""
        return self.faces.take(self.faces.domain == domain)

    def aged(
        self,
        contender: Contender,
        batch: Batch,
        to: Floats,
        glasses: NDArray[np.integer] | None = None,
        rows: NDArray[np.intp] | None = None,
    ) -> Pixels:
        """The batch aged by this contender to `to` (N,); grey where the input has no pixels.

        NaN asks for the face's own age; `glasses` (N,) are indices into GLASSES, by default those it wears.
        `rows` (N,) gives the face for each age, if faces are asked for several ages.
        """
        rows = np.arange(len(batch)) if rows is None else rows
        asked = asked_of(batch, to, batch.glasses[rows] if glasses is None else glasses)

        def compute(chunk: slice) -> Pixels:
            faces = batch.take(rows[chunk])
            return hide(age_faces(contender.subject, faces, asked.take(chunk)), faces.masks)

        if not contender.key:
            return compute(slice(None))
        inputs: list[NDArray[Any]] = [
            rows,
            batch.pixels,
            batch.masks,
            *batch.labels(),
            asked.age,
            asked.glasses,
        ]
        return self.store.outputs(contender.key, inputs, compute, contender.name)

    def embed(self, embedder: Embedder, pixels: Pixels) -> NDArray[np.float32]:
        """Unit vectors (N, D)."""
        return self.store.get(embedder.key, embedder.embed, pixels, embedder.name)

    def judged(self, judge: Judge, pixels: Pixels) -> NDArray[np.float32]:
        """Years (N,), rounded to hundredths: differences below are noise from the order of summation, which
        would rank equal pictures."""
        if isinstance(judge, SVRJudge) and judge.embedder is not None:  # embed each face only once
            svr, vectors = judge, self.embed(judge.embedder, pixels)
            years = self.store.read(
                judge.key, judge.name, (pixels,), lambda r: svr.judge(to_tensor(pixels[r]), vectors[r])
            )
        else:
            years = self.store.get(judge.key, judge.judge, pixels, judge.name)
        return np.round(years, 2)

    def labelled(self, judge: LabelJudge, pixels: Pixels) -> NDArray[np.float32]:
        """Probabilities (N, C) of the judge's words."""
        if isinstance(judge, NetJudge):  # estimate all attributes of a face in one pass
            read = self.store.get(judge.net_key, judge.everything, pixels, judge.name)
            return read[:, judge.columns]
        return self.store.get(judge.key, judge.probabilities, pixels, judge.name)

    def distance(self, a: Pixels, b: Pixels, seen: Pixels | None = None) -> NDArray[np.float32]:
        """Perceptual distances (N,); pixels where `seen` (N, H, H) is 0 are grey on both sides."""
        if seen is not None:
            a, b = hide(a, seen), hide(b, seen)
        return self.store.pairs(self.perceptual.name, self.perceptual.distance, a, b)

    def mean(self, values: Any, groups: Any) -> Estimate:
        """`stats.mean` with this bench's seed and resamples."""
        return stats.mean(values, groups, seed=self.seed, resamples=self.resamples)

    def recovery(self, copy: Any, output: Any, ceiling: Any, groups: Any) -> Estimate:
        """`stats.recovery` with this bench's seed and resamples."""
        return stats.recovery(copy, output, ceiling, groups, seed=self.seed, resamples=self.resamples)


@dataclasses.dataclass(slots=True)
class Sheet:
    """Writes the numbers of one domain and case into a result."""

    bench: Bench
    result: Result
    domain: str
    case: str = ""

    def put(
        self, who: Who, metric: str, backend: str, estimate: Estimate, sample: Sample | None = None
    ) -> None:
        """One number."""
        self.result.scores.append(self.score(who, metric, backend, estimate, sample))

    def score(
        self, who: Who, metric: str, backend: str, estimate: Estimate, sample: Sample | None = None
    ) -> Score:
        """One number of this domain and case."""
        return Score(
            protocol=self.result.protocol,
            domain=self.domain,
            case=self.case,
            subject=who.name,
            role=who.role,
            metric=metric,
            backend=backend,
            estimate=estimate,
            sample=sample,
        )

    def mean(self, who: Who, metric: str, backend: str, values: Any, groups: Any) -> Estimate:
        """The mean of `values` (N,), persons `groups` (N,) resampled; returns it."""
        sample = Sample(values=np.asarray(values, dtype=np.float64), groups=np.asarray(groups))
        estimate = self.bench.mean(sample.values, sample.groups)
        self.put(who, metric, backend, estimate, sample)
        return estimate


def hide(pixels: Pixels, seen: Pixels) -> Pixels:
    """(N, H, H, 3), grey where `seen` (N, H, H) is 0."""
    return np.where((seen == 0)[..., None], np.uint8(OUTSIDE), pixels)


class EvalProtocol(Protocol):
    """A question. `run` raises `NenrinError` if these faces cannot answer it, and the report says so."""

    name: str
    question: str

    def run(self, bench: Bench) -> Result:
        """Ask it of every contender."""
        ...

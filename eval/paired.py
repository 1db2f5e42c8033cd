"""Do two agers differ on the same faces? Paired differences, effect sizes and tests, and seeds pooled."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nenrin.eval import stats
from nenrin.eval.results import Sample, Score
from nenrin.eval.stats import Estimate, Floats

FLIPS = 10_000  # random sign flips of the test; with few persons all of them are tried


@dataclasses.dataclass(kw_only=True, slots=True)
class Comparison:
    """Ager `a` minus ager `b`, on the same faces."""

    protocol: str
    domain: str
    case: str
    metric: str
    backend: str
    a: str
    b: str
    difference: Estimate
    effect: float  # Cohen's d of the paired differences, over persons
    p: float  # sign-flip test over persons, two-sided, corrected by Holm within the protocol
    better: str  # which of the two is better, "" where the corrected test cannot tell


def compare(
    scores: Sequence[Score], *, seed: int, resamples: int, seeds: Mapping[str, str] | None = None
) -> list[Comparison]:
    """Compares all pairs of agers, on every number that is a mean over the same faces.

    A training for which `seeds` (see `pool`) names several runs is compared as one, not seed by seed.
    """
    places: dict[tuple[str, ...], dict[str, list[Score]]] = {}
    for score in scores:
        if score.role == "ager" and score.sample is not None and score.better:
            name = (seeds or {}).get(score.subject, score.subject)
            places.setdefault(score.place, {}).setdefault(name, []).append(score)
    found = [
        _compared(a, b, seed=seed, resamples=resamples)
        for trainings in places.values()
        for a, b in itertools.combinations(trainings.items(), 2)
        if all(_same_faces(a[1][0], other) for other in (*a[1], *b[1]))
    ]
    for protocol in dict.fromkeys(c.protocol for c in found):
        family = [c for c in found if c.protocol == protocol]
        for comparison, p in zip(family, holm([c.p for c in family]), strict=True):
            comparison.p = p
            if not p < 0.05:
                comparison.better = ""
    return found


def _same_faces(a: Score, b: Score) -> bool:
    assert a.sample is not None
    assert b.sample is not None
    return np.array_equal(a.sample.groups, b.sample.groups)


def _compared(
    a: tuple[str, Sequence[Score]], b: tuple[str, Sequence[Score]], *, seed: int, resamples: int
) -> Comparison:
    """Compares two trainings, each given by its name and the scores of its seeds, at least one."""
    (name, rows), (other, more) = ((pooled_name(n, len(r)), r) for n, r in (a, b))
    ours, theirs = ([s.sample for s in side if s.sample is not None] for side in (rows, more))
    groups = ours[0].groups
    apart = _seeds_as_one(ours) - _seeds_as_one(theirs)
    by_person = Sample(values=apart, groups=groups).by_person()
    several = len(ours) + len(theirs) > 2
    if several:
        difference = _between(ours, theirs, seed=seed, resamples=resamples)
    else:
        difference = stats.mean(apart, groups, seed=seed, resamples=resamples)
    better = (name if difference.value * rows[0].better > 0 else other) if difference.value else ""
    if several and not (difference.low > 0 or difference.high < 0):
        better = ""  # the test is over persons only; variation between seeds is in the interval alone
    return Comparison(
        protocol=rows[0].protocol,
        domain=rows[0].domain,
        case=rows[0].case,
        metric=rows[0].metric,
        backend=rows[0].backend,
        a=name,
        b=other,
        difference=difference,
        effect=cohens_d(by_person),
        p=sign_flip_test(by_person, seed=seed),
        better=better,
    )


def pooled_name(name: str, count: int) -> str:
    """The common name of several seeds of a training; a single one keeps its name."""
    return name if count == 1 else f"{name} ({count} seeds)"


def _seeds_as_one(samples: Sequence[Sample]) -> Floats:
    """The mean of each row over the seeds that have a value, (N,); NaN if none has."""
    values = np.stack([s.values for s in samples])
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(known, values, 0).sum(0) / known.sum(0)
    return mean


def cohens_d(differences: Floats) -> float:
    """Mean over standard deviation of paired differences (P,) (Cohen 1988, d_z); NaN if undefined."""
    known = differences[np.isfinite(differences)]
    spread = known.std(ddof=1) if len(known) > 1 else 0.0
    return float(known.mean() / spread) if spread > 0 else float("nan")


def sign_flip_test(differences: Floats, *, seed: int) -> float:
    """Two-sided p for the mean of paired differences (P,) being 0, by flipping the signs of differences.

    It uses all 2^P sign vectors if they are no more than `FLIPS`, else that many random ones and the observed
    one (Phipson and Smyth 2010). NaN without a difference.
    """
    known = differences[np.isfinite(differences)]
    if not len(known):
        return float("nan")
    exact = 2 ** min(len(known), 64) <= FLIPS
    if exact:
        signs = 1.0 - 2 * (np.arange(2 ** len(known))[:, None] >> np.arange(len(known)) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(FLIPS, len(known)))
    # To within rounding: flipping all signs must not make the mean differ from itself.
    reached = int((np.abs(signs @ known) >= np.abs(known.sum()) - 1e-12 * np.abs(known).sum()).sum())
    return reached / len(signs) if exact else (reached + 1) / (len(signs) + 1)


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for multiple testing (Holm 1979); NaN stays NaN."""
    values = np.asarray(p, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    corrected = values.copy()
    steps = values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return [float(v) for v in corrected]


def pool(scores: Sequence[Score], seeds: Mapping[str, str], *, seed: int, resamples: int) -> list[Score]:
    """A pooled score for each training with several seeds, besides the scores of each seed.

    `seeds` maps an ager to the name that it shares with those that differ from it by their seed alone.
    Persons and seeds are both resampled, so the interval covers the variation between seeds too.
    """
    places: dict[tuple[str, ...], list[Score]] = {}
    for score in scores:
        if score.subject in seeds and score.sample is not None:
            places.setdefault((seeds[score.subject], *score.place), []).append(score)
    return [
        dataclasses.replace(
            rows[0],
            subject=pooled_name(name, len(rows)),
            estimate=_over_seeds([s.sample for s in rows if s.sample], seed=seed, resamples=resamples),
            sample=None,
            members=tuple(s.subject for s in rows),
        )
        for (name, *_), rows in places.items()
        if len(rows) > 1 and all(_same_faces(rows[0], other) for other in rows)
    ]


def _over_seeds(samples: Sequence[Sample], *, seed: int, resamples: int) -> Estimate:
    """The mean over faces and seeds; a resample draws both seeds and persons with replacement."""
    rng = np.random.default_rng(seed)
    value, resampled, persons = _means(samples, _persons_drawn(samples[0], rng, resamples), rng)
    return stats.interval(value, resampled, n=len(samples[0].values), identities=persons)


def _between(ours: Sequence[Sample], theirs: Sequence[Sample], *, seed: int, resamples: int) -> Estimate:
    """The mean of ours less that of theirs: the same persons are drawn for both, seeds for each."""
    rng = np.random.default_rng(seed)
    drawn = _persons_drawn(ours[0], rng, resamples)
    value, resampled, persons = _means(ours, drawn, rng)
    other, other_resampled, _ = _means(theirs, drawn, rng)
    return stats.interval(
        value - other, resampled - other_resampled, n=len(ours[0].values), identities=persons
    )


def _persons_drawn(sample: Sample, rng: np.random.Generator, resamples: int) -> NDArray[np.int64]:
    """How often each person is drawn, (R, P)."""
    persons = len(np.unique(sample.groups))
    return rng.multinomial(persons, np.full(persons, 1 / max(persons, 1)), size=resamples)


def _means(
    samples: Sequence[Sample], drawn: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, Floats, int]:
    """The mean over faces and seeds, the mean of each resample (R,), and the number of persons."""
    values = np.stack([s.values for s in samples])  # (S, N)
    _, member = np.unique(samples[0].groups, return_inverse=True)
    persons, known = drawn.shape[1], np.isfinite(values)
    sums = np.stack([np.bincount(member, row, persons) for row in np.where(known, values, 0)])
    counts = np.stack([np.bincount(member, row, persons) for row in known])
    of_seeds = rng.multinomial(len(samples), np.full(len(samples), 1 / len(samples)), size=len(drawn))
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(sums.sum() / counts.sum())
        resampled = (of_seeds * (drawn @ sums.T)).sum(1) / (of_seeds * (drawn @ counts.T)).sum(1)
    return value, resampled, persons

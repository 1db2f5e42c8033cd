"""Numbers with their intervals: bootstrap over identities, rank correlation, recovery.

Pictures of one person are not independent, so persons are resampled, never pictures (the cluster bootstrap of
Davison and Hinkley 1997, section 3.8). Everything here is a pure function of arrays. Most scores are
functions of sums over pictures (a mean, a fraction, a ratio of means), so a resample costs one row of a
matrix product; the few that are not (AUC) weight their rows by `row_draws`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats as scipy_stats

Floats = NDArray[np.float64]
RESAMPLES = 1000
_BINS = 10  # bins of confidence
_BLOCKS = 20  # of persons, of which one at a time is left out


@dataclasses.dataclass(kw_only=True, slots=True, frozen=True)
class Estimate:
    """A score, its 95% percentile interval and its sample sizes. NaN if undefined."""

    value: float
    low: float
    high: float
    n: int  # pictures or pairs
    identities: int  # persons: the units that were resampled

    @classmethod
    def undefined(cls) -> Estimate:
        """The undefined score."""
        return cls(value=math.nan, low=math.nan, high=math.nan, n=0, identities=0)

    @property
    def defined(self) -> bool:
        """Whether there is a number."""
        return math.isfinite(self.value)


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """The same number in another unit."""
    value, low, high = (factor * v for v in (estimate.value, estimate.low, estimate.high))
    return dataclasses.replace(estimate, value=value, low=low, high=high)


def jackknife(
    value: float,
    statistic: Callable[[NDArray[np.bool_], NDArray[np.bool_]], float],
    groups: tuple[ArrayLike, ArrayLike],
    *,
    seed: int,
) -> Estimate:
    """A value of two groups, and its interval from leaving out a block of persons at a time (Efron 1982).

    `statistic` gets the rows of each group that stay. This serves statistics that a bootstrap would bias,
    because it draws faces twice, which makes every group look less varied. The interval is the value plus or
    minus Student's t times the standard error; NaN with fewer than two persons for each block.
    """
    dealt, counts = [], []
    for i, names in enumerate(groups):
        members, count = _members(names)
        order = np.random.default_rng(seed + i).permutation(count)
        dealt.append((order % _BLOCKS)[members])
        counts.append(count)
    n, persons = len(dealt[0]), counts[0]
    if min(counts) < 2 * _BLOCKS or not math.isfinite(value):
        return Estimate(value=value, low=math.nan, high=math.nan, n=n, identities=persons)
    left = np.array([statistic(dealt[0] != b, dealt[1] != b) for b in range(_BLOCKS)])
    error = math.sqrt((_BLOCKS - 1) / _BLOCKS * float(((left - left.mean()) ** 2).sum()))
    reach = float(scipy_stats.t.ppf(0.975, _BLOCKS - 1)) * error
    return Estimate(value=value, low=value - reach, high=value + reach, n=n, identities=persons)


def _members(groups: ArrayLike) -> tuple[NDArray[np.intp], int]:
    _, members = np.unique(np.asarray(groups), return_inverse=True)
    members = members.reshape(-1)
    return members, int(members.max()) + 1 if len(members) else 0


def _draws(count: int, *, resamples: int, seed: int) -> NDArray[np.int64]:
    """How often each of `count` persons is drawn in each resample, (resamples, count)."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)


def row_draws(groups: ArrayLike, *, resamples: int, seed: int) -> Floats:
    """How often each row is drawn in each resample of its persons, (resamples, N)."""
    members, count = _members(groups)
    return _draws(count, resamples=resamples, seed=seed)[:, members].astype(np.float64)


def ratio(
    top: ArrayLike, bottom: ArrayLike, groups: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """The mean of `top` over the mean of `bottom`, both (N,), for the same faces."""
    columns = np.stack([np.asarray(top, np.float64), np.asarray(bottom, np.float64)], axis=1)
    return bootstrap_sums(columns, groups, lambda s: s[:, 0] / s[:, 1], seed=seed, resamples=resamples)


def slope(
    x: ArrayLike, y: ArrayLike, groups: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """The least-squares slope of y over x, both (N,); undefined if x does not vary."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    columns = np.stack([np.ones(len(x)), x, y, x * y, x * x], axis=1)

    def fitted(s: Floats) -> Floats:
        spread = s[:, 0] * s[:, 4] - s[:, 1] ** 2
        return np.where(spread > 0, (s[:, 0] * s[:, 3] - s[:, 1] * s[:, 2]) / spread, np.nan)

    return bootstrap_sums(columns, groups, fitted, seed=seed, resamples=resamples)


def bootstrap_sums(
    columns: ArrayLike,
    groups: ArrayLike,
    statistic: Callable[[Floats], Floats],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate a statistic that is a function of column sums.

    `columns` is (N, K), `groups` (N,) names each row's person; `statistic` maps resampled column sums
    (R, K) to (R,). Resamples in which it is not finite are left out of the interval.
    """
    columns = np.asarray(columns, dtype=np.float64)
    if not len(columns):
        return Estimate.undefined()
    members, count = _members(groups)
    sums = np.zeros((count, columns.shape[1]))
    np.add.at(sums, members, columns)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
        resampled = statistic(_draws(count, resamples=resamples, seed=seed) @ sums)
    return interval(value, resampled, n=len(columns), identities=count)


def interval(value: float, resampled: Floats, *, n: int, identities: int) -> Estimate:
    """A value with the 95% percentile interval of its finite resamples."""
    finite = resampled[np.isfinite(resampled)]
    low, high = np.percentile(finite, [2.5, 97.5]) if len(finite) else (math.nan, math.nan)
    return Estimate(value=value, low=float(low), high=float(high), n=n, identities=identities)


def mean(values: ArrayLike, groups: ArrayLike, *, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """The mean over rows, with persons resampled. A row that is NaN is left out."""
    values, groups = np.asarray(values, dtype=np.float64), np.asarray(groups)
    kept = np.isfinite(values)
    columns = np.stack([values[kept], np.ones(kept.sum())], axis=1)
    return bootstrap_sums(columns, groups[kept], lambda s: s[:, 0] / s[:, 1], seed=seed, resamples=resamples)


def difference(
    a: ArrayLike,
    a_groups: ArrayLike,
    b: ArrayLike,
    b_groups: ArrayLike,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """mean(b) - mean(a) of two lists of rows. Each resample draws persons jointly for both lists.

    So a person in both lists is treated as paired, a person in one alone is not. `n` counts the rows of both.
    """
    columns, groups = [], []
    for side, (values, names) in enumerate(((a, a_groups), (b, b_groups))):
        values, names = np.asarray(values, dtype=np.float64), np.asarray(names)
        known = np.isfinite(values)
        rows = np.zeros((int(known.sum()), 4))
        rows[:, 2 * side], rows[:, 2 * side + 1] = values[known], 1
        columns.append(rows)
        groups.append(names[known].astype(str))
    return bootstrap_sums(
        np.concatenate(columns),
        np.concatenate(groups),
        lambda s: s[:, 2] / s[:, 3] - s[:, 0] / s[:, 1],
        seed=seed,
        resamples=resamples,
    )


def recovery(
    copy: ArrayLike,
    output: ArrayLike,
    ceiling: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The fraction of the way from the unchanged input to a real picture that an ager goes.

    (d(copy, ref) - d(output, ref)) / (d(copy, ref) - d(ref', ref)), each (N,). Both differences are averaged
    within each person, then over persons, and only then divided: a ratio for each pair would explode where
    the copy is already as close as a second real picture. It is undefined (NaN) unless the ceiling beats the
    copy on average. It has no interval if the ceiling does not in more than 2.5% of the resamples, since the
    ratio is then unbounded (Fieller 1954).
    """
    gain = np.subtract(copy, output, dtype=np.float64)
    room = np.subtract(copy, ceiling, dtype=np.float64)
    members, count = _members(groups)
    sizes = np.bincount(members, minlength=count)[members] if count else np.ones(0)
    columns = np.stack([gain / sizes, room / sizes], axis=-1)

    def ratio(sums: Floats) -> Floats:
        return np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan)

    room_left = bootstrap_sums(columns, groups, lambda s: s[:, 1], seed=seed, resamples=resamples)
    estimate = bootstrap_sums(columns, groups, ratio, seed=seed, resamples=resamples)
    if estimate.n and not room_left.low > 0:
        return dataclasses.replace(estimate, low=math.nan, high=math.nan)
    return estimate


def calibration_error(
    confidence: ArrayLike, right: ArrayLike, groups: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """Expected calibration error (Naeini et al. 2015): the gap between confidence and accuracy, 0 to 1.

    `confidence` (N,) in [0, 1] is that of the answers, `right` (N,) is 1 where they are right; 10 equal bins.
    """
    confidence, right = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    columns = np.zeros((len(confidence), _BINS + 1))
    columns[np.arange(len(confidence)), place] = confidence - right
    columns[:, -1] = 1
    return bootstrap_sums(
        columns,
        groups,
        lambda s: np.abs(s[:, :-1]).sum(1) / s[:, -1],
        seed=seed,
        resamples=resamples,
    )


def within_person_spearman(asked: ArrayLike, judged: ArrayLike) -> Floats:
    """Rank correlation of asked and judged ages within each person, (P, A) and (P, A) -> (P,).

    0 if all judged ages of a person are equal, as for an ager that ignores the age.
    """
    asked, judged = np.broadcast_arrays(np.asarray(asked, float), np.asarray(judged, float))
    x, y = scipy_stats.rankdata(asked, axis=-1), scipy_stats.rankdata(judged, axis=-1)
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    scale = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return np.where(scale > 0, (x * y).sum(-1) / np.where(scale > 0, scale, 1), 0.0)


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation of two (N,) arrays, ties averaged; 0 where one of them is constant."""
    return float(within_person_spearman(np.asarray(a)[None], np.asarray(b)[None])[0])

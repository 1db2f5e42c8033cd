"""The rarity of a statistic within its group, which brings the units of all checks to one scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 1e-30  # scores are stored as float32
_STRANGE = 0.002  # a face with a lower score by one check does not count as usual for another


def rarity(
    statistic: NDArray[np.floating],
    groups: NDArray[np.integer],
    usual: NDArray[np.floating] | None = None,
    *,
    through: tuple[float, float] = (0.90, 0.98),
) -> NDArray[np.float32]:
    """The fraction of sound faces of the same group that would look at least as bad: (N,) in [0, 1].

    Up to the first quantile of `through` this is the empirical fraction. Beyond, an exponential tail is
    fitted through both quantiles. A few per cent of faults lie further out and hardly affect it, and an
    outlier gets the tiny score it deserves instead of one over N (peaks over threshold: Pickands 1975).
    `usual` (N,) is the reference distribution, if it is not `statistic` itself. NaN, where a check does not
    apply, scores 1.
    """
    first, second = through
    scores = np.ones(len(statistic), dtype=np.float32)
    usual = statistic if usual is None else usual
    for group in np.unique(groups):
        rows = np.flatnonzero((groups == group) & ~np.isnan(statistic))
        known = np.sort(usual[(groups == group) & ~np.isnan(usual)].astype(np.float64))
        if not len(rows) or not len(known):
            continue
        values = statistic[rows].astype(np.float64)
        seen = 1 - np.searchsorted(known, values, side="left") / len(known)
        body, shoulder = np.quantile(known, [first, second])
        slope = (shoulder - body) / np.log((1 - first) / (1 - second))
        if slope > 0:
            beyond = np.maximum(values - body, 0)
            seen = np.where(beyond > 0, (1 - first) * np.exp(-beyond / slope), seen)
        scores[rows] = np.clip(seen, _SMALLEST, 1)
    return scores


def rarity_among_sound(
    statistic: NDArray[np.floating],
    groups: NDArray[np.integer],
    own: NDArray[np.floating],
    others: NDArray[np.floating],
) -> NDArray[np.float32]:
    """`rarity` (N,) computed again without the faces that have another fault.

    `own` (N,) is the first result of `rarity`, `others` (N,) the lowest score by any other check. Faces that
    another check finds bad, and worse, are left out of the reference distribution.
    """
    strange = (others < _STRANGE) & (others < own)
    return rarity(statistic, groups, np.where(strange, np.nan, statistic))

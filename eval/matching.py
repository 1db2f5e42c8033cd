"""Are two faces of one person? AUC, thresholds and the equal error rate of similarities."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from nenrin.eval.stats import Floats


def beaten(genuine: Floats, ordered: Floats) -> Floats:
    """The fraction of `ordered` (ascending) pairs of strangers below each genuine pair, ties one half: (G,).

    Its mean is the AUC (Mann-Whitney U / mn); 0 if there are no strangers.
    """
    both = np.searchsorted(ordered, genuine, "left") + np.searchsorted(ordered, genuine, "right")
    return both / (2 * max(len(ordered), 1))


def threshold_at_far(impostor: ArrayLike, rate: float = 0.01) -> float:
    """The lowest similarity at or above which at most `rate` of impostor pairs are accepted."""
    ordered = np.sort(np.asarray(impostor, dtype=np.float64))[::-1]
    if not len(ordered):
        return math.nan
    allowed = math.floor(rate * len(ordered))
    return float(np.nextafter(ordered[allowed], np.inf)) if allowed < len(ordered) else float(ordered[-1])


def equal_error_rate(genuine: ArrayLike, impostor: ArrayLike) -> float:
    """The rate at which equal fractions of strangers are accepted and persons refused (ISO/IEC 19795-1),
    interpolated linearly."""
    genuine, impostor = np.sort(np.asarray(genuine, float)), np.sort(np.asarray(impostor, float))
    if not len(genuine) or not len(impostor):
        return math.nan
    thresholds = np.unique(np.concatenate([genuine, impostor, [np.inf]]))
    refused = np.searchsorted(genuine, thresholds, "left") / len(genuine)
    return float(crossing(refused[None], accepted_at(impostor, thresholds))[0])


def accepted_at(ordered: Floats, thresholds: Floats) -> Floats:
    """The fraction of `ordered` (ascending) similarities that reach each threshold."""
    return 1 - np.searchsorted(ordered, thresholds, "left") / len(ordered)


def crossing(refused: Floats, accepted: Floats) -> Floats:
    """The rate at which rising `refused` (R, T) meets falling `accepted` (T,), interpolated: (R,)."""
    gap = refused - accepted
    after = np.argmax(gap >= 0, axis=1)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(refused))
    low, high = gap[rows, before], gap[rows, after]
    share = np.where(high > low, -low / np.where(high > low, high - low, 1), 0.0)
    rate: Floats = refused[rows, before] + share * (refused[rows, after] - refused[rows, before])
    return rate

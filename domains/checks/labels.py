"""Turns predictions of a label into log odds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.checks.opinion import Floats

_GROWN = 3  # years added before the logarithm: 5 and 10 differ as much as 30 and 50, 0 and 1 by less
_STEPS = 12  # of Newton's method; it has converged after six


def to_log(age: Floats) -> Floats:
    """Years to a scale on which equal distances look equally large."""
    return np.log(age + _GROWN)


def of_log(value: Floats) -> Floats:
    """Back to years."""
    return np.exp(value) - _GROWN


def log_odds(
    looks: Floats, labels: NDArray[np.int64], ages: tuple[Floats, Floats], groups: NDArray[np.integer]
) -> Floats:
    """Log odds (N, K) of each label, from predictions `looks` (N, K) and given labels (N,).

    How much a prediction is worth depends on the age: nobody can tell a baby's gender, but everybody that of
    a man of thirty. It also depends on the group: a drawing shows less than a photograph. So a logistic
    regression for each label, fitted on the faces with a known label, combines the margin of `looks` with
    `ages` (the apparent and the labelled age, (N,) each, in logs) and `groups` (N,).
    """
    known = labels >= 0
    answer = np.zeros_like(looks)
    if not known.any():
        return answer
    powers = [np.ones(len(looks))]
    for age in ages:
        spread = age[known].std()
        old = ((age - age[known].mean()) / (spread if spread > 1e-3 else 1)).clip(-2.5, 2.5)
        powers += [old, old**2, old**3]
    powers += [(groups == group).astype(np.float64) for group in np.unique(groups[known])[1:]]
    for label in range(looks.shape[1]):
        others = np.delete(looks, label, axis=1).max(1) if looks.shape[1] > 1 else 0
        margin = looks[:, label] - others
        rows = np.stack([*powers, *(margin * power for power in powers)], 1).astype(np.float64)
        weights = _logistic(rows[known], labels[known] == label)
        answer[:, label] = rows @ weights
    return answer


def pooled(odds: Floats, identity: NDArray[np.int64]) -> Floats:
    """Log odds pooled over all faces of a person, (N, K): their sum over the root of their number, as the
    faces are not independent."""
    named = identity >= 0
    count = np.bincount(identity[named], minlength=1)
    total = np.zeros((len(count), odds.shape[1]))
    np.add.at(total, identity[named], odds[named])
    together = odds.copy()
    together[named] = (total / np.sqrt(np.maximum(count, 1))[:, None])[identity[named]]
    return together


def shared(looks: Floats, given: Floats, pictures: NDArray[np.int64], groups: NDArray[np.integer]) -> Floats:
    """Estimates pooled over a picture and its drawing, (N,): their mean, with each of `groups` weighted by
    its inverse mean squared error. `given` (N,) are the labels, NaN where unknown."""
    weight = np.ones(len(looks))
    for group in np.unique(groups):
        mine = groups == group
        off = (looks - given)[mine]
        if not np.isnan(off).all():
            weight[mine] = 1 / max(float(np.nanmean(off**2)), 1e-6)
    total = np.bincount(pictures, weight * looks) / np.bincount(pictures, weight)
    return total[pictures].astype(np.float32)


def _logistic(rows: NDArray[np.float64], given: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights of a logistic regression, with a ridge penalty in case the labels are separable."""
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        sure = 1 / (1 + np.exp(-(rows @ weights).clip(-30, 30)))
        slope = rows.T @ (given - sure) - weights
        bend = (rows * (sure * (1 - sure))[:, None]).T @ rows + np.eye(rows.shape[1])
        weights += np.linalg.solve(bend, slope)
    return weights

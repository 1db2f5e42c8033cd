"""How well an embedder verifies real faces: strangers set the threshold, pairs of one person the ceiling."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nenrin.eval import matching, stats
from nenrin.eval.stats import Estimate, Floats
from nenrin.eval.subjects import Batch

FAR = 0.01  # fraction of pairs of strangers that may be taken for one person
YEARS = 20  # years between pictures up to which a person should still be recognised
IMPOSTORS = 50_000
_STEPS = 400  # thresholds on which the equal error rate is resampled


@dataclasses.dataclass(kw_only=True, slots=True)
class Verification:
    """One embedder on pairs of faces, some of which are of one person."""

    threshold: float  # similarity that at most `FAR` of strangers reach; NaN with fewer than two persons
    strangers: int  # pairs
    auc: Estimate  # same person against strangers; undefined if nobody has two pictures
    eer: Estimate  # equal error rate
    tar: Estimate  # fraction of same-person pairs at or above the threshold
    accepted: Estimate  # the same, of the pairs up to `YEARS` apart
    every: NDArray[np.float64]  # (N,) 1 where a pair of one person is accepted, else 0
    alike: NDArray[np.float64]  # (N,) its similarity
    persons: NDArray[np.str_]  # (N,)
    near: NDArray[np.bool_]  # (N,) whether it is of pictures up to `YEARS` apart


def verify(vectors: NDArray[np.float32], faces: Batch, *, seed: int, resamples: int) -> Verification:
    """Compare `faces` with each other by their (N, D) unit vectors.

    Persons are resampled: a resample compares the genuine pairs of the persons drawn with all pairs of
    strangers.
    """
    _, person = np.unique(faces.person, return_inverse=True)
    first, second = _same(person)
    return _verify(vectors, faces, vectors, faces, first, second, seed=seed, resamples=resamples)


def verify_across(
    a: NDArray[np.float32],
    a_faces: Batch,
    b: NDArray[np.float32],
    b_faces: Batch,
    *,
    seed: int,
    resamples: int,
) -> Verification:
    """Compare faces of one domain with those of another, but never a picture with its own drawing."""
    same = a_faces.person[:, None] == b_faces.person
    first, second = np.nonzero(same & (a_faces.picture[:, None] != b_faces.picture))
    return _verify(a, a_faces, b, b_faces, first, second, seed=seed, resamples=resamples)


def _verify(
    a: NDArray[np.float32],
    a_faces: Batch,
    b: NDArray[np.float32],
    b_faces: Batch,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    *,
    seed: int,
    resamples: int,
) -> Verification:
    rng = np.random.default_rng(seed)
    count = IMPOSTORS if len(a) and len(b) else 0
    i, j = (rng.integers(max(len(v), 1), size=count) for v in (a, b))
    apart = a_faces.person[i] != b_faces.person[j]
    impostor = np.sort(_similarity(a[i[apart]], b[j[apart]]))
    genuine, person = _similarity(a[first], b[second]), a_faces.person[first]
    near = np.abs(a_faces.age[first] - b_faces.age[second]) <= YEARS
    threshold = matching.threshold_at_far(impostor, FAR)
    accepted = (genuine >= threshold).astype(np.float64)
    if not len(impostor):  # no strangers
        genuine, accepted, person, near = genuine[:0], accepted[:0], person[:0], near[:0]

    def mean(values: Floats, groups: NDArray[np.str_]) -> Estimate:
        return stats.mean(values, groups, seed=seed, resamples=resamples)

    return Verification(
        threshold=threshold,
        strangers=len(impostor),
        auc=mean(matching.beaten(genuine, impostor), person),
        eer=_equal_error(genuine, impostor, person, seed=seed, resamples=resamples),
        tar=mean(accepted, person),
        accepted=mean(accepted[near], person[near]),
        every=accepted,
        alike=genuine,
        persons=person,
        near=near,
    )


def _equal_error(
    genuine: Floats, ordered: Floats, person: NDArray[np.str_], *, seed: int, resamples: int
) -> Estimate:
    """The equal error rate; its interval is from thresholds at fixed quantiles of strangers."""
    if not len(genuine):
        return Estimate.undefined()
    thresholds = np.unique(np.quantile(ordered, np.linspace(0, 1, _STEPS)))
    thresholds = np.append(thresholds, np.nextafter(max(ordered[-1], genuine.max()), np.inf))
    refused = np.column_stack([genuine[:, None] < thresholds, np.ones(len(genuine))])
    accepted = matching.accepted_at(ordered, thresholds)
    estimate = stats.bootstrap_sums(
        refused,
        person,
        lambda s: matching.crossing(s[:, :-1] / s[:, -1:], accepted),
        seed=seed,
        resamples=resamples,
    )
    return dataclasses.replace(estimate, value=matching.equal_error_rate(genuine, ordered))


def _similarity(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    # In double precision like the threshold, which would otherwise round back onto the stranger it excludes.
    similarity: NDArray[np.float64] = np.einsum("nd,nd->n", a.astype(np.float64), b.astype(np.float64))
    return similarity


def _same(person: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs of rows of one person."""
    order = np.argsort(person, kind="stable")
    starts = np.flatnonzero(np.diff(person[order], prepend=-1))
    pairs = [
        order[start + np.stack(np.triu_indices(size, 1))]
        for start, size in zip(starts, np.diff(starts, append=len(order)), strict=True)
        if size > 1
    ]
    both = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.intp)
    return both[0], both[1]

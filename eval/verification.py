"""What an embedder is worth on real faces of one domain: strangers set the threshold, persons the ceiling."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nenrin.eval import stats
from nenrin.eval.stats import Estimate
from nenrin.eval.subjects import Batch

FAR = 0.01  # share of pairs of strangers that may be taken for one person
YEARS = 20  # up to which one is still asked to recognise a person
IMPOSTORS = 50_000


@dataclasses.dataclass(kw_only=True, slots=True)
class Verification:
    """One embedder on the real faces of one domain."""

    threshold: float  # similarity that at most `FAR` of strangers reach; NaN with fewer than two persons
    strangers: int  # pairs
    auc: Estimate  # same person against strangers; undefined where nobody has two pictures
    accepted: Estimate  # share of same-person pairs up to `YEARS` apart at or above the threshold


def verify(vectors: NDArray[np.float32], faces: Batch, *, seed: int, resamples: int) -> Verification:
    """Compare `faces` by their (N, D) unit vectors.

    The AUC is resampled over persons: a resample keeps the genuine pairs of the persons drawn against all
    strangers.
    """
    rng = np.random.default_rng(seed)
    _, person = np.unique(faces.person, return_inverse=True)
    i, j = rng.integers(len(vectors), size=(2, IMPOSTORS)) if len(vectors) else np.zeros((2, 0), int)
    apart = person[i] != person[j]
    impostor = _similarity(vectors[i[apart]], vectors[j[apart]])
    threshold = stats.threshold_at_far(impostor, FAR)
    first, second = _same(person)
    genuine = _similarity(vectors[first], vectors[second])
    if not len(impostor):
        nothing = Estimate.undefined()
        return Verification(threshold=threshold, strangers=0, auc=nothing, accepted=nothing)
    # The chance that one genuine pair beats a stranger pair; the AUC is its mean over genuine pairs.
    ordered = np.sort(impostor)
    beaten = (np.searchsorted(ordered, genuine, "left") + np.searchsorted(ordered, genuine, "right")) / 2
    near = np.abs(faces.age[first] - faces.age[second]) <= YEARS
    return Verification(
        threshold=threshold,
        strangers=int(apart.sum()),
        auc=stats.mean(beaten / len(ordered), person[first], seed=seed, resamples=resamples),
        accepted=stats.mean(
            (genuine >= threshold)[near], person[first][near], seed=seed, resamples=resamples
        ),
    )


def _similarity(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    # In double precision, as the threshold is: in single it would round back onto the stranger it excludes.
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

"""Learns from a set how labels and added faults show in its faces.

A face's labels are predicted from other faces alone (cross-fitting), so that a wrong label cannot have been
memorised; confident learning (Northcutt, Jiang and Chuang 2021) calls this out-of-sample. The rules are ridge
regressions in closed form, so another fold costs one more solution, not another pass over the data.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray
from nenrin.domains.checks.features import Axes, Basis, Describer, mirrored
from nenrin.domains.checks.labels import log_odds, of_log, pooled, shared, to_log
from nenrin.domains.checks.opinion import FAULTS, Opinion
from nenrin.domains.checks.spoilt import BATCH, spoil_rows
from nenrin.domains.checks.tails import rarity
from nenrin.domains.checks.tuned import look, steps_for
from nenrin.domains.checks.vectors import Vectors
from nenrin.domains.face import GENDERS, GLASSES
from nenrin.ground import track

Floats = NDArray[np.float32]

_FOLDS = 4
_SPOILT = 0.6  # spoilt faces for each face
_LEAST = 600  # spoilt faces, however small the set
_SAMPLE = 8000  # faces from which principal components are computed
_NET = 0.4  # weight of the net relative to the rule
_FOREIGN = 0.03  # weight of faces of other domains when one domain's faults are learned
_STIFFNESS = 0.05  # ridge penalty, as a fraction of the features' mean square


def folds_of(faces: FaceArray) -> NDArray[np.int64]:
    """(N,) the fold of each face, by a hash of its person, else of its picture."""
    return np.array(
        [
            zlib.crc32((faces.identities[who] if who >= 0 else str(picture)).encode()) % _FOLDS
            for who, picture in zip(faces.identity, faces.source_id, strict=True)
        ],
        dtype=np.int64,
    )


def examine(faces: FaceArray, folder: Path, *, embedded: Floats | None = None, seed: int = 0) -> Opinion:
    """Cross-fitted opinions on all faces; `folder` holds vectors that are too large for memory.

    `embedded` (N, E) are vectors of a face embedder, from which the labels are learned too.
    """
    fold = folds_of(faces)
    describer = Describer()
    rng = np.random.default_rng(0)
    sample = np.sort(rng.choice(len(faces), min(len(faces), _SAMPLE), replace=False))
    basis = Basis(np.concatenate([describer(*part) for part in _read(faces, sample, "choosing features")]))

    def described(pixels: NDArray[np.uint8], masks: NDArray[np.uint8]) -> Floats:
        # A face and its mirror image have the same labels, and averaging both improves the estimates.
        both = [basis(describer(*seen)) for seen in ((pixels, masks), (mirrored(pixels), mirrored(masks)))]
        mean: Floats = np.mean(both, axis=0, dtype=np.float32)
        return mean

    sound = Vectors(folder / "sound.bin", basis.width)
    for part in _read(faces, np.arange(len(faces)), "describing faces"):
        sound.add(described(*part))
    spoilt = Vectors(folder / "spoilt.bin", basis.width)
    kinds, origin = _spoil(faces, lambda *part: spoilt.add(described(*part)), seed)
    fault = fault_rules(sound, spoilt, kinds, origin, fold, faces.domain)
    more = [] if embedded is None else [embedded]
    if steps := steps_for(len(faces)):
        net, seen = look(faces, steps=steps, seed=seed)
        fault = agreed(fault, net, faces.domain)
        more.append(seen)
    if more:
        also = np.concatenate([Axes(part, part.shape[1])(part) / 2 for part in more], 1)
        all_ = Vectors(folder / "all.bin", also.shape[1] + sound.width)
        for rows, block in sound.blocks():
            all_.add(np.concatenate([also[rows], block], 1))
        sound = all_
    known = ~np.isnan(faces.age)
    age = crossfit(sound, to_log(np.nan_to_num(faces.age))[:, None], known, fold)[:, 0]
    age = shared(age, np.where(known, to_log(faces.age), np.nan), pictures_of(faces), faces.domain)

    given = np.where(np.isnan(faces.age), age, to_log(faces.age))

    def label(labels: NDArray[np.int64], classes: int, groups: NDArray[np.int64]) -> Floats:
        target = np.eye(classes, dtype=np.float32)[np.maximum(labels, 0)]
        return log_odds(crossfit(sound, target, labels >= 0, fold), labels, (age, given), groups)

    return Opinion(
        fault=fault,
        age=of_log(age),
        gender=pooled(label(faces.gender, len(GENDERS), faces.domain), faces.identity),
        glasses=label(faces.glasses, len(GLASSES), faces.domain),
        domain=label(faces.domain, len(faces.domains), np.zeros_like(faces.domain)),
    )


def pictures_of(faces: FaceArray) -> NDArray[np.int64]:
    """(N,) the number of each face's picture; a photograph and its drawing share it."""
    names = [f"{source} {picture}" for source, picture in zip(faces.source, faces.source_id, strict=True)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def fault_rules(
    sound: Vectors,
    spoilt: Vectors,
    kinds: NDArray[np.int64],
    origin: NDArray[np.int64],
    fold: NDArray[np.int64],
    domain: NDArray[np.int64],
) -> Floats:
    """How much more each face looks spoilt than sound, (N, len(FAULTS)), by a rule for each domain.

    What would be writing in a photograph is hair in a drawing. Other domains have a small weight, to help
    small domains. `kinds` (M,) and `origin` (M,) give the fault of each of `spoilt` and its original's row.
    """
    classes = np.eye(1 + len(FAULTS), dtype=np.float32)
    answer = np.empty((len(sound), len(FAULTS)), dtype=np.float32)
    for number in np.unique(domain):
        mine = domain == number
        weight = np.where(mine, 1, _FOREIGN).astype(np.float32)
        looks = crossfit(
            sound,
            np.tile(classes[0], (len(sound), 1)),
            weight,
            fold,
            more=(spoilt, classes[1 + kinds], weight[origin], fold[origin]),
        )
        answer[mine] = (looks[:, 1:] - looks[:, :1])[mine]
    return answer


def agreed(rule: Floats, net: Floats, groups: NDArray[np.integer]) -> Floats:
    """Combines two statistics (N, len(FAULTS)) in different units, higher being worse.

    Each is converted to minus the logarithm of its rarity within its group. The result is the weighted mean,
    the net having slightly less weight, so a fault that one of them misses still counts by half.
    """
    answer = np.empty_like(rule)
    for number in range(len(FAULTS)):
        first, second = (-np.log(rarity(judge[:, number], groups)) for judge in (rule, net))
        answer[:, number] = first + _NET * (second - first)
    return answer


def _read(
    faces: FaceArray, rows: NDArray[np.int64], label: str
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """The pixels and masks of these faces, in batches."""
    for start in track(range(0, len(rows), BATCH), label):
        part = rows[start : start + BATCH]
        yield faces.pixels[part], faces.masks[part]


def crossfit(
    sound: Vectors,
    target: Floats,
    weight: Floats | NDArray[np.bool_],
    fold: NDArray[np.int64],
    *,
    more: tuple[Vectors, Floats, Floats, NDArray[np.int64]] | None = None,
) -> Floats:
    """Predict `target` (N, T) from `sound`, each fold from the weighted rows of the others. Unknown targets
    have weight 0.

    `more` adds rows to learn from: features, targets, weights and folds.
    """
    answer = np.zeros((len(sound), target.shape[1]), dtype=np.float32)
    if not weight.any():
        return answer
    products = np.zeros((_FOLDS, sound.width, sound.width), dtype=np.float32)
    sides = np.zeros((_FOLDS, sound.width, target.shape[1]), dtype=np.float32)
    parts = [(sound, target, weight.astype(np.float32), fold)] + ([more] if more else [])
    for vectors, goal, worth, where in parts:
        for rows, block in vectors.blocks():
            for number in range(_FOLDS):
                mine = (where[rows] == number) & (worth[rows] > 0)
                weighed = block[mine].T * worth[rows][mine]
                products[number] += weighed @ block[mine]
                sides[number] += weighed @ goal[rows][mine]
    weights = np.empty_like(sides)
    for number in range(_FOLDS):
        product = (products.sum(0) - products[number]).astype(np.float64)
        stiffness = _STIFFNESS * np.trace(product) / len(product) + 1e-6
        product[np.diag_indices_from(product)] += stiffness
        weights[number] = np.linalg.solve(product, (sides.sum(0) - sides[number]).astype(np.float64))
    for rows, block in sound.blocks():
        every = np.einsum("nf,kft->knt", block, weights, optimize=True)
        answer[rows] = every[fold[rows], np.arange(len(block))]
    return answer


def _spoil(
    faces: FaceArray, take: Callable[[NDArray[np.uint8], NDArray[np.uint8]], None], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pass faces with an added fault to `take` in batches; returns each one's fault and original row (M,)."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    count = -(-max(round(_SPOILT * len(faces)), _LEAST) // BATCH) * BATCH
    origin = rng.permutation(np.resize(rng.permutation(len(faces)), count))
    kinds = np.resize(np.arange(len(FAULTS)), count)
    for start in track(range(0, count, BATCH), "learning faults"):
        rows, kind = origin[start : start + BATCH], kinds[start : start + BATCH]
        take(*spoil_rows(faces, rows, kind, generator))
    return kinds, origin

"""Learn from a set what its faces look like: their labels, and faults put into them.

What is said about a face is learned from others alone (cross-fitting), so that a wrong label cannot have
been learned by heart; confident learning (Northcutt, Jiang and Chuang 2021) calls this out-of-sample. The
rules are ridge regressions, solved at once: a further fold costs one more solution, not one more training.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray
from nenrin.domains.checks.faults import spoil
from nenrin.domains.checks.features import Axes, Basis, Describer
from nenrin.domains.checks.labels import log_odds, of_log, pooled, to_log
from nenrin.domains.checks.opinion import FAULTS, Opinion
from nenrin.domains.face import GENDERS, GLASSES
from nenrin.ground import track

Floats = NDArray[np.float32]

_FOLDS = 4
_SPOILT = 0.6  # spoilt faces for each face
_LEAST = 600  # spoilt faces, however small the set
_BATCH = 60
_STIFFNESS = 0.05  # of the ridge, as a share of the features' mean square


def folds_of(faces: FaceArray) -> NDArray[np.int64]:
    """(N,) the fold of each face, by a hash of its person, else of its picture."""
    return np.array(
        [
            zlib.crc32((faces.identities[who] if who >= 0 else str(picture)).encode()) % _FOLDS
            for who, picture in zip(faces.identity, faces.source_id, strict=True)
        ],
        dtype=np.int64,
    )


def examine(faces: FaceArray, *, embedded: Floats | None = None, seed: int = 0) -> Opinion:
    """What the faces look like to who learned from the others.

    `embedded` (N, E) are vectors of a net that tells people apart; the labels are learned from them too.
    """
    fold = folds_of(faces)
    describer = Describer()
    vectors = np.concatenate(
        [
            describer(faces.pixels[start : start + _BATCH], faces.masks[start : start + _BATCH])
            for start in track(range(0, len(faces), _BATCH), "describing faces")
        ]
    )
    made, kinds, origin = _spoil(faces, describer, seed)
    basis = Basis(vectors)
    sound, spoilt = basis(vectors), basis(made)
    none = np.tile(np.eye(1, 1 + len(FAULTS), dtype=np.float32), (len(faces), 1))
    every = np.ones(len(faces), dtype=bool)
    fault = crossfit(
        sound,
        none,
        every,
        fold,
        more=(spoilt, np.eye(1 + len(FAULTS), dtype=np.float32)[1 + kinds], fold[origin]),
    )
    if embedded is not None:
        sound = np.concatenate([Axes(embedded, embedded.shape[1])(embedded) / 2, sound], 1)
    age = crossfit(sound, to_log(np.nan_to_num(faces.age))[:, None], ~np.isnan(faces.age), fold)[:, 0]

    def label(labels: NDArray[np.int64], classes: int) -> Floats:
        target = np.eye(classes, dtype=np.float32)[np.maximum(labels, 0)]
        return log_odds(crossfit(sound, target, labels >= 0, fold), labels, age)

    return Opinion(
        fault=fault,
        age=of_log(age),
        gender=pooled(label(faces.gender, len(GENDERS)), faces.identity),
        glasses=label(faces.glasses, len(GLASSES)),
        domain=label(faces.domain, len(faces.domains)),
    )


def crossfit(
    sound: Floats,
    target: Floats,
    known: NDArray[np.bool_],
    fold: NDArray[np.int64],
    *,
    more: tuple[Floats, Floats, NDArray[np.int64]] | None = None,
) -> Floats:
    """Predict `target` (N, T) from `sound` (N, F), each fold from the known rows of the others: (N, T).

    `more` adds rows to learn from: features, targets and folds.
    """
    parts = [(sound[known], target[known], fold[known])] + ([more] if more else [])
    answer = np.zeros((len(sound), target.shape[1]), dtype=np.float32)
    if not known.any():
        return answer
    products = np.zeros((_FOLDS, sound.shape[1], sound.shape[1]), dtype=np.float32)
    sides = np.zeros((_FOLDS, sound.shape[1], target.shape[1]), dtype=np.float32)
    for features, goal, where in parts:
        for number in range(_FOLDS):
            inside = features[where == number]
            products[number] += inside.T @ inside
            sides[number] += inside.T @ goal[where == number]
    for number in range(_FOLDS):
        product = (products.sum(0) - products[number]).astype(np.float64)
        stiffness = _STIFFNESS * np.trace(product) / len(product) + 1e-6
        product[np.diag_indices_from(product)] += stiffness
        weights = np.linalg.solve(product, (sides.sum(0) - sides[number]).astype(np.float64))
        answer[fold == number] = sound[fold == number] @ weights.astype(np.float32)
    return answer


def _spoil(
    faces: FaceArray, describer: Describer, seed: int
) -> tuple[NDArray[np.float16], NDArray[np.int64], NDArray[np.int64]]:
    """Vectors (M, D) of faces with a fault put in, which of FAULTS it is (M,), and whose face it was (M,)."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    count = -(-max(round(_SPOILT * len(faces)), _LEAST) // _BATCH) * _BATCH
    origin = rng.permutation(np.resize(rng.permutation(len(faces)), count))
    kinds = np.resize(np.arange(len(FAULTS)), count)
    vectors = []
    for start in track(range(0, count, _BATCH), "learning faults"):
        rows, kind = origin[start : start + _BATCH], torch.from_numpy(kinds[start : start + _BATCH])
        masks = (torch.from_numpy(faces.masks[rows])[:, None] > 127).float()
        images = torch.from_numpy(faces.pixels[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
        spoilt, outlines = spoil(images * masks, masks, kind, generator)
        pixels = ((spoilt + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        outside = (outlines[:, 0] * 255).to(torch.uint8).numpy()
        vectors.append(describer(np.ascontiguousarray(pixels), outside))
    return np.concatenate(vectors), kinds, origin

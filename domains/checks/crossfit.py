"""Examine every face by a net that learned from others. A kill loses one fold at most."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray
from nenrin.domains.checks.examiner import Opinion, examine, train
from nenrin.ground import atomic_path

FOLDS = 2  # every further fold costs as much again as one


def folds_of(faces: FaceArray) -> NDArray[np.int64]:
    """(N,) the fold of each face, by a hash of its person, else of its picture: nobody is judged by their own face."""
    return np.array(
        [
            zlib.crc32((faces.identities[who] if who >= 0 else str(picture)).encode()) % FOLDS
            for who, picture in zip(faces.identity, faces.source_id, strict=True)
        ],
        dtype=np.int64,
    )


def crossfit(faces: FaceArray, folder: Path, *, epochs: int, seed: int = 0) -> Opinion:
    """What nets that did not learn from them say of all faces. Finished folds are kept in `folder`."""
    fold = folds_of(faces)
    parts: list[tuple[NDArray[np.int64], Opinion]] = []
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        path = folder / f"fold-{number}.npz"
        if not path.is_file():
            outside = outside if len(outside) else inside
            label = f"learning the faces, part {number + 1} of {FOLDS}"
            net = train(faces, outside, seed=seed + number, epochs=epochs, label=label)
            opinion = examine(net, faces, inside)
            with atomic_path(path) as part, part.open("wb") as stream:
                np.savez(stream, **{f.name: getattr(opinion, f.name) for f in dataclasses.fields(opinion)})
        with np.load(path) as stored:
            parts.append((inside, Opinion(**{name: stored[name] for name in stored.files})))
    whole = {}
    for field in dataclasses.fields(Opinion):
        values = np.concatenate([getattr(opinion, field.name) for _, opinion in parts])
        whole[field.name] = np.empty_like(values)
        whole[field.name][np.concatenate([rows for rows, _ in parts])] = values
    return Opinion(**whole)

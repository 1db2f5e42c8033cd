"""The judges of one evaluation, by domain: cached on disk, and kept apart from every ager."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from nenrin.domains.array import FaceArray, pack
from nenrin.domains.face import Split
from nenrin.domains.faceset import FaceSet
from nenrin.eval.identity import Embedder
from nenrin.eval.judges import CNNJudge, Judge, SVRJudge
from nenrin.eval.keep import Tensors, kept, key_of
from nenrin.eval.label_panel import LabelPanel
from nenrin.ground import NenrinError

LEAST = 60  # faces of known age that a judge needs to be worth training
SOONER = 3  # glasses, gender and domain are learned in a third of the epochs that ages take


@dataclasses.dataclass(kw_only=True, slots=True)
class Panel:
    """Judges by domain; the first of each list learned from all domains together."""

    across: Judge | None  # None if hardly a face of the judge split has an age
    own: Mapping[str, Judge]  # domain -> the judge that learned from this domain alone
    notes: list[str]

    def of(self, domain: str) -> list[Judge]:
        """The judges of age in this domain."""
        return [judge for judge in (self.across, self.own.get(domain)) if judge is not None]


def convene(
    faces: FaceArray | None, *, embedder: Embedder | None, folder: Path, seed: int, epochs: int
) -> Panel:
    """The judges of age that can be trained on these faces of the judge split, if any; see `seat`."""
    if faces is None:
        note = "no face is in the judge split of these sets: no age is read"
        return Panel(across=None, own={}, notes=[note])
    return seat(faces, embedder=embedder, folder=folder, seed=seed, epochs=epochs)


def label_panel(faces: FaceArray | None, folder: Path, *, seed: int, epochs: int) -> LabelPanel:
    """The judges of glasses, gender and domain that can be trained on the same faces."""
    if faces is not None:
        _only_judge(faces)
        faces = _own_words(faces.select(faces.domain >= 0))
    passes = max(epochs // SOONER, 1)
    return LabelPanel(faces=faces, folder=folder, seed=seed, epochs=passes)


def _own_words(faces: FaceArray) -> FaceArray:
    """The faces with only their own domains as vocabulary, so that judges do not depend on other sets."""
    there = np.unique(faces.domain)
    domain = np.searchsorted(there, faces.domain)
    return dataclasses.replace(faces, domain=domain, domains=tuple(faces.domains[i] for i in there))


def split_faces(
    sets: Sequence[FaceSet], *, size: int, split: Split, cache: Path | None = None
) -> FaceArray | None:
    """The kept faces of one split, None where the sets have none; see `pack`."""
    tables = [faces.table(["split", "verdict"]) for faces in sets]
    held = {row for t in tables for row in zip(t["split"].to_pylist(), t["verdict"].to_pylist(), strict=True)}
    return pack(sets, size=size, splits=(split,), cache=cache) if (split, "keep") in held else None


def _only_judge(faces: FaceArray) -> None:
    assert set(faces.split) <= {"judge"}, "a judge may learn from the judge split alone"


def seat(faces: FaceArray, *, embedder: Embedder | None, folder: Path, seed: int, epochs: int) -> Panel:
    """Train the judges on `faces` (the judge split), or open them if that was done before.

    A convolutional judge across all domains and a support vector judge for each domain that has at
    least `LEAST` faces of known age.
    """
    _only_judge(faces)
    faces = faces.select(np.isfinite(faces.age) & (faces.domain >= 0))
    if len(faces) < LEAST:
        note = f"{len(faces)} faces of known age in the judge split, {LEAST} are needed: no age is read"
        return Panel(across=None, own={}, notes=[note])
    notes: list[str] = []
    own: dict[str, Judge] = {}
    for i, domain in enumerate(faces.domains):
        rows = faces.select(faces.domain == i)
        if len(rows) < LEAST:
            notes.append(
                f"{domain}: {len(rows)} faces of known age in the judge split, {LEAST} are needed for a "
                "judge of its own; ages there are read by the judge of the other domains, which has not "
                "been tested on it"
            )
            continue
        name = f"SVR ({domain})"
        key = key_of("svr", rows, [rows.age], embedder.key if embedder else "")
        train = partial(SVRJudge.train, rows, name, key, embedder=embedder)
        arrays = kept(folder / f"{key}.safetensors", _tensors_of(train))
        own[domain] = SVRJudge(arrays, name, key, embedder)
    seen = [d for i, d in enumerate(faces.domains) if (faces.domain == i).any()]
    name, key = f"CNN ({' + '.join(seen)})", key_of("cnn", faces, [faces.age], f"{seed} {epochs}")
    trained = partial(CNNJudge.train, faces, name, key, seed=seed, epochs=epochs)
    tensors = kept(folder / f"{key}.safetensors", _tensors_of(trained))
    return Panel(across=CNNJudge.of(tensors, name, key), own=own, notes=notes)


def _tensors_of(train: Callable[[], CNNJudge | SVRJudge]) -> Callable[[], Tensors]:
    return lambda: train().tensors()


def check_apart(sets: Sequence[FaceSet], trained_on: Mapping[str, Collection[str]]) -> None:
    """Refuse agers that trained on a face or person that is used for judging or testing.

    `trained_on` gives the face ids of each ager's training. Persons are compared if the trained faces are in
    `sets`. Raises `NenrinError`.
    """
    split: dict[str, str] = {}
    person: dict[str, str | None] = {}
    kept_back: dict[str, str] = {}  # person -> judge or test
    for faces in sets:
        table = faces.table(["id", "identity", "split", "verdict"]).to_pydict()
        for id_, who, side, verdict in zip(*table.values(), strict=True):
            if verdict != "keep":
                continue
            person[id_] = who
            if side in ("judge", "test"):
                split[id_] = side
                if who is not None:
                    kept_back[who] = side
    for ager, ids in trained_on.items():
        faces_seen = [id_ for id_ in ids if id_ in split]
        persons_seen = {who for id_ in ids if (who := person.get(id_)) is not None and who in kept_back}
        if faces_seen or persons_seen:
            raise NenrinError(
                f"{ager} was trained on {len(faces_seen)} faces and {len(persons_seen)} persons of the judge "
                "and test splits of these sets: its scores would be worthless; train it on their train split"
            )

"""The judges of one evaluation: which judge sits for which domain, kept on disk, apart from every ager."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from nenrin.domains.array import FaceArray, pack
from nenrin.domains.face import Split
from nenrin.domains.faceset import FaceSet
from nenrin.eval.identity import Embedder
from nenrin.eval.judges import CNNJudge, Judge, SVRJudge
from nenrin.ground import NenrinError, write_bytes

LEAST = 60  # faces of known age without which a judge is not worth training
J = TypeVar("J", CNNJudge, SVRJudge)
_VERSION = "3"  # of everything in `judges` and `nets` that changes what a judge learns


@dataclasses.dataclass(kw_only=True, slots=True)
class Panel:
    """Judges by domain; the first of each list learned from all domains together."""

    across: Judge | None  # None where hardly a face of the judge split has an age
    own: Mapping[str, Judge]  # domain -> the judge that learned from this domain alone
    notes: list[str]

    def of(self, domain: str) -> list[Judge]:
        """Who judges ages in this domain."""
        return [judge for judge in (self.across, self.own.get(domain)) if judge is not None]


def convene(
    sets: Sequence[FaceSet], *, size: int, embedder: Embedder | None, folder: Path, seed: int, epochs: int
) -> Panel:
    """The judges that the judge split of these sets can teach, and no other face of them; see `seat`."""
    faces = split_faces(sets, size=size, split="judge")
    if faces is None:
        note = "no face is in the judge split of these sets: no age is read"
        return Panel(across=None, own={}, notes=[note])
    return seat(faces, embedder=embedder, folder=folder, seed=seed, epochs=epochs)


def split_faces(sets: Sequence[FaceSet], *, size: int, split: Split) -> FaceArray | None:
    """The kept faces of one split, None where the sets have none."""
    tables = [faces.table(["split", "verdict"]) for faces in sets]
    held = {row for t in tables for row in zip(t["split"].to_pylist(), t["verdict"].to_pylist(), strict=True)}
    return pack(sets, size=size, splits=(split,)) if (split, "keep") in held else None


def seat(faces: FaceArray, *, embedder: Embedder | None, folder: Path, seed: int, epochs: int) -> Panel:
    """Train the judges on `faces` (the judge split), or open them where that was done before.

    A convolutional judge across all domains and a support vector judge for each domain that has at
    least `LEAST` faces of known age.
    """
    assert set(faces.split) <= {"judge"}, "a judge may learn from the judge split alone"
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
        key = _key("svr", rows, embedder.key if embedder else "")
        own[domain] = _kept(
            folder / f"{key}.safetensors",
            opened=partial(SVRJudge, name=name, key=key, embedder=embedder),
            trained=partial(SVRJudge.train, rows, name, key, embedder=embedder),
        )
    seen = [d for i, d in enumerate(faces.domains) if (faces.domain == i).any()]
    name, key = f"CNN ({' + '.join(seen)})", _key("cnn", faces, f"{seed} {epochs}")
    across = _kept(
        folder / f"{key}.safetensors",
        opened=partial(CNNJudge.of, name=name, key=key),
        trained=partial(CNNJudge.train, faces, name, key, seed=seed, epochs=epochs),
    )
    return Panel(across=across, own=own, notes=notes)


def _kept(path: Path, *, opened: Callable[[dict[str, NDArray[Any]]], J], trained: Callable[[], J]) -> J:
    """The judge in this file; trained and written there if there is none or it is torn."""
    if path.is_file():
        try:
            return opened(load_file(path))
        except SafetensorError:
            path.unlink()
    write_bytes(path, save({k: np.ascontiguousarray(v) for k, v in trained().tensors().items()}))
    return opened(load_file(path))  # not the judge just trained: a second evaluation must meet the same one


def _key(kind: str, faces: FaceArray, more: str) -> str:
    digest = hashlib.sha256(f"{_VERSION} {faces.pixels.shape[1:]} {more}".encode())
    for id_, age, domain in zip(faces.ids, faces.age, faces.domain, strict=True):
        digest.update(f"{id_} {age:.2f} {faces.domains[domain]}\n".encode())
    return f"{kind}-{digest.hexdigest()[:16]}"


def check_apart(sets: Sequence[FaceSet], trained_on: Mapping[str, Collection[str]]) -> None:
    """Refuse agers that trained on a face, or on a person, by which they would be judged or tested.

    `trained_on` gives the face ids of each ager's training. Persons are compared where the trained
    faces are in `sets`. Raises `NenrinError`.
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

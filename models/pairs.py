"""Pairs of pictures that differ in age and glasses alone, made by an ager where nobody has taken them.

Of an ager that only reads, a guide, come pairs that differ in glasses alone.

A set in, a set out: every face, and beside it the same face as the ager sees it at other ages, marked as made
and as the same view. The mixed ager learns from such pairs (see `models/mixed.py`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.align import OUTSIDE, frame_mask
from nenrin.domains.array import decode
from nenrin.domains.face import GENDERS, GLASSES, Face, face_id
from nenrin.domains.faceset import FORMAT_VERSION, FaceSet, SetWriter
from nenrin.domains.resume import clear, finished, gather, process, workplace
from nenrin.domains.storage import STORED, load_row, store_row
from nenrin.domains.twins import wear
from nenrin.domains.workers import Job, write_rows
from nenrin.ground import UsageError
from nenrin.models.ager import Ager
from nenrin.models.condition import MAX_AGE, UNKNOWN, Condition
from nenrin.models.samples import to_pixels, to_tensor

MADE = "made"  # the attribute that tells a made face from a picture
STRONGEST = 1.2  # the ager's change is applied with any strength up to this
WORN, KINDS = 0.5, (0.7, 0.3)  # share of the bare faces that glasses are drawn on; of clear and of dark ones
_BATCH = 64  # faces at a time
_VERSION = 2


@dataclasses.dataclass(kw_only=True, slots=True)
class _Sheet:
    """Some faces of a set, and the file of the pairs made of them."""

    path: Path
    ager: Ager
    faces: FaceSet
    rows: list[int]
    each: int
    seed: int

    def __len__(self) -> int:
        return len(self.rows)

    def run(self) -> None:
        """Age the faces and write them."""
        faces = _rows(self.faces, self.rows)
        rng = np.random.default_rng([self.seed, 4, *(int(face.id[:8], 16) for face in faces[:1])])
        write_rows(self.path, [store_row(face) for face in _paired(self.ager, faces, self.each, rng)], STORED)


def make_pairs(
    ager: Ager, sets: Sequence[FaceSet], out: str | Path, *, each: int = 1, limit: int = 0, seed: int = 0
) -> FaceSet:
    """Write every kept face of the split `train` beside `each` others made of it, at the ager's size.

    The ages asked for are drawn evenly from 0 to `MAX_AGE` years, the strength up to `STRONGEST`; a made face
    is labelled as old as the ager reads it. On some of the faces that wear none, glasses are drawn. Labels
    that a face lacks are those that the ager reads, and are marked as estimated. With a `limit`, so many
    faces of each set are drawn at random. Interrupted, the same call goes on. Raises `UsageError` where
    another set is, and for an ager that does not read labels off faces.
    """
    if each < 1:
        raise UsageError(f"{each} made faces for each: ask for at least 1")
    for faces in sets:
        strange = sorted(set(faces.meta.domains) - set(ager.domains))
        if strange:
            raise UsageError(f"{ager.name} has not learned {', '.join(strange)}, which {faces.path} holds")
    read = ager.estimate(torch.zeros(1, 3, ager.size, ager.size))
    if read.age.isnan().any() or (read.glasses == UNKNOWN).any() or (read.gender == UNKNOWN).any():
        raise UsageError(f"{ager.name} does not read faces: pairs need a guide, caae-change or mixed")
    out = Path(out)
    chosen = [_chosen(faces, limit, seed) for faces in sets]
    fingerprint = _fingerprint(ager, sets, each, limit, seed)
    done = finished(out, fingerprint)
    if done is None:
        with workplace(out, fingerprint) as folder:

            def sheets() -> Iterator[Job]:
                for number, (faces, rows) in enumerate(zip(sets, chosen, strict=True)):
                    for start in range(0, len(rows), _BATCH):
                        yield _Sheet(
                            path=folder / f"{number:03d}-{start:08d}.parquet",
                            ager=ager,
                            faces=faces,
                            rows=rows[start : start + _BATCH],
                            each=each,
                            seed=seed,
                        )

            process(sheets, sum(map(len, chosen)), workers=0, label="making pairs")
            done = _assemble(folder, out, ager, fingerprint)
    clear(out)
    return done


def _chosen(faces: FaceSet, limit: int, seed: int) -> list[int]:
    labels = faces.table(["split", "verdict"]).to_pylist()
    rows = [i for i, row in enumerate(labels) if (row["split"], row["verdict"]) == ("train", "keep")]
    if limit and len(rows) > limit:
        rng = np.random.default_rng([seed, 5])
        rows = sorted(rng.choice(rows, size=limit, replace=False).tolist())
    return rows


def _rows(faces: FaceSet, rows: Sequence[int]) -> list[Face]:
    """These rows of a set, in order; only the row groups that hold them are read."""
    found: list[Face] = []
    wanted, first = np.array(rows), 0
    for shard in faces.shards:
        file = pq.ParquetFile(shard)
        for group in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            inside = wanted[(wanted >= first) & (wanted < first + count)] - first
            if len(inside):
                found += [load_row(row) for row in file.read_row_group(group).take(inside).to_pylist()]
            first += count
    return found


def _paired(ager: Ager, faces: Sequence[Face], each: int, rng: np.random.Generator) -> Iterator[Face]:
    """Each face, as the ager would get it, and what was made of it."""
    pixels = np.stack([decode(face, ager.size) for face in faces])
    images, count = to_tensor(pixels), len(faces)
    read = ager.estimate(images)
    source = _labels(faces, ager.domains).filled(read)
    shown = [_shown(face, ager.size)[..., None] > 0 for face in faces]
    before = [
        _labelled(face, pixels[i], source, i, face.age_source or "estimated", {})
        for i, face in enumerate(faces)
    ]
    yield from before
    seen = torch.from_numpy(np.stack(shown)).movedim(3, 1).float()
    area = seen.sum((2, 3), keepdim=True).clamp(min=1)
    manga = np.array([face.domain == "manga" for face in faces])
    for _ in range(each):
        ages = torch.from_numpy(rng.uniform(0, MAX_AGE, count).astype(np.float32))
        change = ager.transform(images, source, source.replace(age=ages)) - images
        # Pictures of the old are paler and bluer on the whole: that is their film's age, not the face's.
        change = change - (change * seen).sum((2, 3), keepdim=True) / area
        strength = torch.from_numpy(rng.uniform(0, STRONGEST, count).astype(np.float32))
        aged = (images + strength[:, None, None, None] * change).clamp(-1, 1)
        # A made face is as old as it looks: what is asked of the ager is not always what it gives.
        years = (source.age + ager.estimate(aged).age - read.age).clamp(min=0)
        bare = source.glasses.numpy() == GLASSES.index("none")
        worn = np.where(bare & (rng.random(count) < WORN), rng.choice([1, 2], size=count, p=KINDS), 0)
        made = wear(to_pixels(aged), worn, manga=manga, seed=int(rng.integers(2**31)))
        glasses = torch.where(torch.from_numpy(worn > 0), torch.from_numpy(worn), source.glasses)
        target = source.replace(age=torch.where(years.isnan(), ages, years), glasses=glasses)
        for i, face in enumerate(before):
            drawn = np.where(shown[i], made[i], np.uint8(OUTSIDE))
            yield _labelled(face, drawn, target, i, "estimated", {MADE: True})


def _labels(faces: Sequence[Face], domains: Sequence[str]) -> Condition:
    """What the faces' rows say, (B,)."""

    def index(words: Sequence[str | None], vocabulary: Sequence[str]) -> torch.Tensor:
        return torch.tensor([vocabulary.index(word) if word in vocabulary else UNKNOWN for word in words])

    return Condition(
        age=torch.tensor([float("nan") if face.age is None else face.age for face in faces]),
        domain=index([face.domain for face in faces], domains),
        glasses=index([face.glasses for face in faces], GLASSES),
        gender=index([face.gender for face in faces], GENDERS),
    )


def _shown(face: Face, size: int) -> NDArray[np.uint8]:
    """(size, size) 255 where the source picture has pixels."""
    if face.frame is None:
        return np.full((size, size), 255, np.uint8)
    mask: NDArray[np.uint8] = frame_mask(_frame(face, size)[None], size)[0]
    return mask


def _frame(face: Face, size: int) -> NDArray[np.float32]:
    assert face.frame is not None
    with Image.open(io.BytesIO(face.image)) as picture:
        return face.frame * np.float32(size / picture.width)


def _labelled(
    face: Face,
    pixels: NDArray[np.uint8],
    labels: Condition,
    row: int,
    age_source: str,
    attributes: dict[str, bool],
) -> Face:
    return dataclasses.replace(
        face,
        id=face_id(pixels),
        image=cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))[1].tobytes(),
        age=float(labels.age[row]),
        age_source=age_source,
        glasses=GLASSES[int(labels.glasses[row])],
        gender=GENDERS[int(labels.gender[row])],
        attributes=face.attributes | attributes,
        view=face.view or face.id,
        frame=None if face.frame is None else _frame(face, len(pixels)),
    )


def _fingerprint(ager: Ager, sets: Sequence[FaceSet], each: int, limit: int, seed: int) -> str:
    """Names all that decides the outcome: the ager's weights, the faces and their labels, the options."""
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, _VERSION, ager.size, each, limit, seed]).encode())
    for name, weight in sorted(ager.model.nets.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.float().contiguous().numpy().tobytes())
    for faces in sets:
        digest.update(repr(faces.table().to_pylist()).encode())
    return f"pairs-{digest.hexdigest()[:24]}"


def _assemble(folder: Path, out: Path, ager: Ager, fingerprint: str) -> FaceSet:
    note = (
        f"Pairs for training: pictures, and what {ager.name} made of them at other ages (attribute {MADE}). "
        "Made faces are nobody's pictures, and are labelled as old as the ager reads them."
    )
    with SetWriter(
        out, name=out.name, size=ager.size, domains=ager.domains, note=note, build=fingerprint, replace=True
    ) as writer:
        gather(folder, writer)
    return FaceSet.open(out)

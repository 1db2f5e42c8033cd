"""Makes pairs of pictures that differ in age and glasses alone, since nobody has photographed such pairs.

It turns sets into a set that holds every face and, beside it, the same face as an ager makes it at other
ages, marked as made and as the same view; or, for glasses alone, every bare face and the same face with
glasses on. The mixed ager learns from such pairs (see `models/mixed.py`). An ager that only reads, such as a
guide, makes pairs without another age.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from nenrin.domains.face import GLASSES, Face
from nenrin.domains.faceset import FORMAT_VERSION, FaceSet, SetWriter
from nenrin.domains.resume import clear, finished, gather, process, workplace
from nenrin.domains.storage import STORED, load_row, store_row
from nenrin.domains.twins import wear
from nenrin.domains.workers import Job, write_rows
from nenrin.ground import UsageError
from nenrin.models.ager import Ager
from nenrin.models.checkpoint import all_tensors
from nenrin.models.condition import MAX_AGE, UNKNOWN
from nenrin.models.made import MADE, Originals
from nenrin.models.samples import to_pixels
from nenrin.models.wearers import NONE, Cutouts, cut_out, reads_bare, worn

STRONGEST = 1.2  # the ager's change is applied with a random strength up to this
WORN, KINDS = 0.5, (0.7, 0.3)  # fraction of bare faces that get glasses; fractions of clear and dark ones
_BATCH = 64  # faces at a time
_VERSION = 5


@dataclasses.dataclass(kw_only=True, slots=True)
class _Sheet:
    """Some faces of a set, and the file of the pairs made of them."""

    path: Path
    ager: Ager
    faces: FaceSet
    rows: list[int]
    each: int
    seed: int
    glasses: bool
    cutouts: Cutouts | None

    def __len__(self) -> int:
        return len(self.rows)

    def run(self) -> None:
        """Make the faces and write them."""
        faces = _rows(self.faces, self.rows)
        rng = np.random.default_rng([self.seed, 4, *(int(face.id[:8], 16) for face in faces[:1])])
        if self.glasses:  # pictures of one view may differ in age, which these pairs must not
            faces = [dataclasses.replace(face, view=None) for face in faces]
        before = Originals(self.ager, faces)
        if self.glasses:
            made = worn(before, reads_bare(self.ager, before), self.cutouts, self.each, rng)
        else:
            made = _aged(self.ager, before, self.each, rng)
        write_rows(self.path, [store_row(face) for face in made], STORED)


def make_pairs(
    ager: Ager,
    sets: Sequence[FaceSet],
    out: str | Path,
    *,
    each: int = 1,
    limit: int = 0,
    seed: int = 0,
    glasses: bool = False,
    cut: bool = False,
) -> FaceSet:
    """Write every kept face of the split `train` beside `each` others made of it, at the ager's size.

    The requested ages are uniform from 0 to `MAX_AGE` years, the strengths up to `STRONGEST`. A made face is
    labelled with the age that the ager estimates. Glasses are drawn on some of the faces that wear none.
    Missing labels are filled in with the ager's estimates and marked as estimated. With a `limit`, that many
    faces of each set are drawn at random.

    With `glasses` no age is changed. Each face that wears none comes with a pair as twins wear them, and with
    `each` others of any kind, which are not labelled. With `cut`, every second of these is cut out, by means
    of the ager, of a picture of somebody who wears them.

    After an interruption, the same call continues. Raises `UsageError` if another set is in the way, and for
    an ager that does not estimate labels.
    """
    if each < 1:
        raise UsageError(f"{each} made faces for each: ask for at least 1")
    for faces in sets:
        strange = sorted(set(faces.meta.domains) - set(ager.domains))
        if strange:
            raise UsageError(f"{ager.name} has not learned {', '.join(strange)}, which {faces.path} holds")
    if cut and not glasses:
        raise UsageError("--cut cuts out glasses: add --glasses")
    read = ager.estimate(torch.zeros(1, 3, ager.size, ager.size))
    if read.age.isnan().any() or (read.glasses == UNKNOWN).any():
        raise UsageError(f"{ager.name} does not read faces: pairs need a guide, caae-change or mixed")
    out = Path(out)
    chosen = [_chosen(faces, limit, seed) for faces in sets]
    fingerprint = _fingerprint(ager, sets, (each, limit, seed, glasses, cut))
    done = finished(out, fingerprint)
    if done is None:
        cutouts = _cutouts(ager, sets) if glasses and cut else None
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
                            glasses=glasses,
                            cutouts=cutouts,
                        )

            process(sheets, sum(map(len, chosen)), workers=0, label="making pairs")
            known = {domain for faces in sets for domain in faces.meta.domains} if glasses else ager.domains
            done = _assemble(folder, out, ager, [d for d in ager.domains if d in known], fingerprint)
    clear(out)
    if not len(done):
        raise UsageError("no face in the split train of these sets is read to wear none")
    return done


def _cutouts(ager: Ager, sets: Sequence[FaceSet]) -> Cutouts:
    """The glasses of everybody in the split `train` who is labelled as wearing some."""
    wearers = []
    for faces in sets:
        glasses = faces.table(["glasses"])["glasses"].to_pylist()
        wearers += _rows(faces, [i for i in _chosen(faces, 0, 0) if glasses[i] in GLASSES[1:]])
    if not wearers:
        raise UsageError("nobody in these sets is said to wear glasses that could be cut out")
    return cut_out(ager, Originals(ager, wearers))


def _chosen(faces: FaceSet, limit: int, seed: int) -> list[int]:
    labels = faces.table(["split", "verdict"]).to_pylist()
    rows = [i for i, row in enumerate(labels) if (row["split"], row["verdict"]) == ("train", "keep")]
    if limit and len(rows) > limit:
        rng = np.random.default_rng([seed, 5])
        rows = sorted(rng.choice(rows, size=limit, replace=False).tolist())
    return rows


def _rows(faces: FaceSet, rows: Sequence[int]) -> list[Face]:
    """These rows of a set as decided by a person, in order; only the row groups that hold them are read."""
    found: list[Face] = []
    wanted, first = np.array(rows), 0
    for shard in faces.shards:
        file = pq.ParquetFile(shard)
        for group in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            inside = wanted[(wanted >= first) & (wanted < first + count)] - first
            if len(inside):
                some = file.read_row_group(group).take(inside).to_pylist()
                found += [faces.decisions.apply(load_row(row)) for row in some]
            first += count
    return found


def _aged(ager: Ager, faces: Originals, each: int, rng: np.random.Generator) -> Iterator[Face]:
    """The faces, and what the ager makes of them."""
    yield from (faces.row(i) for i in range(len(faces)))
    source, images, count = faces.labels, faces.images, len(faces)
    seen = torch.from_numpy(faces.shown)[:, None].float()
    area = seen.sum((2, 3), keepdim=True).clamp(min=1)
    for _ in range(each):
        ages = torch.from_numpy(rng.uniform(0, MAX_AGE, count).astype(np.float32))
        change = ager.transform(images, source, source.replace(age=ages)) - images
        # Pictures of old people are paler and bluer overall: that is the film's age, not the face's.
        change = change - (change * seen).sum((2, 3), keepdim=True) / area
        strength = torch.from_numpy(rng.uniform(0, STRONGEST, count).astype(np.float32))
        aged = (images + strength[:, None, None, None] * change).clamp(-1, 1)
        # A made face is labelled as old as it looks, which is not always what was requested.
        years = (source.age + ager.estimate(aged, source.domain).age - faces.read.age).clamp(min=0)
        bare = source.glasses.numpy() == NONE
        kinds = np.where(bare & (rng.random(count) < WORN), rng.choice([1, 2], size=count, p=KINDS), 0)
        made = wear(to_pixels(aged), kinds, manga=faces.manga, seed=int(rng.integers(2**31)))
        glasses = torch.where(torch.from_numpy(kinds > 0), torch.from_numpy(kinds), source.glasses)
        target = source.replace(age=torch.where(years.isnan(), ages, years), glasses=glasses)
        yield from (faces.made(i, made[i], target) for i in range(count))


def _fingerprint(ager: Ager, sets: Sequence[FaceSet], options: tuple[int, ...]) -> str:
    """A hash of all that determines the result: the ager, its weights, faces and labels, the options."""
    settings = dataclasses.asdict(ager.model.finished()[0])
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, _VERSION, ager.name, settings, *options]).encode())
    for name, weight in sorted(all_tensors(ager.model.nets).items()):
        digest.update(name.encode())
        digest.update(weight.float().contiguous().numpy().tobytes())
    for faces in sets:
        digest.update(repr(faces.table().to_pylist()).encode())
    return f"pairs-{digest.hexdigest()[:24]}"


def _assemble(folder: Path, out: Path, ager: Ager, domains: Sequence[str], fingerprint: str) -> FaceSet:
    note = (
        f"Pairs for training: pictures, and what {ager.name} made of them (attribute {MADE}), at other ages "
        "or with glasses on. Made faces are nobody's pictures, and are as old as the ager reads them."
    )
    with SetWriter(
        out, name=out.name, size=ager.size, domains=domains, note=note, build=fingerprint, replace=True
    ) as writer:
        gather(folder, writer)
    return FaceSet.open(out)

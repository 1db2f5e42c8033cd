"""Write two sets of twins: the same people at the same ages, as photographs and as manga.

Interrupted anywhere, the same call goes on, to the same sets.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from nenrin.domains.face import GENDERS, GLASSES, Face, face_id
from nenrin.domains.faceset import FORMAT_VERSION, FaceSet, SetWriter
from nenrin.domains.resume import clear, finished, gather, process, workplace
from nenrin.domains.split import split_of
from nenrin.domains.storage import STORED, store_row
from nenrin.domains.twins.drawing import Domain, draw
from nenrin.domains.twins.manner import TURNED, draw_freely, dyed
from nenrin.domains.twins.people import BACKS, BEARDS, FRONTS, People, sample_views
from nenrin.domains.workers import Job, write_rows
from nenrin.ground import UsageError

DOMAINS: tuple[Domain, ...] = ("photo", "manga")
YOUNGEST, OLDEST = 1.0, 90.0
WORN = (0.55, 0.28, 0.17)  # how often each of GLASSES is worn, from picture to picture
VIEWS = 2  # views of each person: the pictures of one differ in age and glasses alone
_BATCH = 64  # persons drawn, and held in memory, at a time
_ALIKE = 4  # of them are drawn in one manner, where there are many
_FEW = 3000  # pictures that are drawn before another process has started
_VERSION = 4  # of the drawing: sets that another one drew are not taken for ours
_SOURCE, _LICENCE = "twins", "CC0-1.0"
_NOTE = "Drawn by rule: these people never were, and their ages, points and glasses are exact."


@dataclasses.dataclass(kw_only=True, slots=True)
class Sitting:
    """Some persons in one domain, at all their ages, and the file of their faces."""

    path: Path
    people: People
    first: int  # the number of the first of them
    ages_per_person: int
    size: int
    seed: int
    domain: Domain
    free: bool  # manga in many manners

    def __len__(self) -> int:
        return len(self.people) * self.ages_per_person

    def run(self) -> None:
        """Draw the faces and write them."""
        write_rows(self.path, [store_row(face) for face in self._faces()], STORED)

    def _faces(self) -> Iterator[Face]:
        """What is drawn depends on the seed and on who sits; it is the same in both domains."""
        rng = np.random.default_rng([self.seed, 3, self.first])
        count, each = len(self.people), self.ages_per_person
        # One age in each of as many equal spans: every person is seen young and old.
        spans = rng.permuted(np.tile(np.arange(each), (count, 1)), axis=1).ravel()
        share = (spans + rng.random(len(self))) / each
        ages = np.round(YOUNGEST + (OLDEST - YOUNGEST) * share, 1).astype(np.float32)
        worn = rng.choice(len(GLASSES), size=len(self), p=WORN)
        view = np.arange(len(self)) % each % VIEWS
        who = np.repeat(np.arange(count), each)
        views = sample_views(
            count * VIEWS, seed=int(rng.integers(2**31)), turned=TURNED if self.free else 1.0
        )[who * VIEWS + view]
        people = (dyed(self.people, rng) if self.free else self.people)[who]
        if self.free:  # a change of glasses too, in so many manners, would be one more thing to learn
            worn = worn[who * each + view]
        if self.free and self.domain == "manga":
            drawing = draw_freely(
                people, ages, glasses=worn, views=views, sitting=who * VIEWS + view,
                alike=_ALIKE * each, size=self.size, rng=rng,
            )  # fmt: skip
        else:
            drawing = draw(people, ages, domain=self.domain, glasses=worn, views=views, size=self.size)
        frame = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * self.size
        for row, pixels in enumerate(drawing.images):
            person = f"{self.seed}/{self.first + row // each:06d}"
            yield Face(
                id=face_id(pixels),
                image=cv2.imencode(".png", pixels[..., ::-1])[1].tobytes(),
                domain=self.domain,
                age=float(ages[row]),
                age_source="label",
                gender=GENDERS[people.gender[row]],
                glasses=GLASSES[worn[row]],
                attributes={
                    "bangs": FRONTS[people.front[row]] == "bangs",
                    "long_hair": BACKS[people.back[row]] == "long" and bool(ages[row] > 6),
                    "beard": BEARDS[people.beard[row]] in ("moustache", "full") and bool(ages[row] > 24),
                    "smile": bool(views.smile[row] > 0.5),
                },
                identity=f"twin/{person}",
                view=f"twin/{person}/{view[row]}",
                source=_SOURCE,
                source_id=f"{person}/{row % each}",
                licence=_LICENCE,
                points=drawing.points[row],
                frame=frame,
                split=split_of(f"twin/{person}"),
            )


def build_twins(
    path_photo: str | Path,
    path_manga: str | Path,
    *,
    people: People,
    ages_per_person: int,
    size: int,
    seed: int,
    workers: int = 2,
    free: bool = False,
) -> tuple[FaceSet, FaceSet]:
    """Draw every person at `ages_per_person` ages spread over 1 to 90 years, in both domains.

    Each is seen in `VIEWS` views in turn, whose pictures share a name in `Face.view`.
    A face of one set has its counterpart in the other, in the same place: same person ("twin/7/000123" is the
    124th of seed 7), age, glasses, view and `source_id`. Splits go by person. Where they are `free` they are
    characters, and manga is drawn in many manners (`manner.py`). The outcome does not depend on `workers`
    (processes; 0 draws in this one). Raises `UsageError` for a wrong call or where another set is.
    """
    if ages_per_person < 1:
        raise UsageError(f"{ages_per_person} ages for each person: ask for at least 1")
    if not len(people):
        raise UsageError("no people to draw: ask for at least 1")
    outs = {domain: Path(path) for domain, path in zip(DOMAINS, (path_photo, path_manga), strict=True)}
    if outs["photo"].resolve() == outs["manga"].resolve():
        raise UsageError(f"{path_photo} cannot hold both sets: name two folders")
    fingerprint = _fingerprint(people, ages_per_person, size, seed, free)
    missing = [domain for domain, out in outs.items() if finished(out, f"{fingerprint}-{domain}") is None]
    with contextlib.ExitStack() as stack:
        folders = {d: stack.enter_context(workplace(outs[d], f"{fingerprint}-{d}")) for d in missing}

        def sittings() -> Iterator[Job]:
            for first in range(0, len(people), _BATCH):
                for domain, folder in folders.items():
                    yield Sitting(
                        path=folder / f"{first:08d}.parquet",
                        people=people[first : first + _BATCH],
                        first=first,
                        ages_per_person=ages_per_person,
                        size=size,
                        seed=seed,
                        domain=domain,
                        free=free,
                    )

        total = len(people) * ages_per_person * len(missing)
        process(sittings, total, workers=workers if total > _FEW else 0, label="drawing twins")
        for domain, folder in folders.items():
            _assemble(folder, outs[domain], domain, size, f"{fingerprint}-{domain}")
    for out in outs.values():
        clear(out)
    return FaceSet.open(path_photo), FaceSet.open(path_manga)


def _fingerprint(people: People, ages_per_person: int, size: int, seed: int, free: bool) -> str:
    """Names all that decides the outcome."""
    how = [FORMAT_VERSION, _VERSION, ages_per_person, size, seed, *(["free"] if free else [])]
    digest = hashlib.sha256(json.dumps(how).encode())
    for field in dataclasses.fields(people):
        digest.update(np.ascontiguousarray(getattr(people, field.name)).tobytes())
    return f"twins-{digest.hexdigest()[:24]}"


def _assemble(folder: Path, out: Path, domain: Domain, size: int, fingerprint: str) -> None:
    with SetWriter(
        out,
        name=out.name,
        size=size,
        domains=(domain,),
        licences={_SOURCE: _LICENCE},
        note=_NOTE,
        build=fingerprint,
        replace=True,
    ) as writer:
        gather(folder, writer)

"""Write two sets of twins: the same people at the same ages, as photographs and as manga."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.face import GENDERS, GLASSES, Face, face_id
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.split import split_of
from nenrin.domains.twins.drawing import Domain, draw
from nenrin.domains.twins.people import BACKS, BEARDS, FRONTS, People, sample_views
from nenrin.ground import UsageError, track

YOUNGEST, OLDEST = 1.0, 90.0
WORN = (0.55, 0.28, 0.17)  # how often each of GLASSES is worn, from picture to picture
_BATCH = 64  # persons drawn, and held in memory, at a time
_SOURCE, _LICENCE = "twins", "CC0-1.0"


def build_twins(
    path_photo: str | Path,
    path_manga: str | Path,
    *,
    people: People,
    ages_per_person: int,
    size: int,
    seed: int,
) -> tuple[FaceSet, FaceSet]:
    """Draw every person at `ages_per_person` ages spread over 1 to 90 years, in both domains.

    A face of one set has its counterpart in the other: same person ("twin/000123" is the 124th), age, glasses
    and view. Splits go by person. Sets that an interrupted build left behind are written anew. Raises
    `UsageError` if a finished set is there already.
    """
    if ages_per_person < 1:
        raise UsageError(f"{ages_per_person} ages for each person: ask for at least 1")
    with (
        _writer(path_photo, "twins-photo", "photo", size) as photo,
        _writer(path_manga, "twins-manga", "manga", size) as manga,
    ):
        writers: dict[Domain, SetWriter] = {"photo": photo, "manga": manga}
        starts = range(0, len(people), _BATCH)
        for start in track(starts, "drawing twins"):
            some = np.arange(start, min(start + _BATCH, len(people)))
            for domain, writer in writers.items():
                for face in _faces(people, some, ages_per_person, size, seed, domain):
                    writer.add(face)
    return FaceSet.open(path_photo), FaceSet.open(path_manga)


def _writer(path: str | Path, name: str, domain: str, size: int) -> SetWriter:
    unfinished = (Path(path) / "set.toml").is_file() and not FaceSet.open(path).meta.complete
    return SetWriter(
        path, name=name, size=size, domains=(domain,), licences={_SOURCE: _LICENCE}, replace=unfinished
    )


def _faces(
    people: People,
    persons: NDArray[np.int64],
    ages_per_person: int,
    size: int,
    seed: int,
    domain: Domain,
) -> Iterator[Face]:
    """The faces of `persons` in one domain; what is drawn depends on the seed and the person alone."""
    rng = np.random.default_rng([seed, 3, int(persons[0])])
    who = np.repeat(persons, ages_per_person)
    # One age in each of as many equal spans: every person is seen young and old.
    spans = rng.permuted(np.tile(np.arange(ages_per_person), (len(persons), 1)), axis=1).ravel()
    share = (spans + rng.random(len(who))) / ages_per_person
    ages = np.round(YOUNGEST + (OLDEST - YOUNGEST) * share, 1).astype(np.float32)
    worn = rng.choice(len(GLASSES), size=len(who), p=WORN)
    views = sample_views(len(who), seed=int(rng.integers(2**31)))
    some = people[who]
    drawing = draw(some, ages, domain=domain, glasses=worn, views=views, size=size)
    frame = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    for row, person in enumerate(who):
        pixels = drawing.images[row]
        beard = BEARDS[some.beard[row]]
        yield Face(
            id=face_id(pixels),
            image=cv2.imencode(".png", pixels[..., ::-1])[1].tobytes(),
            domain=domain,
            age=float(ages[row]),
            age_source="label",
            gender=GENDERS[some.gender[row]],
            glasses=GLASSES[worn[row]],
            attributes={
                "bangs": FRONTS[some.front[row]] == "bangs",
                "long_hair": BACKS[some.back[row]] == "long" and bool(ages[row] > 6),
                "beard": beard in ("moustache", "full") and bool(ages[row] > 24),
                "smile": bool(views.smile[row] > 0.5),
            },
            identity=f"twin/{person:06d}",
            source=_SOURCE,
            source_id=f"{seed}/{person:06d}/{row % ages_per_person}/{domain}",
            licence=_LICENCE,
            points=drawing.points[row],
            frame=frame,
            split=split_of(f"twin/{person:06d}"),
        )

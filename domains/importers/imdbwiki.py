"""IMDB-WIKI (Rothe, Timofte and Van Gool 2015): pictures in folders, metadata in `imdb.mat` or `wiki.mat`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from nenrin.domains.importers.base import Importer
from nenrin.ground import UsageError
from nenrin.scrapers.raw import Raw

_MATLAB_EPOCH = 366  # Matlab counts days from year 0, Python's ordinals from year 1
_NAMES = ("imdb", "wiki")


def age_of(born: float, taken: int) -> float | None:
    """Years from a birth (Matlab's serial day) to the middle of the photograph's year; None if absurd."""
    try:
        birth = date.fromordinal(int(born) - _MATLAB_EPOCH)
    except (ValueError, OverflowError):
        return None
    age = (date(taken, 7, 1) - birth).days / 365.2425
    return age if 0 <= age <= 100 else None


def read(folder: Path) -> Iterator[Raw]:
    """One `Raw` for each row of the metadata; no face, two faces and an absurd age are faults."""
    name, metadata = _metadata(folder)
    fields = {key: np.atleast_1d(metadata[key]) for key in metadata.dtype.names}
    people = fields.get("celeb_id")
    for i, relative in enumerate(fields["full_path"]):
        raw = Raw(path=folder / str(relative), source=f"imdbwiki-{name}", source_id=str(relative))
        if people is not None:
            raw.identity = f"imdbwiki-{name}/{int(people[i])}"
        gender = float(fields["gender"][i])
        raw.gender = None if np.isnan(gender) else ("female", "male")[int(gender)]
        age = age_of(float(fields["dob"][i]), int(fields["photo_taken"][i]))
        if age is None:
            raw.fault = "absurd age"
        else:
            raw.age, raw.age_source = age, "dated"
        if not np.isfinite(fields["face_score"][i]):
            raw.fault = "no face by the source's detector"
        elif not np.isnan(fields["second_face_score"][i]):
            raw.fault = "two faces by the source's detector"
        yield raw


def _metadata(folder: Path) -> tuple[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    name = next(name for name in _NAMES if (folder / f"{name}.mat").is_file())
    path = folder / f"{name}.mat"
    try:
        metadata = loadmat(path, squeeze_me=True)[name][()]
        missing = {"dob", "photo_taken", "full_path", "gender", "face_score", "second_face_score"} - {
            *metadata.dtype.names
        }
    except (MatReadError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not the metadata of IMDB-WIKI: {error}") from None
    if missing:
        raise UsageError(f"{path} has no {', '.join(sorted(missing))}: it is not the metadata of IMDB-WIKI")
    return name, metadata


IMPORTER = Importer(
    name="imdbwiki",
    recognises=lambda folder: any((folder / f"{name}.mat").is_file() for name in _NAMES),
    read=read,
    domain="photo",
    licence="academic research",
    portrait=True,
    smallest=0.1,
)

"""Hard negatives: pictures without people, and places in pictures that the net mistakes for faces."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nenrin.domains.find import Finder, open_picture
from nenrin.domains.finder.boxes import Floats, overlap
from nenrin.domains.finder.close import CloseEyes
from nenrin.domains.finder.sources import Picture, encode, kept_out
from nenrin.ground import track
from nenrin.scrapers.local import walk

_LONGEST = 512  # pixels of a scene
_CROPS = 5  # parts of a picture that are searched besides the whole
_KNOWN = 0.1  # largest overlap with a known face for a place to count as none
# Where mistakes are looked for, by source: the step between its pictures, and the score below which a place
# counts as none. Anime crops may show a second, unlabelled face, so surer finds may be faces.
_WHERE = {"scenes": (1, 1.0), "illustrations": (1, 1.0), "anime": (4, 0.6)}
# (score, n): the second look is shown a place n times if it gave it a higher score.
_TIMES = ((0.3, 8), (0.05, 4), (0.01, 2))


@dataclasses.dataclass(kw_only=True, slots=True)
class Trouble:
    """A place that the net mistook for a face."""

    picture: Picture
    box: Floats  # (4,) in the picture's pixels


def scenes(folder: Path, *, test: bool = False) -> list[Picture]:
    """The pictures of a folder, none of which shows a face; a tenth of them is kept out of training."""
    pictures = []
    for path, _ in walk(folder):
        if kept_out(path.name) == test:
            picture = open_picture(path)
            picture.thumbnail((_LONGEST, _LONGEST), reducing_gap=2.0)
            pictures.append(
                Picture(
                    encoded=encode(np.asarray(picture)),
                    boxes=np.zeros((0, 4), np.float32),
                    points=np.zeros((0, 5, 2), np.float32),
                    trust=np.zeros(0, np.float32),
                    domain=0,
                )
            )
    return pictures


def mine(finder: Finder, sources: Mapping[str, Sequence[Picture]], seed: int) -> list[Trouble]:
    """False faces of a finder (best one with a low threshold): in the scenes, and beside the known faces of
    illustrations and anime crops."""
    rng = np.random.default_rng(seed)
    places = [
        (picture, most) for name, (step, most) in _WHERE.items() for picture in sources.get(name, ())[::step]
    ]
    return [
        Trouble(picture=picture, box=box)
        for picture, most in track(places, "looking for trouble")
        for box in _wrong(finder, picture, most, rng)
    ]


def worse(close: CloseEyes, trouble: Sequence[Trouble], seed: int) -> list[Trouble]:
    """The first look's mistakes, repeated for the second look by its own score: eight times if it makes them
    too; of those that it surely rejects, only a quarter is kept."""
    rng = np.random.default_rng(seed)
    often: list[Trouble] = []
    for one in track(trouble, "weighing trouble"):
        picture = Image.open(io.BytesIO(one.picture.encoded)).convert("RGB")
        score = float(close.look(picture, one.box[None]).scores[0])
        times = next((times for least, times in _TIMES if score > least), int(rng.random() < 0.25))
        often += [one] * times
    return often


def _wrong(finder: Finder, picture: Picture, most: float, rng: np.random.Generator) -> Iterator[Floats]:
    """Boxes found in the picture, and in enlarged parts of it (which look different), that are not faces."""
    whole = Image.open(io.BytesIO(picture.encoded)).convert("RGB")
    found = np.zeros((0, 4), np.float32)
    for left, top, part in _parts(whole, rng):
        for face in finder.find([part])[0]:
            box = (face.box + np.array([left, top, left, top])).astype(np.float32)[None]
            if (
                not (overlap(box, picture.boxes)[1] > _KNOWN).any()
                and not (overlap(box, found)[0] > 0.5).any()
            ):
                found = np.concatenate([found, box])
                yield box[0]


def _parts(whole: Image.Image, rng: np.random.Generator) -> Iterator[tuple[int, int, Image.Image]]:
    yield 0, 0, whole
    for _ in range(_CROPS):
        side = int(min(whole.size) * rng.uniform(0.3, 0.9))
        left, top = (int(rng.integers(length - side + 1)) for length in whole.size)
        yield left, top, whole.crop((left, top, left + side, top + side))

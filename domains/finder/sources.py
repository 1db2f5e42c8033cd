"""The finder's training sources, whose points need no labelling, and what is kept out of its training.

Twins have exact points, FG-NET has marked ones. MTCNN's points hold for a photograph and its drawn
counterpart. Anime crops show where the face is; their points are learned by self-training
(`relabel.relabel`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.face import GLASSES
from nenrin.domains.find import MTCNNFinder, main_face, open_picture
from nenrin.domains.finder.boxes import Floats, box_of
from nenrin.domains.finder.look import DOMAINS
from nenrin.domains.importers import anime, cartoonset, fgnet
from nenrin.domains.importers.base import Importer, read_table
from nenrin.domains.twins import draw, sample_people, sample_views
from nenrin.domains.twins.build import WORN
from nenrin.domains.twins.drawing import Domain as TwinDomain
from nenrin.ground import track, write_text
from nenrin.scrapers.local import walk

_TWINS = 700  # of each domain
_PHOTOGRAPHS = 3900  # of UTKFace, those that have a drawn counterpart
DRAWN_FGNET = "drawn/cartoonised-fgnet"
_SURE = 0.97  # least score of MTCNN for its points to be used


@dataclasses.dataclass(kw_only=True, slots=True)
class Picture:
    """An encoded picture and its F faces, in its pixels."""

    encoded: bytes
    boxes: Floats  # (F, 4)
    points: Floats  # (F, 5, 2)
    trust: Floats  # (F,) weight of the points, 0 to 1
    domain: int  # index into `look.DOMAINS`


def kept_out(name: str, one_in: int = 10) -> bool:
    """Whether a picture is kept out of training, by a hash of its file name."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % one_in == 0


def is_test_person(identity: str) -> bool:
    """Whether an FG-NET person ("fgnet/003") is kept out of training: every third is."""
    return int(identity.split("/")[1]) % 3 == 0


def collect(data: Path, boxes: Path, cache: Path) -> dict[str, list[Picture]]:
    """The training pictures by source. `data` is laid out as in `benchmarks/train_finder.py`; `boxes` is the
    table of illustrations' faces; MTCNN's points are kept in `cache`, so that this is quick the next time."""
    celeba = [path for path, _ in walk(data / "photo/celeba/images")]
    drawn = data / "drawn/cartoonised-utkface"
    twins = sorted(path.name for path, _ in walk(drawn))[:_PHOTOGRAPHS]
    utkface = [data / "photo/utkface" / name for name in twins]
    points = _photographs_points([*utkface, *celeba], cache)
    return {
        "utkface": [picture_of(path, points[path.name], "photo") for path in utkface if path.name in points],
        "drawn-utkface": [
            picture_of(drawn / path.name, points[path.name], "cartoon")
            for path in utkface
            if path.name in points
        ],
        "celeba": [picture_of(path, points[path.name], "photo") for path in celeba if path.name in points],
        "fgnet": list(fgnet_pictures(data / "photo/fgnet", test=False)),
        "drawn-fgnet": list(fgnet_pictures(data / "photo/fgnet", test=False, drawn=data / DRAWN_FGNET)),
        "cartoonset": list(_cut(data / "drawn/cartoonset", cartoonset.IMPORTER, trust=0.5)),
        "anime": list(_cut(data / "drawn/anime", anime.IMPORTER, trust=0.3)),
        "twins-photo": draw_twins("photo", _TWINS, seed=11),
        "twins-manga": draw_twins("manga", _TWINS, seed=12),
        "illustrations": illustrations(data / "drawn/illustrations", boxes, part="train"),
    }


def picture_of(path: Path, points: NDArray[np.floating], domain: str, trust: float = 1.0) -> Picture:
    """A file with one face, whose points (5, 2) are in pixels."""
    five = np.asarray(points, np.float32)[None]
    return Picture(
        encoded=path.read_bytes(),
        boxes=box_of(five),
        points=five,
        trust=np.array([trust], np.float32),
        domain=DOMAINS.index(domain),
    )


def fgnet_pictures(folder: Path, *, test: bool, drawn: Path | None = None) -> Iterator[Picture]:
    """FG-NET's pictures of the persons that are, or are not, kept out, with hand-marked points; or, for a
    folder `drawn`, the drawings of the same pictures, whatever their size."""
    for raw in fgnet.IMPORTER.read(folder):
        if raw.points is None or not raw.identity or is_test_person(raw.identity) != test:
            continue
        points = np.array(raw.points)
        if drawn is None:
            yield picture_of(raw.path, points, "photo")
        elif (path := drawn / raw.path.name).is_file():
            scale = np.array(open_picture(path).size) / open_picture(raw.path).size
            yield picture_of(path, points * scale, "cartoon")


def draw_twins(domain: TwinDomain, count: int, *, seed: int, size: int = 112) -> list[Picture]:
    """Twins of all ages, with exact points. They stand upright in the middle, as aligned faces do."""
    rng = np.random.default_rng(seed)
    pictures = []
    for start in range(0, count, 250):
        some = min(250, count - start)
        drawing = draw(
            sample_people(some, seed=seed * 1000 + start),
            rng.uniform(1, 90, some),
            domain=domain,
            glasses=rng.choice(len(GLASSES), some, p=WORN),
            views=sample_views(some, seed=seed * 1000 + start),
            size=size,
        )
        for image, points in zip(drawing.images, drawing.points, strict=True):
            pictures.append(
                Picture(
                    encoded=encode(image),
                    boxes=box_of(points[None]),
                    points=points[None],
                    trust=np.ones(1, np.float32),
                    domain=DOMAINS.index(domain),
                )
            )
    return pictures


def illustrations(folder: Path, boxes: Path, *, part: str, longest: int = 480) -> list[Picture]:
    """Whole illustrations of one part of the table, reduced to `longest` pixels, with the boxes that were
    drawn by hand. Points are not known (trust 0)."""
    faces: dict[str, list[list[float]]] = {}
    for row in read_table(boxes, required=("file", "left", "top", "right", "bottom", "part")):
        if row["part"] == part:
            box = [row[name] for name in ("left", "top", "right", "bottom")]
            faces.setdefault(row["file"], []).extend([[float(v) for v in box]] if all(box) else [])
    pictures = []
    for name, found in sorted(faces.items()):
        picture = open_picture(folder / name)
        scale = min(longest / max(picture.size), 1.0)
        small = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        pictures.append(
            Picture(
                encoded=encode(np.asarray(small)),
                boxes=np.array(found, np.float32).reshape(-1, 4) * np.float32(scale),
                points=np.zeros((len(found), 5, 2), np.float32),
                trust=np.zeros(len(found), np.float32),
                domain=DOMAINS.index("manga"),
            )
        )
    return pictures


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """RGB as JPEG, nearly without loss."""
    return cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def _cut(folder: Path, importer: Importer, *, trust: float) -> Iterator[Picture]:
    """Crops that are all cut alike, with the points of the cut, without those kept out of training."""
    for raw in importer.read(folder):
        if not kept_out(raw.path.name):
            picture = open_picture(raw.path)
            assert importer.nominal and importer.domain
            points = np.array(importer.nominal) * picture.size
            yield picture_of(raw.path, points, importer.domain, trust)


def _photographs_points(paths: Sequence[Path], cache: Path) -> dict[str, Floats]:
    """MTCNN's points of the main face of each photograph, by file name, where it is sure."""
    if not cache.is_file():
        finder = MTCNNFinder(smallest=0.25)
        known = {}
        for start in track(range(0, len(paths), 16), "points of photographs"):
            some = paths[start : start + 16]
            pictures = [open_picture(path) for path in some]
            for path, picture, faces in zip(some, pictures, finder.find(pictures), strict=True):
                if faces and (face := main_face(faces, picture.size)).score >= _SURE:
                    known[path.name] = face.points.round(2).tolist()
        write_text(cache, json.dumps(known))
    return {
        name: np.array(points, np.float32)
        for name, points in json.loads(cache.read_text(encoding="utf-8")).items()
    }

"""From raw pictures to faces: open -> find -> align -> encode -> hash, each a pure step."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.align import align, frame_of, similarity
from nenrin.domains.duplicates import difference_hash
from nenrin.domains.face import Face, face_id
from nenrin.domains.find import Finder, Found, main_face, open_picture
from nenrin.domains.finders import AUTO, MTCNN, NOMINAL, open_finder
from nenrin.domains.glasses import WORN, kind, tint
from nenrin.domains.importers.base import Importer
from nenrin.ground import NenrinError
from nenrin.scrapers.raw import Raw

_BATCH_PICTURES = 16
_BATCH_PIXELS = 24_000_000  # decoded pictures held at a time
_JPEG_QUALITY = 95


@dataclasses.dataclass(kw_only=True, slots=True)
class Placed:
    """A face in an open picture: its five points, and where they come from."""

    raw: Raw
    picture: Image.Image
    points: NDArray[np.float32] | None  # (5, 2) pixels; None: no face, the whole picture is kept as a reject
    scores: dict[str, float]
    number: int = 1  # among the faces of its picture


@dataclasses.dataclass(kw_only=True, slots=True)
class Hashed:
    """A face, complete except for its split, and its hash."""

    face: Face
    hash: bytes


@dataclasses.dataclass(kw_only=True, slots=True)
class Unreadable:
    """A picture that cannot be decoded, and why."""

    source: str
    source_id: str
    reason: str


def finder_for(importer: Importer, finder: str) -> str:
    """The finder that `auto` means for a source: its own choice; MTCNN for photographs; else both."""
    if finder != AUTO:
        return finder
    return importer.finder or (MTCNN if importer.domain == "photo" else AUTO)


class Pipeline:
    """The steps for the pictures of one source. The finder is loaded on first use."""

    def __init__(self, importer: Importer, *, size: int, finder: str, domain: str | None) -> None:
        self._importer = importer
        self._size = size
        self._domain = domain
        self._finder_name = finder_for(importer, finder)
        self._finder: Finder | None = None
        self._trust_points = finder in (AUTO, NOMINAL)  # a finder that is named gives the points itself

    def run(
        self, raws: Sequence[Raw], fractions: Sequence[NDArray[np.float32] | None]
    ) -> Iterator[Hashed | Unreadable]:
        """Faces and failures in the order of `raws`.

        `fractions` holds (5, 2) points from elsewhere, in units of the picture's sides, or None.
        """
        batch: list[tuple[Raw, Image.Image, NDArray[np.float32] | None]] = []
        pixels = 0
        for raw, fraction in zip(raws, fractions, strict=True):
            try:
                picture = open_picture(raw.path)
            except NenrinError as error:
                yield from self._batch(batch)
                batch, pixels = [], 0
                # The path differs between machines, the set must not.
                reason = str(error).replace(str(raw.path), "the file")
                yield Unreadable(source=raw.source, source_id=raw.source_id, reason=reason)
                continue
            if raw.box is not None:
                picture = picture.crop(_about(raw.box, picture.size))
            batch.append((raw, picture, fraction))
            pixels += picture.width * picture.height
            if len(batch) >= _BATCH_PICTURES or pixels >= _BATCH_PIXELS:
                yield from self._batch(batch)
                batch, pixels = [], 0
        yield from self._batch(batch)

    def _batch(
        self, batch: Sequence[tuple[Raw, Image.Image, NDArray[np.float32] | None]]
    ) -> Iterator[Hashed]:
        placed = self._place(batch)
        aligned: dict[int, tuple[NDArray[np.uint8], NDArray[np.float32]]] = {}
        with_face = [i for i, place in enumerate(placed) if place.points is not None]
        if with_face:
            points = np.array([placed[i].points for i in with_face], dtype=np.float32)
            pixels, frames = align([placed[i].picture for i in with_face], points, self._size)
            aligned = {i: (pixels[k], frames[k]) for k, i in enumerate(with_face)}
        for i, place in enumerate(placed):
            image, frame = aligned[i] if i in aligned else fit(place.picture, self._size)
            yield self._finish(place, image, frame)

    def _place(self, batch: Sequence[tuple[Raw, Image.Image, NDArray[np.float32] | None]]) -> list[Placed]:
        """Find each picture's faces: by the source's points, else the finder, else the source's cut."""
        given = [self._given(raw, picture, fraction) for raw, picture, fraction in batch]
        search = [i for i, points in enumerate(given) if points is None and self._finder_name != NOMINAL]
        found: dict[int, list[Found]] = {}
        if search:
            if self._finder is None:
                self._finder = open_finder(
                    self._finder_name, smallest=self._importer.smallest, margin=self._importer.margin
                )
            found = dict(zip(search, self._finder.find([batch[i][1] for i in search]), strict=True))
        placed = []
        for i, (raw, picture, _) in enumerate(batch):
            faces = found.get(i, [])
            labelled = self._importer.portrait or any((raw.age is not None, raw.gender, raw.glasses))
            if faces and labelled:
                faces = [main_face(faces, picture.size)]
            points, scores = given[i], {"given": 1.0}
            if points is None and self._importer.nominal is not None:
                points, scores = _scale(np.array(self._importer.nominal), picture), {"nominal": 1.0}
            if not faces:
                scores = scores if points is not None else {}
                placed.append(Placed(raw=raw, picture=picture, points=points, scores=scores))
            if len(faces) > 1:  # the source's labels do not say which of them they are for
                raw = dataclasses.replace(raw, identity=None)
            for number, face in enumerate(faces, 1):
                scores = {"found": face.score}
                placed.append(
                    Placed(raw=raw, picture=picture, points=face.points, scores=scores, number=number)
                )
        return placed

    def _given(
        self, raw: Raw, picture: Image.Image, fraction: NDArray[np.float32] | None
    ) -> NDArray[np.float32] | None:
        if fraction is not None:
            return _scale(fraction, picture)
        if raw.points is not None and self._trust_points:
            return np.array(raw.points, dtype=np.float32)
        return None

    def _finish(self, place: Placed, image: NDArray[np.uint8], frame: NDArray[np.float32]) -> Hashed:
        raw = place.raw
        reason = raw.fault or (None if place.points is not None else "no face found")
        if place.points is not None:
            matrix = similarity(place.points[None], self._size)[0]
            place.scores["enlarged"] = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        glasses, attributes = raw.glasses, raw.attributes
        if glasses == WORN:
            attributes = {**attributes, "glasses": True}
            place.scores["tint"] = tint(image)
            glasses = kind(place.scores["tint"]) if place.points is not None else None
        domain = raw.domain or self._domain or self._importer.domain
        assert domain is not None, "build() asks for it"
        face = Face(
            id=face_id(image),
            image=encode(image),
            domain=domain,
            age=raw.age,
            age_source=raw.age_source,
            gender=raw.gender,
            glasses=glasses,
            attributes=attributes,
            identity=raw.identity,
            source=raw.source,
            source_id=raw.source_id if place.number == 1 else f"{raw.source_id}#{place.number}",
            url=raw.url,
            author=raw.author,
            licence=raw.licence or self._importer.licence,
            retrieved=raw.retrieved,
            points=_in_source(place),
            frame=frame,
            scores=place.scores,
            verdict="keep" if reason is None else "drop",
            reason=reason,
        )
        return Hashed(face=face, hash=difference_hash(image))


def _about(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box with half of its longer side around it, within a picture of this width and height."""
    left, top, right, bottom = box
    around = max(right - left, bottom - top) // 2
    return (
        max(left - around, 0),
        max(top - around, 0),
        min(right + around, size[0]),
        min(bottom + around, size[1]),
    )


def _in_source(place: Placed) -> NDArray[np.float32] | None:
    """A face's points in the whole picture, if only a part of it was searched."""
    if place.points is None or place.raw.box is None:
        return place.points
    corner = _about(place.raw.box, place.picture.size)[:2]
    return place.points + np.array(corner, dtype=np.float32)


def _scale(fractions: NDArray[np.floating], picture: Image.Image) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = (fractions * np.array(picture.size)).astype(np.float32)
    return scaled


def fit(picture: Image.Image, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The whole picture in the middle of a black square, (size, size, 3), and its frame (4, 2)."""
    scale = size / max(picture.size)
    width, height = (max(round(length * scale), 1) for length in picture.size)
    left, top = (size - width) // 2, (size - height) // 2
    square = Image.new("RGB", (size, size))
    square.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (left, top))
    matrix = np.array(
        [[[width / picture.width, 0, left], [0, height / picture.height, top]]], dtype=np.float32
    )
    return np.asarray(square), frame_of(matrix, [picture.size])[0]


def encode(image: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG without chroma subsampling: a third of PNG's size, lines stay clean."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return stream.getvalue()

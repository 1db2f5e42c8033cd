"""`Ager`: a trained model, ready to age faces."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nenrin.domains.align import align, similarity
from nenrin.domains.face import GENDERS, GLASSES
from nenrin.domains.find import Finder, Found, NoFaceError, as_rgb
from nenrin.domains.finders import open_finder
from nenrin.ground import NenrinError, UsageError, suggest
from nenrin.models import checkpoint, paste
from nenrin.models.base import AgerModel
from nenrin.models.change import Change
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.config import build, from_table
from nenrin.models.hair import Hair, hair
from nenrin.models.hairnet import shipped
from nenrin.models.run import nets_of, run_of
from nenrin.models.samples import to_pixels, to_tensor

SHIPPED = Path(__file__).parent / "weights" / "mixed"  # its README.md is the model card
TAKEN = ("find", "whole")  # for a face
CHUNK = 64  # faces at a time, so that memory stays flat ...
ENOUGH = 128  # ... if they are written at up to so many pixels; fewer of larger ones
PIXELS = 16_000_000  # of opened pictures at a time


@dataclasses.dataclass(kw_only=True, slots=True)
class Strip:
    """One face of a picture, at every age that was asked for."""

    input: Image.Image  # the aligned face
    seen: Image.Image  # the same as the model sees it, at its resolution
    outputs: dict[float, Image.Image]  # years -> the face at that age
    found: Found | None  # where it is in the picture; None if the whole picture was taken as the face
    matrix: NDArray[np.float32] | None  # (2, 3), from the picture to the aligned face; None likewise
    domain: str | None  # given, or estimated by the model; None if it gives no estimate
    from_age: float | None  # years: given, or estimated by the model; None if it gives no estimate
    seconds: float  # for all of its ages, without finding the face
    labels: tuple[Condition, Condition]  # current and requested labels of the one face, without the age
    # Years -> the change applied, or the residual if the model outputs none: not to be computed again.
    changes: dict[float, Change | Tensor] = dataclasses.field(default_factory=dict)

    @property
    def gender(self) -> str | None:
        """female or male: given, or estimated by the model; None if it gives no estimate."""
        return _word(GENDERS, self.labels[0].gender[0])


@dataclasses.dataclass(kw_only=True, slots=True)
class Outcome:
    """What became of one picture of many."""

    picture: Image.Image | None  # as it was seen: RGB, and turned upright; None if it cannot be opened
    strips: list[Strip] = dataclasses.field(default_factory=list)  # of its faces, largest confidence first
    error: NenrinError | None = None  # why there are none


class Ager:
    """Ages faces with a trained model."""

    def __init__(self, model: AgerModel, *, name: str, finder: Finder | None = None) -> None:
        self.model = model.eval()
        self.name = name
        self.size = model.config.size  # pixels
        self.domains = model.config.domains
        self._finder = finder

    @classmethod
    def load(cls, path: str | Path | None = None, *, finder: Finder | None = None) -> Ager:
        """Open a run folder (its newest checkpoint) or a checkpoint folder; by default the shipped weights.

        Raises `UsageError` if there is none or it is of another architecture, `NenrinError` if it is damaged.
        """
        path = SHIPPED if path is None else Path(path)
        if not path.is_dir():
            raise UsageError(f"{path} does not exist: name a run folder")
        folder = nets_of(path)
        state = checkpoint.read_state(folder)
        model = build(from_table(state["config"]))
        checkpoint.load_nets(folder, model.nets)
        # On a CPU a quarter faster than in the plain layout, unlike training.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(model, name=run_of(folder).name, finder=finder)

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """Age aligned faces: (N, 3, size, size) in [-1, 1] to the same; memory stays flat as N grows."""
        if not len(images):
            return images
        chunks = [slice(start, start + CHUNK) for start in range(0, len(images), CHUNK)]
        return torch.cat([self.model.transform(images[c], source[c], target[c]) for c in chunks])

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        """The model's own estimates of the labels of (N, 3, size, size) faces; see `AgerModel.estimate`."""
        if domain is None:
            domain = torch.full((len(images),), UNKNOWN)
        chunks = [slice(start, start + CHUNK) for start in range(0, max(len(images), 1), CHUNK)]
        return Condition.joined([self.model.estimate(images[c], domain[c]) for c in chunks])

    def age(
        self,
        picture: Image.Image | str | Path,
        to: Iterable[float] | float,
        *,
        glasses: str | None = "keep",
        domain: str | None = "auto",
        gender: str | None = None,
        from_age: float | None = None,
        face: str | None = "find",
    ) -> list[Strip]:
        """Age every face of a picture, largest confidence first; it is turned by its EXIF data.

        `picture` may be the path of a file. `to` is years, one or several; `glasses` is keep, none, clear or
        dark; `domain` is auto or one of `domains`; `face` is find, or whole for a picture that is one tight,
        upright face. None is the default of each. Raises `NoFaceError` if there is none and `UsageError` for
        an age or a word that is not known.
        """
        (one,) = self.age_all(
            [picture], to, glasses=glasses, domain=domain, gender=gender, from_age=from_age, face=face
        )
        if one.error is not None:
            raise one.error
        return one.strips

    def age_all(
        self,
        pictures: Iterable[Image.Image | str | Path],
        to: Iterable[float] | float,
        *,
        glasses: str | None = "keep",
        domain: str | None = "auto",
        gender: str | None = None,
        from_age: float | None = None,
        face: str | None = "find",
        size: int | None = None,
    ) -> Iterator[Outcome]:
        """As `age` for many pictures, in their order: faces of several go through the nets in one batch.

        One that cannot be aged yields its error, and the others go on. Pictures are taken as they are needed,
        so that memory stays flat. With `size` strips are as `enlarged` makes them.
        """
        glasses, domain, face = glasses or "keep", domain or "auto", face or "find"
        if glasses != "keep" and glasses not in GLASSES:
            raise UsageError(f"unknown glasses {glasses!r}; {suggest(glasses, ['keep', *GLASSES])}")
        if face not in TAKEN:
            raise UsageError(f"unknown face {face!r}; {suggest(face, TAKEN)}")
        given = Condition.of(
            1,
            domains=self.domains,
            age=None if from_age is None else _ages([from_age])[0],
            domain=None if domain == "auto" else domain,
            glasses=None if glasses == "keep" else glasses,
            gender=gender,
        )
        wish = _Wish(to=_ages(to), given=given, whole=face == "whole", size=size)
        return self._in_chunks(pictures, wish)

    def _in_chunks(self, pictures: Iterable[Image.Image | str | Path], wish: _Wish) -> Iterator[Outcome]:
        """The outcomes of pictures, aged some at a time."""
        side = max(wish.size or self.size, ENOUGH)
        most = max(CHUNK * ENOUGH**2 // (side**2 * max(len(wish.to), 1)), 1)
        chunk: list[Outcome] = []
        pixels = 0
        for one in map(_seen, pictures):
            chunk.append(one)
            pixels += one.picture.width * one.picture.height if one.picture else 0
            if len(chunk) >= most or pixels >= PIXELS:
                yield from self._aged(chunk, wish)
                chunk, pixels = [], 0
        yield from self._aged(chunk, wish)

    def _aged(self, chunk: list[Outcome], wish: _Wish) -> list[Outcome]:
        """The outcomes, with the strips or the error of each."""
        faces: list[_Face] = []
        owners: list[Outcome] = []
        for one in chunk:
            if one.picture is None:
                continue
            found = [None] if wish.whole else self._found(one.picture)
            if not found:
                one.error = NoFaceError(
                    "no face found; if the picture is one tight, upright face, take it whole"
                )
            faces += [_Face(picture=one.picture, found=each) for each in found]
            owners += [one] * len(found)
        if faces:
            for owner, strip in zip(owners, self._strips(faces, wish), strict=True):
                owner.strips.append(strip)
        return chunk

    def _found(self, picture: Image.Image) -> list[Found]:
        if self._finder is None:
            self._finder = open_finder()
        return self._finder.find([picture])[0]

    def _strips(self, faces: Sequence[_Face], wish: _Wish) -> list[Strip]:
        """The strips of N faces."""
        to, count = wish.to, len(faces)
        pixels = self._aligned(faces)
        images = to_tensor(pixels)
        shown = images if wish.size is None else torch.cat([face.aligned(wish.size) for face in faces])
        began = time.perf_counter()
        given = wish.given[torch.zeros(count, dtype=torch.long)]
        source = merge(self.estimate(images, given.domain), given)
        asked = given.replace(domain=source.domain)
        # All ages of all faces in one batch: for a few small faces a net's time is mostly overhead.
        rows = torch.arange(count).repeat(len(to))
        ages = torch.tensor(to, dtype=torch.float32).repeat_interleave(count)
        outputs, changes = self._made(images, shown, rows, source[rows], asked[rows].replace(age=ages))
        seconds = (time.perf_counter() - began) / count
        inputs = pixels if wish.size is None else to_pixels(shown)
        return [
            Strip(
                input=Image.fromarray(inputs[row]),
                seen=Image.fromarray(pixels[row]),
                outputs={
                    age: Image.fromarray(aged) for age, aged in zip(to, outputs[row::count], strict=True)
                },
                found=face.found,
                matrix=None if face.found is None else similarity(face.found.points[None], self.size)[0],
                domain=_word(self.domains, source.domain[row]),
                from_age=None if math.isnan(source.age[row]) else float(source.age[row]),
                seconds=seconds,
                labels=(source[row : row + 1], asked[row : row + 1]),
                changes=dict(zip(to, changes[row::count], strict=True)),
            )
            for row, face in enumerate(faces)
        ]

    def _made(
        self, images: Tensor, shown: Tensor, rows: Tensor, source: Condition, target: Condition
    ) -> tuple[list[NDArray[np.uint8]], list[Change | Tensor]]:
        """The aged face, (R, R, 3), and its change for each of `rows` (M,) of faces (N, 3, size, size), which
        are changed at the size at which they are `shown` (N, 3, R, R)."""
        made: list[NDArray[np.uint8]] = []
        changes: list[Change | Tensor] = []
        for start in range(0, len(rows), CHUNK):
            some = slice(start, start + CHUNK)
            faces = images[rows[some]]
            change = self._change(faces, source[some], target[some])
            made.extend(paste.changed(shown[rows[some]], change))
            changes += [change[place : place + 1] for place in range(len(faces))]
        return made, changes

    def _change(self, images: Tensor, source: Condition, target: Condition) -> Change | Tensor:
        """The model's change of faces, or the residuals at its own size if it outputs pictures."""
        change = self.model.change(images, source, target)
        return self.model.transform(images, source, target) - images if change is None else change

    def _aligned(self, faces: Sequence[_Face]) -> NDArray[np.uint8]:
        """Faces as the model sees them: (N, size, size, 3)."""
        side = (self.size, self.size)
        pixels = np.empty((len(faces), *side, 3), np.uint8)
        found = [row for row, face in enumerate(faces) if face.found is not None]
        for row, face in enumerate(faces):
            if face.found is None:
                pixels[row] = np.asarray(face.picture.resize(side, Image.Resampling.LANCZOS))
        if found:
            points = np.stack([face.found.points for face in faces if face.found is not None])
            pixels[found] = align([faces[row].picture for row in found], points, self.size)[0]
        return pixels

    def paste(self, picture: Image.Image | str | Path, strips: Sequence[Strip], age: float) -> Image.Image:
        """The picture with all of its faces at an age, at its own resolution; `strips` come from `age`.

        If the model outputs a change (`AgerModel.change`), it is applied to the picture's own pixels. If not,
        the residual that the model added to its small face is enlarged and added.
        """
        return next(self.pasted(picture, strips, [age]))

    def pasted(
        self, picture: Image.Image | str | Path, strips: Sequence[Strip], ages: Iterable[float]
    ) -> Iterator[Image.Image]:
        """As `paste`, for one age after another; each face is aligned, and its hair found, once for all."""
        picture = as_rgb(picture)
        points = [None if strip.found is None else strip.found.points for strip in strips]
        faces = [paste.aligned(picture, five) for five in points]
        hairs: dict[int, Hair | None] = {}
        for age in ages:
            changes, greys = [self._change_of(strip, age) for strip in strips], []
            for face, change in enumerate(changes):
                own = points[face]
                if own is None or not isinstance(change, Change):
                    continue
                changes[face], grey = change.split()
                if grey is None or not grey.any():
                    continue
                if face not in hairs:
                    others = [five for five in points[:face] + points[face + 1 :] if five is not None]
                    drawn = strips[face].domain not in (None, "photo")
                    seen = (grey[0, 0] / grey.amax()).numpy() if drawn else None
                    hairs[face] = hair(shipped(), picture, own, others, seen=seen)
                found = hairs[face]
                if found is not None:
                    greys.append((found, float(grey.amax())))
            differences = map(paste.difference, faces, changes)
            yield paste.add(picture, list(zip(differences, points, strict=True)), greys)

    def enlarge(self, picture: Image.Image | str | Path, strip: Strip, age: float, size: int) -> Image.Image:
        """One face at an age, aligned at `size` pixels: the change is applied to the picture's own pixels."""
        points = None if strip.found is None else strip.found.points
        face = paste.aligned(as_rgb(picture), points, size)
        return Image.fromarray(paste.changed(face, self._change_of(strip, age))[0])

    def enlarged(self, picture: Image.Image | str | Path, strip: Strip, size: int) -> Strip:
        """The strip with input and outputs of `size` pixels, made from the picture's own."""
        points = None if strip.found is None else strip.found.points
        face = paste.aligned(as_rgb(picture), points, size)
        outputs = {age: paste.changed(face, self._change_of(strip, age))[0] for age in strip.outputs}
        return dataclasses.replace(
            strip,
            input=Image.fromarray(to_pixels(face)[0]),
            outputs={age: Image.fromarray(aged) for age, aged in outputs.items()},
        )

    def _change_of(self, strip: Strip, age: float) -> Change | Tensor:
        """The change of a strip's face at an age; see `_change`."""
        if age in strip.changes:
            return strip.changes[age]
        source, asked = strip.labels
        return self._change(to_tensor(np.asarray(strip.seen)[None]), source, _aged(asked, age))


def merge(read: Condition, given: Condition) -> Condition:
    """The current labels: age, domain and gender as given, if they are, the glasses as estimated: those given
    are those asked for."""
    return read.replace(
        age=torch.where(given.age.isnan(), read.age, given.age),
        domain=torch.where(given.domain == UNKNOWN, read.domain, given.domain),
        gender=torch.where(given.gender == UNKNOWN, read.gender, given.gender),
    )


@dataclasses.dataclass(kw_only=True, slots=True)
class _Wish:
    """What is asked for all pictures."""

    to: list[float]  # years
    given: Condition  # of one face: the labels that were said, and the glasses asked for
    whole: bool  # whether a picture is one face
    size: int | None  # pixels of the faces made; None for the model's own


@dataclasses.dataclass(kw_only=True, slots=True)
class _Face:
    """A face in its picture, or the whole of that."""

    picture: Image.Image
    found: Found | None

    def aligned(self, size: int) -> Tensor:
        """(1, 3, size, size), of the picture's own pixels."""
        return paste.aligned(self.picture, None if self.found is None else self.found.points, size)


def _seen(picture: Image.Image | str | Path) -> Outcome:
    """The picture opened, or why it cannot be."""
    try:
        return Outcome(picture=as_rgb(picture))
    except NenrinError as error:
        return Outcome(picture=None, error=error)


def _ages(given: Any) -> list[float]:
    """Years, one or several, each once. `UsageError` if nobody is as old, and for what is no number."""
    try:
        ages = [given] if isinstance(given, str) else list(given)
    except TypeError:  # a single number
        ages = [given]
    if not all(isinstance(age, SupportsFloat) and 0 <= float(age) <= 120 for age in ages):
        raise UsageError(f"ages are years from 0 to 120, not {', '.join(map(repr, ages))}")
    return list(dict.fromkeys(float(age) + 0.0 for age in ages))  # -0.0 becomes 0.0


def _word(vocabulary: Sequence[str], index: Tensor) -> str | None:
    """The label that an index stands for; None if it is unknown."""
    return None if index == UNKNOWN else vocabulary[int(index)]


def _aged(condition: Condition, years: float) -> Condition:
    """The same labels at an age."""
    return condition.replace(age=torch.full_like(condition.age, years))

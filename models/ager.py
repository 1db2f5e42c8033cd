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
from nenrin.ground import UsageError, suggest
from nenrin.models import checkpoint, paste
from nenrin.models.base import AgerModel
from nenrin.models.change import Change
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.config import build, from_table
from nenrin.models.run import nets_of, run_of
from nenrin.models.samples import to_pixels, to_tensor

SHIPPED = Path(__file__).parent / "weights" / "mixed"  # its README.md is the model card
CHUNK = 64  # faces at a time, so that memory stays flat


@dataclasses.dataclass(kw_only=True, slots=True)
class Strip:
    """One face of a picture, at every age that was asked for."""

    input: Image.Image  # the aligned face, at the model's resolution
    outputs: dict[float, Image.Image]  # years -> the face at that age
    found: Found | None  # where it is in the picture; None if the whole picture was taken as the face
    matrix: NDArray[np.float32] | None  # (2, 3), from the picture to the aligned face; None likewise
    domain: str | None  # given, or estimated by the model; None if it gives no estimate
    from_age: float | None  # years: given, or estimated by the model; None if it gives no estimate
    seconds: float  # for all of its ages, without finding the face
    labels: tuple[Condition, Condition]  # current and requested labels of the one face, without the age
    # Years -> the change applied, if the model outputs one, so that it need not be computed again.
    changes: dict[float, Change] = dataclasses.field(default_factory=dict)

    @property
    def gender(self) -> str | None:
        """female or male: given, or estimated by the model; None if it gives no estimate."""
        return _word(GENDERS, self.labels[0].gender[0])


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
        model.to(memory_format=torch.channels_last)
        return cls(model, name=run_of(folder).name, finder=finder)

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """Age aligned faces: (N, 3, size, size) in [-1, 1] to the same; memory stays flat as N grows."""
        if not len(images):
            return images
        chunks = [slice(start, start + CHUNK) for start in range(0, len(images), CHUNK)]
        return torch.cat([self.model.transform(images[c], source[c], target[c]) for c in chunks])

    def estimate(self, images: Tensor) -> Condition:
        """The model's own estimates of the labels of (N, 3, size, size) faces."""
        chunks = [images[start : start + CHUNK] for start in range(0, max(len(images), 1), CHUNK)]
        return Condition.joined([self.model.estimate(chunk) for chunk in chunks])

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
        glasses, domain, face = glasses or "keep", domain or "auto", face or "find"
        if glasses != "keep" and glasses not in GLASSES:
            raise UsageError(f"unknown glasses {glasses!r}; {suggest(glasses, ['keep', *GLASSES])}")
        to = _ages(to)
        if from_age is not None:
            (from_age,) = _ages([from_age])
        picture = as_rgb(picture)
        found, matrices, pixels = self._faces(picture, face)
        images = to_tensor(pixels)
        count = len(images)
        began = time.perf_counter()
        given = Condition.of(
            count,
            domains=self.domains,
            age=from_age,
            domain=None if domain == "auto" else domain,
            glasses=None if glasses == "keep" else glasses,
            gender=gender,
        )
        source = merge(self.estimate(images), given)
        asked = given.replace(domain=source.domain)
        # All ages of all faces in one batch: for a few small faces a net's time is mostly overhead.
        rows = torch.arange(count).repeat(len(to))
        ages = torch.tensor(to, dtype=torch.float32).repeat_interleave(count)
        made, changes = self._made(images[rows], source[rows], asked[rows].replace(age=ages))
        outputs = to_pixels(made).reshape(len(to), count, *pixels.shape[1:])
        seconds = (time.perf_counter() - began) / count
        return [
            Strip(
                input=Image.fromarray(pixels[row]),
                outputs={age: Image.fromarray(aged[row]) for age, aged in zip(to, outputs, strict=True)},
                found=found[row],
                matrix=matrices[row],
                domain=_word(self.domains, source.domain[row]),
                from_age=None if math.isnan(source.age[row]) else float(source.age[row]),
                seconds=seconds,
                labels=(source[row : row + 1], asked[row : row + 1]),
                changes={
                    age: change[place : place + 1]
                    for age, (change, place) in zip(to, changes[row::count], strict=True)
                    if change is not None
                },
            )
            for row in range(count)
        ]

    def _made(
        self, images: Tensor, source: Condition, target: Condition
    ) -> tuple[Tensor, list[tuple[Change | None, int]]]:
        """As `transform`; and for each face the change of its chunk, and its row in that."""
        made: list[Tensor] = [images[:0]]
        changes: list[tuple[Change | None, int]] = []
        for start in range(0, len(images), CHUNK):
            some = slice(start, start + CHUNK)
            faces = images[some]
            change = self.model.change(faces, source[some], target[some])
            made.append(
                self.model.transform(faces, source[some], target[some])
                if change is None
                else change.apply(faces).clamp(-1, 1)
            )
            changes += [(change, place) for place in range(len(faces))]
        return torch.cat(made), changes

    def paste(self, picture: Image.Image | str | Path, strips: Sequence[Strip], age: float) -> Image.Image:
        """The picture with all of its faces at an age, at its own resolution; `strips` come from `age`.

        If the model outputs a change (`AgerModel.change`), it is applied to the picture's own pixels. If not,
        the residual that the model added to its small face is enlarged and added.
        """
        return next(self.pasted(picture, strips, [age]))

    def pasted(
        self, picture: Image.Image | str | Path, strips: Sequence[Strip], ages: Iterable[float]
    ) -> Iterator[Image.Image]:
        """As `paste`, for one age after another; each face is aligned once for all of them."""
        picture = as_rgb(picture)
        points = [None if strip.found is None else strip.found.points for strip in strips]
        faces = [paste.aligned(picture, five) for five in points]
        for age in ages:
            changes = [self._change(strip, age) for strip in strips]
            yield paste.add(picture, list(zip(map(paste.difference, faces, changes), points, strict=True)))

    def enlarge(self, picture: Image.Image | str | Path, strip: Strip, age: float, size: int) -> Image.Image:
        """One face at an age, aligned at `size` pixels: the change is applied to the picture's own pixels."""
        points = None if strip.found is None else strip.found.points
        face = paste.aligned(as_rgb(picture), points, size)
        return Image.fromarray(paste.changed(face, self._change(strip, age)))

    def enlarged(self, picture: Image.Image | str | Path, strip: Strip, size: int) -> Strip:
        """The strip with input and outputs of `size` pixels, made from the picture's own."""
        points = None if strip.found is None else strip.found.points
        face = paste.aligned(as_rgb(picture), points, size)
        outputs = {age: paste.changed(face, self._change(strip, age)) for age in strip.outputs}
        return dataclasses.replace(
            strip,
            input=Image.fromarray(to_pixels(face)[0]),
            outputs={age: Image.fromarray(aged) for age, aged in outputs.items()},
        )

    def _change(self, strip: Strip, age: float) -> Change | Tensor:
        """The model's change of a face at an age, or the residual at the model's resolution."""
        if age in strip.changes:
            return strip.changes[age]
        images = to_tensor(np.asarray(strip.input)[None])
        source, asked = strip.labels
        change = self.model.change(images, source, _aged(asked, age))
        return self.model.transform(images, source, _aged(asked, age)) - images if change is None else change

    def _faces(
        self, picture: Image.Image, face: str
    ) -> tuple[list[Found | None], list[NDArray[np.float32] | None], NDArray[np.uint8]]:
        """The faces of a picture, aligned: (N, size, size, 3)."""
        if face == "whole":
            side = (self.size, self.size)
            return [None], [None], np.asarray(picture.resize(side, Image.Resampling.LANCZOS))[None]
        if face != "find":
            raise UsageError(f"unknown face {face!r}; {suggest(face, ['find', 'whole'])}")
        if self._finder is None:
            self._finder = open_finder()
        found = self._finder.find([picture])[0]
        if not found:
            raise NoFaceError("no face found; if the picture is one tight, upright face, take it whole")
        points = np.stack([one.points for one in found])
        pixels, _ = align([picture] * len(found), points, self.size)
        return list(found), list(similarity(points, self.size)), pixels


def merge(read: Condition, given: Condition) -> Condition:
    """The current labels: age, domain and gender as given, if they are, the glasses as estimated: those given
    are those asked for."""
    return read.replace(
        age=torch.where(given.age.isnan(), read.age, given.age),
        domain=torch.where(given.domain == UNKNOWN, read.domain, given.domain),
        gender=torch.where(given.gender == UNKNOWN, read.gender, given.gender),
    )


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

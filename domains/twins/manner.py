"""Manga twins drawn in many manners: an ager that learned from one alone knows no other.

Nobody knows how old drawn characters are, so no set of them teaches ageing. Twins do, if real drawings are to
a net but one more manner (domain randomisation: Tobin et al., "Domain randomization for transferring deep
neural networks from simulation to the real world", IROS 2017). What differs is how big the eyes are, how
pointed the chin and how ragged the fringe, the colour of hair and eyes, how far the head is turned, and how
the picture is cut, painted and printed. The pictures of one view share all of that.
"""

from __future__ import annotations

import colorsys
import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.curves import Floats, Ints
from nenrin.domains.twins.drawing import Drawing
from nenrin.domains.twins.frame import Proportions
from nenrin.domains.twins.growth import age_of
from nenrin.domains.twins.head import Head
from nenrin.domains.twins.manga import Manga
from nenrin.domains.twins.people import FRONTS, People, View
from nenrin.domains.twins.photo import Photo

TURNED = 2.4  # how much further than usual heads are turned
_FRINGED = 0.55  # share of those whose hair falls over the forehead
_DYED = 0.65, 0.75  # share of hair and of eyes of any colour
_PALE = 0.6  # share of skin as light as paper
_SHADED = 0.4  # share of manners that are partly painted, not inked alone
_LARGER = 3, 2  # drawings are so many times as large as pictures: reduced by more at once, lines break up


def dyed(people: People, rng: np.random.Generator) -> People:
    """The same persons, as characters: hair and eyes of any colour, light skin, a fringe."""
    count = len(people)
    hair, iris = (
        np.where((rng.random(count) < share)[:, None], _any_colour(rng, count, bright), own)
        for share, bright, own in zip(
            _DYED, (0.2, 0.3), (people.hair_colour, people.iris_colour), strict=True
        )
    )
    pale = np.clip(rng.normal((242, 214, 200), 9, (count, 3)), 0, 255)
    fringe = rng.choice([FRONTS.index("bangs"), FRONTS.index("tousled")], count)
    skin = np.where((rng.random(count) < _PALE)[:, None], pale, people.skin_colour)
    return dataclasses.replace(
        people,
        hair_colour=hair.astype(np.float32),
        iris_colour=iris.astype(np.float32),
        skin_colour=skin.astype(np.float32),
        front=np.where(rng.random(count) < _FRINGED, fringe, people.front),
    )


def _any_colour(rng: np.random.Generator, count: int, darkest: float) -> NDArray[np.float64]:
    """RGB (count, 3) in [0, 255] of any hue."""
    hsv = rng.uniform((0, 0.1, darkest), (1, 0.85, 1), (count, 3))
    return np.array([colorsys.hsv_to_rgb(*row) for row in hsv]) * 255


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Print:
    """How one view is cut out and printed."""

    matrix: Floats  # (2, 3), from the drawing to the picture, in shares of its side
    blur: float  # deviation in pixels of a picture of 64
    saturation: float
    gain: Floats  # (3,) of the colours
    tint: Floats  # (3,) added to them
    texture: Floats  # (T, T) a smooth light over the picture, around 1

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Print:
        """Another one with each call."""
        zoom, turn, shift = rng.uniform(1.0, 1.6), rng.normal(0, 5), rng.normal(0, 0.03, 2)
        matrix = np.asarray(cv2.getRotationMatrix2D((0.5, 0.55), turn, zoom), np.float32)
        matrix[:, 2] += (shift - (0, 0.05)).astype(np.float32)  # the enlarged face stays in the middle
        grain = rng.normal(0, rng.uniform(0, 0.12), (4, 4))
        return cls(
            matrix=matrix,
            blur=rng.uniform(0, 0.8) * (rng.random() < 0.5),
            saturation=rng.uniform(0.5, 1.5),
            gain=(rng.uniform(0.85, 1.15) * rng.uniform(0.94, 1.06, 3)).astype(np.float32),
            tint=rng.normal(0, 6, 3).astype(np.float32),
            texture=(1 + grain).astype(np.float32),
        )

    def of(self, drawing: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """A drawing (D, D, 3) as a picture (size, size, 3)."""
        side = drawing.shape[0]
        matrix = self.matrix * size / side
        matrix[:, 2] = self.matrix[:, 2] * size
        cut = cv2.warpAffine(
            drawing, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        picture: Floats = cut.astype(np.float32)
        if self.blur:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), self.blur * size / 64), np.float32)
        grey = picture.mean(2, keepdims=True)
        picture = (grey + (picture - grey) * self.saturation) * self.gain + self.tint
        picture *= cv2.resize(self.texture, (size, size), interpolation=cv2.INTER_CUBIC)[..., None]
        printed: NDArray[np.uint8] = picture.clip(0, 255).astype(np.uint8)
        return printed

    def points(self, points: Floats) -> Floats:
        """Points (..., 2) of the drawing in the picture, both in shares of the side."""
        placed: Floats = (points @ self.matrix[:, :2].T + self.matrix[:, 2]).astype(np.float32)
        return placed


def sample_style(rng: np.random.Generator) -> Proportions:
    """A manner's proportions."""
    eyes = rng.uniform(1.2, 1.75)
    high = rng.uniform(1.7, 3.2)
    return Proportions(
        eye_width=eyes,
        eye_height=high,
        eye_growth=rng.uniform(1.0, 1.6),
        eye_dimorphism=rng.uniform(1, 4),
        iris_width=eyes * rng.uniform(1.0, 1.2),
        iris_height=high * rng.uniform(0.8, 0.95),
        nose=rng.uniform(0.3, 0.75),
        mouth=rng.uniform(0.35, 0.75),
        pointed=rng.uniform(0.4, 1.1),
        brow_rise=rng.uniform(5, 14),
        jag=rng.uniform(1, 6),
        puff=rng.uniform(0, 0.25),
        fold=rng.uniform(0.9, 1.7),
    )


def draw_freely(
    people: People,
    ages: NDArray[np.floating],
    *,
    glasses: NDArray[np.integer],
    views: View,
    sitting: NDArray[np.integer],
    alike: int,
    size: int,
    rng: np.random.Generator,
) -> Drawing:
    """As `drawing.draw` in the domain manga, every `alike` pictures in a manner of their own.

    Those with the same number in `sitting` (N,) are cut out and printed alike.
    """
    count = len(people)
    images = np.empty((count, size, size, 3), np.uint8)
    points = np.empty((count, 5, 2), np.float32)
    for start in range(0, count, alike):
        rows = slice(start, start + alike)
        prints = {number: Print.sample(rng) for number in dict.fromkeys(sitting[rows].tolist())}
        style, shaded = sample_style(rng), rng.uniform(0.2, 0.9) * (rng.random() < _SHADED)
        some = people[rows]
        head = Head(some, age_of(some, np.asarray(ages[rows], np.float32)), views[rows], style)
        side = size * _LARGER[0] // _LARGER[1]
        drawings = _drawings(head, np.asarray(glasses[rows], np.int64), shaded, side)
        exact = head.points()
        for i, (number, drawing) in enumerate(zip(sitting[rows].tolist(), drawings, strict=True), start):
            images[i] = prints[number].of(drawing, size)
            points[i] = prints[number].points(exact[i - start]) * size
    return Drawing(images=images, points=points)


def _drawings(head: Head, worn: Ints, shaded: float, side: int) -> Iterator[NDArray[np.uint8]]:
    """The heads, inked, and painted over by a share; each (side, side, 3) holds until the next."""
    painters: list[Manga | Photo] = [Manga(head, worn, 2 * side)]
    if shaded:
        painters.append(Photo(head, worn, 2 * side))
    drawn = np.empty((len(painters), side, side, 3), np.uint8)
    for i in range(len(head.people)):
        for painter, canvas in zip(painters, drawn, strict=True):
            painter.paint(i, canvas)
        mixed = cv2.addWeighted(drawn[0], 1 - shaded, drawn[1], shaded, 0) if shaded else drawn[0]
        yield np.asarray(mixed, np.uint8)

"""Who the twins are and how they are looked at: every parameter of a person and of a view."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

FRONTS = ("back", "bangs", "side", "centre", "tousled")  # how the hair falls over the forehead
BACKS = ("short", "bob", "long")  # how far it falls behind the head
BEARDS = ("none", "stubble", "moustache", "full")
RIMS = ("round", "oval", "square")
STRANDS = 28  # locks of hair with a shade of their own

# RGB in [0, 255], from light to dark; a person lies somewhere along each row.
_SKIN = np.array(
    [[255, 226, 206], [246, 208, 180], [226, 178, 144], [186, 132, 98], [132, 88, 64]], np.float32
)
_HAIR = np.array(
    [[30, 26, 28], [58, 40, 32], [96, 62, 40], [142, 94, 54], [206, 166, 104], [150, 66, 36]], np.float32
)
_IRIS = np.array([[84, 54, 34], [112, 76, 42], [104, 118, 66], [78, 122, 150], [96, 106, 118]], np.float32)
_CLOTH = np.array(
    [
        [52, 66, 98],
        [150, 60, 62],
        [70, 104, 84],
        [222, 214, 200],
        [58, 58, 62],
        [196, 150, 80],
        [110, 150, 186],
    ],
    np.float32,
)
_RIM = np.array([[32, 30, 34], [92, 54, 34], [140, 36, 40], [120, 122, 128], [44, 62, 104]], np.float32)


class Rows:
    """A struct of arrays: every field has one entry a row, and indexing selects rows from all of them.

    Its children are dataclasses with slots, which name the fields.
    """

    __slots__: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(getattr(self, self.__slots__[0]))

    def __getitem__(self, index: Any) -> Self:
        """The rows of an index array, slice or mask."""
        return type(self)(**{name: getattr(self, name)[index] for name in self.__slots__})


@dataclasses.dataclass(kw_only=True, slots=True)
class People(Rows):
    """N persons: what stays the same at every age. Unless noted: (N,) float32, standard normal, clipped."""

    gender: Ints  # index into GENDERS
    face_width: Floats
    jaw_width: Floats
    chin_length: Floats
    chin_width: Floats
    forehead: Floats
    midface: Floats
    fat: Floats
    eye_size: Floats
    eye_spacing: Floats
    eye_tilt: Floats
    eye_height: Floats
    brow_height: Floats
    brow_thickness: Floats
    brow_tilt: Floats
    brow_arch: Floats
    nose_width: Floats
    nose_size: Floats
    mouth_width: Floats
    lips: Floats
    ear_size: Floats
    wrinkling: Floats  # how strongly the skin folds
    grey_onset: Floats  # years at which half the hair is grey
    balding: Floats  # [0, 1] how far the hairline recedes in the end
    freckles: Floats  # [0, 1]
    rosy: Floats  # [0, 1] redness of the cheeks
    hair_volume: Floats  # [0, 1]
    curl: Floats  # [0, 1]
    part: Floats  # -1 or 1: the side on which the hair is parted
    front: Ints  # index into FRONTS
    back: Ints  # index into BACKS
    beard: Ints  # index into BEARDS
    rim: Ints  # index into RIMS
    skin_colour: Floats  # (N, 3) RGB in [0, 255], as a young adult
    hair_colour: Floats  # (N, 3)
    iris_colour: Floats  # (N, 3)
    rim_colour: Floats  # (N, 3)
    mole: Floats  # (N, 2) millimetres on the adult face; far outside for those who have none
    strands: Floats  # (N, STRANDS) in [0, 1]


@dataclasses.dataclass(kw_only=True, slots=True)
class View(Rows):
    """How N pictures are taken. (N,) float32 unless noted; angles in degrees, at most 15 either way if not
    `turned` further."""

    yaw: Floats  # the face turns to the viewer's right
    pitch: Floats  # the face turns down
    roll: Floats  # the head tilts on the shoulders; alignment keeps the eyes level
    smile: Floats  # [-0.3, 1]
    gaze: Floats  # (N, 2) in [-1, 1]
    light: Floats  # (N, 3) unit vector towards the light: right, down, towards the viewer
    contrast: Floats  # [0, 1] hardness of the light
    exposure: Floats  # around 1
    warmth: Floats  # [-1, 1] from bluish to yellowish light
    background: Floats  # (N, 2, 2, 3) RGB in [0, 255] of the four corners
    cloth: Floats  # (N, 3) RGB
    grey: NDArray[np.bool_]  # ink and screentone instead of colour, for manga


def _near(rng: np.random.Generator, colour: Floats, spread: float) -> Floats:
    # Lighter or darker rather than of another hue: hair does not turn green.
    lighter = rng.normal(0, spread, (len(colour), 1)) + rng.normal(0, 0.3 * spread, colour.shape)
    near: Floats = np.clip(colour + lighter, 8, 255).astype(np.float32)
    return near


def _along(rng: np.random.Generator, row: Floats, where: Floats, spread: float) -> Floats:
    """Colours at positions `where` in [0, 1] along `row`, with a little of their own."""
    at = where * (len(row) - 1)
    low = np.minimum(at.astype(np.int64), len(row) - 2)
    mix = (at - low)[:, None]
    colour: Floats = row[low] * (1 - mix) + row[low + 1] * mix
    return _near(rng, colour, spread)


def _pick(rng: np.random.Generator, row: Floats, count: int, spread: float) -> Floats:
    colour: Floats = row[rng.integers(len(row), size=count)]
    return _near(rng, colour, spread)


def sample_people(count: int, *, seed: int) -> People:
    """`count` persons, the same for the same seed."""
    rng = np.random.default_rng([seed, 1])

    def normal() -> Floats:
        return np.clip(rng.standard_normal(count), -2.2, 2.2).astype(np.float32)

    def uniform() -> Floats:
        return rng.random(count).astype(np.float32)

    def choice(female: list[float], male: list[float]) -> Ints:
        odds = np.cumsum(np.where(gender[:, None] == 0, female, male), axis=1)
        chosen: Ints = (rng.random((count, 1)) > odds).sum(axis=1).clip(0, len(female) - 1)
        return chosen

    gender = rng.integers(2, size=count)
    tone = np.clip(rng.beta(1.3, 1.9, count), 0, 1).astype(np.float32)
    # Fair hair goes with fair skin more often than not.
    hair = np.where(tone < 0.5, rng.random(count), 0.35 * rng.random(count)).astype(np.float32)
    iris = np.where(tone < 0.45, rng.random(count), 0.3 * rng.random(count)).astype(np.float32)
    normals = [
        "face_width", "jaw_width", "chin_length", "chin_width", "forehead", "midface", "fat", "eye_size",
        "eye_spacing", "eye_tilt", "eye_height", "brow_height", "brow_thickness", "brow_tilt", "brow_arch",
        "nose_width", "nose_size", "mouth_width", "lips", "ear_size", "wrinkling",
    ]  # fmt: skip
    back = choice([0.18, 0.37, 0.45], [0.95, 0.05, 0.0])
    has_mole = rng.random((count, 1)) < 0.3
    mole = np.stack([rng.choice([-1, 1], count) * rng.uniform(22, 46, count), rng.uniform(28, 84, count)], 1)
    return People(
        gender=gender,
        **{name: normal() for name in normals},
        grey_onset=(50 + 4 * normal()).astype(np.float32),
        # Nobody grows the hair of a bald head long.
        balding=np.where((gender == 1) & (back == 0), uniform() ** 1.2, 0.1 * uniform()).astype(np.float32),
        freckles=np.where((tone < 0.4) & (rng.random(count) < 0.25), 0.4 + 0.6 * uniform(), 0).astype(
            np.float32
        ),
        rosy=uniform(),
        hair_volume=uniform(),
        curl=np.where(rng.random(count) < 0.35, uniform(), 0).astype(np.float32),
        part=rng.choice(np.array([-1, 1], np.float32), count),
        front=choice([0.12, 0.3, 0.26, 0.22, 0.1], [0.22, 0.1, 0.3, 0.06, 0.32]),
        back=back,
        beard=choice([1.0, 0.0, 0.0, 0.0], [0.6, 0.2, 0.06, 0.14]),
        rim=rng.integers(len(RIMS), size=count),
        skin_colour=_along(rng, _SKIN, tone, 3),
        hair_colour=_along(rng, _HAIR, hair, 5),
        iris_colour=_along(rng, _IRIS, iris, 6),
        rim_colour=_pick(rng, _RIM, count, 4),
        mole=np.where(has_mole, mole, 9999).astype(np.float32),
        strands=rng.random((count, STRANDS)).astype(np.float32),
    )


def sample_views(count: int, *, seed: int, turned: float = 1.0) -> View:
    """`count` views, the same for the same seed; heads are `turned` so many times as far as usual."""
    rng = np.random.default_rng([seed, 2])

    def angle(spread: float) -> Floats:
        return (turned * np.clip(rng.normal(0, spread, count), -15, 15)).astype(np.float32)

    side, height = rng.uniform(-0.8, 0.8, count), rng.uniform(-0.7, -0.1, count)
    light = np.stack([side, height, np.ones(count)], axis=1)
    first = rng.uniform(70, 235, (count, 1, 1, 1)) + rng.normal(0, 16, (count, 1, 1, 3))
    corners = first + rng.normal(0, 16, (count, 2, 2, 1)) + rng.normal(0, 5, (count, 2, 2, 3))
    return View(
        yaw=angle(6),
        pitch=angle(4),
        roll=angle(5),
        smile=np.clip(rng.normal(0.45, 0.3, count), -0.3, 1).astype(np.float32),
        gaze=np.clip(rng.normal(0, 0.35, (count, 2)), -1, 1).astype(np.float32),
        light=(light / np.linalg.norm(light, axis=1, keepdims=True)).astype(np.float32),
        contrast=rng.uniform(0.35, 1, count).astype(np.float32),
        exposure=rng.uniform(0.9, 1.08, count).astype(np.float32),
        warmth=np.clip(rng.normal(0, 0.4, count), -1, 1).astype(np.float32),
        background=np.clip(corners, 20, 245).astype(np.float32),
        cloth=_pick(rng, _CLOTH, count, 12),
        grey=rng.random(count) < 0.3,
    )

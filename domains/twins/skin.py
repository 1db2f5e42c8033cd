"""The skin of a face in a photograph: light and shadow, folds, blush, spots, shaven and grown beards."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.curves import Floats, ellipse, ramp, stroke
from nenrin.domains.twins.hair import Hair
from nenrin.domains.twins.head import Head
from nenrin.domains.twins.people import BEARDS
from nenrin.domains.twins.raster import Pixels, add, blur, enlarge, fill, fill_hard, fixed, flood
from nenrin.domains.twins.tones import Tones, colours, mix

SOFT = 40  # side of the layers that hold broad light, blush and beards; they have no detail to lose

# Broad lights and shadows: x, y, z in millimetres, half width, half height, and the amount of light
# [of everybody, with a gaunt face, with a child's round one, with bags under the eyes]. Drawn left and right.
BLOBS = np.array(
    [
        [30, -8, 78, 17, 9, -20, -14, 6, 0],  # eye sockets
        [13, -5, 82, 6, 9, -14, -6, 8, 0],
        [35, 30, 80, 15, 11, 10, -8, 16, 0],  # cheeks
        [16, -54, 80, 16, 13, 12, 0, 6, 0],  # forehead
        [49, 54, 50, 10, 18, -6, -27, 6, 0],  # hollow cheeks
        [60, -30, 34, 8, 16, -4, -28, 4, 0],  # temples
        [50, 22, 60, 9, 6, 6, 16, -4, 0],  # cheek bones
        [6, 52, 96, 7, 4, -18, 0, 6, 0],  # under the nose
        [7, 89, 92, 8, 4.5, -20, -4, 6, 0],  # under the lip
        [6, 101, 88, 8, 7, 10, 4, 4, 0],  # chin
        [31, 15, 79, 13, 5, -3, 0, 3, -36],  # bags under the eyes
        [30, 24, 80, 12, 4, 2, 0, 0, 18],
        [24, 92, 80, 5, 12, 0, -16, 0, -6],  # beside the chin
    ],
    np.float32,
)
_MIRRORED = np.array([-1, 1, 1, 1, 1, 1, 1, 1, 1], np.float32)
_BLUSH = np.array([[-38, 36, 78, 15, 15], [38, 36, 78, 15, 15], [0, 36, 110, 8, 8]], np.float32)
_FRECKLES = np.array([[x, y, 80] for x, y in (
    (-46, 22), (-40, 30), (-36, 22), (-30, 33), (-25, 25), (-18, 31), (-44, 36), (-8, 24), (9, 27), (17, 24),
    (24, 31), (29, 23), (35, 32), (40, 24), (45, 33), (33, 39),
)], np.float32)  # fmt: skip
_SPOTS = np.array(
    [[-52, -20, 60], [55, 4, 60], [-46, 12, 70], [44, -40, 66], [-30, -62, 70], [50, 40, 60]], np.float32
)
_SCALE = Tones((0.36, 0.25, 0.22), 0.62)


class Skin:
    """The skin of N faces. Colours (N, 3): its own, that of grey hair (`silver`), the light's (`lamp`)."""

    def __init__(
        self, head: Head, hair: Hair, side: int, *, colour: Floats, silver: Floats, lamp: Floats
    ) -> None:
        self._side = side
        self._haze = 2 * round(side / 90) + 1
        people, age = head.people, head.age
        mm = head.scale * head.unit
        lit = colour * lamp
        self.tones = _SCALE.of(lit)

        # Broad light, (N, SOFT, SOFT); 128 is the skin's own colour.
        states = np.stack([age.gaunt, age.puppy_fat, np.minimum(age.pouch, 1)], 1)
        both = np.concatenate([BLOBS, BLOBS * _MIRRORED])
        light = _glow(head, both[:, :3], both[:, 3:5], both[:, 5] + states @ both[:, 6:].T)
        self._light: Pixels = np.clip(np.add(_ball(head), light), 20, 235).astype(np.uint8)

        # What blood takes from red, green and blue, (N, SOFT, SOFT, 3).
        old = ramp(age.years, 30, 90)
        red = (10 + 20 * people.rosy + 14 * age.puppy_fat) * (1 - 0.3 * old) * lit.mean(axis=1) / 215
        blush = _glow(head, _BLUSH[:, :3], _BLUSH[:, 3:], np.repeat(red[:, None], 3, axis=1))
        self._blush: Pixels = (blush[..., None] * np.array([0.1, 1, 0.8], np.float32)).astype(np.uint8)

        depth = head.fold_depth()
        folds = head.folds()
        below = np.array([0, 1.4], np.float32) * mm[:, None, None, None, None]
        width = mm[:, None, None]
        self._folds = fixed(stroke(folds, (0.8 + 2.0 * depth)[..., None] * width, ends=(0.05, 0.05)), side)
        self._ridges = fixed(
            stroke(folds + below, (0.6 + 1.6 * depth)[..., None] * width, ends=(0.05, 0.05)), side
        )
        self._fold_tone: list[list[float]] = np.rint(128 - 70 * depth.clip(0, 1)).tolist()
        self._ridge_tone: list[float] = np.rint(128 + 22 * depth.mean(axis=1)).tolist()
        self._folded: list[list[int]] = [np.flatnonzero(row > 0.03).tolist() for row in depth]
        self._shape_nose(head)

        self._freckles = fixed(
            head.place(_FRECKLES)[:, :, None] + ellipse(6) * (0.75 * mm)[:, None, None, None], side
        )
        self._spots = fixed(
            head.place(_SPOTS)[:, :, None] + ellipse(8) * (2.4 * mm)[:, None, None, None], side
        )
        mole = np.concatenate([people.mole, np.full((len(people), 1), 76, np.float32)], axis=1)[:, None]
        mole = head.place(mole)[:, 0, None] + ellipse(8) * (1.7 * mm)[:, None, None]
        self._mole = fixed(np.clip(mole, -9, 9), side)
        self._freckled: list[bool] = (people.freckles > 0).tolist()
        self._spotted: list[int] = np.ceil(5 * ramp(age.years, 55, 85)).astype(int).tolist()
        self._spot_colour = colours(mix(lit, (120, 78, 52), 0.42))
        self._mole_colour = colours(mix(lit, (66, 40, 32), 0.8))

        self._beard, self._moustache = fixed(hair.beard(), SOFT), fixed(hair.moustache(), SOFT)
        self._bearded = [BEARDS[kind] for kind in people.beard]
        cover = np.array([0, 0.3, 0.8, 0.8], np.float32)[people.beard] * age.beard
        self._beard_cover: list[float] = cover.tolist()
        grey = np.clip(1.15 * age.grey, 0, 1)
        self._beard_colour = colours(mix(people.hair_colour * 0.8, silver * 0.94, grey) * lamp)
        self._layer = np.empty((side, side), np.uint8)
        self._plain = np.empty((side, side, 3), np.uint8)

    def _shape_nose(self, head: Head) -> None:
        """The ridge catches the light; its far side lies in shadow."""
        age, mm = head.age, head.scale * head.unit
        away = -np.sign(head.views.light[:, :1])
        down = np.linspace(0, 1, 7, dtype=np.float32)
        ridge = np.zeros((len(mm), 7, 3), np.float32)
        ridge[..., 1], ridge[..., 2] = -6 + 40 * down, 92 + 20 * down
        shadow = ridge.copy()
        shadow[..., 0] = away * (6 + 5 * down**2)
        shadow[..., 1] = -14 + 54 * down
        rise = 0.25 + 0.75 * age.grown
        self._ridge = fixed(stroke(head.place(ridge), 4.2 * mm * rise, ends=(0.3, 1.3)), self._side)
        self._slope = fixed(stroke(head.place(shadow), 7.5 * mm * rise, ends=(0.4, 0.8)), self._side)
        self._slope_tone: list[float] = np.rint(128 - 34 * rise).tolist()
        self._wings = fixed(stroke(head.nose_wings(), 2.0 * mm[:, None], ends=(0.1, 0.7)), self._side)

    def paint(self, i: int) -> tuple[Pixels, Pixels]:
        """Skin (S, S, 3) all over picture `i`, and the light (S, S) on it; 128 is the skin's own."""
        light = enlarge(self._light[i], self._side)
        layer = self._layer
        layer[:] = 128
        folded = self._folded[i]
        if folded:
            fill_hard(
                layer, self._ridges[i, folded].reshape(-1, *self._ridges.shape[3:]), (self._ridge_tone[i],)
            )
        for k in folded:
            fill_hard(layer, self._folds[i, k], (self._fold_tone[i][k],))
        fill_hard(layer, self._wings[i], (92,))
        fill_hard(layer, [self._slope[i]], (self._slope_tone[i],))
        fill_hard(layer, [self._ridge[i]], (158,))
        shade = add(blur(layer, self._haze), light, -128)
        skin: Pixels = np.asarray(cv2.applyColorMap(shade, self.tones[i][:, None]), np.uint8)
        cv2.subtract(skin, enlarge(self._blush[i], self._side), dst=skin)
        self._grow_beard(i, skin)
        if self._freckled[i]:
            fill(skin, self._freckles[i], self._spot_colour[i])
        if self._spotted[i]:
            fill(skin, self._spots[i, : self._spotted[i]], self._spot_colour[i])
        fill(skin, [self._mole[i]], self._mole_colour[i])
        return skin, light

    def _grow_beard(self, i: int, skin: Pixels) -> None:
        cover = self._beard_cover[i]
        if cover < 0.02:
            return
        soft = np.zeros((SOFT, SOFT), np.uint8)
        if self._bearded[i] != "moustache":
            fill(soft, [self._beard[i]], (255 * cover,))
        fill(soft, [self._moustache[i]], (255 * cover,))
        flood(self._plain, self._beard_colour[i])
        share: NDArray[np.float32] = enlarge(blur(soft, 3), self._side) * np.float32(1 / 255)
        cv2.blendLinear(self._plain, skin, share, 1 - share, dst=skin)


def _glow(head: Head, centres: Floats, radii: Floats, amounts: Floats) -> Floats:
    """A sum of soft spots, (N, SOFT, SOFT): `centres` (M, 3), `radii` (M, 2) in mm, `amounts` (N, M)."""
    mm = (head.scale * head.unit)[:, None, None]
    sizes = np.hypot(0.85 * radii * mm, 1.8 / SOFT).astype(np.float32)  # blurred as by a lens
    strength = amounts * (radii.prod(axis=1) * mm[..., 0] ** 2) / sizes.prod(axis=2)
    grid = (np.arange(SOFT, dtype=np.float32) + np.float32(0.5)) * np.float32(1 / SOFT)
    away = (grid - head.place(centres)[..., None]) / sizes[..., None]  # (N, M, 2, SOFT)
    hills = np.exp(-away * away)
    down: Floats = (hills[:, :, 1] * strength[..., None]).astype(np.float32)
    spots: Floats = down.swapaxes(1, 2) @ hills[:, :, 0]
    return spots


def _ball(head: Head) -> Floats:
    """Light on a ball the size of the face, (N, SOFT, SOFT)."""
    views = head.views
    outline = head.place(np.array([[0, 112, 20], [0, -100, 20], [-70, 0, 0], [70, 0, 0]], np.float32))
    middle_x, middle_y = outline[:, 2:, 0].mean(1), outline[:, :2, 1].mean(1)
    half_x = (outline[:, 3, 0] - outline[:, 2, 0]) * 0.5
    half_y = (outline[:, 0, 1] - outline[:, 1, 1]) * 0.5
    grid = (np.arange(SOFT, dtype=np.float32) + np.float32(0.5)) * np.float32(1 / SOFT)
    u = (grid - middle_x[:, None]) / (1.06 * half_x[:, None])
    v = (grid - middle_y[:, None]) / (1.2 * half_y[:, None])
    out = np.sqrt(np.maximum(1 - (u * u)[:, None, :] - (v * v)[:, :, None], 0.02))
    x, y, z = (views.light[:, i, None] for i in range(3))
    down = y * v * np.where(v > 0, 0.5, 1)  # clothes throw light back at the chin
    bright = (x * u)[:, None, :] + down[:, :, None] + z[:, :, None] * out
    ball: Floats = 128 + (bright - 0.8) * (44 + 60 * views.contrast)[:, None, None]
    return np.clip(ball, 24, 200)

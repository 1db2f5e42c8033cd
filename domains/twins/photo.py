"""The twin as a photograph: soft light on skin and hair, painted layer by layer."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.curves import Floats, ramp, stroke
from nenrin.domains.twins.glasses import PHOTO, Glasses
from nenrin.domains.twins.hair import Hair
from nenrin.domains.twins.head import Head
from nenrin.domains.twins.raster import (
    Fixed,
    Pixels,
    blur,
    fill,
    fixed,
    flood,
    lines,
    paste,
    shrink,
)
from nenrin.domains.twins.skin import Skin
from nenrin.domains.twins.tones import Tones, colours, mix

_HAIR_SCALE = Tones((0.25, 0.22, 0.24), 0.5)


class Photo:
    """N pictures, ready to be painted one after another on canvases of `side` pixels."""

    def __init__(self, head: Head, glasses: NDArray[np.int64], side: int) -> None:
        self.side = side
        people, age, views = head.people, head.age, head.views
        hair = Hair(head)
        old = ramp(age.years, 30, 90)

        warm = views.warmth[:, None] * np.array([0.05, 0.0, -0.07], np.float32)
        lamp: Floats = (1 + warm) * views.exposure[:, None]
        skin = mix(people.skin_colour, (214, 190, 160), 0.16 * old)
        skin = mix(skin, (255, 226, 208), 0.12 * (1 - age.grown))
        silver = np.repeat(172 + 66 * ramp(age.years, 50, 92)[:, None], 3, axis=1)
        self.skin = Skin(head, hair, side, colour=skin, silver=silver, lamp=lamp)
        self.background: Pixels = np.clip(views.background * lamp[:, None, None], 0, 255).astype(np.uint8)
        self._colour_skin(skin * lamp, self.skin.tones)
        self._colour_hair(head, skin, silver, lamp)
        self.cloth_colour = colours(views.cloth * lamp)

        def pixels(shape: Floats) -> Fixed:
            return fixed(shape, side)

        mm = head.scale * head.unit
        face = head.face()
        self.face, self.ears = pixels(face), pixels(head.ears())
        self.neck, self.cloth = pixels(head.neck()), pixels(head.cloth())
        middle = head.place(np.array([[0, 40, 0]], np.float32))
        narrow, below = np.array([0.72, 1], np.float32), np.array([0, 0.035], np.float32)
        self.under_chin = pixels((face - middle) * narrow + middle + below)
        self.nostrils = pixels(head.nostrils())
        a, b, c = head.mouth_lines()
        self.lip_up = pixels(np.concatenate([a, b[:, ::-1]], 1))
        self.lip_low = pixels(np.concatenate([b, c[:, ::-1]], 1))
        self.lip_between = pixels(stroke(b, 1.5 * mm, ends=(0.5, 0.5)))
        self.lip_shine = pixels(stroke((b[:, 3:8] + c[:, 3:8]) * 0.5, 1.8 * mm))
        rose = (0.42 + 0.16 * (people.gender == 0) * age.grown) * (0.7 + 0.3 * age.grown) - 0.22 * old
        lip = mix(skin * lamp, (186, 74, 78), rose)
        self.upper_lip, self.lower_lip, self.lip_line = colours(lip * 0.86), colours(lip), colours(lip * 0.45)
        self.lip_gloss = colours(mix(lip, (255, 240, 236), 0.28))
        self._shape_eyes(head, old, lamp)
        self._shape_hair(hair)
        self.worn: list[int] = glasses.tolist()
        self.glasses = Glasses(head, side, PHOTO, colour=colours(people.rim_colour))

        self.canvas = np.empty((side, side, 3), np.uint8)
        self.spare = np.empty_like(self.canvas)
        self.mask = np.empty((side, side), np.uint8)
        self.layer = np.empty((side, side), np.uint8)

    def _colour_skin(self, skin: Floats, tones: Pixels) -> None:
        self.skin_dark, self.skin_mid = colours(tones[:, 78]), colours(tones[:, 112])
        self.crease = colours(mix(tones[:, 40].astype(np.float32), (60, 30, 26), 0.3))
        self.line = colours(mix(tones[:, 20].astype(np.float32), (40, 22, 20), 0.6))

    def _colour_hair(self, head: Head, skin: Floats, silver: Floats, lamp: Floats) -> None:
        people, age = head.people, head.age
        colour = mix(people.hair_colour, silver, 0.94 * age.grey)
        thin = 0.7 * (1 - np.clip(age.cover, 0, 1)) * (age.years < 8)
        colour = mix(colour, mix(skin, (60, 40, 30), 0.35), thin)
        self.hair_tones = _HAIR_SCALE.of(colour * lamp)
        self.hair_dark = colours(self.hair_tones[:, 60])
        brow = mix(people.hair_colour * 0.72, silver, 0.8 * age.grey)
        brow = mix(brow, skin, 0.5 * (1 - ramp(age.years, 0, 9)) + 0.12)
        self.brow = colours(brow * lamp)
        contrast = np.clip(age.cover, 0.2, 1) * (1 - 0.45 * age.grey)
        self.lock_tones: list[list[float]] = np.rint(124 + contrast[:, None] * np.array([-30, 28])).tolist()

    def _shape_eyes(self, head: Head, old: Floats, lamp: Floats) -> None:
        people, age, side = head.people, head.age, self.side
        mm = (head.scale * head.unit)[:, None]
        upper, lower = head.lids()
        self.opening = fixed(np.concatenate([upper, lower[:, :, ::-1]], axis=2), side)
        lash = np.where(people.gender == 0, 2.2, 1.5)[:, None] * (0.8 + 0.2 * age.grown)[:, None] * mm
        self.lash = fixed(stroke(upper, lash, ends=(0.3, 0.75)), side)
        self.lower_lid = fixed(stroke(lower, 0.8 * mm, ends=(0.3, 0.6)), side)
        lift = np.array([0, -1], np.float32) * ((2.4 + 1.6 * age.sag)[:, None] * mm)[..., None, None]
        self.fold_lid = fixed(stroke(upper + lift, (0.9 + 0.7 * old)[:, None] * mm, ends=(0.1, 0.5)), side)
        self.iris, self.iris_in = fixed(head.iris(), side), fixed(head.iris(0.8), side)
        self.pupil = fixed(head.iris(0.42), side)
        self.glint = fixed(head.iris(0.24, shift=(-0.3, -0.38)), side)
        fall = np.array([0, 1.7], np.float32) * mm[..., None, None]
        self.lid_shadow = fixed(np.concatenate([upper, upper[:, :, ::-1] + fall], 2), side)
        thick = (4.4 + 0.9 * people.brow_thickness + 1.3 * age.masculine) * (0.72 + 0.28 * age.grown)
        self.brows = fixed(stroke(head.brows(), thick[:, None] * mm, ends=(0.75, 0.1)), side)
        white = np.full((len(people), 3), 238, np.float32)
        self.white = colours(mix(white, (226, 208, 190), 0.4 * old) * lamp)
        self.iris_rim, self.iris_fill = colours(people.iris_colour * 0.5), colours(people.iris_colour * 1.05)
        self.iris_shadow = colours(people.iris_colour * 0.275)

    def _shape_hair(self, hair: Hair) -> None:
        self.back, self.front = fixed(hair.back(), self.side), fixed(hair.front(), self.side)
        self.covers: list[bool] = hair.covers.tolist()
        self.locks = fixed(hair.locks(), self.side)
        shade = 0.5 - hair.head.people.strands
        self.lock_light = [np.flatnonzero(row > 0.12).tolist() for row in shade]
        self.lock_dark = [np.flatnonzero(row < -0.12).tolist() for row in shade]

    def paint(self, i: int, out: Pixels) -> None:
        """Paint picture `i` into `out` (S, S, 3)."""
        canvas = self.canvas
        cv2.resize(self.background[i], (self.side, self.side), dst=canvas, interpolation=cv2.INTER_LINEAR)
        fill(canvas, [self.back[i]], self.hair_dark[i])
        fill(canvas, [self.neck[i]], self.skin_mid[i])
        fill(canvas, [self.under_chin[i]], self.skin_dark[i])
        fill(canvas, [self.cloth[i]], self.cloth_colour[i])
        fill(canvas, self.ears[i], self.skin_mid[i])
        skin, light = self.skin.paint(i)
        paste(skin, [self.face[i]], canvas, self.mask)
        self._eyes(i)
        fill(canvas, self.brows[i], self.brow[i])
        fill(canvas, self.nostrils[i], self.line[i])
        fill(canvas, [self.lip_up[i]], self.upper_lip[i])
        fill(canvas, [self.lip_low[i]], self.lower_lip[i])
        fill(canvas, [self.lip_shine[i]], self.lip_gloss[i])
        fill(canvas, [self.lip_between[i]], self.lip_line[i])
        self._hair(i, light)
        if self.worn[i]:
            self.glasses.paint(i, canvas, self.worn[i], temples=not self.covers[i])
        shrink(canvas, out)

    def _eyes(self, i: int) -> None:
        eyes, canvas = self.spare, self.canvas
        flood(eyes, self.white[i])
        fill(eyes, self.iris[i], self.iris_rim[i])
        fill(eyes, self.iris_in[i], self.iris_fill[i])
        fill(eyes, self.pupil[i], (16, 12, 12))
        fill(eyes, self.lid_shadow[i], self.iris_shadow[i])
        paste(eyes, self.opening[i], canvas, self.mask)
        fill(canvas, self.glint[i], (250, 250, 250))
        fill(canvas, self.fold_lid[i], self.crease[i])
        fill(canvas, self.lower_lid[i], self.crease[i])
        fill(canvas, self.lash[i], self.line[i])

    def _hair(self, i: int, light: Pixels) -> None:
        tone = self.layer
        cv2.addWeighted(light, 0.8, light, 0, 28, dst=tone)
        thick = max(1, round(self.side / 110))
        lines(tone, self.locks[i, self.lock_dark[i]], (self.lock_tones[i][0],), thick)
        lines(tone, self.locks[i, self.lock_light[i]], (self.lock_tones[i][1],), thick)
        hair: Pixels = np.asarray(cv2.applyColorMap(blur(tone, 3), self.hair_tones[i][:, None]), np.uint8)
        paste(hair, [self.front[i]], self.canvas, self.mask)

"""The twin as manga: ink, flat colour with one step of shadow, or ink and screentone."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.curves import Floats, ellipse, outset, ramp, stroke
from nenrin.domains.twins.glasses import MANGA, Glasses
from nenrin.domains.twins.hair import Hair
from nenrin.domains.twins.head import Head
from nenrin.domains.twins.people import BEARDS
from nenrin.domains.twins.raster import Fixed, Pixels, fill, fill_hard, fixed, flood, paste, shrink
from nenrin.domains.twins.tones import colours, mix

_PAPER = (252, 251, 249)
_BLUSH = np.array([[-40, 33, 78], [40, 33, 78]], np.float32)
# The folds that manga draws: forehead, frown, crow's feet, bags, nasolabial, marionette, cheek; not the rest.
_DRAWN = np.array([1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1], bool)


@functools.cache
def _screentone(side: int) -> Pixels:
    """Rows of dots at 45 degrees on white, (side, side, 3)."""
    pitch = max(side / 42, 3.2)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    wave = np.cos((x + y) * np.pi / pitch) + np.cos((x - y) * np.pi / pitch)
    tone = 255 - 90 * ramp(wave, 0.1, 1.1)
    return np.repeat(tone.astype(np.uint8)[..., None], 3, axis=2)


class Manga:
    """N pictures, ready to be painted one after another on canvases of `side` pixels."""

    def __init__(self, head: Head, glasses: NDArray[np.int64], side: int) -> None:
        self.side = side
        self.worn: list[int] = glasses.tolist()
        people, age, views = head.people, head.age, head.views
        count = len(people)
        hair = Hair(head)
        self.grey: list[bool] = views.grey.tolist()

        def flat(values: Floats) -> list[list[float]]:
            """Colours, or their brightness alone in pictures of ink."""
            bright = values @ np.array([0.3, 0.59, 0.11], np.float32)
            return colours(np.where(views.grey[:, None], bright[:, None], values))

        skin = mix(people.skin_colour * np.array([1.12, 1.04, 0.98], np.float32), (255, 236, 220), 0.3)
        skin = np.where(views.grey[:, None], mix(skin, _PAPER, 0.85), skin).astype(np.float32)
        silver = np.repeat(178 + 66 * ramp(age.years, 50, 92)[:, None], 3, axis=1) + np.array([-2, -2, 5])
        tone = mix(people.hair_colour * 1.18 + 6, silver, 0.95 * age.grey)
        tone = mix(tone, skin, 0.42 * (1 - np.clip(age.cover, 0, 1)) * (age.years < 8))
        iris = people.iris_colour * 1.15
        old = ramp(age.years, 30, 90)
        self.skin, self.shadow = flat(skin), flat(skin * np.array([0.86, 0.74, 0.74], np.float32))
        self.hair, self.hair_dark = flat(tone), flat(tone * 0.7)
        self.hair_light = flat(mix(tone, (255, 255, 255), 0.4))
        self.ink = flat(mix(np.full((count, 3), 34, np.float32), skin * 0.4, 0.25))
        self.fold_ink = flat(mix(skin * 0.5, (40, 26, 30), 0.45))
        self.iris_top, self.iris_low = flat(iris * 0.45), flat(mix(iris, (255, 255, 255), 0.22))
        self.brow = flat(mix(mix(people.hair_colour * 0.55, silver, 0.7 * age.grey), (60, 50, 60), 0.2))
        self.blush_colour = flat(
            mix(skin, (240, 130, 130), (0.2 + 0.4 * age.puppy_fat) * (1 - ramp(age.years, 14, 40)))
        )
        self.blushing = (age.years < 38).tolist()
        self.lip = flat(mix(skin * 0.94, (216, 92, 100), 0.42))
        self.cloth_colour, self.cloth_shade = flat(views.cloth), flat(views.cloth * 0.75)
        paper = mix(views.background[:, 0, 0], (255, 255, 255), 0.45)
        self.paper, self.paper_low = flat(paper), flat(mix(paper, (255, 255, 255), 0.35))

        def pixels(shape: Floats) -> Fixed:
            return fixed(shape, side)

        mm = head.scale * head.unit
        ink = 2.0 * mm
        face = head.face()
        self.face, self.face_ink = pixels(face), pixels(outset(face, ink))
        # The shadow side: what a copy of the face, moved towards the light, does not cover.
        # Dots are kept to the edge: further in they look like a beard.
        side_step = np.where(views.grey, 0.028, 0.05) * np.sign(views.light[:, 0])
        toward = np.stack([side_step, np.where(views.grey, 0, -0.012)], axis=1).astype(np.float32)
        self.lit = pixels(face + toward[:, None])
        ears = head.ears()
        self.ears, self.ears_ink = pixels(ears), pixels(outset(ears, ink[:, None] * 0.9))
        neck, cloth = head.neck(), head.cloth()
        self.neck, self.neck_ink = pixels(neck), pixels(outset(neck, ink))
        self.under_chin = pixels(face + np.array([0, 0.045], np.float32))
        self.cloth, self.cloth_ink = pixels(cloth), pixels(outset(cloth, ink))
        back, front = hair.back(), hair.front()
        self.back, self.back_ink = pixels(back), pixels(outset(back, ink))
        self.front = pixels(front)
        self.front_ink = pixels(outset(front, ink))
        self.bang_shadow = pixels(front + np.array([0, 0.026], np.float32))
        self.covers = hair.covers.tolist()
        locks = hair.locks()
        self.locks = pixels(stroke(locks[:, 1::3, 2:], (1.5 * mm)[:, None], ends=(0.05, 1.0)))
        self.shine = pixels(self._shine(hair))

        upper, lower = head.lids()
        self.opening = pixels(np.concatenate([upper, lower[:, :, ::-1]], axis=2))
        heavy = (np.where(people.gender == 0, 5.2, 4.4) * (1 - 0.3 * old) * mm)[:, None]
        self.lash = pixels(stroke(upper, heavy, ends=(0.3, 0.9)))
        self.lower_lid = pixels(stroke(lower[:, :, 2:-2], 1.2 * mm[:, None], ends=(0.2, 0.4)))
        lift = np.array([0, -1], np.float32) * (5.0 * mm)[:, None, None, None]
        self.crease = pixels(stroke((upper + lift)[:, :, 2:-2], 1.2 * mm[:, None]))
        self.iris, self.pupil = pixels(head.iris()), pixels(head.iris(0.5))
        self.iris_light = pixels(head.iris(0.66, shift=(0, 0.3)))
        self.glint = pixels(head.iris(0.3, shift=(-0.35, -0.42)))
        self.glint_low = pixels(head.iris(0.15, shift=(0.4, 0.45)))
        self.lid_shadow = pixels(
            np.concatenate(
                [upper, upper[:, :, ::-1] + np.array([0, 3.6], np.float32) * mm[:, None, None, None]], 2
            )
        )
        thick = (3.6 + 0.8 * people.brow_thickness + 1.2 * age.masculine) * (0.75 + 0.25 * age.grown) * mm
        self.brows = pixels(stroke(head.brows(), thick[:, None], ends=(0.7, 0.1)))

        self.nose = pixels(self._nose(head))
        a, b, c = head.mouth_lines()
        self.mouth = pixels(stroke(b, 2.0 * mm, ends=(0.45, 0.45)))
        self.lower_lip = pixels(stroke(c[:, 3:8] + (c[:, 3:8] - b[:, 3:8]) * 0.3, 1.2 * mm))
        self.lips = pixels(np.concatenate([a, c[:, ::-1]], axis=1))
        self.lipped = ((people.gender == 0) & (age.years > 15)).tolist()
        self.blush = pixels(
            head.place(_BLUSH)[:, :, None]
            + ellipse(14) * (np.array([10, 5], np.float32) * mm[:, None, None, None])
        )

        depth = head.fold_depth(delay=8) * _DRAWN
        width = 2.5 * head.style.fold * np.clip(depth, 0.22, 1) * mm[:, None]
        self.folds = pixels(stroke(head.folds(), width[..., None], ends=(0.05, 0.05)))
        self.fold_on = [np.flatnonzero(row > 0.1).tolist() for row in depth]
        self.bearded = (people.beard == BEARDS.index("full")).tolist()
        self.moustached = ((people.beard >= BEARDS.index("moustache")) & (age.beard > 0.35)).tolist()
        self.beard, self.moustache = pixels(hair.beard()), pixels(hair.moustache())
        self.beard_colour = flat(mix(skin, tone * 0.86, age.beard))

        self.glasses = Glasses(head, side, MANGA, colour=flat(people.rim_colour))

        self.canvas = np.empty((side, side, 3), np.uint8)
        self.spare = np.empty_like(self.canvas)
        self.mask = np.empty((side, side), np.uint8)
        self.other = np.empty((side, side), np.uint8)

    @staticmethod
    def _shine(hair: Hair) -> Floats:
        """The band of light on the hair, (N, 40, 2)."""
        a, b = slice(9, 29), 0.5
        upper = hair.outer[:, a] * (1 - b) + hair.inner[:, a] * b
        depth = (0.07 + 0.09 * (np.arange(20) % 4 == 1) + 0.04 * (np.arange(20) % 4 == 3)).astype(np.float32)
        depth = depth * np.sin(np.linspace(0, np.pi, 20, dtype=np.float32))
        lower = upper + (hair.inner[:, a] - hair.outer[:, a]) * depth[:, None]
        return np.concatenate([upper, lower[:, ::-1]], axis=1)

    @staticmethod
    def _nose(head: Head) -> Floats:
        """A short line for the nose, (N, 2 * 9, 2): a dot on a child, a profile on an adult."""
        long = 4.0 + 12.0 * head.age.grown + 0.12 * np.maximum(head.age.years - 30, 0)
        t = np.linspace(0, 1, 9, dtype=np.float32)
        side = -np.sign(head.views.light[:, :1])
        across = side * (1.0 + 4.2 * np.sin(np.pi * np.clip(t * 1.25 - 0.25, 0, 1)) - 4.0 * ramp(t, 0.78, 1))
        along = (t - 0.75) * long[:, None]
        line = head.attach(
            head.nose_tip(), np.stack([across * (0.5 + 0.5 * head.age.grown[:, None]), along], -1)
        )[:, 0]
        return stroke(line, (1.9 * head.scale * head.unit), ends=(0.1, 0.5))

    def paint(self, i: int, out: Pixels) -> None:
        """Paint picture `i` into `out` (S, S, 3)."""
        grey = self.grey[i]
        canvas, mask, other = self.canvas, self.mask, self.other
        flood(canvas, self.paper[i])
        ink = self.ink[i]
        for shape, edge, colour in (
            (self.back, self.back_ink, self.hair_dark),
            (self.neck, self.neck_ink, self.skin),
        ):
            fill(canvas, [edge[i]], ink)
            fill(canvas, [shape[i]], colour[i])
        mask[:] = 0
        fill_hard(mask, [self.neck[i]], (255,))
        other[:] = 0
        fill_hard(other, [self.under_chin[i]], (255,))
        self._shade(mask, other, self.shadow[i], grey)
        fill(canvas, [self.cloth_ink[i]], ink)
        fill(canvas, [self.cloth[i]], self.cloth_colour[i])
        fill(canvas, self.ears_ink[i], ink)
        fill(canvas, self.ears[i], self.skin[i])
        fill(canvas, [self.face_ink[i]], ink)
        fill(canvas, [self.face[i]], self.skin[i])
        mask[:] = 0
        fill_hard(mask, [self.face[i]], (255,))
        other[:] = 255
        fill_hard(other, [self.lit[i]], (0,))
        fill_hard(other, [self.bang_shadow[i]], (255,))
        self._shade(mask, other, self.shadow[i], grey)
        if not grey and self.blushing[i]:
            fill(canvas, self.blush[i], self.blush_colour[i])
        fill(canvas, [self.nose[i]], self.fold_ink[i])
        for k in self.fold_on[i]:
            fill(canvas, self.folds[i, k], self.fold_ink[i])
        if self.moustached[i]:
            if self.bearded[i]:
                fill(canvas, [self.beard[i]], self.beard_colour[i])
            fill(canvas, [self.moustache[i]], self.beard_colour[i])
        if self.lipped[i] and not grey:
            fill(canvas, [self.lips[i]], self.lip[i])
        fill(canvas, [self.mouth[i]], ink)
        fill(canvas, [self.lower_lip[i]], self.fold_ink[i])
        self._eyes(i, canvas)
        fill(canvas, [self.front_ink[i]], ink)
        fill(canvas, [self.front[i]], self.hair[i])
        fill(canvas, [self.shine[i]], self.hair_light[i])
        for lock in self.locks[i]:
            fill(canvas, [lock], self.hair_dark[i])
        fill(canvas, self.brows[i], self.brow[i])
        if self.worn[i]:
            self.glasses.paint(i, canvas, self.worn[i], temples=not self.covers[i])
        shrink(canvas, out)

    def _shade(self, mask: Pixels, other: Pixels, colour: list[float], grey: bool) -> None:
        """One step of shadow where both masks are set; screentone in pictures of ink."""
        cv2.bitwise_and(mask, other, dst=mask)
        if grey:
            cv2.min(self.canvas, _screentone(self.side), dst=self.spare)
        else:
            flood(self.spare, colour)
        cv2.copyTo(self.spare, mask, self.canvas)

    def _eyes(self, i: int, canvas: Pixels) -> None:
        eyes = self.spare
        flood(eyes, (255, 255, 255))
        fill(eyes, self.iris[i], self.iris_top[i])
        fill(eyes, self.iris_light[i], self.iris_low[i])
        fill(eyes, self.pupil[i], self.ink[i])
        fill(eyes, self.lid_shadow[i], [0.6 * c for c in self.iris_top[i]])
        fill(eyes, self.glint[i], (255, 255, 255))
        fill(eyes, self.glint_low[i], (255, 255, 255))
        paste(eyes, self.opening[i], canvas, self.mask)
        fill(canvas, self.crease[i], self.fold_ink[i])
        fill(canvas, self.lower_lid[i], self.ink[i])
        fill(canvas, self.lash[i], self.ink[i])

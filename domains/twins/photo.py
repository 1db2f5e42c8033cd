"""The twin as a photograph: soft light on skin and hair, painted layer by layer."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.curves import Floats, ellipse, ramp, stroke
from nenrin.domains.twins.hair import Hair
from nenrin.domains.twins.head import WRINKLE_DEPTH, WRINKLE_ONSET, Head
from nenrin.domains.twins.people import BEARDS
from nenrin.domains.twins.raster import Fixed, Pixels, colours, fill, fill_hard, fixed, lines, mix

SOFT = 48  # side of the layer that holds the broad light and shadow; it has no detail to lose

# Broad lights and shadows: x, y, z in millimetres, half width, half height, and the amount of light
# [of everybody, with a gaunt face, with a child's round one, with bags under the eyes]. Drawn left and right.
BLOBS = np.array(
    [
        [30, -8, 78, 17, 9, -20, -14, 6, 0],  # eye sockets
        [13, -5, 82, 6, 9, -14, -6, 8, 0],
        [35, 30, 80, 15, 11, 10, -8, 16, 0],  # cheeks
        [16, -54, 80, 16, 13, 12, 0, 6, 0],  # forehead
        [49, 54, 50, 10, 18, -6, -36, 6, 0],  # hollow cheeks
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
_BLUSH = np.array([[-38, 36, 78], [38, 36, 78], [0, 36, 110]], np.float32)
_FRECKLES = np.array([[x, y, 80] for x, y in (
    (-46, 22), (-40, 30), (-36, 22), (-30, 33), (-25, 25), (-18, 31), (-44, 36), (-8, 24), (9, 27), (17, 24),
    (24, 31), (29, 23), (35, 32), (40, 24), (45, 33), (33, 39),
)], np.float32)  # fmt: skip
_SPOTS = np.array(
    [[-52, -20, 60], [55, 4, 60], [-46, 12, 70], [44, -40, 66], [-30, -62, 70], [50, 40, 60]], np.float32
)


class Photo:
    """N pictures, ready to be painted one after another on canvases of `side` pixels."""

    def __init__(self, head: Head, glasses: NDArray[np.int64], side: int) -> None:
        self.side = side
        self.haze = 2 * round(side / 90) + 1
        self.glasses = glasses
        people, age, views = head.people, head.age, head.views
        count = len(people)
        hair = Hair(head)
        old = ramp(age.years, 30, 90)

        # -- colours
        skin = mix(people.skin_colour, (214, 190, 160), 0.16 * old)
        skin = mix(skin, (255, 226, 208), 0.12 * (1 - age.grown))
        light = np.array([1.0, 1.0, 1.0]) + views.warmth[:, None] * np.array([0.05, 0.0, -0.07])
        light = (light * views.exposure[:, None]).astype(np.float32)
        silver = np.repeat(172 + 66 * ramp(age.years, 50, 92)[:, None], 3, axis=1)
        hair_colour = mix(people.hair_colour, silver, 0.94 * age.grey)
        hair_colour = mix(
            hair_colour, mix(skin, (60, 40, 30), 0.35), 0.7 * (1 - np.clip(age.cover, 0, 1)) * (age.years < 8)
        )
        self.skin_tones = _scale(skin * light, _SKIN_SCALE)
        self.hair_tones = _scale(hair_colour * light, _HAIR_SCALE)
        self.skin_dark = colours(self.skin_tones[:, 78])
        self.skin_mid = colours(self.skin_tones[:, 112])
        self.ear_dark = colours(self.skin_tones[:, 70])
        self.hair_dark = colours(self.hair_tones[:, 60])
        self.hair_flat = colours(self.hair_tones[:, 105])
        self.crease = colours(mix(self.skin_tones[:, 40].astype(np.float32), (60, 30, 26), 0.3))
        self.line = colours(mix(self.skin_tones[:, 20].astype(np.float32), (40, 22, 20), 0.6))
        rose = (0.42 + 0.16 * (people.gender == 0) * age.grown) * (0.7 + 0.3 * age.grown) - 0.22 * old
        lip = mix(skin * light, (186, 74, 78), rose)
        self.upper_lip, self.lower_lip = colours(lip * 0.86), colours(lip)
        self.lip_line = colours(lip * 0.45)
        white = mix(np.full((count, 3), 238, np.float32), (226, 208, 190), 0.4 * old) * light
        self.white = colours(white)
        self.iris_rim, self.iris_fill = colours(people.iris_colour * 0.5), colours(people.iris_colour * 1.05)
        brow = mix(people.hair_colour * 0.72, silver, 0.8 * age.grey)
        brow = mix(brow, skin, 0.5 * (1 - ramp(age.years, 0, 9)) + 0.12)
        self.brow = colours(brow * light)
        self.cloth_colour = colours(views.cloth * light)
        self.cloth_shade = colours(views.cloth * light * 0.72)
        self.rim_colour = colours(people.rim_colour)
        self.spot = colours(mix(skin * light, (120, 78, 52), 0.42))
        self.mole_colour = colours(mix(skin * light, (66, 40, 32), 0.8))
        self.background = np.clip(views.background * light[:, None, None], 0, 255).astype(np.uint8)

        # -- broad light
        self.soft = self._lambert(head)
        gain = BLOBS[:, 5:]
        amounts = (
            gain[:, 0] + np.stack([age.gaunt, age.puppy_fat, np.clip(age.pouch, 0, 1)], 1) @ gain[:, 1:].T
        )
        self.amounts: list[list[float]] = np.rint(128 + amounts).clip(0, 255).tolist()
        mm = head.scale * head.unit
        flip = np.array([[1, 1, 1], [-1, 1, 1]], np.float32)
        centres = head.place((BLOBS[:, None, :3] * flip).reshape(-1, 3)).reshape(count, -1, 2, 1, 2)
        self.blobs = fixed(centres + ellipse(12) * BLOBS[:, None, None, 3:5] * mm[:, None, None, None, None], SOFT)
        blush = head.place(_BLUSH)[:, :, None] + ellipse(12) * (
            np.array([15, 15, 8], np.float32)[:, None, None] * (head.scale * head.unit)[:, None, None, None]
        )
        self.blush = fixed(blush, SOFT)
        red = (10 + 20 * people.rosy + 14 * age.puppy_fat) * (1 - 0.3 * old)
        red = red * skin.mean(axis=1) / 215
        self.blush_colour: list[list[float]] = np.stack([0.1 * red, red, 0.8 * red], 1).tolist()
        self.beard_soft = fixed(hair.beard(), SOFT)
        self.moustache = fixed(hair.moustache(), SOFT)
        strength = np.array([0, 0.3, 0.8, 0.8], np.float32)[people.beard] * age.beard
        self.beard_alpha: list[float] = strength.tolist()
        self.beard_kind = [BEARDS[kind] for kind in people.beard]
        self.beard_colour = colours(
            mix(people.hair_colour * 0.8, silver * 0.94, np.clip(1.15 * age.grey, 0, 1)) * light
        )

        # -- shapes
        def pixels(shape: Floats) -> Fixed:
            return fixed(shape, side)

        self.face, self.ears = pixels(head.face()), pixels(head.ears())
        self.neck, self.cloth = pixels(head.neck()), pixels(head.cloth())
        middle = head.place(np.array([[0, 40, 0]], np.float32))
        self.under_chin = pixels(
            (head.face() - middle) * np.array([0.72, 1], np.float32)
            + middle
            + np.array([0, 0.035], np.float32)
        )
        self.back, self.front = pixels(hair.back()), pixels(hair.front())
        self.covers = hair.covers.tolist()
        self.locks = pixels(hair.locks())
        contrast = np.clip(age.cover, 0.2, 1) * (1 - 0.45 * age.grey)
        self.lock_tones: list[list[float]] = np.rint(124 + contrast[:, None] * np.array([-30, 28])).tolist()
        shade = 0.5 - people.strands
        self.lock_light = [np.flatnonzero(row > 0.12).tolist() for row in shade]
        self.lock_dark = [np.flatnonzero(row < -0.12).tolist() for row in shade]
        depth = WRINKLE_DEPTH * np.clip((age.years[:, None] - WRINKLE_ONSET) / (92 - WRINKLE_ONSET) + 0.03, 0, 1) ** 0.85
        depth = depth * (1 + 0.12 * people.wrinkling[:, None])
        folds = head.folds()
        self.folds = pixels(stroke(folds, ((0.8 + 2.0 * depth) * mm[:, None])[..., None], ends=(0.05, 0.05)))
        rise = np.array([0, 1.4], np.float32) * mm[:, None, None, None, None]
        self.lit = pixels(stroke(folds + rise, ((0.6 + 1.6 * depth) * mm[:, None])[..., None], ends=(0.05, 0.05)))
        self.fold_value: list[list[float]] = np.rint(128 - 70 * depth.clip(0, 1)).tolist()
        self.lit_value: list[list[float]] = np.rint(128 + 22 * depth.clip(0, 1)).tolist()
        self.fold_on = [np.flatnonzero(row > 0.03).tolist() for row in depth]

        upper, lower = head.lids()
        self.opening = pixels(np.concatenate([upper, lower[:, :, ::-1]], axis=2))
        lash = np.where(people.gender == 0, 2.2, 1.5) * (0.8 + 0.2 * age.grown) * mm
        self.lash = pixels(stroke(upper, lash[:, None], ends=(0.3, 0.75)))
        self.lower_lid = pixels(stroke(lower, 0.8 * mm[:, None], ends=(0.3, 0.6)))
        lift = np.array([0, -1], np.float32) * ((2.4 + 1.6 * age.sag) * mm)[:, None, None, None]
        self.fold_lid = pixels(
            stroke(upper + lift, (0.9 + 0.7 * old)[:, None] * mm[:, None], ends=(0.1, 0.5))
        )
        self.iris, self.iris_in = pixels(head.iris()), pixels(head.iris(0.8))
        self.pupil, self.glint = pixels(head.iris(0.42)), pixels(head.iris(0.24, shift=(-0.3, -0.38)))
        self.lid_shadow = pixels(
            np.concatenate(
                [upper, upper[:, :, ::-1] + np.array([0, 1.7], np.float32) * mm[:, None, None, None]], 2
            )
        )
        thick = (4.4 + 0.9 * people.brow_thickness + 1.3 * age.masculine) * (0.72 + 0.28 * age.grown) * mm
        self.brows = pixels(stroke(head.brows(), thick[:, None], ends=(0.75, 0.1)))

        wing = head.wing_size()
        self._nose(head, wing, pixels)
        a, b, c = head.mouth_lines()
        self.lip_up = pixels(np.concatenate([a, b[:, ::-1]], 1))
        self.lip_low = pixels(np.concatenate([b, c[:, ::-1]], 1))
        self.lip_between = pixels(stroke(b, 1.5 * mm, ends=(0.5, 0.5)))
        middle = b[:, 3:8] * 0.5 + c[:, 3:8] * 0.5
        self.lip_shine = pixels(stroke(middle, 1.8 * mm))
        self.lip_gloss = colours(mix(lip, (255, 240, 236), 0.28))
        self.dots = pixels(head.place(_FRECKLES)[:, :, None] + ellipse(6) * (0.75 * mm)[:, None, None, None])
        self.spots = pixels(head.place(_SPOTS)[:, :, None] + ellipse(8) * (2.4 * mm)[:, None, None, None])
        mole = np.concatenate([people.mole, np.full((count, 1), 76, np.float32)], axis=1)[:, None]
        self.mole = pixels(
            np.clip(head.place(mole)[:, :, None] + ellipse(8) * (1.7 * mm)[:, None, None, None], -9, 9)
        )
        self.freckled = (people.freckles > 0).tolist()
        self.spotted: list[float] = ramp(age.years, 55, 85).tolist()

        self.lens, self.lens_in = pixels(head.lenses(1.0)), pixels(head.lenses(0.885))
        lens = head.lenses(1.0)
        self.bridge = pixels(stroke(np.stack([lens[:, 0, 0], lens[:, 1, 14]], 1), 2.4 * mm, ends=(1, 1)))
        ears = head.place(np.array([[-74, 4, -4], [74, 4, -4]], np.float32))
        self.temples = pixels(
            stroke(
                np.stack(
                    [np.stack([lens[:, 0, 14], ears[:, 0]], 1), np.stack([lens[:, 1, 0], ears[:, 1]], 1)], 1
                ),
                2.2 * mm[:, None],
                ends=(1, 1),
            )
        )
        self.gleam = pixels(head.gleam())

        self.canvas = np.empty((side, side, 3), np.uint8)
        self.spare = np.empty_like(self.canvas)
        self.mask = np.empty((side, side), np.uint8)
        self.layer = np.empty((side, side), np.uint8)

    def _nose(self, head: Head, wing: Floats, pixels: object) -> None:
        side = self.side
        base = head.place(np.array([[0, 46, 96]], np.float32))
        mm = head.scale * head.unit
        x = wing[:, None]
        one = np.ones_like(x)
        hole = ellipse(10) * np.array([3.6, 1.7], np.float32)
        offset = np.stack([0.42 * x[:, 0], 0.6 * one[:, 0]], 1)[:, None]
        flip = np.array([-1, 1], np.float32)
        self.nostrils = fixed(
            np.concatenate([head.attach(base, hole + offset * flip), head.attach(base, hole + offset)], 1),
            side,
        )
        t = np.linspace(0, 1, 7, dtype=np.float32)
        curve_x = x * (0.82 + 0.2 * np.sin(np.pi * np.minimum(t * 1.2, 1)))
        curve_y = -9 + 11.5 * t + 0 * x
        wing_line = np.stack([curve_x, curve_y], -1)
        wing_line[:, -1, 0] = 0.72 * x[:, 0]
        both = np.concatenate([head.attach(base, wing_line * flip), head.attach(base, wing_line)], 1)
        # The ridge catches the light; its far side lies in shadow.
        people, age = head.people, head.age
        side = -np.sign(head.views.light[:, 0])
        down = np.linspace(0, 1, 7, dtype=np.float32)
        ridge = np.zeros((len(people), 7, 3), np.float32)
        ridge[..., 1], ridge[..., 2] = -6 + 40 * down, 92 + 20 * down
        shadow = ridge.copy()
        shadow[..., 0] = side[:, None] * (6 + 5 * down**2)
        shadow[..., 1] = -14 + 54 * down
        rise = 0.45 + 0.55 * age.grown
        self.nose_ridge = fixed(stroke(head.place(ridge), 4.2 * mm * rise, ends=(0.3, 1.3)), self.side)
        self.nose_side = fixed(stroke(head.place(shadow), 7.5 * mm * rise, ends=(0.4, 0.8)), self.side)
        self.nose_dark: list[float] = np.rint(128 - 34 * rise).tolist()
        self.wings = fixed(stroke(both, 2.0 * mm[:, None], ends=(0.1, 0.7)), self.side)

    def _lambert(self, head: Head) -> Pixels:
        """Light on a ball the size of the face (N, SOFT, SOFT); 128 is the skin's own colour."""
        views = head.views
        outline = head.place(np.array([[0, 112, 20], [0, -100, 20], [-70, 0, 0], [70, 0, 0]], np.float32))
        middle_x, middle_y = outline[:, 2:, 0].mean(1), outline[:, :2, 1].mean(1)
        half_x = (outline[:, 3, 0] - outline[:, 2, 0]) / 2
        half_y = (outline[:, 0, 1] - outline[:, 1, 1]) / 2
        grid = (np.arange(SOFT, dtype=np.float32) + 0.5) / SOFT
        u = (grid - middle_x[:, None]) / (1.06 * half_x[:, None])
        v = (grid - middle_y[:, None]) / (1.12 * half_y[:, None])
        out = np.sqrt(np.maximum(1 - (u * u)[:, None, :] - (v * v)[:, :, None], 0.02))
        x, y, z = (views.light[:, i, None] for i in range(3))
        bright = (x * u)[:, None, :] + (y * v)[:, :, None] + z[:, :, None] * out
        value = 128 + (bright - 0.8) * (44 + 60 * views.contrast)[:, None, None]
        return np.clip(value, 24, 200).astype(np.uint8)

    def paint(self, i: int, out: Pixels) -> None:
        """Paint picture `i` into `out` (S, S, 3)."""
        side = self.side
        full = (side, side)
        canvas, mask, layer = self.canvas, self.mask, self.layer
        cv2.resize(self.background[i], full, dst=canvas, interpolation=cv2.INTER_LINEAR)
        fill(canvas, [self.back[i]], self.hair_dark[i])
        fill(canvas, [self.neck[i]], self.skin_mid[i])
        fill(canvas, [self.under_chin[i]], self.skin_dark[i])
        fill(canvas, [self.cloth[i]], self.cloth_colour[i])

        # Skin: broad light, then folds; through the skin's own scale of tones.
        soft = np.full((SOFT, SOFT), 128, np.uint8)
        amounts = self.amounts[i]
        for pair, amount in zip(self.blobs[i], amounts, strict=True):
            fill_hard(soft, pair, (amount,))
        soft = cv2.blur(cv2.blur(soft, (5, 5)), (3, 3))
        soft = cv2.addWeighted(soft, 1, self.soft[i], 1, -128)
        light = cv2.resize(soft, full, interpolation=cv2.INTER_LINEAR)
        layer[:] = 128
        for k in self.fold_on[i]:
            fill_hard(layer, self.lit[i, k], (self.lit_value[i][k],))
        for k in self.fold_on[i]:
            fill_hard(layer, self.folds[i, k], (self.fold_value[i][k],))
        fill_hard(layer, self.wings[i], (92,))
        fill_hard(layer, [self.nose_side[i]], (self.nose_dark[i],))
        fill_hard(layer, [self.nose_ridge[i]], (158,))
        blurred = cv2.blur(layer, (self.haze, self.haze))
        skin = cv2.applyColorMap(cv2.addWeighted(blurred, 1, light, 1, -128), self.skin_tones[i][:, None])
        tint = np.zeros((SOFT, SOFT, 3), np.uint8)
        fill_hard(tint, self.blush[i], self.blush_colour[i])
        tint = cv2.blur(cv2.blur(tint, (5, 5)), (5, 5))
        skin = cv2.subtract(skin, cv2.resize(tint, full, interpolation=cv2.INTER_LINEAR))
        self._beard(i, skin)
        if self.freckled[i]:
            fill(skin, self.dots[i], self.spot[i])
        if self.spotted[i] > 0:
            fill(skin, self.spots[i, : 1 + int(5 * self.spotted[i])], self.spot[i])
        fill(skin, [self.mole[i, 0]], self.mole_colour[i])

        fill(canvas, self.ears[i], self.skin_mid[i])
        mask[:] = 0
        fill_hard(mask, [self.face[i]], (255,))
        cv2.copyTo(skin, mask, canvas)
        self._eyes(i, canvas)
        fill(canvas, self.brows[i], self.brow[i])
        fill(canvas, self.nostrils[i], self.line[i])
        fill(canvas, [self.lip_up[i]], self.upper_lip[i])
        fill(canvas, [self.lip_low[i]], self.lower_lip[i])
        fill(canvas, [self.lip_shine[i]], self.lip_gloss[i])
        fill(canvas, [self.lip_between[i]], self.lip_line[i])
        self._hair(i, canvas, light)
        if self.glasses[i]:
            self._glasses(i, canvas)
        cv2.resize(canvas, (out.shape[1], out.shape[0]), dst=out, interpolation=cv2.INTER_AREA)

    def _eyes(self, i: int, canvas: Pixels) -> None:
        eyes, mask = self.spare, self.mask
        cv2.rectangle(eyes, (0, 0, self.side, self.side), self.white[i], -1)
        fill(eyes, self.iris[i], self.iris_rim[i])
        fill(eyes, self.iris_in[i], self.iris_fill[i])
        fill(eyes, self.pupil[i], (16, 12, 12))
        fill(eyes, self.lid_shadow[i], [0.55 * c for c in self.iris_rim[i]])
        mask[:] = 0
        fill_hard(mask, self.opening[i], (255,))
        cv2.copyTo(eyes, mask, canvas)
        fill(canvas, self.glint[i], (250, 250, 250))
        fill(canvas, self.fold_lid[i], self.crease[i])
        fill(canvas, self.lower_lid[i], self.crease[i])
        fill(canvas, self.lash[i], self.line[i])

    def _beard(self, i: int, skin: Pixels) -> None:
        alpha = self.beard_alpha[i]
        if alpha < 0.02:
            return
        soft = np.zeros((SOFT, SOFT), np.uint8)
        if self.beard_kind[i] != "moustache":
            fill(soft, [self.beard_soft[i]], (255 * alpha,))
        fill(soft, [self.moustache[i]], (255 * alpha,))
        cv2.rectangle(self.spare, (0, 0, self.side, self.side), self.beard_colour[i], -1)
        share = cv2.resize(cv2.blur(soft, (3, 3)), (self.side, self.side)).astype(np.float32) * np.float32(
            1 / 255
        )
        cv2.blendLinear(self.spare, skin, share, 1 - share, dst=skin)

    def _hair(self, i: int, canvas: Pixels, light: Pixels) -> None:
        tone, mask, side = self.layer, self.mask, self.side
        cv2.addWeighted(light, 0.8, light, 0, 28, dst=tone)
        thick = max(1, round(side / 110))
        lines(tone, [self.locks[i, k] for k in self.lock_dark[i]], (self.lock_tones[i][0],), thick)
        lines(tone, [self.locks[i, k] for k in self.lock_light[i]], (self.lock_tones[i][1],), thick)
        tone = cv2.blur(tone, (3, 3))
        hair = cv2.applyColorMap(tone, self.hair_tones[i][:, None])
        mask[:] = 0
        fill_hard(mask, [self.front[i]], (255,))
        cv2.copyTo(hair, mask, canvas)

    def _glasses(self, i: int, canvas: Pixels) -> None:
        if self.glasses[i] == 2:
            fill(canvas, self.lens_in[i], (34, 32, 38))
            fill(canvas, self.gleam[i], (92, 94, 104))
        else:
            fill(canvas, self.gleam[i], (250, 251, 252))
        for outer, inner in zip(self.lens[i], self.lens_in[i], strict=True):
            fill(canvas, [outer, inner], self.rim_colour[i])
        fill(canvas, [self.bridge[i]], self.rim_colour[i])
        if not self.covers[i]:
            fill(canvas, self.temples[i], self.rim_colour[i])


def _tones(shade: tuple[float, float, float], shine: float) -> tuple[Floats, Floats]:
    """A and B (256, 3), so that colour * A + B is a scale of tones through the colour at 128.

    Below it turns towards `shade` times the colour, above towards white by the part `shine`.
    """
    t = np.arange(256, dtype=np.float32)[:, None] / 128 - 1
    low, high = np.clip(-t, 0, 1), np.clip(t, 0, 1) * np.float32(shine)
    return 1 - low * (1 - np.array(shade, np.float32)) - high, np.broadcast_to(255 * high, (256, 3))


_SKIN_SCALE = _tones((0.36, 0.25, 0.22), 0.62)
_HAIR_SCALE = _tones((0.25, 0.22, 0.24), 0.5)


def _scale(colour: Floats, tones: tuple[Floats, Floats]) -> Pixels:
    """Scales of tones (N, 256, 3) of N colours, RGB in [0, 255]."""
    return np.minimum(colour[:, None] * tones[0] + tones[1], 255).astype(np.uint8)

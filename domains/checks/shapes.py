"""Shapes and surfaces that faults are made of: writing, covers, patterns of things other than faces.

They are drawn once for each process, at random within wide bounds, so that a net learns to recognise anything
in front of a face, and not just the few things drawn here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Drawing = NDArray[np.uint8]  # (_CANVAS, _CANVAS), or (_CANVAS, _CANVAS, C)

_CANVAS = 256
_COUNT = 1500
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!?.,-:/&"
_FONTS = (0, 1, 2, 3, 4, 5, 6, 7)  # OpenCV's Hershey fonts


@functools.cache
def bank(draw: Callable[[np.random.Generator], Drawing], side: int) -> Tensor:
    """(_COUNT, C, side, side) in [0, 1] of drawings by `draw`, downsampled: a bank, because drawing anew for
    every face takes longer than learning from it."""
    rng = np.random.default_rng(0)
    drawn = [cv2.resize(draw(rng), (side, side), interpolation=cv2.INTER_AREA) for _ in range(_COUNT)]
    stack = torch.from_numpy(np.stack(drawn).reshape(_COUNT, side, side, -1))
    return stack.permute(0, 3, 1, 2).float().contiguous() / 255


def writing(rng: np.random.Generator) -> Drawing:
    """Two layers, the ink and what is behind it. One to five lines of letters, thin or fat, or of invented
    characters of strokes, at any angle; bare, outlined, in a bubble, or on a bar."""
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    height = int(rng.integers(14, 70))
    spacing = rng.uniform(1.2, 2.0)
    lines = int(rng.integers(1, 1 + min(5, 180 // height)))
    start = rng.uniform(0.15, 0.8) * _CANVAS - lines * height * 0.5
    way = rng.choice(["strokes", "solid", "invented"], p=[0.3, 0.45, 0.25])
    font, weight = int(rng.choice(_FONTS)), max(1, round(max(height // 9, 1) * rng.uniform(0.6, 1.6)))
    same = rng.random() < 0.4  # the same words again in every line
    words, x = "", 0
    for line in range(lines):
        y = int(start + (line + 1) * height * spacing)
        end = int(rng.uniform(0.65, 1.1) * _CANVAS)
        if not (same and words):
            x = int(rng.uniform(-0.1, 0.35) * _CANVAS)
            words = _words(rng, 2 * (end - x) // height + 1)
        if way == "invented":
            _invent(rng, canvas, (x, y, end), height, weight)
        elif way == "strokes":
            cv2.putText(canvas, words, (x, y), font, height / 26, 255, weight, cv2.LINE_AA)
        else:
            picture = Image.fromarray(canvas)
            letters = ImageFont.load_default(height)
            ImageDraw.Draw(picture).text((x, y - height), words, fill=255, font=letters)
            canvas = np.array(picture)
    if way == "solid":  # one typeface is at hand: bolder, and leaning
        fat = int(rng.integers(1, 2 + height // 12))
        canvas = np.asarray(cv2.dilate(canvas, np.ones((fat, fat), np.uint8)), dtype=np.uint8)
        lean = rng.choice([0.0, rng.uniform(-0.1, 0.35)])
        slant = np.array([[1, -lean, lean * _CANVAS / 2], [0, 1, 0]], np.float32)
        canvas = np.asarray(cv2.warpAffine(canvas, slant, (_CANVAS, _CANVAS)), dtype=np.uint8)
    patch = np.zeros_like(canvas)
    behind = rng.random()
    if behind < 0.2:  # the writing's surroundings, closed
        reach = int(rng.integers(15, 45))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        patch = np.asarray(cv2.dilate(canvas, disc), dtype=np.uint8)
        patch = np.asarray(cv2.blur((patch > 76).astype(np.uint8) * 255, (9, 9)), dtype=np.uint8)
    elif behind < 0.4:  # all across, or as far as the writing goes
        rows = np.flatnonzero(canvas.max(1) > 76)
        columns = np.flatnonzero(canvas.max(0) > 76) if behind < 0.3 else np.array([0, _CANVAS])
        if len(rows) and len(columns):
            pad = int(rng.integers(2, 14))
            top, left = max(rows[0] - pad, 0), max(columns[0] - pad, 0)
            patch[top : rows[-1] + pad, left : columns[-1] + pad] = 255
    elif behind < 0.5:
        patch = np.asarray(cv2.dilate(canvas, np.ones((9, 9), np.uint8)), dtype=np.uint8)
    both = np.stack([canvas, patch], 2)
    return _turned(rng, both, 25) if rng.random() < 0.4 else both


def _words(rng: np.random.Generator, count: int) -> str:
    """So many letters, in words of any length: of one case more often than not."""
    text = "".join(rng.choice(list(_LETTERS), max(count, 1)))
    case = rng.random()
    text = text.upper() if case < 0.3 else text.lower() if case < 0.7 else text
    words = []
    while text:
        length = int(rng.integers(2, 10))
        words.append(text[:length])
        text = text[length:]
    return " ".join(words)


def _invent(
    rng: np.random.Generator, canvas: Drawing, place: tuple[int, int, int], height: int, weight: int
) -> None:
    x, y, end = place
    while x < end:
        for _ in range(int(rng.integers(3, 8))):
            a, b = rng.integers(0, height, (2, 2))
            b[int(rng.integers(2))] = a[0]  # mostly upright and level strokes
            cv2.line(canvas, (x + a[0], y - a[1]), (x + b[0], y - b[1]), 255, weight, cv2.LINE_AA)
        x += int(height * 1.15)


def _turned(rng: np.random.Generator, canvas: Drawing, spread: float) -> Drawing:
    turn = cv2.getRotationMatrix2D((_CANVAS / 2, _CANVAS / 2), rng.normal(0, spread), 1)
    return np.asarray(cv2.warpAffine(canvas, turn, (_CANVAS, _CANVAS)), dtype=np.uint8)


def cover(rng: np.random.Generator) -> Drawing:
    """Something in front of the face: a bar or several, an oval, a box, fingers, a cloth, all of one side."""
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    centre = rng.normal([0.5, 0.52], 0.11) * _CANVAS
    x, y = centre.astype(int).tolist()
    width, height = (rng.uniform(0.22, 0.56, 2) * _CANVAS).astype(int).tolist()
    angle = 0.0 if rng.random() < 0.4 else float(rng.normal(0, 35))
    way = int(rng.choice(9, p=[0.2, 0.06, 0.16, 0.14, 0.1, 0.14, 0.08, 0.07, 0.05]))
    if way == 0:  # a bar across or down, as over the eyes or the mouth: a censor's is level
        long, wide = int(rng.uniform(0.4, 1.4) * _CANVAS), int(rng.uniform(0.09, 0.33) * _CANVAS)
        _box(canvas, (x, y), (long, wide), angle)
    elif way == 1:  # several, as before a window
        pitch, wide = int(rng.uniform(0.16, 0.36) * _CANVAS), int(rng.uniform(0.05, 0.13) * _CANVAS)
        tilt = float(rng.choice([0.0, 90.0])) + angle / 3
        normal = np.array([-np.sin(np.radians(tilt)), np.cos(np.radians(tilt))])
        for bar in range(-2, 3):
            at = (centre + normal * bar * pitch).astype(int).tolist()
            _box(canvas, (at[0], at[1]), (2 * _CANVAS, wide), tilt)
    elif way == 2:
        cv2.ellipse(canvas, (x, y), (int(width // 1.6), int(height // 1.6)), angle, 0, 360, 255, -1)
    elif way == 3:
        _box(canvas, (x, y), (width, height), angle * 2)
    elif way == 4:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 8))
        reach = np.stack([np.cos(angles) * width, np.sin(angles) * height], 1)
        corners = centre + reach * rng.uniform(0.4, 0.9, (8, 1))
        cv2.fillPoly(canvas, [corners.astype(np.int32)], 255)
    elif way == 5:  # fingers, spread or not, with or without the palm they come from
        turn = rng.uniform(0, 2 * np.pi)
        step = np.array([np.cos(turn), np.sin(turn)])
        across = np.array([-step[1], step[0]])
        thick, apart = int(rng.integers(16, 36)), rng.uniform(0.95, 1.4)
        for finger in range(-2, 2):
            tip = centre + across * finger * thick * apart + step * rng.uniform(-30, 30)
            base = tip - step * 300 + across * finger * rng.uniform(0, 25)
            cv2.line(canvas, base.astype(int).tolist(), tip.astype(int).tolist(), 255, thick)
        if rng.random() < 0.5:
            palm = (centre - step * rng.uniform(0.15, 0.3) * _CANVAS).astype(int).tolist()
            cv2.circle(canvas, palm, int(thick * rng.uniform(1.4, 2.2)), 255, -1)
    elif way == 6:  # all of one side
        turn = rng.uniform(0, 2 * np.pi)
        step = np.array([np.cos(turn), np.sin(turn)]) * 400
        across = np.array([-step[1], step[0]])
        corners = np.stack([centre - across, centre + across, centre + across + step, centre - across + step])
        cv2.fillPoly(canvas, [corners.astype(np.int32)], 255)
    elif way == 7:  # a cloth from the nose down, a scarf, a veil
        top, sag = rng.uniform(0.46, 0.62) * _CANVAS, rng.uniform(-20, 20)
        left, right = (0.5 + rng.uniform(0.16, 0.5, 2) * [-1, 1]) * _CANVAS
        bottom = rng.uniform(0.74, 1.0) * _CANVAS
        outline = [
            (left, top + sag),
            (128, top),
            (right, top + sag),
            (right - 12, bottom),
            (left + 12, bottom),
        ]
        cv2.fillPoly(canvas, [np.array(outline).astype(np.int32)], 255)
        canvas = _turned(rng, canvas, 8)
    else:  # no shape that has a name: smoke, leaves, hair
        field = cv2.resize(
            rng.normal(size=(int(rng.integers(3, 9)),) * 2), (_CANVAS, _CANVAS), interpolation=2
        )
        canvas = ((field > np.quantile(field, rng.uniform(0.5, 0.75))) * 255).astype(np.uint8)
    if rng.random() < 0.3:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(2, 7)), dtype=np.uint8)
    return canvas


def _box(canvas: Drawing, centre: tuple[int, int], size: tuple[int, int], angle: float) -> None:
    cv2.fillPoly(canvas, [cv2.boxPoints((centre, size, angle)).astype(np.int32)], 255)


def surface(rng: np.random.Generator) -> Drawing:
    """A pattern of two colours: grain, stripes, rings, tiles, spots, cells, clutter, a page, shine."""
    side = _CANVAS // 2
    y, x = np.mgrid[0:side, 0:side] / side
    turn = rng.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    warp = rng.uniform(0, 0.12) * _grain(rng, side, 2.0)
    often = np.exp(rng.uniform(np.log(2), np.log(18)))
    way = int(rng.integers(9))
    if way == 0:
        field = _grain(rng, side, rng.uniform(0.4, 2.0))
    elif way == 1:
        field = np.sin(2 * np.pi * often * (u + warp)) * rng.uniform(1, 6)
    elif way == 2:  # rings, as of wood
        field = np.sin(2 * np.pi * often * (np.hypot(u - rng.uniform(0, 1), (v - 0.5) * 2) + warp))
    elif way == 3:  # tiles, every second row moved
        rows, ratio = often, rng.uniform(0.8, 3)
        row = np.floor((v + warp) * rows)
        across, down = (u + warp) * rows / ratio + 0.5 * (row % 2), (v + warp) * rows
        joint = (np.abs(across % 1 - 0.5) > 0.44) | (np.abs(down % 1 - 0.5) > 0.5 - 0.06 * ratio)
        field = joint * 2.0 - 1 + 0.3 * _grain(rng, side, 1.0)
    elif way in (4, 5, 6):
        field = _scattered(rng, side, way)
    elif way == 7:
        page = cv2.resize(writing(rng)[..., 0], (side, side), interpolation=cv2.INTER_AREA)
        field = page.astype(np.float64) / 127.5 - 1 + 0.2 * _grain(rng, side, 1.0)
    else:  # smooth and shining, as cups and fruit
        light = np.exp(-((x - rng.random()) ** 2 + (y - rng.random()) ** 2) / rng.uniform(0.005, 0.1))
        field = 2 * u - 1 + 2 * light + warp
    field = field + rng.uniform(0, 0.3) * rng.normal(size=field.shape)
    share = (1 / (1 + np.exp(-rng.uniform(1, 4) * field)))[..., None]
    low, high = rng.uniform(0, 255, (2, 3))
    if rng.random() < 0.4:  # greys and browns are commoner than all other colours
        low, high = (np.clip(c.mean() + rng.normal(0, 18, 3) * [1, 0.3, -1], 0, 255) for c in (low, high))
    patch = low + (high - low) * share
    patch += rng.uniform(-50, 50) * (2 * v[..., None] - 1)
    return np.asarray(
        cv2.resize(patch.clip(0, 255).astype(np.uint8), (_CANVAS, _CANVAS), interpolation=cv2.INTER_LINEAR),
        dtype=np.uint8,
    )


def _grain(rng: np.random.Generator, side: int, power: float) -> NDArray[np.float64]:
    """Noise whose waves are the weaker the shorter they are, by this power; of deviation 1."""
    waves = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    waves[0, 0] = 1
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(side, side))) / waves**power, s=(side, side))
    field -= field.mean()
    return np.asarray(field / (field.std() + 1e-9))


def _scattered(rng: np.random.Generator, side: int, way: int) -> NDArray[np.float64]:
    """Spots, cells, or clutter of lines and boxes, in [-1, 1]."""
    count = int(np.exp(rng.uniform(np.log(6), np.log(120))))
    if way == 5:
        y, x = np.mgrid[0:side, 0:side]
        seeds = rng.uniform(0, side, (min(count, 40), 2))
        nearest = np.stack([np.hypot(x - a, y - b) for a, b in seeds]).argmin(0)
        return np.asarray(rng.uniform(-1, 1, len(seeds))[nearest])
    canvas = np.zeros((side, side), np.float32)
    for _ in range(count):
        a, b = rng.integers(0, side, (2, 2)).tolist()
        tone = float(rng.uniform(-1, 1))
        if way == 4:
            cv2.circle(canvas, a, int(rng.uniform(0.2, 1.6) * side / np.sqrt(count) / 2) + 1, tone, -1)
        elif rng.random() < 0.5:
            cv2.line(canvas, a, b, tone, int(rng.integers(1, 5)))
        else:
            cv2.rectangle(canvas, a, (np.array(a) + rng.integers(2, side // 3, 2)).tolist(), tone, -1)
    return canvas.astype(np.float64)

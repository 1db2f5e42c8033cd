"""Glasses of any kind, drawn on aligned faces.

Twins wear a few kinds (`domains/twins/wear.py`), enough to learn how to put glasses on. To take glasses off,
a net must know those of real life and of cartoons: any shape, colour, tint and gleam.
"""

from __future__ import annotations

import colorsys
import dataclasses
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.align import TEMPLATE
from nenrin.domains.face import GLASSES

_SCALE = 3  # factor of supersampling
_BITS = 4  # fractional bits of OpenCV's coordinates
_BAND = (0.14, 0.72)  # of the face's height: glasses do not reach beyond it
_CORNERS = 48  # of a lens
_POWERS = (2.0, 2.3, 3.0, 4.0, 8.0)  # of a superellipse, from round to a rectangle

Points = NDArray[np.float64]
Canvas = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Eyewear:
    """One pair. Places are in eye distances from the middle between the eyes; colours are RGB, 0 to 255."""

    lenses: tuple[Points, Points]
    bars: list[tuple[Points, float]]  # open lines and their widths: rims, bridges, temples
    colour: NDArray[np.float64]
    cover: float  # opacity of the rims
    tint: NDArray[np.float64]
    tinted: float  # opacity of the lenses at their upper edge ...
    paling: float  # ... and the fraction of it that is lost towards the lower edge
    gleams: list[tuple[Points, float]]  # lines on the lenses
    gleaming: float
    shadow: float  # strength of the rims' shadow on the skin
    soft: float  # standard deviation in pixels of the picture's blur; 0 is sharp


def put_on_any(
    images: NDArray[np.uint8], glasses: NDArray[np.integer], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Aligned faces (N, S, S, 3) with `glasses` (N,), indices into GLASSES, drawn on them."""
    worn = images.copy()
    for i in np.flatnonzero(glasses):
        worn[i] = _paint(images[i], sample(rng, dark=GLASSES[glasses[i]] == "dark"), rng)
    return worn


def sample(rng: np.random.Generator, *, dark: bool) -> Eyewear:
    """Any pair, with `dark` lenses or clear ones."""
    wide = rng.uniform(0.28, 0.52)
    high = rng.uniform(0.18, 0.42) if rng.random() < 0.8 else wide * rng.uniform(0.85, 1.05)
    outline = _superellipse(wide, high, float(rng.choice(_POWERS)))
    if rng.random() < 0.35:  # narrower or wider at the bottom
        outline[:, 0] *= 1 + rng.uniform(-0.25, 0.15) * outline[:, 1] / high
    apart, drop = 0.5 + rng.normal(0.02, 0.025), rng.normal(0.05, 0.05)
    slant, turn, roll = rng.normal(0, 0.12), rng.normal(0, 0.07), rng.normal(0, 0.035)
    middle = rng.normal(0, 0.02, 2)
    turned = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])

    def place(points: Points) -> Points:
        placed: Points = points @ turned.T + middle
        return placed

    def lens(side: int) -> Points:
        points = outline * [side, 1.0]
        points[:, 1] -= slant * points[:, 0] * side
        points[:, 0] *= 1 + turn * side
        return place(points + np.array([side * apart, drop]))

    lenses = lens(-1), lens(1)
    width = rng.uniform(0.012, 0.03) if rng.random() < 0.25 else rng.uniform(0.02, 0.1)
    if rng.random() < 0.2:
        width *= 1.7
    bars = [*_rims(lenses, high, width, rng)]
    inner = [[-(apart - 0.95 * wide * (1 - turn)), 0.0], [apart - 0.95 * wide * (1 + turn), 0.0]]
    bridge = np.array([inner[0], [0.0, -rng.uniform(0, 0.08)], inner[1]])
    bridge = place(bridge + np.array([0.0, drop + rng.uniform(-0.5, 0.2) * high]))
    thin = width * rng.uniform(0.6, 1.1)
    bars.append((bridge, thin))
    if rng.random() < 0.2:  # a second bridge, as of pilots' glasses
        bars.append((bridge[[0, 2]] - [0, 0.35 * high], thin))
    if rng.random() < 0.8:
        bars += [
            (_temple(points, side, high, rng), thin) for side, points in zip((-1, 1), lenses, strict=True)
        ]
    tinted = _tinted(rng, dark)
    gleaming = rng.uniform(0.15, 0.6 if dark else 1.0) if rng.random() < 0.55 else 0.0
    return Eyewear(
        lenses=lenses,
        bars=bars,
        colour=_colour(rng),
        cover=rng.uniform(0.65, 1.0),
        tint=_colour(rng) * (rng.uniform(0, 0.5) if dark else 1.0),
        tinted=tinted,
        paling=rng.uniform(0, 0.8) if dark and rng.random() < 0.4 else 0.0,
        gleams=[_gleam(points, wide, high, rng) for points in lenses],
        gleaming=gleaming,
        shadow=rng.uniform(0.1, 0.5) if rng.random() < 0.4 else 0.0,
        soft=rng.uniform(0.3, 0.8) if rng.random() < 0.5 else 0.0,
    )


def _superellipse(wide: float, high: float, power: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    outline: Points = np.sign(circle) * np.abs(circle) ** (2 / power) * [wide, high]
    return outline


def _rims(
    lenses: tuple[Points, Points], high: float, width: float, rng: np.random.Generator
) -> list[tuple[Points, float]]:
    """Whole rims or half ones, or whole ones with a heavy brow."""
    half, brow = rng.random() < 0.15, rng.random() < 0.25
    bars = []
    for points in lenses:
        above = points[points[:, 1] < points[:, 1].mean() + (0.1 if half else -0.3) * high]
        above = above[np.argsort(above[:, 0])]
        if half:
            bars.append((above, width))
        else:
            bars.append((np.concatenate([points, points[:1]]), width))
            if brow:
                bars.append((above, 1.6 * width))
    return bars


def _temple(lens: Points, side: int, high: float, rng: np.random.Generator) -> Points:
    """From the outer edge of a lens towards the ear."""
    start = lens[np.argmax(lens[:, 0] * side)] - [0, high * rng.uniform(0, 0.5)]
    return np.stack([start, start + np.array([side * rng.uniform(0.1, 0.5), rng.normal(0, 0.06)])])


def _tinted(rng: np.random.Generator, dark: bool) -> float:
    if dark:
        return float(rng.uniform(0.72, 1.0))
    return float(rng.uniform(0.03, 0.35)) if rng.random() < 0.5 else 0.0


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Black, metal, or any colour."""
    lot = rng.random()
    if lot < 0.4:
        return np.full(3, rng.uniform(0, 80)) + rng.normal(0, 8, 3)
    if lot < 0.55:
        return rng.uniform(100, 255) * np.array([1.0, 1.0, rng.uniform(0.75, 1.0)])
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.3, 1), rng.uniform(0.2, 1))) * 255


def _gleam(lens: Points, wide: float, high: float, rng: np.random.Generator) -> tuple[Points, float]:
    """A streak of light somewhere on a lens."""
    middle = lens.mean(0) + rng.uniform(-0.5, 0.5, 2) * [wide, high]
    along = np.array([rng.uniform(0.02, 0.5) * wide, -rng.uniform(0.02, 1.2) * high])
    return np.stack([middle - along, middle + along]), rng.uniform(0.02, 0.25)


def _paint(face: NDArray[np.uint8], pair: Eyewear, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One face (S, S, 3) with a pair on; the pixels that it does not touch stay as they are."""
    size = face.shape[1]
    top, bottom = (round(share * face.shape[0]) for share in _BAND)
    band = np.ascontiguousarray(face[top:bottom])
    large = (_SCALE * size, _SCALE * band.shape[0])
    eyes = (TEMPLATE[:2] * size - [0, top]) * _SCALE
    gap, middle = float(eyes[1, 0] - eyes[0, 0]), eyes.mean(0)

    def pixels(points: Points) -> NDArray[np.int32]:
        places: NDArray[np.int32] = np.rint((points * gap + middle - 0.5) * (1 << _BITS)).astype(np.int32)
        return places

    def cover(lines: list[tuple[Points, float]]) -> NDArray[np.uint8]:
        mask = np.zeros(large[::-1], np.uint8)
        for points, width in lines:
            cv2.polylines(mask, [pixels(points)], False, 255, max(1, round(width * gap)), cv2.LINE_AA, _BITS)
        return mask

    canvas: Canvas = cv2.resize(band, large, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    plain = canvas.copy()
    glass = np.zeros(large[::-1], np.uint8)
    for lens in pair.lenses:
        cv2.fillPoly(glass, [pixels(lens)], 255, cv2.LINE_AA, _BITS)
    rims = cover(pair.bars)
    if pair.shadow:
        below: NDArray[Any] = np.roll(rims, int(rng.integers(1, 3)) * _SCALE, axis=0)
        below = cv2.GaussianBlur(below, (0, 0), _SCALE * rng.uniform(0.5, 1.5))
        canvas *= 1 - _share(below) * pair.shadow
    if pair.tinted:
        down = (np.arange(large[1], dtype=np.float32) - middle[1]) / gap + 0.3
        strength = pair.tinted * (1 - pair.paling * np.clip(down, 0, 1))
        _mix(canvas, _share(glass) * strength[:, None, None].astype(np.float32), pair.tint)
    if pair.gleaming:
        light: NDArray[Any] = cv2.GaussianBlur(cover(pair.gleams), (0, 0), _SCALE * rng.uniform(0.1, 0.8))
        _mix(canvas, _share(light) * _share(glass) * pair.gleaming, np.full(3, rng.uniform(180, 255)))
    _mix(canvas, _share(rims) * pair.cover, pair.colour)

    small, before = (
        cv2.resize(picture, band.shape[1::-1], interpolation=cv2.INTER_AREA) for picture in (canvas, plain)
    )
    touched = (np.abs(small - before).max(axis=2) > 2).astype(np.uint8)
    if pair.soft:
        small = cv2.GaussianBlur(small, (0, 0), pair.soft)
        touched = cv2.dilate(touched, np.ones((3, 3), np.uint8))
    worn = face.copy()
    worn[top:bottom] = np.where(touched[..., None] > 0, small.round().clip(0, 255).astype(np.uint8), band)
    return worn


def _share(mask: NDArray[Any]) -> Canvas:
    """A mask (H, W) of 0 to 255 as fractions (H, W, 1)."""
    return mask[..., None].astype(np.float32) / np.float32(255)


def _mix(canvas: Canvas, share: Canvas, colour: NDArray[np.float64]) -> None:
    """Blend a colour over the canvas with opacity `share`."""
    canvas += share * (colour.clip(0, 255).astype(np.float32) - canvas)

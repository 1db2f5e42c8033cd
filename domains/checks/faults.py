"""Faults put into a set's own faces, for a net to learn what they look like.

Every function takes (B, 3, H, W) faces in [-1, 1] and gives as many spoilt ones. All randomness comes from
the generator that is handed in; what is drawn varies widely on purpose, so that the net learns the fault and
not the drawing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nenrin.domains.checks.opinion import FAULTS

_OWN_OUTLINE = ("text", "occluded", "blurred")


def spoil(images: Tensor, masks: Tensor, kinds: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Put into each of (B, 3, H, W) faces the fault of `FAULTS` that (B,) `kinds` names.

    `masks` (B, 1, H, W) is 1 where a face's picture has pixels; outside, all is 0 before and after. Returns
    the spoilt faces and their masks.
    """
    spoilt, outlines = images.clone(), masks.clone()
    strangers = torch.randperm(len(images), generator=generator)
    for index, name in enumerate(FAULTS):
        rows = torch.nonzero(kinds == index)[:, 0]
        if len(rows):
            made = _MAKERS[name](images[rows], images[strangers[rows]], generator)
            # What is no aligned face may have any outline: no fault may be told by where the grey begins.
            outlines[rows] = masks[rows if name in _OWN_OUTLINE else strangers[rows]]
            spoilt[rows] = made.clamp(-1, 1) * outlines[rows]
    return spoilt, outlines


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _sample(images: Tensor, grid: Tensor, padding: str = "reflection") -> Tensor:
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _zoom(images: Tensor, centre: Tensor, reach: Tensor, angle: Tensor) -> Tensor:
    """The square about (B, 2) `centre` with half its side `reach` (B,), turned; the picture is [-1, 1]."""
    cos, sin = reach * angle.cos(), reach * angle.sin()
    rows = [torch.stack([cos, -sin, centre[:, 0]], 1), torch.stack([sin, cos, centre[:, 1]], 1)]
    return _sample(images, F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False))


def _part(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """A part of the face fills the picture: an eye, the mouth, the nose, a cheek, half of it."""
    count = len(images)
    places = torch.tensor([[-0.27, -0.16], [0.27, -0.16], [0.0, 0.15], [0.0, 0.42], [-0.4, 0.2], [0.4, 0.2]])
    weights = torch.tensor([4.0, 4.0, 1.5, 2.0, 1.0, 1.0])
    centre = places[torch.multinomial(weights, count, replacement=True, generator=generator)]
    centre = centre + torch.randn(count, 2, generator=generator) * 0.06
    reach = _uniform(count, 0.14, 0.38, generator)
    return _zoom(images, centre, reach, _uniform(count, -0.3, 0.3, generator))


def _not_a_face(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Surroundings, pieces in disorder, soft noise, or plain shapes."""
    count, side = len(images), images.shape[-1]
    ways = torch.randint(0, 4, (count,), generator=generator)
    corner = torch.where(torch.rand(count, 2, generator=generator) < 0.5, -1.0, 1.0)
    place = corner * _uniform(count, 0.62, 0.9, generator)[:, None]
    surroundings = _zoom(images, place, _uniform(count, 0.12, 0.35, generator), _turn(count, generator))
    pieces = _pieces(images, others, generator)
    fineness = [2, 3, 5, 9, 17, 33][int(torch.randint(0, 6, (1,), generator=generator))]
    noise = F.interpolate(
        torch.randn(count, 3, fineness, fineness, generator=generator) * 0.6, size=side, mode="bicubic"
    )
    shapes = _cover(surroundings.flip(0), others, generator, pieces=3)
    made = torch.stack([surroundings, pieces, noise, shapes])[ways, torch.arange(count)]
    return made.clamp(-1, 1)


def _pieces(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """The tiles of two faces, shuffled and turned."""
    cells = 4 if torch.rand(1, generator=generator) < 0.5 else 2
    tile = images.shape[-1] // cells
    count = len(images)
    both = torch.cat([images, others], 1).view(count, 6, cells, tile, cells, tile)
    tiles = both.permute(0, 2, 4, 1, 3, 5).reshape(count, cells * cells, 2, 3, tile, tile)
    order = torch.rand(count, cells * cells, generator=generator).argsort(1)
    whose = torch.randint(0, 2, (count, cells * cells), generator=generator)
    picked = tiles[torch.arange(count)[:, None], order, whose].flip(-2 if whose[0, 0] else -1)
    grid = picked.view(count, cells, cells, 3, tile, tile).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(images.shape)


def _turn(count: int, generator: torch.Generator) -> Tensor:
    return _uniform(count, -math.pi, math.pi, generator)


def _turned(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Turned about the neck, as a cylinder would be; lying or upside down; or hair where the face was."""
    count, side = len(images), images.shape[-1]
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    radius = _uniform(count, 0.6, 0.95, generator)[:, None]
    sign = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    yaw = (sign * _uniform(count, 0.75, 1.6, generator))[:, None]
    shift = _uniform(count, -0.35, 0.35, generator)[:, None]
    angle = torch.asin(((line - shift) / radius).clamp(-1, 1)) + yaw  # beyond a quarter turn: the far side
    source = torch.where((line - shift).abs() < radius, radius * torch.sin(angle.clamp(-1.4, 1.4)), line)
    far = torch.where(angle.abs() > 1.4, 0.25 * (angle.abs() - 1.4), 0.0)
    x = (source + far)[:, None, :].expand(count, side, side)
    y = line[None, :, None].expand(count, side, side)
    yawed = _sample(images, torch.stack([x, y], -1))
    lying = _zoom(
        images,
        torch.randn(count, 2, generator=generator) * 0.1,
        _uniform(count, 0.7, 1.1, generator),
        sign * _uniform(count, 1.0, math.pi, generator),
    )
    # Hair from above the forehead, over all of the head: seen from behind.
    top = torch.stack([_uniform(count, -0.3, 0.3, generator), _uniform(count, -0.85, -0.6, generator)], 1)
    hair = _zoom(images, top, _uniform(count, 0.12, 0.25, generator), torch.zeros(count))
    distance = (line[None, :] / 0.75) ** 2 + ((line[:, None] - 0.1) / 0.95) ** 2
    behind = torch.lerp(images, hair, ((1.05 - distance) * 8).sigmoid()[None, None])
    ways = torch.multinomial(torch.tensor([0.6, 0.25, 0.15]), count, replacement=True, generator=generator)
    return torch.stack([yawed, lying, behind])[ways, torch.arange(count)]


@functools.cache
def _bank(draw: Callable[[np.random.Generator], NDArray[np.uint8]], side: int) -> Tensor:
    """(512, 1, side, side) in [0, 1] of what `draw` draws, larger: drawing anew for every face takes longer
    than learning from it."""
    rng = np.random.default_rng(0)
    drawn = [cv2.resize(draw(rng), (side, side), interpolation=cv2.INTER_AREA) for _ in range(512)]
    return torch.from_numpy(np.stack(drawn))[:, None].float() / 255


def _masks(
    draw: Callable[[np.random.Generator], NDArray[np.uint8]],
    count: int,
    side: int,
    generator: torch.Generator,
) -> Tensor:
    """(count, 1, side, side) of a bank, each shifted and mirrored anew."""
    bank = _bank(draw, side)
    masks = bank[torch.randint(len(bank), (count,), generator=generator)]
    shift = torch.randint(-side // 8, side // 8 + 1, (2,), generator=generator).tolist()
    masks = masks.roll(shift, (2, 3))
    return masks.flip(3) if torch.rand(1, generator=generator) < 0.5 else masks


_CANVAS = 256
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!?.,-:/&"
_FONTS = (0, 1, 2, 3, 4, 5, 6, 7)  # OpenCV's Hershey fonts


def _writing(rng: np.random.Generator) -> NDArray[np.uint8]:
    """One to five lines of letters, or of invented characters of strokes, at any angle."""
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    height = int(rng.integers(14, 70))
    lines = int(rng.integers(1, 1 + min(5, 180 // height)))
    start = rng.uniform(0.15, 0.8) * _CANVAS - lines * height * 0.5
    invented, font, weight = rng.random() < 0.35, int(rng.choice(_FONTS)), max(height // 9, 1)
    weight = max(1, round(weight * rng.uniform(0.6, 1.6)))
    for line in range(lines):
        y = int(start + (line + 1) * height * 1.3)
        x, end = int(rng.uniform(-0.1, 0.35) * _CANVAS), int(rng.uniform(0.65, 1.1) * _CANVAS)
        if invented:
            while x < end:
                for _ in range(int(rng.integers(3, 8))):
                    a, b = rng.integers(0, height, (2, 2))
                    b[int(rng.integers(2))] = a[0]  # mostly upright and level strokes
                    cv2.line(canvas, (x + a[0], y - a[1]), (x + b[0], y - b[1]), 255, weight, cv2.LINE_AA)
                x += int(height * 1.15)
        else:
            text = "".join(rng.choice(list(_LETTERS)) for _ in range(2 * (end - x) // height + 1))
            text = " ".join(text[i : i + 6] for i in range(0, len(text), 6))
            cv2.putText(canvas, text, (x, y), font, height / 26, 255, weight, cv2.LINE_AA)
    if rng.random() < 0.4:
        turn = cv2.getRotationMatrix2D((_CANVAS / 2, _CANVAS / 2), rng.normal(0, 25), 1)
        canvas = np.asarray(cv2.warpAffine(canvas, turn, (_CANVAS, _CANVAS)), dtype=np.uint8)
    return canvas


def _colour(count: int, generator: torch.Generator) -> Tensor:
    """(count, 3, 1, 1): black or white as often as a colour."""
    plain = torch.where(torch.rand(count, 1, generator=generator) < 0.5, -1.0, 1.0).expand(count, 3)
    free = _uniform(count * 3, -1, 1, generator).view(count, 3)
    return torch.where(torch.rand(count, 1, generator=generator) < 0.6, plain, free)[:, :, None, None]


def _text(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Writing over the face, bare or on a patch of its own."""
    count, side = len(images), images.shape[-1]
    ink = _masks(_writing, count, side, generator)
    # The patch is the writing's surroundings, closed: a bubble or a caption's bar.
    patch = F.avg_pool2d((F.max_pool2d(ink, 13, 1, 6) > 0.3).float(), 3, 1, 1)
    patch = patch * (torch.rand(count, 1, 1, 1, generator=generator) < 0.4)
    colour = _colour(count, generator)
    back = torch.where(colour.mean(1, keepdim=True) > 0, -1.0, 1.0) * _uniform(count, 0.5, 1, generator).view(
        -1, 1, 1, 1
    )
    opacity = _uniform(count, 0.55, 1.0, generator).view(-1, 1, 1, 1)
    return torch.lerp(
        torch.lerp(images, back.expand_as(images), patch * opacity), colour.expand_as(images), ink * opacity
    )


def _blob(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Something in front of the face: a bar, an oval, a polygon, or fingers."""
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    centre = (rng.normal([0.5, 0.52], 0.13) * _CANVAS).astype(int)
    width, height = (rng.uniform(0.24, 0.56, 2) * _CANVAS).astype(int)
    way = int(rng.integers(5))
    turn = float(rng.uniform(0, 180))
    if way == 0:  # a bar across or down, as over the eyes or the mouth
        bar = (
            (int(centre[0]), int(centre[1])),
            (int(rng.uniform(0.5, 1.4) * _CANVAS), int(rng.uniform(0.1, 0.33) * _CANVAS)),
            rng.normal(0, 25) if rng.random() < 0.5 else 0,  # a censor's is level
        )
        cv2.fillPoly(canvas, [cv2.boxPoints(bar).astype(np.int32)], 255)
    elif way == 1:
        cv2.ellipse(canvas, centre.tolist(), (int(width // 1.6), int(height // 1.6)), turn, 0, 360, 255, -1)
    elif way == 2:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 8))
        corners = centre + np.stack([np.cos(angles) * width, np.sin(angles) * height], 1) * rng.uniform(
            0.4, 0.9, (8, 1)
        )
        cv2.fillPoly(canvas, [corners.astype(np.int32)], 255)
    elif way == 3:  # fingers
        step = np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))])
        across = np.array([-step[1], step[0]])
        thick = int(rng.integers(22, 40))
        for finger in range(-2, 2):
            tip = centre + across * finger * thick * 1.02 + step * rng.uniform(-20, 25)
            cv2.line(canvas, (tip - step * 300).astype(int).tolist(), tip.astype(int).tolist(), 255, thick)
    else:  # all of one side
        edge = centre + (rng.normal(0, 0.06, 2) * _CANVAS).astype(int)
        step = np.array([np.cos(np.radians(turn * 2)), np.sin(np.radians(turn * 2))])
        across = np.array([-step[1], step[0]])
        corners = np.stack(
            [
                edge - across * 400,
                edge + across * 400,
                edge + across * 400 + step * 400,
                edge - across * 400 + step * 400,
            ]
        )
        cv2.fillPoly(canvas, [corners.astype(np.int32)], 255)
    return canvas


def _cover(images: Tensor, others: Tensor, generator: torch.Generator, *, pieces: int) -> Tensor:
    covered = images
    count, side = len(images), images.shape[-1]
    for _ in range(pieces):
        mask = _masks(_blob, count, side, generator)
        place = _uniform(count * 2, -0.5, 0.5, generator).view(count, 2)
        texture = _zoom(
            others.roll(1, 0), place, _uniform(count, 0.1, 0.6, generator), _turn(count, generator)
        )
        plain = _colour(count, generator).expand_as(images)
        skin = F.adaptive_avg_pool2d(images[:, :, side // 2 : side * 5 // 8, side // 3 : side * 2 // 3], 1)
        skin = (skin * _uniform(count, 0.7, 1.2, generator).view(-1, 1, 1, 1)).expand_as(images)
        ways = torch.multinomial(
            torch.tensor([0.45, 0.35, 0.2]), count, replacement=True, generator=generator
        )
        fill = torch.stack([texture, plain, skin])[ways, torch.arange(count)]
        shade = 1 - 0.2 * F.avg_pool2d(mask, 9, 1, 4)
        covered = torch.lerp(covered, (fill * shade).clamp(-1, 1), mask)
    return covered


def _occluded(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """A hand, a bar, a thing, another picture before a good part of the face."""
    return _cover(images, others, generator, pieces=1)


def _blurred(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Out of focus, moved, or enlarged from very few pixels."""
    side = images.shape[-1]
    blurred = []
    for image in images[:, None]:
        way, amount = (
            int(torch.randint(0, 3, (1,), generator=generator)),
            float(torch.rand(1, generator=generator)),
        )
        if way == 0:
            kernel = cv2.getGaussianKernel(15, side / 64 * (1.6 + 2.4 * amount))
            weight = torch.from_numpy(kernel @ kernel.T).float()
        elif way == 1:
            streak = np.zeros((15, 15), np.float32)
            angle = float(torch.rand(1, generator=generator)) * math.pi
            reach = np.array([math.cos(angle), math.sin(angle)]) * (3.5 + 3.5 * amount)
            cv2.line(
                streak,
                np.round(7 - reach).astype(int).tolist(),
                np.round(7 + reach).astype(int).tolist(),
                1.0,
                1,
            )
            weight = torch.from_numpy(streak / streak.sum())
        else:
            few = F.interpolate(image, size=round(8 + 8 * amount), mode="bilinear", antialias=True)
            blurred.append(F.interpolate(few, size=side, mode="bicubic" if amount < 0.5 else "bilinear"))
            continue
        padded = F.pad(image, (7, 7, 7, 7), mode="reflect")
        blurred.append(F.conv2d(padded, weight.expand(3, 1, 15, 15), groups=3))
    return torch.cat(blurred).clamp(-1, 1)


_MAKERS: dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = {
    "not_a_face": _not_a_face,
    "part": _part,
    "turned": _turned,
    "text": _text,
    "occluded": _occluded,
    "blurred": _blurred,
}

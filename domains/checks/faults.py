"""Adds faults to a set's own faces, from which a net learns what they look like.

Every function takes (B, 3, H, W) faces in [-1, 1] and returns as many spoilt ones. All randomness comes from
the generator passed in. The drawings vary widely on purpose, so that the net learns the fault and not the
drawing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nenrin.domains.checks.opinion import FAULTS
from nenrin.domains.checks.shapes import Drawing, bank, cover, surface, writing

# Takes (B, 3, H, W) faces, and as many others.
Maker = Callable[[Tensor, Tensor, torch.Generator], Tensor]

_OWN_OUTLINE = ("text", "occluded", "blurred")
# Fraction of the face's middle that these faults must change, else they are drawn again: an invisible fault
# would teach that sound faces have it.
_LEAST = {"text": 0.05, "occluded": 0.12}
_CHANGED = 0.16  # of [-1, 1]: difference from which a pixel counts as changed
_TRIES = 4


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
            others = images[strangers[rows]]
            made = _MAKERS[name](images[rows], others, generator)
            for _ in range(_TRIES if name in _LEAST else 0):
                again = torch.nonzero(_changed(images[rows], made, masks[rows]) < _LEAST[name])[:, 0]
                if len(again):
                    made[again] = _MAKERS[name](images[rows[again]], others[again], generator)
            # What is no aligned face gets another face's outline, so that the grey border reveals no fault.
            outlines[rows] = masks[rows if name in _OWN_OUTLINE else strangers[rows]]
            spoilt[rows] = made.clamp(-1, 1) * outlines[rows]
    return spoilt, outlines


def _changed(before: Tensor, after: Tensor, masks: Tensor) -> Tensor:
    """(B,) the fraction of a face's middle that differs clearly."""
    side = before.shape[-1]
    middle = (..., slice(side * 15 // 64, side * 56 // 64), slice(side * 15 // 64, side * 49 // 64))
    off = (before - after.clamp(-1, 1))[middle].abs().mean(1, keepdim=True) > _CHANGED
    return (off * masks[middle]).mean((1, 2, 3))


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _sample(images: Tensor, grid: Tensor, padding: str = "reflection") -> Tensor:
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _zoom(images: Tensor, centre: Tensor, reach: Tensor, angle: Tensor) -> Tensor:
    """Crop a rotated square with centre (B, 2) and half side `reach` (B,); the picture spans [-1, 1]."""
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
    """Surroundings, pieces in disorder, patterns, soft noise, or plain shapes."""
    ways = [(0.25, _surroundings), (0.2, _pieces), (0.3, _surfaces), (0.05, _noise), (0.2, _collage)]
    return _any_of(ways, images, others, generator)


def _any_of(
    ways: Sequence[tuple[float, Maker]], images: Tensor, others: Tensor, generator: torch.Generator
) -> Tensor:
    """Treat each face in one of the ways, with probabilities in proportion to their numbers."""
    weights = torch.tensor([weight for weight, _ in ways])
    chosen = torch.multinomial(weights, len(images), replacement=True, generator=generator)
    made = torch.empty_like(images)
    for number, (_, make) in enumerate(ways):
        rows = torch.nonzero(chosen == number)[:, 0]
        if len(rows):
            made[rows] = make(images[rows], others[rows], generator)
    return made


def _surroundings(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    count = len(images)
    corner = torch.where(torch.rand(count, 2, generator=generator) < 0.5, -1.0, 1.0)
    place = corner * _uniform(count, 0.4, 0.75, generator)[:, None]
    seen = _zoom(images, place, _uniform(count, 0.12, 0.35, generator), _turn(count, generator))
    return _recoloured(seen, generator)


def _noise(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    fineness = [2, 3, 5, 9, 17][int(torch.randint(0, 5, (1,), generator=generator))]
    noise = torch.randn(len(images), 3, fineness, fineness, generator=generator) * 0.6
    return F.interpolate(noise, size=images.shape[-1], mode="bicubic")


def _collage(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    made = _surroundings(others, images, generator)
    for _ in range(3):
        made = _covered(made, others, generator)
    return made


def _surfaces(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Patterns, mirrored one way or the other."""
    drawn = bank(surface, images.shape[-1])
    chosen = drawn[torch.randint(len(drawn), (len(images),), generator=generator)] * 2 - 1
    return chosen.flip(int(torch.randint(2, 4, (1,), generator=generator)))


def _recoloured(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change contrast and colours of half of them, so that pieces of faces look like pieces of anything."""
    count = len(images)
    mean = images.mean((2, 3), keepdim=True)
    contrast = _uniform(count, 0.8, 3, generator).view(-1, 1, 1, 1)
    sign = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 0.3, -1.0, 1.0)
    other = (mean + (images - mean) * contrast) * sign
    order = torch.rand(count, 3, generator=generator).argsort(1)
    other = other[torch.arange(count)[:, None], order]
    chosen = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    return torch.where(chosen, other, images).clamp(-1, 1)


def _pieces(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """The tiles of two faces, shuffled and turned."""
    cells = (2, 4, 8)[int(torch.randint(0, 3, (1,), generator=generator))]
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
    # The far side is hair as often as not, and not the cheek drawn out.
    near_hair = torch.stack(
        [_uniform(count, -0.3, 0.3, generator), _uniform(count, -0.62, -0.42, generator)], 1
    )
    strands = _zoom(images, near_hair, _uniform(count, 0.1, 0.4, generator), _turn(count, generator))
    haired = (torch.rand(count, 1, 1, 1, generator=generator) < 0.5) * (angle.abs() > 1.3)[:, None, None, :]
    inside = ((line - shift).abs() < radius)[:, None, None, :]
    yawed = torch.where(haired * inside, strands, yawed)
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


def _masks(
    draw: Callable[[np.random.Generator], Drawing], count: int, side: int, generator: torch.Generator
) -> Tensor:
    """(count, C, side, side) of a bank, all shifted and mirrored anew."""
    drawn = bank(draw, side)
    masks = drawn[torch.randint(len(drawn), (count,), generator=generator)]
    shift = torch.randint(-side // 8, side // 8 + 1, (2,), generator=generator).tolist()
    masks = masks.roll(shift, (2, 3))
    return masks.flip(3) if torch.rand(1, generator=generator) < 0.5 else masks


def _colour(count: int, generator: torch.Generator) -> Tensor:
    """(count, 3, 1, 1): black or white as often as a colour."""
    plain = torch.where(torch.rand(count, 1, generator=generator) < 0.5, -1.0, 1.0).expand(count, 3)
    free = _uniform(count * 3, -1, 1, generator).view(count, 3)
    return torch.where(torch.rand(count, 1, generator=generator) < 0.6, plain, free)[:, :, None, None]


def _text(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Writing over the face: bare, outlined, or on a patch of its own; more or less seen through."""
    count = len(images)
    drawn = _masks(writing, count, images.shape[-1], generator)
    ink, patch = drawn[:, :1], drawn[:, 1:]
    colour = _colour(count, generator)
    # The background and outline of letters are dark where the letters are light.
    depth = _uniform(count, 0.5, 1, generator).view(-1, 1, 1, 1)
    back = torch.where(colour.mean(1, keepdim=True) > 0, -1.0, 1.0) * depth
    opacity = _uniform(count, 0.45, 1.0, generator).view(-1, 1, 1, 1)
    backed = torch.lerp(images, back.expand_as(images), patch * opacity)
    return torch.lerp(backed, colour.expand_as(images), ink * opacity)


def _occluded(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    return _any_of([(0.8, _covered), (0.2, _censored)], images, others, generator)


def _censored(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Eyes or mouth made unknown by a bar, black as a rule, or by coarse pixels."""
    count, side = len(images), images.shape[-1]
    y = (torch.arange(side) + 0.5) / side * 2 - 1
    middle, half = (_uniform(count, low, high, generator) for low, high in ((-0.3, 0.5), (0.08, 0.3)))
    left, right = _uniform(count, -0.9, -0.3, generator), _uniform(count, 0.3, 0.9, generator)
    down = (y - middle[:, None]).abs() < half[:, None]
    across = (y > left[:, None]) & (y < right[:, None])
    mask = (down[:, None, :, None] & across[:, None, None, :]).float()
    tone = torch.where(
        torch.rand(count, 1, 1, 1, generator=generator) < 0.75, -1.0, _colour(count, generator)
    )
    cells = F.interpolate(F.adaptive_avg_pool2d(images, 10), size=side)
    coarse = (torch.rand(count, 1, 1, 1, generator=generator) < 0.25) & (half > 0.15)[:, None, None, None]
    return torch.lerp(images, torch.where(coarse, cells, tone.expand_as(images)), mask)


def _covered(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """A hand, a bar, a thing, another picture before a good part of the face."""
    mask = _masks(cover, len(images), images.shape[-1], generator)
    fill = _any_of(
        [(0.2, _stuff), (0.3, _surfaces), (0.35, _plain), (0.15, _skin)], images, others, generator
    )
    return torch.lerp(images, fill, mask)


def _stuff(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """A piece of another picture."""
    count = len(images)
    place = _uniform(count * 2, -0.8, 0.8, generator).view(count, 2)
    piece = _zoom(others, place, _uniform(count, 0.1, 0.6, generator), _turn(count, generator))
    return _recoloured(piece, generator)


def _plain(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    return _colour(len(images), generator).expand_as(images)


def _skin(images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    side = images.shape[-1]
    tone = images[:, :, side // 2 : side * 5 // 8, side // 3 : side * 2 // 3].mean((2, 3), keepdim=True)
    return tone.expand_as(images) * _uniform(len(images), 0.7, 1.2, generator).view(-1, 1, 1, 1)


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
            kernel = cv2.getGaussianKernel(15, side / 64 * (1.2 + 2.8 * amount))
            weight = torch.from_numpy(kernel @ kernel.T).float()
        elif way == 1:
            streak = np.zeros((15, 15), np.float32)
            angle = float(torch.rand(1, generator=generator)) * math.pi
            reach = np.array([math.cos(angle), math.sin(angle)]) * (2 + 5 * amount)
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


_MAKERS: dict[str, Maker] = {
    "not_a_face": _not_a_face,
    "part": _part,
    "turned": _turned,
    "text": _text,
    "occluded": _occluded,
    "blurred": _blurred,
}

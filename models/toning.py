"""Keeps the colours of ageing to the face that ages: to its skin, and to as much colour as its picture has.

A mean face is looked at from the front and in colour. What it differs by from another does not belong on the
wall behind a profile, nor on dark hair over the forehead, nor as a red mouth into a grey photograph.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
# Where the middle of a face, from the eyes down to the mouth, is in aligned pictures, in shares of the side.
_MIDDLE, _HALF = (0.5, 0.56), (0.17, 0.2)
_LIGHT, _HUE = 0.5, 0.2  # what differs by this, of the range of 2, is one step from the face's own colour ...
_SURE, _NEVER = 1.2, 2.2  # ... and so many steps away skin begins to end, and has ended
_GREY = 0.04  # of the range of 2: what a lossy format makes of plain grey is within it
_SHARP_AT = 64  # pixels along a side, at which ...
_BLURRED, _SHARP = 0.03, 0.06  # ... the finest details of a blur deviate by so much, and of most faces
_SEEN = 32  # pixels along a side: what is skin is no finer
_COARSE, _SOFT = 9, 5  # of 64 pixels: eyes and wrinkles are no other colour, and no edge shows


def skin(images: Tensor) -> Tensor:
    """How much each place of (B, 3, S, S) faces in [-1, 1] looks like their middle: (B, 1, S, S).

    Where their pictures have no pixels, which is plain grey, there is none.
    """
    whole, size = images.shape[-2:], _SEEN
    images = F.interpolate(images.float(), (size, size), mode="area")
    coarse = _smoothed(images, _COARSE * size / 64)
    light = luma(coarse)
    colour = torch.cat([light / _LIGHT, (coarse - light) / _HUE], dim=1)
    # What covers a part of the middle, a hand or a beard, is left out.
    steps = steps_from(colour, middle_of(size, images.device).expand_as(light))
    skin = ((_NEVER - steps) / (_NEVER - _SURE)).clamp(0, 1) * inside(images)
    return F.interpolate(_smoothed(skin, _SOFT * size / 64), whole, mode="bilinear", align_corners=False)


def steps_from(colour: Tensor, weight: Tensor) -> Tensor:
    """How far each place of (B, C, S, S) is from the mean by (B, 1, S, S) weights, (B, 1, S, S).

    The mean is taken twice, the second time without what is far from the first.
    """
    steps = torch.zeros_like(weight)
    for _ in range(2):
        held = weight / (1 + steps.square()).square()
        own = (colour * held).sum((2, 3), keepdim=True) / held.sum((2, 3), keepdim=True).clamp(min=1e-6)
        steps = (colour - own).square().sum(1, keepdim=True).sqrt()
    return steps


def inside(images: Tensor) -> Tensor:
    """(B, 1, S, S): 0 where (B, 3, S, S) have no pixels, and a little way in, else 1.

    That is where they are plain grey (`align.OUTSIDE`) as far as the border: a face may be grey itself.
    """
    grey = (F.avg_pool2d(images.abs().amax(1, keepdim=True), 3, 1, 1) < _GREY).float()
    if not torch.compiler.is_compiling() and not grey.any():  # as in most pictures
        return torch.ones_like(grey)
    size = images.shape[-1]
    outside = grey * F.pad(grey.new_zeros(1, 1, size - 2, size - 2), (1, 1, 1, 1), value=1.0)
    for _ in range(size // 4):  # two pixels at a time, to the middle
        outside = F.max_pool2d(outside, 5, 1, 2) * grey
    return 1 - F.max_pool2d(outside, 3, 1, 1)


def toned(shade: Tensor, images: Tensor, mean: Tensor, share: float) -> Tensor:
    """A change (B, 3, S, S) with a `share` of its colour, and less of all where a face has less itself.

    `mean` (B, 3, S, S) are the mean faces that the change is from. A picture with half their colour gets half
    the colour, a grey one none; one with less contrast, as dark ones have, gets less light and shadow.
    """
    light, middle = luma(shade), middle_of(shade.shape[-1], shade.device)
    (contrast, colour), (usual, usual_colour) = (_held(one, middle) for one in (images, mean))
    return light * _part(contrast, usual) + (shade - light) * share * _part(colour, usual_colour)


def _held(images: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Deviation of the brightness and mean colour in the middle of faces, (B, 1, 1, 1) each."""
    light = luma(images)
    mean, colour = (
        (one * middle).sum((2, 3), keepdim=True) / middle.sum()
        for one in (light, (images - light).abs().mean(1, keepdim=True))
    )
    return ((light - mean).square() * middle).sum((2, 3), keepdim=True).div(middle.sum()).sqrt(), colour


def _part(held: Tensor, usual: Tensor) -> Tensor:
    return (held / usual.clamp(min=1e-3)).clamp(0, 1)


def sharpness(images: Tensor) -> Tensor:
    """How sharp the middle of (B, 3, S, S) faces is: (B, 1, 1, 1) from 0, a blur, to 1 as most are."""
    light = luma(F.interpolate(images.float(), (_SHARP_AT, _SHARP_AT), mode="area"))
    fine = (light - F.avg_pool2d(light, 3, 1, 1, count_include_pad=False)).square()
    middle = middle_of(_SHARP_AT, images.device)
    deviation = ((fine * middle).sum((2, 3), keepdim=True) / middle.sum()).sqrt()
    return ((deviation - _BLURRED) / (_SHARP - _BLURRED)).clamp(0, 1)


def luma(images: Tensor) -> Tensor:
    """Brightness of (B, 3, H, W): (B, 1, H, W)."""
    return (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def middle_of(size: int, device: torch.device) -> Tensor:
    """(1, 1, S, S), 1 in the middle of the face."""
    at = (torch.arange(size, device=device) + 0.5) / size
    x, y = ((at - middle) / half for middle, half in zip(_MIDDLE, _HALF, strict=True))
    return (x[None, :].square() + y[:, None].square() < 1).float()[None, None]


def _smoothed(images: Tensor, width: float) -> Tensor:
    """A box of half that many pixels, twice: nearly a Gaussian of that width, and much faster."""
    wide = max(round(width / 2), 1) | 1
    for _ in range(2):
        padded = F.pad(images, (wide // 2,) * 4, mode="replicate")
        images = F.avg_pool2d(padded, wide, 1)
    return images

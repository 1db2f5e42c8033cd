"""Limits the colours of ageing to the face's skin, and to as much colour as its picture has.

A mean face is frontal and in colour. Its difference from another does not belong on the wall behind a
profile, on dark hair over the forehead, or as a red mouth in a grey photograph.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nenrin.models.filters import box_mean, twice_boxed

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
# Oval in aligned pictures around the middle of a face, from eyes to mouth, as fractions of the side.
_MIDDLE, _HALF = (0.5, 0.56), (0.17, 0.2)
_LIGHT, _HUE = 0.5, 0.2  # a difference of this, of the range of 2, is one step from the face's own colour ...
_SURE, _NEVER = 1.2, 2.2  # ... and the skin mask is 1 up to the first number of steps, 0 from the second
_TINT = 0.6  # how far light and shadows take the colour of the skin
_DARK = 0.3  # its least brightness assumed, of 2
_GREY = 0.04  # of the range of 2: how far a lossy format takes plain grey from 0
_SHARP_AT = 64  # pixels along a side at which sharpness is measured
_BLURRED, _SHARP = 0.03, 0.06  # standard deviation of the finest details there: of a blur, of most faces
_SEEN = 32  # pixels: resolution of the skin mask
_COARSE, _SOFT = 9, 5  # of 64 pixels: widths of smoothing, to ignore eyes and wrinkles and to soften the mask


def skin(images: Tensor) -> Tensor:
    """Skin mask (B, 1, S, S) of (B, 3, S, S) faces in [-1, 1]: similarity to the colours of their middle.

    It is 0 where the picture has no pixels (plain grey).
    """
    whole, size = images.shape[-2:], _SEEN
    images = F.interpolate(images.float(), (size, size), mode="area")
    steps = unlike(smoothed(images, _COARSE * size / 64), middle_of(size, images.device))
    skin = ((_NEVER - steps) / (_NEVER - _SURE)).clamp(0, 1) * inside(images)
    return F.interpolate(smoothed(skin, _SOFT * size / 64), whole, mode="bilinear", align_corners=False)


def unlike(images: Tensor, where: Tensor) -> Tensor:
    """Distance in colour of each pixel of (B, 3, S, S) from what (B or 1, 1, S, S) weights, in steps:
    (B, 1, S, S)."""
    light = luma(images)
    colour = torch.cat([light / _LIGHT, (images - light) / _HUE], dim=1)
    return steps_from(colour, where.expand_as(light))


def steps_from(colour: Tensor, weight: Tensor) -> Tensor:
    """Distance of each place of (B, C, S, S) from the mean colour under (B, 1, S, S) weights: (B, 1, S, S).

    The second pass down-weights what is far from the first mean, such as a hand or a beard on skin.
    """
    steps = torch.zeros_like(weight)
    for _ in range(2):
        held = weight / (1 + steps.square()).square()
        own = (colour * held).sum((2, 3), keepdim=True) / held.sum((2, 3), keepdim=True).clamp(min=1e-6)
        steps = (colour - own).square().sum(1, keepdim=True).sqrt()
    return steps


def inside(images: Tensor) -> Tensor:
    """(B, 1, S, S) mask: 0 where the picture has no pixels, and a little way in, else 1.

    Those are plain grey areas (`align.OUTSIDE`) connected to the border, as a face may be grey itself.
    """
    grey = (F.avg_pool2d(images.abs().amax(1, keepdim=True), 3, 1, 1) < _GREY).float()
    if not torch.compiler.is_compiling() and not grey.any():  # as in most pictures
        return torch.ones_like(grey)
    size = images.shape[-1]
    outside = grey * F.pad(grey.new_zeros(1, 1, size - 2, size - 2), (1, 1, 1, 1), value=1.0)
    for _ in range(size // 4):  # two pixels at a time, to the middle
        outside = F.max_pool2d(outside, 5, 1, 2) * grey
    return 1 - F.max_pool2d(outside, 3, 1, 1)


def toned(shade: Tensor, images: Tensor, mean: Tensor, share: Tensor) -> Tensor:
    """The change (B, 3, S, S) with its hue times `share` (B or 1, 1, 1, 1), scaled down to the face's colour
    and contrast.

    `mean` (B, 3, S, S) are the mean faces that the change starts from. A picture with half their colour gets
    half the colour, a grey one none; less contrast, as in dark pictures, means less light and shadow.
    """
    light, middle = luma(shade), middle_of(shade.shape[-1], shade.device)
    (contrast, colour), (usual, usual_colour) = (_held(one, middle) for one in (images, mean))
    return light * _part(contrast, usual) + (shade - light) * share * _part(colour, usual_colour)


def relative_brightness(images: Tensor, mean: Tensor) -> Tensor:
    """Brightness of the middle of faces (B, 3, S, S) as a fraction of that of mean faces, at most 1:
    (B, 1, 1, 1)."""
    middle = middle_of(images.shape[-1], images.device)
    own, usual = (((luma(one) + 1) * middle).sum((2, 3), keepdim=True) for one in (images, mean))
    return (own / usual.clamp(min=1e-3)).clamp(max=1)


def tinted(shade: Tensor, images: Tensor) -> Tensor:
    """The change (B, 3, S, S), as light and dark as before, in the skin's own colour.

    Skin keeps most of its colour in light and shade. What takes equal amounts of red, green and blue leaves
    dark skin glowing red, and what adds them leaves it blue.
    """
    middle = middle_of(images.shape[-1], images.device)
    own = (images * middle).sum((2, 3), keepdim=True) / middle.sum()
    light = luma(own)
    return shade + _TINT * luma(shade) * (own - light) / (light + 1).clamp(min=_DARK)


def _held(images: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation of brightness, and mean colourfulness, in the middle of faces, (B, 1, 1, 1) each."""
    light = luma(images)
    mean, colour = (
        (one * middle).sum((2, 3), keepdim=True) / middle.sum()
        for one in (light, (images - light).abs().mean(1, keepdim=True))
    )
    return ((light - mean).square() * middle).sum((2, 3), keepdim=True).div(middle.sum()).sqrt(), colour


def _part(held: Tensor, usual: Tensor) -> Tensor:
    return (held / usual.clamp(min=1e-3)).clamp(0, 1)


def sharpness(images: Tensor) -> Tensor:
    """Sharpness of the middle of (B, 3, S, S) faces: (B, 1, 1, 1) from 0, a blur, to 1, as most are."""
    light = luma(F.interpolate(images.float(), (_SHARP_AT, _SHARP_AT), mode="area"))
    fine = (light - box_mean(light, 3)).square()
    middle = middle_of(_SHARP_AT, images.device)
    deviation = ((fine * middle).sum((2, 3), keepdim=True) / middle.sum()).sqrt()
    return ((deviation - _BLURRED) / (_SHARP - _BLURRED)).clamp(0, 1)


def smoothed(images: Tensor, width: float) -> Tensor:
    """(B, C, S, S) through two box filters of half the `width`, in pixels: nearly a Gaussian, and faster."""
    return twice_boxed(images, max(round(width / 2), 1) | 1)


def luma(images: Tensor) -> Tensor:
    """Brightness of (B, 3, H, W): (B, 1, H, W)."""
    return (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def middle_of(size: int, device: torch.device) -> Tensor:
    """(1, 1, S, S), 1 in the middle of the face."""
    at = (torch.arange(size, device=device) + 0.5) / size
    x, y = ((at - middle) / half for middle, half in zip(_MIDDLE, _HALF, strict=True))
    return (x[None, :].square() + y[:, None].square() < 1).float()[None, None]

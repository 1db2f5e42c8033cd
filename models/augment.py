"""Augmentation in batches on the device, differentiable so that gradients pass through it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Box = tuple[float, float, float]  # left, top and side of a square part, in units of the picture's side
WHOLE: Box = (0.0, 0.0, 1.0)
_SHIFT, _ZOOM, _TURN = 0.06, 0.08, 8.0  # at most: share of the width, share of the size, degrees
_COLOUR = 0.2  # how far colours are changed at most: of half the range


def crop(images: Tensor, box: Box, size: int) -> Tensor:
    """A square part of (B, C, H, H), as (B, C, size, size)."""
    theta = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
    return _sample(images, theta, box, size)


def jitter_geometry(
    images: Tensor, generator: torch.Generator, *, box: Box = WHOLE, size: int | None = None
) -> Tensor:
    """Flip, shift, zoom and turn each picture of (B, C, H, H) at random.

    With a `box` only that part is returned, as (B, C, size, size), in one resampling.
    """
    count = len(images)
    draw = torch.rand(count, 5, generator=generator).mul_(2).sub_(1).to(images.device)
    angle = draw[:, 0] * math.radians(_TURN)
    scale = 1 + draw[:, 1] * _ZOOM
    flip = torch.where(draw[:, 4] < 0, -1.0, 1.0)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    theta = torch.stack(
        [
            torch.stack([cos * flip, -sin, draw[:, 2] * 2 * _SHIFT], dim=1),
            torch.stack([sin * flip, cos, draw[:, 3] * 2 * _SHIFT], dim=1),
        ],
        dim=1,
    )  # (B, 2, 3)
    return _sample(images, theta, box, size or images.shape[-1])


def _sample(images: Tensor, theta: Tensor, box: Box, size: int) -> Tensor:
    """The part `box` of the pictures through (B, 2, 3) maps of that part in [-1, 1]."""
    left, top, side = box
    middle = theta.new_tensor([[2 * left + side - 1], [2 * top + side - 1]])
    theta = theta * side
    theta = torch.cat([theta[:, :, :2], theta[:, :, 2:] + middle], dim=2)
    fine = max(round(images.shape[-1] * side), size)
    grid = F.affine_grid(theta, [len(images), images.shape[1], fine, fine], align_corners=False)
    part = F.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)
    if fine > size:
        part = F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True)
    return part


def jitter_colour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, saturation and contrast of (B, 3, H, W) in [-1, 1] (DiffAugment, Zhao 2020)."""
    draw = torch.rand(len(images), 3, 1, 1, 1, generator=generator).mul_(2).sub_(1).to(images)
    images = images + draw[:, 0] * _COLOUR
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (1 + draw[:, 1] * 2 * _COLOUR)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (1 + draw[:, 2] * _COLOUR)


def jitter_channels(images: Tensor, generator: torch.Generator) -> Tensor:
    """Scale and shift each colour of (B, 3, H, W) in [-1, 1], so that a tint carries no information."""
    draw = torch.rand(2, len(images), 3, 1, 1, generator=generator).mul_(2).sub_(1).to(images) * _COLOUR
    return images * (1 + draw[0]) + draw[1]


def add_noise(images: Tensor, generator: torch.Generator, *, deviation: float = 0.05) -> Tensor:
    """Add Gaussian noise to (B, C, H, W), of a standard deviation drawn for each picture up to `deviation`.

    It hides what only a few grey levels carry.
    """
    strength = torch.rand(len(images), 1, 1, 1, generator=generator).to(images) * deviation
    return images + torch.randn(images.shape, generator=generator).to(images) * strength

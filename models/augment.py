"""Augmentation in batches on the device, differentiable where an adversary looks through it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def jitter_geometry(
    images: Tensor, generator: torch.Generator, *, shift: float = 0.06, zoom: float = 0.08, turn: float = 8.0
) -> Tensor:
    """Flip, shift (share of the width), zoom and turn (degrees) each picture of (B, C, H, W) at random."""
    count = len(images)
    draw = torch.rand(count, 5, generator=generator).mul_(2).sub_(1).to(images.device)
    angle = draw[:, 0] * math.radians(turn)
    scale = 1 + draw[:, 1] * zoom
    flip = torch.where(draw[:, 4] < 0, -1.0, 1.0)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    theta = torch.stack(
        [
            torch.stack([cos * flip, -sin, draw[:, 2] * 2 * shift], dim=1),
            torch.stack([sin * flip, cos, draw[:, 3] * 2 * shift], dim=1),
        ],
        dim=1,
    )  # (B, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(images.dtype)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def jitter_colour(images: Tensor, generator: torch.Generator, *, strength: float = 0.2) -> Tensor:
    """Change brightness, saturation and contrast of (B, 3, H, W) in [-1, 1] (DiffAugment, Zhao 2020)."""
    draw = torch.rand(len(images), 3, 1, 1, 1, generator=generator).mul_(2).sub_(1).to(images)
    images = images + draw[:, 0] * strength
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (1 + draw[:, 1] * 2 * strength)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (1 + draw[:, 2] * strength)


def cutout(images: Tensor, generator: torch.Generator, *, share: float = 0.3) -> Tensor:
    """Set a random square, `share` of the width, of each picture of (B, C, H, W) to zero."""
    count, _, height, width = images.shape
    centre = torch.rand(count, 2, generator=generator).to(images.device)
    rows = torch.arange(height, device=images.device).div(height)[None, :, None]
    columns = torch.arange(width, device=images.device).div(width)[None, None, :]
    inside = ((rows - centre[:, 0, None, None]).abs() < share / 2) & (
        (columns - centre[:, 1, None, None]).abs() < share / 2
    )
    return images * (~inside[:, None]).to(images)


def add_noise(images: Tensor, generator: torch.Generator, *, deviation: float = 0.05) -> Tensor:
    """Add Gaussian noise: what only a few grey levels carry cannot be read through it."""
    return images + torch.randn(images.shape, generator=generator).to(images) * deviation

"""Enlarging and box means as products with two small matrices, one for rows and one for columns.

Both are linear and work along each axis alone. On a CPU the products are four to ten times as fast as torch's
own loops, and the same up to rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_KEPT = 64  # matrices of each kind; pictures of many sizes would fill the memory


def enlarged(field: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, h, w) interpolated bicubically to a larger size (H, W)."""
    if not _multiplies(field):
        return F.interpolate(field, tuple(size), mode="bicubic", align_corners=False)
    down, across = (_bicubic(here, there) for here, there in zip(field.shape[-2:], size, strict=True))
    return down @ (field @ across.T)


def box_mean(values: Tensor, window: int) -> Tensor:
    """(B, C, H, W): the mean in a window about each pixel, of an odd side and cut off at the edges."""
    if not _multiplies(values):
        return F.avg_pool2d(values, window, 1, window // 2, count_include_pad=False)
    down, across = (_box(side, window) for side in values.shape[-2:])
    return down @ (values @ across.T)


def twice_boxed(images: Tensor, window: int) -> Tensor:
    """(B, C, H, W) through two box filters of an odd side, the pixels at the edges repeated outwards."""
    if not _multiplies(images):
        return _boxed(_boxed(images, window, window), window, window)
    down, across = (_twice_box(side, window) for side in images.shape[-2:])
    return down @ (images @ across.T)


def places(size: Sequence[int], device: torch.device) -> Tensor:
    """(1, H, W, 2) the middle of each pixel as `grid_sample` counts. Not to be changed in place."""
    if torch.compiler.is_compiling():  # what is made then is no tensor to keep
        return _places.__wrapped__(*size, device)
    return _places(*size, device)


def _multiplies(values: Tensor) -> bool:
    """Not in an export, where one operation is smaller, nor where products are rounded to half precision."""
    exact = values.device.type == "cpu" and values.dtype == torch.float32
    return exact and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")


@functools.lru_cache(_KEPT)
@torch.inference_mode(False)
def _bicubic(here: int, there: int) -> Tensor:
    """(there, here)"""
    return F.interpolate(torch.eye(here)[None, None], (there, here), mode="bicubic", align_corners=False)[
        0, 0
    ]


@functools.lru_cache(_KEPT)
@torch.inference_mode(False)
def _box(side: int, window: int) -> Tensor:
    """(side, side)"""
    one = torch.eye(side)[None, None]
    return F.avg_pool2d(one, (window, 1), 1, (window // 2, 0), count_include_pad=False)[0, 0]


@functools.lru_cache(_KEPT)
@torch.inference_mode(False)
def _twice_box(side: int, window: int) -> Tensor:
    """(side, side)"""
    one = torch.eye(side)[None, None]
    return _boxed(_boxed(one, window, 1), window, 1)[0, 0]


def _boxed(images: Tensor, height: int, width: int) -> Tensor:
    padded = F.pad(images, (width // 2, width // 2, height // 2, height // 2), mode="replicate")
    return F.avg_pool2d(padded, (height, width), 1)


@functools.lru_cache(_KEPT)
@torch.inference_mode(False)
def _places(height: int, width: int, device: torch.device) -> Tensor:
    return F.affine_grid(torch.eye(2, 3, device=device)[None], [1, 1, height, width], align_corners=False)

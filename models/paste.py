"""Ageing a face inside its picture, at the picture's own resolution.

The model's change is added to the picture's own pixels; its small face is not pasted over them. Where age
changes nothing, the picture stays as it was to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nenrin.domains.align import align, similarity
from nenrin.models.change import Change, turned_grey
from nenrin.models.hair import Hair
from nenrin.models.samples import to_pixels, to_tensor

FINER = 1.25  # pixels of the aligned face for each of the picture's, as turning it costs some sharpness
LARGEST = 2048  # pixels: largest side of the aligned face
REACH = 0.96  # width of the mask, as a fraction of the aligned square
SOFT = 0.12  # width of the mask's soft edge, likewise
_BAND = 256  # rows of a picture whose hair is turned grey at a time, so that memory stays flat
_ROUND = 5  # exponent of the mask's superellipse: 2 would be an oval, which leaves out the hair


def side_of(points: NDArray[np.float32] | None, picture: Image.Image) -> int:
    """The side in pixels at which a face of a picture, or the whole of it, is aligned without loss."""
    if points is None:
        return min(max(picture.size), LARGEST)
    per_pixel = float(np.hypot(*similarity(points[None], 1)[0, :, 0]))  # of the aligned square's side
    return min(max(round(FINER / per_pixel), 16), LARGEST)


def aligned(picture: Image.Image, points: NDArray[np.float32] | None, side: int | None = None) -> Tensor:
    """The face, (1, 3, R, R) in [-1, 1], of `side` pixels; by default enough to lose nothing."""
    side = side or side_of(points, picture)
    if points is None:
        return to_tensor(np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))[None])
    return to_tensor(align([picture], points[None], side)[0])


def difference(face: Tensor, change: Change | Tensor) -> NDArray[np.float32]:
    """The residual to add to a face (1, 3, R, R): (R, R, 3) in grey levels.

    `change` is the model's, or a residual at its own resolution (1, 3, S, S), which is enlarged.
    """
    grey: NDArray[np.float32] = _added(face, change)[0].permute(1, 2, 0).mul(127.5).numpy()
    return grey


def changed(faces: Tensor, change: Change | Tensor) -> NDArray[np.uint8]:
    """Faces (B, 3, R, R) with that change, (B, R, R, 3)."""
    return to_pixels(faces + _added(faces, change))


def _added(face: Tensor, change: Change | Tensor) -> Tensor:
    if isinstance(change, Change):
        return change.apply(face).clamp(-1, 1) - face
    return F.interpolate(change, face.shape[-2:], mode="bicubic", align_corners=False)


def add(
    picture: Image.Image,
    differences: Sequence[tuple[NDArray[np.float32], NDArray[np.float32] | None]],
    greys: Sequence[tuple[Hair, float]] = (),
) -> Image.Image:
    """The picture with each face's residual added under a soft mask, and with hair turned grey.

    Each item holds the result of `difference` and the face's points (5, 2) in pixels of the picture, or None
    if the whole picture is the face. `greys` are where hair is and how grey it turns, see `turned_grey`.
    """
    before = np.asarray(picture.convert("RGB"))
    pixels = before.astype(np.float32)
    height, width = pixels.shape[:2]
    for added, points in differences:
        side = len(added)
        if points is None:
            pixels += cv2.resize(added, (width, height), interpolation=cv2.INTER_CUBIC)
            continue
        matrix = similarity(points[None], side)[0].astype(np.float64)
        # Only the box around the face: a picture may be a hundred times as large.
        corners = np.asarray([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]])
        there = corners @ cv2.invertAffineTransform(matrix).T
        (left, top), (right, bottom) = (np.floor(there.min(0)).astype(int), np.ceil(there.max(0)).astype(int))
        left, right = np.clip((left, right), 0, width)
        top, bottom = np.clip((top, bottom), 0, height)
        if left == right or top == bottom:
            continue
        # OpenCV counts from pixel centres.
        matrix[:, 2] += matrix[:, :2] @ (left + 0.5, top + 0.5) - 0.5
        pixels[top:bottom, left:right] += cv2.warpAffine(
            added * _mask(side),
            matrix,
            (int(right - left), int(bottom - top)),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        )
    for hair, grey in greys:
        _turn_grey(pixels, before, hair, grey)
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def _turn_grey(pixels: NDArray[np.float32], before: NDArray[np.uint8], hair: Hair, grey: float) -> None:
    """Turn hair grey in the pixels (H, W, 3), once grey levels of `before`, a band at a time."""
    left, top, right, bottom = hair.box
    for start in range(top, bottom, _BAND):
        band = np.s_[start : min(start + _BAND, bottom), left:right]
        share = torch.from_numpy(hair.of(before[band], left, start))[None, None]
        now = torch.from_numpy(pixels[band]).permute(2, 0, 1)[None] / 127.5 - 1
        added = turned_grey(now, grey * share) - now
        pixels[band] += added[0].permute(1, 2, 0).mul(127.5).numpy()


def _mask(side: int) -> NDArray[np.float32]:
    """(side, side, 1) mask: 1 in the middle, 0 at the edges and rounded corners, a smooth step between."""
    at = torch.linspace(-1, 1, side).abs()
    radius = (at[:, None] ** _ROUND + at**_ROUND) ** (1 / _ROUND)
    inside = ((REACH - radius) / (2 * SOFT)).clamp(0, 1)
    smooth: NDArray[np.float32] = (inside * inside * (3 - 2 * inside))[..., None].numpy()
    return smooth

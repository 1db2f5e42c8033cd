"""Align faces of all domains to one template, with eyes and mouth at the same places.

Coordinates are continuous: a picture of W x H pixels spans [0, W] x [0, H], a pixel's centre lies at + 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]

OUTSIDE = 128  # the grey where a picture has no pixels: neither smeared skin nor a mirrored face
# One template for all domains, so that a model cannot learn "zoom in" as "draw". In units of the side,
# in the order of `face.POINTS`: about as wide as FFHQ's crops, with hair and chin in sight.
TEMPLATE: Floats = np.array(
    [[0.365, 0.42], [0.635, 0.42], [0.5, 0.575], [0.395, 0.71], [0.605, 0.71]], dtype=np.float32
)


def similarity(points: NDArray[np.floating], size: int) -> Floats:
    """Least-squares similarities from faces to the template (Umeyama 1991, without reflection).

    `points` is (B, 5, 2) in source pixels; the answer (B, 2, 3) maps them into a square of `size` pixels.
    """
    source = points.astype(np.float64)
    target = TEMPLATE.astype(np.float64) * size
    source_mean, target_mean = source.mean(1, keepdims=True), target.mean(0)
    a, b = source - source_mean, target - target_mean
    # In the plane the optimum has a closed form: rotation and scale are one complex number.
    variance = (a**2).sum((1, 2))
    cosine = (a * b).sum((1, 2)) / variance
    sine = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(1) / variance
    rotation = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)  # (B, 2, 2)
    shift = target_mean[:, None] - rotation @ source_mean.transpose(0, 2, 1)  # (B, 2, 1)
    return np.concatenate([rotation, shift], -1).astype(np.float32)


def transform(matrices: Floats, points: NDArray[np.floating]) -> Floats:
    """Apply (B, 2, 3) matrices to (B, K, 2) points."""
    moved = points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    return moved.astype(np.float32)


def frame_of(matrices: Floats, sizes: Sequence[tuple[int, int]]) -> Floats:
    """The source pictures' corners in aligned pixels (B, 4, 2), clockwise from top left; sizes are (W, H)."""
    corners = np.array([[(0, 0), (w, 0), (w, h), (0, h)] for w, h in sizes], dtype=np.float32)
    return transform(matrices, corners)


def frame_mask(frame: Floats, size: int) -> NDArray[np.uint8]:
    """255 where the source picture has pixels, else 0: (B, 4, 2) corners -> (B, size, size)."""
    centre = np.arange(size, dtype=np.float32) + 0.5
    x, y = centre[None, None, :], centre[None, :, None]
    inside = np.ones((len(frame), size, size), dtype=bool)
    for start, end in zip(
        np.moveaxis(frame, 1, 0), np.moveaxis(np.roll(frame, -1, axis=1), 1, 0), strict=True
    ):
        (ax, ay), (bx, by) = start.T[:, :, None, None], end.T[:, :, None, None]
        inside &= (bx - ax) * (y - ay) >= (by - ay) * (x - ax)  # clockwise, y down: inside lies to the right
    return inside.astype(np.uint8) * np.uint8(255)


def align(
    pictures: Sequence[Image.Image], points: NDArray[np.floating], size: int
) -> tuple[NDArray[np.uint8], Floats]:
    """Align RGB pictures by their (B, 5, 2) points: (B, size, size, 3) uint8 and frames (B, 4, 2).

    Pictures larger than needed are first reduced with an antialiasing filter. What lies outside a picture is
    mid-grey, that is 0 in [-1, 1], and marked by the frame (`frame_mask`).
    """
    matrices = similarity(points, size)
    frames = frame_of(matrices, [picture.size for picture in pictures])
    crops, to_aligned = zip(
        *(_crop(picture, matrix, size) for picture, matrix in zip(pictures, matrices, strict=True)),
        strict=True,
    )
    aligned = np.empty((len(crops), size, size, 3), dtype=np.uint8)
    for shape in sorted({crop.shape for crop in crops}):  # crops of one size go through in one batch
        rows = [i for i, crop in enumerate(crops) if crop.shape == shape]
        aligned[rows] = _warp(
            np.stack([crops[i] for i in rows]), np.stack([to_aligned[i] for i in rows]), size
        )
    np.copyto(aligned, np.uint8(OUTSIDE), where=frame_mask(frames, size)[..., None] == 0)
    return aligned, frames


def cut(picture: Image.Image, matrix: Floats, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """What a (2, 3) matrix maps into a square, (size, size, 3), and where in it the picture has pixels."""
    crop, to_square = _crop(picture, matrix, size)
    square = _warp(crop[None].copy(), to_square[None], size)[0]
    inside = frame_mask(frame_of(matrix[None], [picture.size]), size)[0] > 0
    square[~inside] = OUTSIDE
    return square, inside


def _crop(picture: Image.Image, matrix: Floats, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of a picture that the aligned square sees, antialiased to its scale, and its (2, 3) matrix."""
    full = np.vstack([matrix.astype(np.float64), [0, 0, 1]])
    back = np.linalg.inv(full)
    square = np.array([(0, 0, 1), (size, 0, 1), (size, size, 1), (0, size, 1)], dtype=np.float64) @ back.T
    margin = 2 / np.hypot(full[0, 0], full[0, 1])  # the cubic kernel's reach
    left, top = np.floor(np.maximum(square[:, :2].min(0) - margin, 0)).astype(int)
    right, bottom = np.ceil(np.minimum(square[:, :2].max(0) + margin, picture.size)).astype(int)
    if right - left < 2 or bottom - top < 2:  # the points lie outside: all of it is grey
        left, top, (right, bottom) = 0, 0, picture.size
    width, height = right - left, bottom - top
    scale = float(np.hypot(full[0, 0], full[1, 0]))
    if scale < 0.95:
        width, height = max(round(width * scale), 2), max(round(height * scale), 2)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS, box=(left, top, right, bottom))
    else:
        picture = picture.crop((left, top, right, bottom))
    to_source = np.array([[(right - left) / width, 0, left], [0, (bottom - top) / height, top], [0, 0, 1]])
    return np.asarray(picture), (full @ to_source)[:2]


def _warp(pixels: NDArray[np.uint8], matrices: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """(B, H, W, 3) uint8 through (B, 2, 3) matrices into (B, size, size, 3), bicubic."""
    import torch
    from kornia.geometry.transform import warp_affine

    # Kornia counts from pixel centres.
    shifted = matrices.copy()
    shifted[:, :, 2] += matrices[:, :, :2].sum(-1) * 0.5 - 0.5
    source: torch.Tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    warped = warp_affine(
        source,
        torch.from_numpy(shifted).float(),
        (size, size),
        mode="bicubic",
        padding_mode="border",
        align_corners=True,
    )
    done: NDArray[np.uint8] = warped.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return done

"""Sample grids, as in the CAAE papers: rows are faces, or one face over the training; columns are ages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nenrin.ground import atomic_path
from nenrin.models.base import AgerModel
from nenrin.models.condition import UNKNOWN, Condition

AGES = (3.0, 8.0, 15.0, 25.0, 40.0, 55.0, 70.0, 85.0)  # years
SHOWN = 8  # rows of a grid that shows one face over the training, at most


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(0, 3, 1, 2).div_(127.5).sub_(1)


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] to (B, H, W, 3) uint8."""
    scaled = images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    pixels: NDArray[np.uint8] = scaled.permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def aged(model: AgerModel, images: Tensor, source: Condition, ages: Sequence[float] = AGES) -> list[Tensor]:
    """The faces at each of the ages, with unchanged glasses."""
    keep = torch.full_like(source.glasses, UNKNOWN)
    return [
        model.preview(images, source, source.replace(age=torch.full_like(source.age, age), glasses=keep))
        for age in ages
    ]


def write_grid(path: Path, model: AgerModel, images: Tensor, source: Condition) -> None:
    """Write a grid with a row for each face: the input, then each of `AGES`."""
    model.eval()
    columns = [images, *aged(model, images, source)]
    model.train()
    rows = np.concatenate([to_pixels(column) for column in columns], axis=2)  # (B, H, columns * W, 3)
    _save(path, rows.reshape(-1, *rows.shape[2:]))


def write_history(folder: Path, faces: int) -> None:
    """Write `history.png` from a run's grids: for each of the `faces` rows, that row over the training."""
    grids = sorted(path for path in folder.iterdir() if re.fullmatch(r"\d+\.png", path.name))
    if len(grids) > SHOWN:
        grids = [grids[i] for i in np.linspace(0, len(grids) - 1, SHOWN).round().astype(int)]
    pixels = []
    for path in grids:
        with Image.open(path) as grid:
            pixels.append(np.asarray(grid))
    side = pixels[0].shape[0] // faces
    chosen = range(0, faces, max(faces // 2, 1))
    strips = [grid[face * side : (face + 1) * side] for face in chosen for grid in pixels]
    _save(folder / "history.png", np.concatenate(strips))


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    with atomic_path(path) as part:
        Image.fromarray(pixels).save(part, format="PNG")

"""From a memory-mapped array of faces to training batches, in an order that the seed and the step decide."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nenrin.domains.array import FaceArray
from nenrin.models.condition import Condition


@dataclasses.dataclass(kw_only=True, slots=True)
class Batch:
    """B faces and their labels."""

    images: Tensor  # (B, 3, H, W) float32 in [-1, 1]
    masks: Tensor  # (B, 1, H, W) float32, 1 where the source picture has pixels, else 0
    condition: Condition

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in dataclasses.fields(self)})


class Sampler:
    """Draws rows so that ages and domains come evenly, whatever the set holds most of.

    A batch is a function of (seed, step) alone, so that a resumed training sees what it would have seen.
    """

    def __init__(self, faces: FaceArray, *, batch: int, seed: int, flip: bool = True) -> None:
        self.faces, self.batch, self.seed, self.flip = faces, batch, seed, flip
        self.weights = _even_weights(faces)

    def at(self, step: int) -> Batch:
        """The batch of one step."""
        rng = np.random.default_rng([self.seed, step])
        rows = rng.choice(len(self.weights), size=self.batch, p=self.weights)
        flips = rng.random(self.batch) < 0.5 if self.flip else np.zeros(self.batch, bool)
        images, masks = load(self.faces, rows, flips)
        return Batch(images=images, masks=masks, condition=conditions(self.faces, rows))


def load(faces: FaceArray, rows: NDArray[np.int64], flips: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Pixels (B, 3, H, W) in [-1, 1] and masks (B, 1, H, W) of some rows, mirrored where `flips` says so."""
    pixels, masks = faces.pixels[rows], faces.masks[rows]
    pixels[flips], masks[flips] = pixels[flips, :, ::-1], masks[flips, :, ::-1]
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return images, torch.from_numpy(masks)[:, None].float().div_(255)


def conditions(faces: FaceArray, rows: NDArray[np.int64]) -> Condition:
    """The labels of some rows."""
    return Condition(
        age=torch.from_numpy(faces.age[rows]),
        domain=torch.from_numpy(faces.domain[rows]),
        glasses=torch.from_numpy(faces.glasses[rows]),
        gender=torch.from_numpy(faces.gender[rows]),
    )


def _even_weights(faces: FaceArray) -> NDArray[np.float64]:
    """The chance of each row: even over domains and, within one, over decades, its square root for rare ones.

    Faces of unknown age count as one more decade of their domain.
    """
    decade = np.where(np.isnan(faces.age), -1, np.nan_to_num(faces.age) // 10).astype(int)
    _, cell, sizes = np.unique(
        np.stack([faces.domain, decade]), axis=1, return_inverse=True, return_counts=True
    )
    weights = sizes[cell.ravel()].astype(np.float64) ** -0.5
    for domain in np.unique(faces.domain):
        weights[faces.domain == domain] /= weights[faces.domain == domain].sum()
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised

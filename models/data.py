"""Training batches from a memory-mapped array of faces, determined by the seed and the step."""

from __future__ import annotations

import dataclasses
from typing import Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nenrin.domains.array import FaceArray
from nenrin.models.condition import UNKNOWN, Condition


@dataclasses.dataclass(kw_only=True, slots=True)
class Faces:
    """B faces and their labels, as bytes until `ready` turns them into floats on the device."""

    images: Tensor  # (B, 3, H, W) float32 in [-1, 1]; before `ready` uint8, `channels_last`
    masks: Tensor  # (B, 1, H, W) float32, 1 where the source picture has pixels, else 0; before 255 and 0
    condition: Condition

    def __getitem__(self, index: Tensor | slice) -> Self:
        """The faces of an index, a slice or a mask (B,)."""
        return dataclasses.replace(
            self, **{f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self)}
        )

    def ready(
        self, device: torch.device | str, layout: torch.memory_format = torch.contiguous_format
    ) -> Self:
        """As a model's step takes them: floats, on its device and in its layout."""
        # Bytes are a quarter of the transfer; converted in their layout, they are `channels_last` at no cost.
        images = self.images.to(device).float().div_(127.5).sub_(1).contiguous(memory_format=layout)
        masks = self.masks.to(device).float().div_(255)
        return dataclasses.replace(self, images=images, masks=masks, condition=self.condition.to(device))


@dataclasses.dataclass(kw_only=True, slots=True)
class Batch(Faces):
    """B faces, each with another picture of the same view where the set has one, else with itself."""

    partner: Faces
    has_partner: Tensor  # (B,) bool

    @classmethod
    def alone(cls, faces: Faces) -> Batch:
        """Faces of which none has another picture of its view."""
        return cls(
            images=faces.images,
            masks=faces.masks,
            condition=faces.condition,
            partner=faces,
            has_partner=torch.zeros(len(faces.images), dtype=torch.bool),
        )

    def ready(
        self, device: torch.device | str, layout: torch.memory_format = torch.contiguous_format
    ) -> Self:
        """As a model's step takes them, partners too."""
        # `super()` does not work in a slotted dataclass.
        batch = Faces.ready(self, device, layout)
        if self.partner.images.data_ptr() == self.images.data_ptr():  # no partners: convert only once
            partner = Faces(images=batch.images, masks=batch.masks, condition=batch.condition)
        else:
            partner = self.partner.ready(device, layout)
        return dataclasses.replace(batch, partner=partner, has_partner=self.has_partner.to(device))


class Sampler:
    """Draws rows so that ages and domains are balanced, whatever the set holds most of.

    A batch is a function of (seed, step) alone, so that a resumed training sees what it would have seen.
    """

    def __init__(self, faces: FaceArray, *, batch: int, seed: int) -> None:
        self.faces, self.batch, self.seed = faces, batch, seed
        self.chances = _even_weights(faces).cumsum()
        self.chances /= self.chances[-1]
        self.partners = _partners(faces)

    def at(self, step: int) -> Batch:
        """The batch of one step, as bytes; see `Faces.ready`."""
        rng = np.random.default_rng([self.seed, step])
        rows = self.chances.searchsorted(rng.random(self.batch), side="right")
        partners = rows.copy()
        for place, row in enumerate(rows.tolist()):
            if (others := self.partners.get(row)) is not None:
                partners[place] = rng.choice(others)
        flips = rng.random(self.batch) < 0.5
        face = self._faces(rows, flips)
        if (partners == rows).all():
            return Batch.alone(face)
        return Batch(
            images=face.images,
            masks=face.masks,
            condition=face.condition,
            partner=self._faces(partners, flips),
            has_partner=torch.from_numpy(partners != rows),
        )

    def _faces(self, rows: NDArray[np.int64], flips: NDArray[np.bool_]) -> Faces:
        pixels, masks = _bytes(self.faces, rows, flips)
        return Faces(
            images=torch.from_numpy(pixels).permute(0, 3, 1, 2),
            masks=torch.from_numpy(masks)[:, None],
            condition=conditions(self.faces, rows),
        )


def load(faces: FaceArray, rows: NDArray[np.int64], flips: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Pixels (B, 3, H, W) in [-1, 1] and masks (B, 1, H, W) of some rows, mirrored where `flips` says so."""
    pixels, masks = _bytes(faces, rows, flips)
    images = torch.from_numpy(pixels).float().div_(127.5).sub_(1).permute(0, 3, 1, 2)
    return images, torch.from_numpy(masks)[:, None].float().div_(255)


def _bytes(
    faces: FaceArray, rows: NDArray[np.int64], flips: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (B, H, W, 3) and masks (B, H, W) of some rows, mirrored where `flips` says so."""
    pixels, masks = faces.pixels[rows], faces.masks[rows]
    for i in np.flatnonzero(flips):  # OpenCV mirrors ten times as fast as a negative stride
        cv2.flip(pixels[i], 1, dst=pixels[i])
        cv2.flip(masks[i], 1, dst=masks[i])
    return pixels, masks


def conditions(faces: FaceArray, rows: NDArray[np.int64]) -> Condition:
    """The labels of some rows."""
    return Condition(
        age=torch.from_numpy(faces.age[rows]),
        domain=torch.from_numpy(faces.domain[rows]),
        glasses=torch.from_numpy(faces.glasses[rows]),
        gender=torch.from_numpy(faces.gender[rows]),
    )


def _even_weights(faces: FaceArray) -> NDArray[np.float64]:
    """The probability of each row: equal for all domains; within one, a decade of n faces gets sqrt(n).

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


def _partners(faces: FaceArray) -> dict[int, NDArray[np.int64]]:
    """Row -> the other rows of the same view in the same domain; only rows that have any.

    All are of known age. Rows with unlabelled glasses are nobody's partner if the view has others: an ager
    could not know which glasses to draw.
    """
    known = np.flatnonzero((faces.view != UNKNOWN) & ~np.isnan(faces.age))
    order = known[np.lexsort((faces.domain[known], faces.view[known]))]
    key = np.stack([faces.view[order], faces.domain[order]])
    starts = np.flatnonzero(np.any(np.diff(key, axis=1) != 0, axis=0)) + 1
    groups = np.split(order, starts)
    found: dict[int, NDArray[np.int64]] = {}
    for group in groups:
        named = group[faces.glasses[group] != UNKNOWN]
        partners = named if len(named) else group
        found |= {int(row): partners[partners != row] for row in group if (partners != row).any()}
    return found

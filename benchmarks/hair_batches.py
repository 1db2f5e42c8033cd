"""Batches that the net of hair learns from: the labels of `hair_labels.py`, altered so that few show much."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nenrin.models.hairnet import LEFT, SQUARE, TOP, VIEW, places

# Of labels, in the order of their numbers in a file; of squares nothing is known beyond the aligned square.
KINDS = ("photo", "drawn", "cartoonised", "illustration", "square")
RECOLOURED, REPLACED, GREYED = 0.6, 0.6, 0.08  # of pictures: hair, grounds, all of the picture
ALIKE = 0.4  # of plain grounds: as bright as the hair before them, which only the shape of a head tells apart
ALONE = 0.4  # of batches: the square is seen, and nothing around it
LUMPS = 6  # along a side of smooth noise
_LEFT, _TOP = round(LEFT * SQUARE), round(TOP * SQUARE)  # pixels
MIDDLE = slice(_TOP, _TOP + SQUARE), slice(_LEFT, _LEFT + SQUARE)  # the square in a view


@dataclasses.dataclass(kw_only=True, slots=True)
class Recipe:
    """All settings that determine the result of a training, besides its labels and where it starts."""

    steps: int = 1500
    batch: int = 32
    rate: float = 2e-3  # the highest
    shares: tuple[float, ...] = (0.5, 0.2, 0.08, 0.07, 0.15)  # of a batch: of each of `KINDS`
    hats: float = 0.08  # share of heads on which what is above the brow becomes a hat ...
    bald: float = 0.12  # ... or bald, and is no hair
    seed: int = 0


class Batches:
    """Views and their hair, drawn at random and altered."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        file = np.load(path)
        found, kinds = file["found"], file["kinds"][file["found"]]
        self.grounds = torch.from_numpy(file["views"]).permute(0, 3, 1, 2)  # (M, 3, VIEW, VIEW) of all faces
        self.views = self.grounds[torch.from_numpy(found)]  # (N, 3, VIEW, VIEW)
        self.inside, self.hair = (torch.from_numpy(file[name][found])[:, None] for name in ("inside", "hair"))
        share = np.array(recipe.shares, np.float32) / np.bincount(kinds, minlength=len(KINDS)).clip(1)
        self.chance = torch.from_numpy(share[kinds].astype(np.float32))  # (N,) relative to each other
        self.recipe = recipe
        self.random = torch.Generator().manual_seed(recipe.seed + 1)
        self.places = places(VIEW, torch.device("cpu"))
        x, y = self.places[0]
        face = ((x / 0.30) ** 2 + ((y - 0.08) / 0.40) ** 2 < 1) | ((x.abs() < 0.17) & (y > 0.2) & (y < 0.75))
        self.face = face.float()  # (VIEW, VIEW) face and neck

    def __len__(self) -> int:
        return len(self.views)

    def draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images (B, 3, S, S) in [-1, 1]; where they have pixels, and hair, (B, 1, S, S) from 0 to 1; and
        their places. They are whole views, or the squares in their middle."""
        rows = torch.multinomial(self.chance, self.recipe.batch, generator=self.random)
        images = unit(self.views[rows])
        inside, hair = (one[rows].float() / 255 for one in (self.inside, self.hair))
        images = self._recoloured(images, hair)
        images = self._elsewhere(images, hair)
        images, hair = self._without(images, hair)
        images = self._lit(images)
        mirrored = self._chance(0.5) > 0
        images, hair, inside = (torch.where(mirrored, one.flip(-1), one) for one in (images, hair, inside))
        whole = images * inside, inside, hair, self.places
        if torch.rand(1, generator=self.random) >= ALONE:
            return whole
        images, inside, hair, at = (one[..., *MIDDLE] for one in whole)
        return images, inside, hair, at

    def _recoloured(self, images: Tensor, hair: Tensor) -> Tensor:
        """Hair of another colour, lighter or darker, with more or less contrast."""
        chosen = self._chance(RECOLOURED)
        contrast = 0.3 + 1.7 * self._rand()
        change = (self._rand() - 0.5) * 0.9 + (self._rand(3) - 0.5) * 0.35
        mean = _mean(images, hair)
        recoloured = (images - mean) * contrast + (mean + change).clamp(-0.95, 0.8)
        return torch.lerp(images, recoloured.clamp(-1, 1), hair * chosen)

    def _elsewhere(self, images: Tensor, hair: Tensor) -> Tensor:
        """Another ground behind the head: a flat colour, the hair's own for some, or another view, shifted
        sideways."""
        chosen = self._chance(REPLACED)
        rows = torch.randint(len(self.grounds), (len(images),), generator=self.random)
        other = unit(self.grounds[rows])
        flat = (self._rand(3) - 0.5) * 1.9
        like = _mean(images, hair) + (self._rand(3) - 0.5) * 0.2
        flat = torch.where(self._rand() < ALIKE, like, flat) + self._lumps() * 0.25 * self._rand()
        plain = self._rand() < 0.5
        shift = int(torch.randint(VIEW, (1,), generator=self.random))
        ground = torch.where(plain, flat.clamp(-1, 1), other.roll(shift, -1))
        return torch.lerp(images, ground, (1 - hair) * (1 - self.face) * chosen)

    def _without(self, images: Tensor, hair: Tensor) -> tuple[Tensor, Tensor]:
        """Hats of one colour, and bald heads, where hair is above a line over the brow; and the hair left."""
        draw = self._rand()
        covered = (draw < self.recipe.hats + self.recipe.bald).float()
        above = self.places[:, 1:] < (-0.18 - 0.15 * self._rand())
        hat = ((self._rand(3) - 0.5) * 1.9 + self._lumps() * 0.15).clamp(-1, 1)
        skin = (_mean(images, self.face) + 0.12 * self._lumps()[:, :1]).clamp(-1, 1)
        colour = torch.where(draw < self.recipe.bald, skin, hat)
        gone = covered * above
        return torch.lerp(images, colour, hair * gone), hair * (1 - gone)

    def _lit(self, images: Tensor) -> Tensor:
        """The whole picture darker or lighter, of another tint or grey, and noisy."""
        bright = ((images + 1) / 2).clamp(1e-3, 1) ** (2 ** ((self._rand() - 0.5) * 1.4))
        images = (bright * (1 + (self._rand(3) - 0.5) * 0.3)).clamp(0, 1) * 2 - 1
        images = torch.lerp(images, images.mean(1, keepdim=True).expand_as(images), self._chance(GREYED))
        return images + torch.randn(images.shape, generator=self.random) * 0.05 * self._rand()

    def _rand(self, channels: int = 1) -> Tensor:
        """(B, channels, 1, 1) uniform in [0, 1)."""
        return torch.rand(self.recipe.batch, channels, 1, 1, generator=self.random)

    def _chance(self, share: float) -> Tensor:
        """(B, 1, 1, 1), 1 for such a share of the pictures, else 0."""
        return (self._rand() < share).float()

    def _lumps(self) -> Tensor:
        """(B, 3, VIEW, VIEW) smooth noise."""
        noise = torch.randn(self.recipe.batch, 3, LUMPS, LUMPS, generator=self.random)
        return F.interpolate(noise, (VIEW, VIEW), mode="bicubic")


def unit(pixels: Tensor) -> Tensor:
    """Bytes in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def _mean(images: Tensor, weight: Tensor) -> Tensor:
    """(B, 3, 1, 1) the mean colour under weights."""
    weight = weight.expand(len(images), 1, VIEW, VIEW)
    return (images * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1)

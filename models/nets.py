"""The nets of the mixed ager but for its reader."""

from __future__ import annotations

import dataclasses
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.domains.face import GENDERS, GLASSES
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.reader import AGE_CLASSES, age_centres

AGE_WIDTH = 6.0  # years: standard deviation of the bumps that an age is told as
EMBEDDED = 128  # numbers that the labels are told in
CODE = 6  # pixels: side of the code
START = 8  # pixels: side of the first layer
FIELD = 16  # pixels: side of flow and detail


class ConditionEmbedding(nn.Module):
    """Labels to a vector; an unknown label adds nothing."""

    def __init__(self, domains: int, width: int) -> None:
        super().__init__()
        self.age = nn.Linear(AGE_CLASSES, width)
        self.domain = nn.Embedding(domains, width)
        self.glasses = nn.Embedding(len(GLASSES), width)
        self.gender = nn.Embedding(len(GENDERS), width)

    def forward(self, condition: Condition) -> Tensor:
        """(B, width)"""
        known = ~condition.age.isnan()
        years = condition.age.nan_to_num(0)[:, None]
        bumps = torch.exp(-0.5 * ((years - age_centres(years.device)) / AGE_WIDTH) ** 2)  # (B, AGE_CLASSES)
        embedded: Tensor = self.age(bumps) * known[:, None]
        for table, labels in (
            (self.domain, condition.domain),
            (self.glasses, condition.glasses),
            (self.gender, condition.gender),
        ):
            embedded = embedded + table(labels.clamp(min=0)) * (labels != UNKNOWN)[:, None]
        return embedded


@dataclasses.dataclass(kw_only=True, slots=True)
class Prototype:
    """The face that is to be expected of a code and its labels, for B of them."""

    picture: Tensor  # (B, 3, S, S) in [-1, 1]
    detail: Tensor  # (B, 1, FIELD, FIELD) log of the strength of details, as `change.details`
    shape: Tensor  # (B, 2, FIELD, FIELD) the difference of two is the flow between them


class Generator(nn.Module):
    """A code and labels to a `Prototype`, under FiLM (Perez et al. 2018)."""

    def __init__(self, *, size: int, domains: int, width: int) -> None:
        super().__init__()
        levels = (size // START).bit_length() - 1  # doublings
        channels = [width * min(2**level, 6) for level in reversed(range(levels + 1))]
        self.embed = nn.Sequential(
            ConditionEmbedding(domains, EMBEDDED), nn.SiLU(), nn.Linear(EMBEDDED, EMBEDDED), nn.SiLU()
        )
        self.start = nn.Linear(3 * CODE**2, channels[0] * START**2)
        self.first = Block(channels[0], EMBEDDED)
        self.blocks = nn.ModuleList(Block(c, EMBEDDED) for c in channels[:-1])
        self.up = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(channels))
        self.field_level = (FIELD // START).bit_length() - 1
        self.to_field = nn.Conv2d(channels[self.field_level], 3, 3, padding=1)
        self.to_picture = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, code: Tensor, condition: Condition) -> Prototype:
        """(B, 3, CODE, CODE) in [-1, 1] and its labels."""
        told = self.embed(condition)
        x = self.first(self.start(code.flatten(1)).view(len(code), -1, START, START), told)
        field = None
        for level, (block, up) in enumerate(zip(self.blocks, self.up, strict=True)):
            x = block(x, told)
            if level == self.field_level:
                field = self.to_field(F.silu(x)).float()
            x = up(F.interpolate(F.silu(x), scale_factor=2, mode="bilinear", align_corners=False))
        assert field is not None
        picture = torch.tanh(self.to_picture(F.silu(x)).float())
        return Prototype(picture=picture, detail=field[:, :1], shape=0.1 * field[:, 1:])


class Block(nn.Module):
    """Residual block with FiLM after the second normalisation."""

    def __init__(self, channels: int, embedded: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(embedded, channels * 2)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """(B, C, H, W) to the same; `told` is (B, E)."""
        scale, shift = self.film(told)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        return x + self.conv2(F.silu(hidden))  # type: ignore[no-any-return]

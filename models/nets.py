"""The parts that the mixed ager's nets are made of."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.domains.face import GENDERS, GLASSES
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.reader import AGE_CLASSES, age_centres

AGE_WIDTH = 6.0  # years: standard deviation of the bumps that an age is told as


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


class Block(nn.Module):
    """Residual block; with a condition, FiLM (Perez et al. 2018) after the second normalisation."""

    def __init__(self, channels: int, embedded: int | None = None) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(embedded, channels * 2) if embedded else None

    def forward(self, x: Tensor, embedded: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to the same; `embedded` is (B, E)."""
        hidden = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.film is not None and embedded is not None:
            scale, shift = self.film(embedded)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        return x + self.conv2(F.silu(hidden))  # type: ignore[no-any-return]


class Discriminator(nn.Module):
    """Real or made, for a face of these labels: residual, without normalisation, projecting the labels."""

    def __init__(self, domains: int, width: int) -> None:
        super().__init__()
        channels = [width, width * 2, width * 3, width * 4]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 5, stride=2, padding=2)]
        for inside, outside in itertools.pairwise(channels):
            layers += [_Plain(inside), nn.LeakyReLU(0.2), nn.Conv2d(inside, outside, 3, stride=2, padding=1)]
        self.body = nn.Sequential(*layers, _Plain(channels[-1]), nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(4))
        self.feature = nn.Linear(channels[-1] * 16, 128)
        self.score = nn.Linear(128, 1)
        self.embed = ConditionEmbedding(domains, 128)

    def forward(self, images: Tensor, condition: Condition) -> Tensor:
        """Logits (B,), positive for real, of (B, 3, H, W) in [-1, 1]."""
        feature = F.leaky_relu(self.feature(self.body(images).flatten(1)), 0.2)
        projection = (feature * self.embed(condition)).sum(1) / feature.shape[1] ** 0.5
        return self.score(feature)[:, 0] + projection  # type: ignore[no-any-return]


class _Plain(nn.Module):
    """Residual block without normalisation, as R1 wants it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2))) / 2**0.5  # type: ignore[no-any-return]

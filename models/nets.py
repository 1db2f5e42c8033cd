"""The parts of the mixed ager's nets: the embedding of labels, FiLM blocks, the U-Net."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.domains.face import GENDERS, GLASSES
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.reader import AGE_CLASSES, age_centres

AGE_WIDTH = 6.0  # years: standard deviation of the Gaussian bumps that encode an age
EMBEDDED = 128  # dimensions of the embedded labels
PATCH = 2  # pixels: side of the patches that the U-Net works on, which cuts its cost to a fourth
GROUP = 8  # channels in each group of a group norm


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
    """Residual block with FiLM (Perez et al. 2018) after the second normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2, self.conv2 = norm(channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(EMBEDDED, channels * 2)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """(B, C, H, W) to the same; `told` is (B, EMBEDDED)."""
        scale, shift = self.film(told)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        return x + self.conv2(F.silu(hidden))  # type: ignore[no-any-return]


class Stage(nn.Module):
    """Blocks in sequence, all with the same embedded labels."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels) for _ in range(count))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """(B, C, H, W) to the same; `told` is (B, EMBEDDED)."""
        for block in self.blocks:
            x = block(x, told)
        return x


class UNet(nn.Module):
    """Three resolutions with skips between them (Ronneberger et al. 2015), conditioned at every block.

    It works on patches of `PATCH` x `PATCH` pixels, so that a 64 px face is 32, 16 and 8 places wide.
    """

    def __init__(self, inside: int, outside: int, *, width: int, skips: bool = True) -> None:
        super().__init__()
        self.skips = skips  # without them it is an encoder and a decoder of the same size
        self.channels = [width, width * 3 // 2, width * 2]  # from fine to coarse
        depths = [1, 2, 2]  # blocks
        self.stem = nn.Conv2d(inside * PATCH**2, width, 3, padding=1)
        self.encode = nn.ModuleList(Stage(c, n) for c, n in zip(self.channels, depths, strict=True))
        self.down = nn.ModuleList(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
            for fine, coarse in itertools.pairwise(self.channels)
        )
        self.middle = Attention(self.channels[-1])
        upwards = list(reversed(self.channels))
        self.up = nn.ModuleList(
            nn.Conv2d(coarse + fine, fine, 3, padding=1) for coarse, fine in itertools.pairwise(upwards)
        )
        self.decode = nn.ModuleList(Stage(c, n) for c, n in zip(upwards, reversed(depths), strict=True))
        self.head = nn.Sequential(
            norm(width), nn.SiLU(), zero(nn.Conv2d(width, outside * PATCH**2, 3, padding=1))
        )

    def forward(self, images: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inside, S, S) to (B, outside, S, S) and the middle level's features, (B, C, S / 4, S / 4)."""
        x = self.stem(F.pixel_unshuffle(images, PATCH))
        skips: list[Tensor] = []
        for level, stage in enumerate(self.encode):
            if level:
                x = self.down[level - 1](x)
            x = stage(x, told)
            skips.append(x)
        x = self.middle(skips.pop())
        known = x
        for level, stage in enumerate(self.decode):
            if level:
                doubled = F.interpolate(x, scale_factor=2, mode="nearest")
                skip = skips.pop() if self.skips else torch.zeros_like(skips.pop())
                x = self.up[level - 1](torch.cat([doubled, skip], dim=1))
            x = stage(x, told)
            if level == 1:
                known = x
        return F.pixel_shuffle(self.head(x), PATCH), known


class Attention(nn.Module):
    """Self-attention over a small map, so that both halves of a face agree."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.ask = nn.Conv2d(channels, channels * 3, 1)
        self.answer = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        # (B, 1, H * W, 3 * C): one head, which the ONNX exporter wants to see
        asked = self.ask(self.norm(x)).flatten(2).transpose(1, 2)[:, None]
        query, key, value = asked.chunk(3, dim=3)
        seen = F.scaled_dot_product_attention(query, key, value).transpose(2, 3)
        return x + self.answer(seen.reshape(x.shape))  # type: ignore[no-any-return]


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(channels // GROUP, 1), channels)


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with all weights zero, so that training begins at no change."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer

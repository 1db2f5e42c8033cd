"""The one small convolutional network of the evaluation, and its training in seconds, not hours.

Judges and the twins' embedder are this trunk with different heads. It is deliberately a plain residual
network: its errors are measured on real faces and stand in the report.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nenrin.domains.array import Rows
from nenrin.ground import computes_bf16, track

SIZE = 64  # px
WIDTHS = (32, 48, 96, 192)
FEATURES = WIDTHS[-1]
BATCH, RATE = 64, 3e-3  # faces of a step; the largest learning rate


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; halves the side when `stride` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
            nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        return F.relu(self.body(x) + self.shortcut(x))


class Trunk(nn.Sequential):
    """(N, 3, 64, 64) in [-1, 1] -> (N, 192) features."""

    def __init__(self) -> None:
        stem = nn.Conv2d(3, WIDTHS[0], 3, 2, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        blocks = [Block(a, b, 2) for a, b in itertools.pairwise(WIDTHS)]
        super().__init__(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


N = TypeVar("N", bound=nn.Module)


def frozen(net: N) -> N:
    """The net for inference: evaluation mode, no gradients, and the layout that is fastest on a CPU."""
    net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


# Parts of the aligned square, (left, top, side) in its units. Judges look at CENTRE, brows to chin: tight
# sources such as UTKFace have no pixels further out, and a judge trained on them would rely on the padding
# there, which other sources do not have. FACE adds forehead, temples and jaw.
CENTRE = (0.18, 0.28, 0.64)
FACE = (0.12, 0.16, 0.76)


def crop(images: Tensor, box: tuple[float, float, float], size: int = SIZE) -> Tensor:
    """A square part of aligned faces, (N, 3, H, H) -> (N, 3, size, size), antialiased."""
    left, top, side = (round(v * images.shape[-1]) for v in box)
    part = images[:, :, top : top + side, left : left + side]
    return F.interpolate(part, size=(size, size), mode="bilinear", antialias=True)


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.asarray(pixels, dtype=np.float32)).permute(0, 3, 1, 2) / 127.5 - 1


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) in [-1, 1] -> (N, H, W, 3) uint8 RGB."""
    scaled = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().numpy()


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random augmentation for judges: mirroring, a small shift, rotation and zoom, light, and blur.

    Blur is included because agers blur: a judge that never saw a soft picture would take softness for age.
    """
    n = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    angle, zoom = uniform(-0.1, 0.1), uniform(0.88, 1.14)
    mirror = (torch.rand(n, generator=generator) < 0.5).float() * 2 - 1
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    theta = torch.stack(
        [
            torch.stack([cos * mirror, -sin, uniform(-0.06, 0.06)], 1),
            torch.stack([sin * mirror, cos, uniform(-0.06, 0.06)], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    out = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    soft = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
    out = torch.lerp(out, soft, (uniform(-1, 1).clamp_min(0)).view(n, 1, 1, 1))
    gain, offset = uniform(0.75, 1.25).view(n, 1, 1, 1), uniform(-0.2, 0.2).view(n, 1, 1, 1)
    return (out * gain + offset).clamp(-1, 1)


def fit(
    net: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    images: NDArray[np.uint8],
    *,
    epochs: int,
    least: int = 1,
    weights: NDArray[np.float64],
    label: str,
    seed: int,
) -> None:
    """Train `net` in place: AdamW, one-cycle rate, bf16 where the CPU has it, rows drawn with `weights` (N,).

    `images` is (N, 64, 64, 3) uint8; `loss(output, rows)` gets the rows of the batch. At least `least` steps
    are taken, as small sets need more passes.
    """
    steps = max(least, math.ceil(len(images) * epochs / BATCH))
    generator = torch.Generator().manual_seed(seed)
    net.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
    draws, bf16 = torch.from_numpy(weights / weights.sum()), computes_bf16("cpu")
    for _ in track(range(steps), label):
        rows = torch.multinomial(draws, BATCH, replacement=True, generator=generator)
        x = jitter(to_tensor(images[rows.numpy()]), generator).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            output = net(x)
        value = loss(output.float(), rows)
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    net.eval()


def crops(pixels: NDArray[np.uint8] | Rows, box: tuple[float, float, float]) -> NDArray[np.uint8]:
    """`crop` of many aligned faces, a few in memory at a time: (N, H, H, 3) -> (N, 64, 64, 3)."""
    parts = [to_pixels(crop(to_tensor(pixels[rows]), box)) for rows in chunks(len(pixels))]
    return np.concatenate(parts)


def chunks(count: int, size: int = 128) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover `range(count)`."""
    return (slice(i, min(i + size, count)) for i in range(0, count, size))

"""A small net that learns from a set what its faces look like: their labels, and faults put into them.

What it says about a face is learned from others alone (cross-fitting), so that a wrong label cannot have
been learned by heart. Confident learning (Northcutt, Jiang and Chuang 2021) calls this out-of-sample.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nenrin.domains.array import FaceArray
from nenrin.domains.checks.faults import FAULTS, spoil
from nenrin.domains.face import GENDERS, GLASSES
from nenrin.ground import track

SIZE = 64  # px of the faces
# What the net sees of them, brows to chin and cheek to cheek: rows and columns.
_WINDOW = (slice(11, 59), slice(8, 56))
WIDTHS = (16, 32, 64, 128)
AGES = np.arange(0, 104, 4, dtype=np.float32)  # years, the centres of the age head's bins
_SPOILT = 0.4  # share of a batch that has a fault put into it
_BATCH = 128
_RATE = 6e-3


@dataclasses.dataclass(kw_only=True, slots=True)
class Opinion:
    """What the net says of N faces that it did not learn from: probabilities, each row summing to 1."""

    fault: NDArray[np.float32]  # (N, 1 + len(FAULTS)); the first is "none"
    age: NDArray[np.float32]  # (N, len(AGES))
    gender: NDArray[np.float32]  # (N, len(GENDERS))
    glasses: NDArray[np.float32]  # (N, len(GLASSES))
    domain: NDArray[np.float32]  # (N, number of domains)


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; halves the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / 2, W / 2)."""
        return F.relu(self.body(x) + self.shortcut(x))


class Examiner(nn.Module):
    """(N, 3, 64, 64) in [-1, 1] -> the logits of each head, (N, classes)."""

    def __init__(self, domains: int) -> None:
        super().__init__()
        stem = nn.Conv2d(3, WIDTHS[0], 3, 2, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        self.trunk = nn.Sequential(*stem, *(_Block(a, b) for a, b in itertools.pairwise(WIDTHS)))
        classes = {
            "fault": 1 + len(FAULTS),
            "age": len(AGES),
            "gender": len(GENDERS),
            "glasses": len(GLASSES),
            "domain": domains,
        }
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * WIDTHS[-1], n))
                for name, n in classes.items()
            }
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.trunk(x[:, :, *_WINDOW].contiguous(memory_format=torch.channels_last))
        # The mean says what a face is like, the maximum whether anything in it is odd.
        features = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)
        return {name: head(features) for name, head in self.heads.items()}


def load(faces: FaceArray, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Faces (B, 3, H, W) in [-1, 1], 0 outside of their pictures, and masks (B, 1, H, W)."""
    masks = torch.from_numpy(faces.masks[rows])[:, None].float() / 255
    # The outermost pixels are mixed with the grey outside, by which an outline put in would be told.
    masks = -F.max_pool2d(-masks, 3, 1, 1)
    masks[:, :, [0, -1]] = masks[:, :, :, [0, -1]] = 0
    images = torch.from_numpy(faces.pixels[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images * masks, masks


def _jitter(images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirrored, shifted, turned, zoomed, lighter or darker: none of it is a fault."""
    n = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    angle, zoom = uniform(-0.08, 0.08), uniform(0.92, 1.08)
    mirror = (torch.rand(n, generator=generator) < 0.5).float() * 2 - 1
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    rows = [
        torch.stack([cos * mirror, -sin, uniform(-0.05, 0.05)], 1),
        torch.stack([sin * mirror, cos, uniform(-0.05, 0.05)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    both = F.grid_sample(torch.cat([images, masks], 1), grid, padding_mode="zeros", align_corners=False)
    masks = (both[:, 3:] > 0.99).float()
    gain, offset = uniform(0.8, 1.2).view(n, 1, 1, 1), uniform(-0.15, 0.15).view(n, 1, 1, 1)
    return (both[:, :3] * gain + offset).clamp(-1, 1) * masks, masks


def _loss(logits: dict[str, Tensor], fault: Tensor, faces: FaceArray, rows: NDArray[np.int64]) -> Tensor:
    """Cross-entropies of all heads; those of labels over the faces that are whole and have the label."""
    whole = fault == 0
    total = F.cross_entropy(logits["fault"], fault)
    for name in ("gender", "glasses", "domain"):
        label = torch.where(whole, torch.from_numpy(getattr(faces, name)[rows]), -1)
        if (label >= 0).any() and logits[name].shape[1] > 1:
            share = (label >= 0).float().mean()
            total = total + share * F.cross_entropy(logits[name], label, ignore_index=-1)
    age = torch.from_numpy(faces.age[rows])
    known = whole & ~age.isnan()
    if known.any():
        # Nobody looks their age to the year: a label is soft by three years either way.
        soft = torch.softmax(-((age[known, None] - torch.from_numpy(AGES)) ** 2) / (2 * 4.0**2), 1)
        total = total + known.float().mean() * F.cross_entropy(logits["age"][known], soft)
    return total


def train(faces: FaceArray, rows: NDArray[np.int64], *, seed: int, epochs: int, label: str) -> Examiner:
    """Learn from these rows; `label` stands before the progress bar."""
    torch.manual_seed(seed)
    net = Examiner(len(faces.domains)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    # Small sets need more passes.
    count = max(20 * epochs, math.ceil(len(rows) * epochs / _BATCH))
    optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=count, pct_start=0.15)
    for _ in track(range(count), label):
        chosen = rng.choice(rows, _BATCH)
        images, masks = _jitter(*load(faces, chosen), generator)
        fault = torch.zeros(_BATCH, dtype=torch.long)
        spoilt = round(_SPOILT * _BATCH)
        fault[:spoilt] = torch.randint(1, 1 + len(FAULTS), (spoilt,), generator=generator)
        images = spoil(images, masks, fault - 1, generator)
        loss = _loss(net(images), fault, faces, chosen)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def examine(net: Examiner, faces: FaceArray, rows: NDArray[np.int64]) -> Opinion:
    """What the net says of these rows, the face and its mirror image taken together."""
    parts: list[dict[str, NDArray[np.float32]]] = []
    for start in range(0, len(rows), 256):
        images, _ = load(faces, rows[start : start + 256])
        one, two = net(images), net(images.flip(3))
        parts.append({name: ((one[name] + two[name]) / 2).softmax(1).numpy() for name in one})
    return Opinion(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

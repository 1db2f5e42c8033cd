"""The net of the first look: finds faces of all sizes in a whole picture, without anchors.

It has a depthwise separable backbone (Howard et al. 2017), a feature pyramid of three levels (Lin et al.
2017), and for each level a head that predicts at each cell whether a face's centre is there, its box and its
points (as FCOS, Tian et al. 2019).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nenrin.domains.align import TEMPLATE
from nenrin.domains.finder.boxes import BOX
from nenrin.domains.finder.look import DOMAINS
from nenrin.ground import atomic_path

STRIDES = (8, 16, 32)  # pixels between the cells of each level
# Where a mean face has its points: x, y in sides of its box from the box's middle.
MEAN = torch.from_numpy(((TEMPLATE - (BOX[:2] + BOX[2:]) / 2) / (BOX[2:] - BOX[:2])).ravel())
_WIDTH = 64  # channels of the pyramid and of the head


class Separable(nn.Module):
    """A depthwise convolution, then a pointwise one, with a shortcut if the shape is unchanged."""

    def __init__(self, inside: int, outside: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.depth = nn.Conv2d(inside, inside, kernel, stride, kernel // 2, groups=inside, bias=False)
        self.norm1 = nn.BatchNorm2d(inside)
        self.point = nn.Conv2d(inside, outside, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        self.shortcut = inside == outside and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, D, H / stride, W / stride)."""
        y = self.norm2(self.point(F.relu(self.norm1(self.depth(x)), inplace=True)))
        return F.relu(x + y if self.shortcut else y, inplace=True)


class FinderNet(nn.Module):
    """(B, 3, H, W) RGB in [0, 255], sides multiples of 32, to an output for each cell of each level.

    The output is (B, N, 18): a logit, then in pixels of the picture the box (left, top, right, bottom) and
    the five points (x, y), then the logits of `DOMAINS`. N runs through the levels of `STRIDES`, row by row
    (`cells` gives their positions).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 7, 4, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)
        )
        self.stages = nn.ModuleList(
            [
                nn.Sequential(Separable(32, 64, stride=2), *(Separable(64, 64) for _ in range(3))),
                nn.Sequential(
                    Separable(64, 128, stride=2), *(Separable(128, 128, kernel=5) for _ in range(4))
                ),
                nn.Sequential(
                    Separable(128, 192, stride=2), *(Separable(192, 192, kernel=5) for _ in range(3))
                ),
            ]
        )
        self.lateral = nn.ModuleList(nn.Conv2d(channels, _WIDTH, 1) for channels in (64, 128, 192))
        self.smooth = nn.ModuleList(Separable(_WIDTH, _WIDTH) for _ in STRIDES)
        # Each level has its own head, as a shared one would mix the levels' normalisation statistics.
        self.heads = nn.ModuleList(
            nn.Sequential(Separable(_WIDTH, _WIDTH), Separable(_WIDTH, _WIDTH, kernel=5)) for _ in STRIDES
        )
        self.answer = nn.Conv2d(_WIDTH, 15 + len(DOMAINS), 1)
        nn.init.normal_(self.answer.weight, std=0.01)
        assert self.answer.bias is not None
        nn.init.zeros_(self.answer.bias)
        nn.init.constant_(self.answer.bias[:1], -4.6)  # faces are rare: a hundredth of the cells

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.stem((x - 127.5) / 64)
        features = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            features.append(lateral(x))
        for level in (1, 0):
            features[level] = features[level] + F.interpolate(features[level + 1], scale_factor=2.0)
        return torch.cat(
            [
                self._level(self.answer(head(smooth(feature))), stride)
                for smooth, head, feature, stride in zip(
                    self.smooth, self.heads, features, STRIDES, strict=True
                )
            ],
            dim=1,
        )

    @staticmethod
    def _level(raw: Tensor, stride: int) -> Tensor:
        """The head's output (B, 18, h, w) to (B, h w, 18) in pixels."""
        height, width = raw.shape[2:]
        raw = raw.permute(0, 2, 3, 1).reshape(raw.shape[0], -1, raw.shape[1]).float()
        cell = grid(height, width, stride).to(raw.device)
        reach = raw[..., 1:5].clamp(max=6).exp() * (1.8 * stride)
        box = torch.cat([cell - reach[..., :2], cell + reach[..., 2:]], dim=-1)
        # Points are predicted relative to those of a mean face in that box.
        middle, side = (box[..., :2] + box[..., 2:]) / 2, reach.sum(-1, keepdim=True) / 2
        points = middle.repeat(1, 1, 5) + side * (MEAN.to(raw.device) + raw[..., 5:15] / 4)
        return torch.cat([raw[..., :1], box, points, raw[..., 15:]], dim=-1)


class Shipped(nn.Module):
    """The net as it is exported: from (B, H, W, 3) uint8 pixels."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: Tensor) -> Tensor:
        """See `FinderNet`."""
        answer: Tensor = self.net(pixels.permute(0, 3, 1, 2).float())
        return answer


def export(net: nn.Module, path: Path, *, size: tuple[int, int] = (64, 96)) -> None:
    """Write the net as ONNX, for any number of pictures; it is tried on one of that size."""
    with atomic_path(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of what it traces, and of itself
        torch.onnx.export(
            Shipped(net).eval(),
            (torch.zeros(1, *size, 3, dtype=torch.uint8),),
            str(part),
            input_names=["pixels"],
            output_names=["answer"],
            dynamic_axes={"pixels": {0: "pictures", 1: "height", 2: "width"}},
            opset_version=17,
            dynamo=False,
        )


def grid(height: int, width: int, stride: int) -> Tensor:
    """The cells' middles (height width, 2) in pixels, row by row."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (torch.stack([x, y], -1).reshape(-1, 2).float() + 0.5) * stride


def cells(height: int, width: int) -> tuple[Tensor, Tensor]:
    """All cells of a picture of that size: their middles (N, 2) and their strides (N,), in pixels."""
    levels = [(grid(height // s, width // s, s), s) for s in STRIDES]
    return (
        torch.cat([middle for middle, _ in levels]),
        torch.cat([torch.full((len(middle),), float(s)) for middle, s in levels]),
    )

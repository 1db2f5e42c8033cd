"""The net that finds hair, in the square that agers see and in a wider view: that square ends above the brow.

It ships with its weights. `benchmarks/train_hair.py` taught it from photographs and drawings in which GrabCut
had cut hair out (`benchmarks/hair_labels.py`).
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.models import toning
from nenrin.models.change import scaled
from nenrin.models.checkpoint import load_nets

SQUARE = 40  # pixels of the aligned square, as the net sees it
VIEW = 96  # pixels of the wider view, at the same scale
LEFT, TOP = 0.7, 0.5  # of the square's side: how far the view reaches beyond it
_WEIGHTS = Path(__file__).parent / "weights" / "hair"
_WIDTHS = (16, 32, 48)
_FINE = 8  # channels at full resolution
_SEEN = 6  # channels of the input: colours, where the picture has pixels, x and y
_PERHAPS, _SURELY = 0.4, 0.8  # probability of hair: counts as none, and as all
_FACE = 0.17, 0.2  # of the square's side: half axes of the part of a face that shows its skin
# The face of a drawing, as the middle and half the width of a circle: the net takes large eyes for hair.
_DRAWN, _DRAWN_RADIUS, _DRAWN_EDGE = (0.0, 0.05), 0.43, 0.15
_SKIN, _NO_SKIN = 0.4, 0.7  # steps from the skin's colour: up to here nothing is hair, from here all may be


class HairNet(nn.Module):
    """A U-Net from pictures (B, 3, H, W) in [-1, 1] to the logit of hair (B, 1, H, W).

    It is told where pictures have pixels, (B, 1, H, W), they being 0 elsewhere, and the pixels' `places`.
    """

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = _WIDTHS
        self.down = nn.ModuleList(
            [
                _block(_SEEN, fine, stride=2),
                nn.Sequential(_block(fine, middle, stride=2), _block(middle, middle)),
                nn.Sequential(
                    _block(middle, coarse, stride=2), _block(coarse, coarse), _block(coarse, coarse)
                ),
            ]
        )
        self.up = nn.ModuleList(
            [_block(coarse + middle, middle), _block(middle + fine, fine), _block(fine + _SEEN, _FINE)]
        )
        self.out = nn.Conv2d(_FINE, 1, 1)

    def forward(self, images: Tensor, inside: Tensor, places: Tensor) -> Tensor:
        levels = [torch.cat([images, inside, places.expand(len(images), -1, -1, -1)], dim=1)]
        for down in self.down:
            levels.append(down(levels[-1]))
        features = levels.pop()
        for up in self.up:
            finer = levels.pop()
            features = up(torch.cat([F.interpolate(features, finer.shape[-2:]), finer], dim=1))
        logits: Tensor = self.out(features)
        return logits

    def square(self, images: Tensor, inside: Tensor, *, drawn: bool = False) -> Tensor:
        """Hair's share (B, 1, S, S) of aligned faces (B, 3, S, S) in [-1, 1].

        `inside` (B, 1, S, S) is 1 where the picture has pixels. In the middle of `drawn` faces there is none.
        """
        small, seen = (scaled(each, (SQUARE, SQUARE)) for each in (images, inside))
        share = self._share(small * seen, seen, places(SQUARE, images.device), drawn)
        return F.interpolate(share, images.shape[-2:], mode="bilinear", align_corners=False) * inside

    def view(self, images: Tensor, inside: Tensor, *, drawn: bool = False) -> Tensor:
        """The same for views (B, 3, VIEW, VIEW)."""
        return self._share(images * inside, inside, places(VIEW, images.device), drawn) * inside

    def _share(self, images: Tensor, inside: Tensor, places: Tensor, drawn: bool) -> Tensor:
        """Hair's share of each pixel: what is unlikely counts as none, and so does a bald head."""
        probability = self(images, inside, places).sigmoid()
        axes = places.new_tensor(_FACE)[None, :, None, None]
        middle = ((places / axes).square().sum(1, keepdim=True) < 1) * inside
        unlike = (toning.unlike(images, middle) - _SKIN) / (_NO_SKIN - _SKIN)
        share: Tensor = ((probability - _PERHAPS) / (_SURELY - _PERHAPS)).clamp(0, 1) * unlike.clamp(0, 1)
        return share * _beside_face(places) if drawn else share


def places(side: int, device: torch.device) -> Tensor:
    """(1, 2, side, side) x and y of the pixels of a square or a view from the middle of the face, in sides of
    the square."""
    start = torch.tensor([0.5, 0.5] if side == SQUARE else [LEFT + 0.5, TOP + 0.5], device=device)
    at = (torch.arange(side, device=device) + 0.5) / SQUARE
    x, y = at[None, :].expand(side, side) - start[0], at[:, None].expand(side, side) - start[1]
    return torch.stack([x, y])[None]


def _beside_face(places: Tensor) -> Tensor:
    """(1, 1, side, side) 0 in the face of a drawing, 1 around it."""
    middle = places.new_tensor(_DRAWN)[None, :, None, None]
    distance = (places - middle).square().sum(1, keepdim=True).sqrt() / _DRAWN_RADIUS
    return 1 - ((1 - distance) / _DRAWN_EDGE).clamp(0, 1)


@functools.lru_cache(1)
def shipped() -> HairNet:
    """The net with the shipped weights. They are no part of a checkpoint, and nothing trains them further."""
    net = HairNet()
    load_nets(_WEIGHTS, nn.ModuleDict({"hair": net}))
    for module in net.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, weight.detach(), persistent=False)
    return net.eval()


def _block(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1), nn.GroupNorm(4, out), nn.SiLU())

"""What the mixed ager answers with: a change of the face instead of a face."""

from __future__ import annotations

import dataclasses
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.models.condition import Condition
from nenrin.models.nets import Block, ConditionEmbedding

EMBEDDED = 128  # numbers that the labels are told in
CODE = 8  # pixels: side of the code


@dataclasses.dataclass(kw_only=True, slots=True)
class Change:
    """A shift of the parts of B faces and a change of their colours.

    What age does not touch stays as it was, at any resolution.
    """

    flow: Tensor  # (B, 2, h, w) where to fetch each pixel from, x then y, in the grid's units (2 = the width)
    shade: Tensor  # (B, 3, H, W) what is added after the shift

    def apply(self, images: Tensor) -> Tensor:
        """Change (B, 3, H', W') faces in [-1, 1]; at another resolution the change is scaled smoothly."""
        size = images.shape[-2:]
        identity = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
        grid = F.affine_grid(identity, [len(images), 1, *size], align_corners=False)
        flow = _scale(self.flow, size).permute(0, 2, 3, 1)
        warped = F.grid_sample(images.float(), grid + flow, padding_mode="border", align_corners=False)
        return warped + _scale(self.shade, size)

    def roughness(self) -> Tensor:
        """Mean squared second difference of the flow: bending costs, shifting and scaling do not."""
        flow = self.flow.float()
        return flow.diff(n=2, dim=2).square().mean() + flow.diff(n=2, dim=3).square().mean()


class ChangeGenerator(nn.Module):
    """Encoder to an 8 x 8 code with skips, and a generator of a `Change` told the labels before and after."""

    def __init__(self, *, size: int, domains: int, width: int, flow: float) -> None:
        super().__init__()
        self.flow_limit = flow * 2
        levels = (size // CODE).bit_length() - 1  # halvings down to the code
        channels = [width * min(2**level, 4) for level in range(levels)]
        self.before, self.after = ConditionEmbedding(domains, EMBEDDED), ConditionEmbedding(domains, EMBEDDED)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(EMBEDDED * 2, EMBEDDED), nn.SiLU())
        self.stem = nn.Conv2d(3, channels[0], 5, stride=2, padding=2)
        self.down = nn.ModuleList()
        for inside, outside in itertools.pairwise(channels):
            self.down.append(nn.Conv2d(inside, outside, 3, stride=2, padding=1))
        code = channels[-1]
        self.encode = nn.Sequential(Block(code), Block(code))
        self.decode = nn.ModuleList(Block(code, EMBEDDED) for _ in range(3))
        self.up, self.refine = nn.ModuleList(), nn.ModuleList()
        inside = code
        for skip in reversed(channels[:-1]):
            self.up.append(nn.Conv2d(inside + skip, skip, 3, padding=1))
            self.refine.append(Block(skip, EMBEDDED))
            inside = skip
        self.flow_level = min(1, levels - 1)  # read where the face is 16 x 16: growth is smooth
        self.to_flow = _zero(nn.Conv2d([code, *reversed(channels[:-1])][self.flow_level], 2, 3, padding=1))
        self.last = nn.Conv2d(inside + 3, width // 2, 3, padding=1)
        self.to_shade = _zero(nn.Conv2d(width // 2, 3, 3, padding=1))

    def forward(self, images: Tensor, source: Condition, target: Condition) -> Change:
        """The change of (B, 3, S, S) faces in [-1, 1] from what they are to what they are asked to be."""
        told = self.mix(torch.cat([self.before(source), self.after(target)], dim=1))  # (B, EMBEDDED)
        x = self.stem(images)
        skips = [x]
        for down in self.down:
            x = down(F.silu(x))
            skips.append(x)
        x = self.encode(skips.pop())  # (B, C, 8, 8): the code
        for block in self.decode:
            x = block(x, told)
        flow = self.to_flow(x) if self.flow_level == 0 else None
        for level, (up, refine) in enumerate(zip(self.up, self.refine, strict=True), 1):
            x = up(torch.cat([_double(x), skips.pop()], dim=1))
            x = refine(x, told)
            if level == self.flow_level:
                flow = self.to_flow(x)
        assert flow is not None
        # Enlarged smoothly: a pixel shuffle here paints the chequered patterns that deceive a reader.
        x = F.silu(self.last(torch.cat([_double(F.silu(x)), images], dim=1)))
        return Change(flow=torch.tanh(flow.float()) * self.flow_limit, shade=self.to_shade(x).float())


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _scale(field: Tensor, size: torch.Size) -> Tensor:
    """Resize (B, C, h, w) smoothly."""
    field = field.float()
    if field.shape[-2:] == size:
        return field
    return F.interpolate(field, size, mode="bicubic", align_corners=False)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that answers nothing at first: the ager begins by leaving faces alone."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

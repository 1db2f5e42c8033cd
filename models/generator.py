"""The net that outputs a change, given a face's current and requested labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nenrin.models.change import Change
from nenrin.models.condition import LABELS, Condition
from nenrin.models.nets import EMBEDDED, ConditionEmbedding, UNet, zero

FLOW_SCALE = 0.2  # scales the net's output (around 1) to the grid's units: growth moves little


class ChangeGenerator(nn.Module):
    """Maps a face, its current labels and the requested labels to a `Change`.

    It sees only the labels named in `told`. `width` is the number of channels at half resolution; `skips`
    adds skip connections between the resolutions.
    """

    def __init__(
        self, domains: int, *, width: int, skips: bool = True, told: tuple[str, ...] = LABELS
    ) -> None:
        super().__init__()
        self.told = told
        self.before, self.after = ConditionEmbedding(domains, EMBEDDED), ConditionEmbedding(domains, EMBEDDED)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(EMBEDDED * 2, EMBEDDED), nn.SiLU())
        self.net = UNet(3, 3, width=width, skips=skips)
        self.field = zero(nn.Conv2d(self.net.channels[1], 3, 3, padding=1))

    def forward(self, images: Tensor, source: Condition, target: Condition) -> Change:
        """The change of (B, 3, S, S) faces in [-1, 1]."""
        source, target = source.only(self.told), target.only(self.told)
        told = self.mix(torch.cat([self.before(source), self.after(target)], dim=1))
        shade, known = self.net(images, told)
        flow, detail = self.field(known).float().split([2, 1], dim=1)
        return Change(flow=flow * FLOW_SCALE, shade=shade.float(), detail=detail)

"""What the mixed ager is trained with: how far a changed face is from its partner."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# L1 above, squares below: the median of changes that nobody can foresee is no change, their mean is one.
_BEND = 0.2
_DIFFERENT = 0.03  # of the range of 2 from black to white: what differs by more, and what lies about it ...
_ABOUT = 5  # pixels
_WEIGHT = 4.0  # ... counts so often
_EDGES = 0.17  # weight of the edges: squares and medians alone leave rims and wrinkles soft


def loss(result: Tensor, before: Tensor, after: Tensor, seen: Tensor) -> Tensor:
    """How far results are from what they shall be, above all where it differs from what was before.

    All (B, 3, S, S); `seen` (B, 1, S, S) is a weight.
    """
    differs = ((after - before).abs().amax(1, keepdim=True) > _DIFFERENT).float()
    seen = seen * (1 + (_WEIGHT - 1) * F.max_pool2d(differs, _ABOUT, 1, _ABOUT // 2))
    off = F.smooth_l1_loss(result, after, reduction="none", beta=_BEND)
    edges = [(result.diff(dim=d) - after.diff(dim=d)).abs() for d in (2, 3)]
    down, across = (
        torch.minimum(seen[:, :, 1:], seen[:, :, :-1]),
        torch.minimum(seen[..., 1:], seen[..., :-1]),
    )
    return _mean(off, seen) + _EDGES * (_mean(edges[0], down) + _mean(edges[1], across))


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """A weighted sum for each place that has any weight: with weight 1 everywhere it is the mean."""
    return (values * weight).sum() / ((weight > 0).sum() * values.shape[1]).clamp(min=1)

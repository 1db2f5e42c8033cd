"""The mixed ager's regression loss: the distance of a changed face from its partner."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# L1 above, squares below. Small errors are squared because the median of unpredictable changes would be no
# change, while their mean is one.
_BEND = 0.2
_DIFFERENT = 0.03  # of the range of 2 from black to white: places that differ by more, and those ...
_ABOUT = 5  # ... in a window of so many pixels about them, ...
_WEIGHT = 4.0  # ... have this weight
_EDGES = 0.17  # weight of the edges: without them rims and wrinkles stay soft


def loss(result: Tensor, before: Tensor, after: Tensor, seen: Tensor) -> Tensor:
    """Distance of `result` from `after`, weighted more where `after` differs from `before`.

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
    """The weighted sum divided by the number of places with any weight: the mean, if all weights are 1."""
    return (values * weight).sum() / ((weight > 0).sum() * values.shape[1]).clamp(min=1)

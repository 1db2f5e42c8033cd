"""Removes from mean faces what varies with age but is not ageing: expressions and the look of glasses.

Babies hardly laugh for a camera and people of thirty do, so the difference of their mean faces would paint
teeth. More old people wear glasses. Traces of glasses that were taken off, or bags and shadows that look
like glasses, would add rims around the eyes of everyone who ages.

So all mean faces are adjusted to the same look by analysis of covariance (Fisher 1932): the effect of a
trait is estimated within groups of one age and subtracted from the differences between groups. (This
assumes that age itself does not change how light a mouth is. Where it does, as in babies, some ageing is
lost.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from nenrin.models.change import scaled
from nenrin.models.toning import luma

EXPRESSION = 3  # traits that describe the mouth's expression
_SIDE = 64
_MOUTH = slice(42, 49), slice(27, 37)  # of 64 pixels of the mean face, rows and columns: between the lips
_LOWER = slice(30, 56), slice(20, 44)  # the lower face, with which the mouth is compared
_MOST = 3.0  # traits are clamped to this, so that an open mouth does not dominate
_HELD = 10.0  # ridge penalty on the slopes, in faces


def expression(images: Tensor) -> Tensor:
    """Traits (B, EXPRESSION) of the mouths of (B, 3, S, S) registered faces, in standard deviations of the
    lower face: mean brightness, mean over the rows of each row's maximum, and variation."""
    light = luma(scaled(images, (_SIDE, _SIDE)))
    lower, mouth = (light[:, 0, rows, columns] for rows, columns in (_LOWER, _MOUTH))
    mean, spread = lower.mean((1, 2)), lower.std((1, 2)).clamp(min=0.05)
    teeth = mouth.amax(2).mean(1)
    traits = [(mouth.mean((1, 2)) - mean) / spread, (teeth - mean) / spread, mouth.std((1, 2)) / spread]
    return torch.stack(traits, dim=1).clamp(-_MOST, _MOST)


class AdjustedSums:
    """Sums of pictures by cell (a group of one age in one of D domains), adjusted to a common look.

    Traits describe a look. The first `EXPRESSION` traits are adjusted to the domain's mean in every cell.
    For any further traits only an excess over the mean is removed; less than the mean is kept.
    """

    def __init__(self, domains: int, cells: int) -> None:
        self.domains, self.cells = domains, cells
        self._sums: tuple[Tensor, ...] | None = None

    def add(self, cell: Tensor, domain: Tensor, values: Tensor, weights: Tensor, traits: Tensor) -> None:
        """Add pictures (B, C, H, W) with weights (B, 1, H, W) and traits (B, K) to the cells (B,) of their
        domains (B,)."""
        if self._sums is None:
            self._sums = self._nothing(values, traits.shape[1])
        total, shown, weighted, products, squares = self._sums
        total.index_add_(0, cell, values * weights)
        shown.index_add_(0, cell, weights)
        weighted.index_add_(0, cell, traits[:, :, None, None] * weights)
        for each in range(self.domains):
            own = domain == each
            mine, weight = traits[own], weights[own]
            products[each] += torch.einsum("bk,bchw->hwkc", mine, values[own] * weight)
            squares[each] += torch.einsum("bk,bl,bhw->hwkl", mine, mine, weight[:, 0])

    def sums(self) -> Tensor:
        """Sums of the weighted pictures, then of the weights, (cells, C + 1, H, W). Their quotient is the
        mean at the domain's usual look."""
        assert self._sums is not None
        total, shown, weighted, products, squares = self._sums
        adjusted = total.clone()
        for each, cells in enumerate(torch.arange(self.cells).chunk(self.domains)):
            mine, weight = weighted[cells], shown[cells]
            mean = mine / weight.clamp(min=1)
            # Covariance of values and traits within cells, for each pixel.
            varied = products[each] - torch.einsum("nkhw,nchw->hwkc", mean, total[cells])
            spread = squares[each] - torch.einsum("nkhw,nlhw->hwkl", mean, mine)
            slopes = torch.linalg.solve(spread + _HELD * torch.eye(spread.shape[-1]), varied)
            usual = mine.sum(0) / weight.sum(0).clamp(min=1)
            over = mine - usual * weight
            over[:, EXPRESSION:] = over[:, EXPRESSION:].clamp(min=0)
            adjusted[cells] -= torch.einsum("nkhw,hwkc->nchw", over, slopes)
        return torch.cat([adjusted, shown], dim=1)

    def _nothing(self, values: Tensor, traits: int) -> tuple[Tensor, ...]:
        """Empty sums of values, weights, traits, and of products and squares of traits."""
        _, channels, height, width = values.shape
        return (
            torch.zeros(self.cells, channels, height, width),
            torch.zeros(self.cells, 1, height, width),
            torch.zeros(self.cells, traits, height, width),
            torch.zeros(self.domains, height, width, traits, channels),
            torch.zeros(self.domains, height, width, traits, traits),
        )

"""What a picture shows that is no ageing: what a mouth does in it, and what looks like glasses.

Babies hardly laugh for a camera, people of thirty do: the difference of their mean faces would paint teeth.
More of the old wear glasses, and what is left of those taken off them, or was never glasses but bags and
shadows that look it, would put rims about the eyes of whoever ages. So mean faces are taken at the same look,
by analysis of covariance (Fisher 1932): what more or less of it changes within a group of one age is taken
from what the groups differ by. (It supposes that age itself changes no mouth's light. Where it does, as in
babies, some of that is taken away too.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from nenrin.models.change import scaled
from nenrin.models.toning import luma

EXPRESSION = 3  # numbers that say what a mouth does
_SIDE = 64
_MOUTH = slice(42, 49), slice(27, 37)  # of 64 pixels of the mean face, rows and columns: between the lips
_LOWER = slice(30, 56), slice(20, 44)  # the lower face, that a mouth is compared with
_MOST = 3.0  # an open mouth says no more than that
_HELD = 10.0  # faces' worth of no change at all, by which slopes are held down


def expression(images: Tensor) -> Tensor:
    """How light the mouth of (B, 3, S, S) registered faces is, how light the lightest of each row, and how
    it varies: (B, EXPRESSION) in standard deviations of the lower face."""
    light = luma(scaled(images, (_SIDE, _SIDE)))
    lower, mouth = (light[:, 0, rows, columns] for rows, columns in (_LOWER, _MOUTH))
    mean, spread = lower.mean((1, 2)), lower.std((1, 2)).clamp(min=0.05)
    teeth = mouth.amax(2).mean(1)
    traits = [(mouth.mean((1, 2)) - mean) / spread, (teeth - mean) / spread, mouth.std((1, 2)) / spread]
    return torch.stack(traits, dim=1).clamp(-_MOST, _MOST)


class AdjustedSums:
    """Sums of pictures by cells, each a group of one age of one of D domains, at one look for all.

    A look is told in traits: first those of the expression, of which every cell gets as much as is usual in
    its domain; then others, if any, of which what is more than usual is taken away, and what is less stays.
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
        """Sums of the weighted pictures, and of the weights, (cells, C + 1, H, W): divided, they are the
        means at the look that is usual in the domain."""
        assert self._sums is not None
        total, shown, weighted, products, squares = self._sums
        adjusted = total.clone()
        for each, cells in enumerate(torch.arange(self.cells).chunk(self.domains)):
            mine, weight = weighted[cells], shown[cells]
            mean = mine / weight.clamp(min=1)
            # How values and traits vary together within cells, pixel by pixel.
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

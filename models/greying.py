"""Grey hair, which mean faces cannot show: their difference is kept to the skin."""

from __future__ import annotations

from torch import Tensor

FIRST, LAST = 42.0, 85.0  # years: hair begins to turn grey, and is as grey as it becomes
_GREYEST = 0.55  # `Change.grey` of hair that was not grey at all


def greyness(own: Tensor, asked: Tensor) -> Tensor:
    """How grey hair turns between two ages, (B,) years each, as `Change.grey`; 0 for who grows younger."""
    here, there = (1 - _GREYEST * ((years - FIRST) / (LAST - FIRST)).clamp(0, 1) for years in (own, asked))
    # Exponents multiply, so that twenty years and twenty more make forty.
    return (1 - there / here).clamp(min=0)

"""Grey hair, which mean faces cannot show: their difference is kept to the skin.

A net says where hair is (`models/hairnet.py`). In drawings so does the generator that learned from twins, by
what it makes lighter.
"""

from __future__ import annotations

from torch import Tensor

FIRST, LAST = 42.0, 85.0  # years: hair begins to turn grey, and is as grey as it becomes
_GREYEST = 0.55  # `Change.grey` of hair that was not grey at all
_DRAWN = 1.3  # factor on that in drawings
# Of how much lighter twins make hair: a place counts as none, and as all. And the least, of the range of 2.
_PERHAPS, _SURELY, _LEAST = 0.25, 0.75, 0.1


def greyness(own: Tensor, asked: Tensor, *, drawn: bool = False) -> Tensor:
    """How grey hair turns between two ages, (B,) years each, as `Change.grey`; 0 for who grows younger.

    Drawings have blacker hair, and show age by little else.
    """
    here, there = (1 - _GREYEST * ((years - FIRST) / (LAST - FIRST)).clamp(0, 1) for years in (own, asked))
    # Exponents multiply, so that twenty years and twenty more make forty.
    return (_DRAWN if drawn else 1.0) * (1 - there / here).clamp(min=0)


def share_of(lighter: Tensor) -> Tensor:
    """Hair's share (B, 1, S, S) in drawings, from how much lighter (B, 1, S, S) twins make each place."""
    total = lighter.sum((2, 3), keepdim=True).clamp(min=1e-6)
    level = lighter.square().sum((2, 3), keepdim=True) / total
    share = (lighter / level.clamp(min=_LEAST) - _PERHAPS) / (_SURELY - _PERHAPS)
    return share.clamp(0, 1)

"""The mixed ager's output: a change to the face instead of a face."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nenrin.models import filters
from nenrin.models.toning import luma

GRID = 32  # structure finer than 1 / GRID of the width is detail: wrinkles, strands, the grain of the skin
_WEAK = 0.15  # of the range of 2: details of this strength are weak, much stronger ones are edges
_BLACK = 0.04  # of the range of 1: so much light is assumed in black hair, which turns grey too
_ALL = 0.35  # hair that turns grey by this much loses ...
_COLOUR = 0.85  # ... this fraction of its colour


@dataclasses.dataclass(kw_only=True, slots=True)
class Change:
    """For B faces: a displacement field, a residual in colour, and a factor on the strength of details.

    It applies at any resolution, and what age does not touch stays exact. Burt and Perrett (1995: shape and
    colour) and Tiddeman, Burt and Perrett (2001: detail) age faces in the same three parts.
    """

    flow: Tensor  # (B, 2, h, w) offset to fetch a pixel from, x then y, in the grid's units (2 = the width)
    shade: Tensor  # (B, 3, H, W) residual added after the shift
    detail: Tensor  # (B, 1, h, w) log of the factor on details
    smooth: Tensor | None = None  # (B, 1, h, w) -log of the factor on weak details: wrinkles, not edges
    creases: Tensor | None = None  # (B, 1, H', W') -log of the factor on the light, which wrinkles take away
    grey: Tensor | None = None  # (B, 1, H', W') how grey hair turns, from 0 on: see `turned_grey`
    first: Change | None = None  # another change to apply before this one

    def __getitem__(self, rows: slice | Tensor) -> Change:
        """The changes of some faces."""
        return Change(
            flow=self.flow[rows],
            shade=self.shade[rows],
            detail=self.detail[rows],
            smooth=None if self.smooth is None else self.smooth[rows],
            creases=None if self.creases is None else self.creases[rows],
            grey=None if self.grey is None else self.grey[rows],
            first=None if self.first is None else self.first[rows],
        )

    def apply(self, images: Tensor) -> Tensor:
        """Apply to (B, 3, H', W') faces in [-1, 1], interpolating the change to their resolution."""
        if self.first is not None:
            images = self.first.apply(images)
        size = images.shape[-2:]
        shifted = shift(images, self.flow)
        coarse = coarsened(shifted)
        fine = shifted - coarse
        if self.smooth is not None:
            fine = weakened(fine, scaled(self.smooth, size))
        aged = coarse + fine * scaled(self.detail, size).exp() + scaled(self.shade, size)
        if self.creases is not None:
            aged = (aged + 1) * scaled(-self.creases, size).exp() - 1
        return aged if self.grey is None else turned_grey(aged, scaled(self.grey, size))

    def split(self) -> tuple[Change, Tensor | None]:
        """The change with all hair as it was, and what it left out of its own `grey` or of one before it."""
        first, before = (None, None) if self.first is None else self.first.split()
        bare = dataclasses.replace(self, grey=None, first=first)
        return bare, before if self.grey is None else self.grey

    def times(self, strength: Tensor | float) -> Change:
        """The change scaled by `strength`: one number for all faces, or (B,)."""
        each = strength[:, None, None, None] if isinstance(strength, Tensor) else strength
        return Change(
            flow=self.flow * each,
            shade=self.shade * each,
            detail=self.detail * each,
            smooth=None if self.smooth is None else self.smooth * each,
            creases=None if self.creases is None else self.creases * each,
            grey=None if self.grey is None else self.grey * each,
            first=None if self.first is None else self.first.times(strength),
        )


def either(rows: Tensor, one: Change, other: Change) -> Change:
    """`one` in the rows set in `rows` (B,) bool, `other` in the rest, at the finer resolution of both."""

    def chosen(here: Tensor, there: Tensor) -> Tensor:
        size = max(here.shape[-2:], there.shape[-2:])
        return torch.where(rows[:, None, None, None], scaled(here, size), scaled(there, size))

    def perhaps(here: Tensor | None, there: Tensor | None) -> Tensor | None:
        none = rows.new_zeros(len(rows), 1, 1, 1, dtype=torch.float32)
        if here is None and there is None:
            return None
        return chosen(none if here is None else here, none if there is None else there)

    return Change(
        flow=chosen(one.flow, other.flow),
        shade=chosen(one.shade, other.shade),
        detail=chosen(one.detail, other.detail),
        smooth=perhaps(one.smooth, other.smooth),
        creases=perhaps(one.creases, other.creases),
        grey=perhaps(one.grey, other.grey),
    )


def placed(change: Change, rows: Tensor, images: Tensor) -> Change:
    """A change for some rows (B,) bool, expanded to all (B, 3, H, W) faces; the others stay unchanged."""

    def laid(field: Tensor | None) -> Tensor | None:
        if field is None:
            return None
        whole = images.new_zeros(len(images), *field.shape[1:])
        whole[rows] = field
        return whole

    whole = no_change(images, change)
    whole.flow[rows], whole.shade[rows], whole.detail[rows] = change.flow, change.shade, change.detail
    whole.smooth, whole.creases, whole.grey = map(laid, (change.smooth, change.creases, change.grey))
    return whole


def no_change(images: Tensor, like: Change | None = None) -> Change:
    """The identity for (B, 3, H, W) faces, with fields as large as those of `like`."""
    field = (GRID, GRID) if like is None else like.flow.shape[-2:]
    count = len(images)
    return Change(
        flow=images.new_zeros(count, 2, *field),
        shade=images.new_zeros(images.shape),
        detail=images.new_zeros(count, 1, *field),
    )


def weakened(fine: Tensor, smooth: Tensor) -> Tensor:
    """Details (B, 3, H, W) with weak ones, such as wrinkles and stubble, times exp(-`smooth`), (B, 1, H, W).

    Strong ones stay sharp: the edges of eyes, hair and glasses.
    """
    weak = torch.exp(-(luma(fine.abs()) / _WEAK).square())
    return fine * (1 - (1 - (-smooth).exp()) * weak)


def turned_grey(images: Tensor, grey: Tensor) -> Tensor:
    """(B, 3, H, W), its brightness raised to the power of 1 - `grey` (B, 1, H, W), and its colour faded.

    The power makes dark strands lighter without making light ones white, and keeps them apart.
    """
    light = luma(images)
    scale = 2 * (1 + _BLACK)
    brighter = scale * (((light + 1) / scale + _BLACK / (1 + _BLACK)).clamp(min=1e-3) ** (1 - grey))
    faded = 1 - _COLOUR * (grey / _ALL).clamp(0, 1)
    return brighter - 2 * _BLACK - 1 + faded * (images - light)


def shift(images: Tensor, flow: Tensor, outside: str = "border") -> Tensor:
    """Warp (B, C, H, W): fetch each pixel from the offset that `flow` (B, 2, h, w) gives.

    Outside, the nearest border pixel is used, or zero with `outside="zeros"`, which masks need.
    """
    size = images.shape[-2:]
    where = filters.places(size, images.device) + scaled(flow, size).permute(0, 2, 3, 1)
    return F.grid_sample(images.float(), where, padding_mode=outside, align_corners=False)


def roughness(flow: Tensor) -> Tensor:
    """Mean squared second difference of a flow: penalises bending, but not shifting and scaling."""
    return flow.diff(n=2, dim=2).square().mean() + flow.diff(n=2, dim=3).square().mean()


def coarsened(images: Tensor) -> Tensor:
    """(B, C, H, W) without structure finer than `GRID`."""
    small = F.interpolate(images.float(), (GRID, GRID), mode="bilinear", antialias=True)
    return scaled(small, images.shape[-2:])


def scaled(field: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, h, w) interpolated smoothly to another size (H, W)."""
    field = field.float()
    if field.shape[-2:] == tuple(size):
        return field
    if field.shape[-1] > size[-1]:
        return F.interpolate(field, tuple(size), mode="bilinear", antialias=True)
    return filters.enlarged(field, size)

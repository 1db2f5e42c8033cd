"""Ageing by mean faces and glasses by a net, one after the other: what is asked of each, and in which order.

Glasses come off before a face ages, as mean faces wear none, and are put on afterwards. They come off in two
goes: what the first leaves of a dark lens or a coloured rim is itself the look of glasses. Those that stay
are spared by the ageing: it would fade them. Thin rims are too faint to be told from lids and bags; where it
is said that they are worn, and not only read, they are drawn again on what has faded them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from nenrin.domains.face import GLASSES
from nenrin.models.change import Change, no_change, placed, scaled
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.registration import oval

Look = Callable[[Tensor], Tensor]  # faces -> how likely they are to wear glasses, (B,)
Glasses = Callable[[Tensor, Condition, Condition], Change]  # faces, what they wear and what they shall
Ageing = Callable[[Tensor], Change | None]  # faces that have taken off what they shall not wear

_NONE, _CLEAR = GLASSES.index("none"), GLASSES.index("clear")
_LIGHT = 0.8  # of the pair put on: the mean of all is black and thick, and taken for dark ones
# Of the range of 2 from black to white: where a net that takes off glasses would change less, there are none
# (who wears none is often read to); where it would change more, there is nothing else.
_UNCOVERED, _COVERED = 0.2, 0.4
_FAINT, _SURE = 0.06, 0.14  # the same where it is said that some are worn
_FADING = 0.2  # of the same range: an ageing that changes colours by so much has faded a thin rim
_FRAMED = 0.05, 0.2  # how likely glasses are, from where the ageing does less about the eyes, and the least
_HELD = 0.7  # share of it that goes then
_BAND = (0.5, 0.43), (0.30, 0.14), 0.4  # both eyes and the bridge between, in shares of the side
_SPARED = 5  # pixels about each, at the net's resolution


def dressed(
    images: Tensor,
    source: Condition,
    target: Condition,
    ageing: Ageing,
    net: Glasses,
    look: Look,
    told: Tensor,
) -> Change:
    """The change of (B, 3, S, S) faces that `ageing` ages; of `target` no label is unknown.

    `told` (B,) is set where somebody said what they shall wear; elsewhere it was read.
    """
    # Of whom nobody knows it may wear some.
    wears, shall, same = source.glasses != _NONE, target.glasses > _NONE, source.glasses == target.glasses
    bare = target.replace(glasses=torch.full_like(target.glasses, _NONE))
    untold = target.replace(glasses=torch.full_like(target.glasses, UNKNOWN))  # whatever is there comes off
    off = _only(wears, net, images, untold, bare)
    change, leave = None, wears & ~same
    if off is not None:
        change = off.times(leave.float())
        change = _after(change, _only(leave, net, _applied(change, images, leave), untold, bare))
    faces = _applied(change, images, leave)
    age = ageing(faces)
    if age is not None:
        age = _unframed(age, faces, ~shall & (target.age > source.age), look)
    if age is not None and off is not None:
        age = _sparing(age, off, wears & same, told)
    change = _after(change, age)
    on = shall & ~same
    put_on = _only(on, net, _applied(change, images, on), bare, target)
    if put_on is not None:
        put_on = put_on.times(torch.where(target.glasses == _CLEAR, _LIGHT, 1.0))
    change = _after(change, put_on)
    return no_change(images) if change is None else change


def _only(rows: Tensor, net: Glasses, images: Tensor, source: Condition, target: Condition) -> Change | None:
    """What the net answers for some rows (B,) bool, and no change of the others; None for no rows."""
    if torch.compiler.is_compiling():  # an exported ager has no branches
        return net(images, source, target).times(rows.float())
    if not rows.any():
        return None
    return placed(net(images[rows], source[rows], target[rows]), rows, images)


def _applied(change: Change | None, images: Tensor, rows: Tensor) -> Tensor:
    """The faces changed, if any of these rows is looked at."""
    needed = torch.compiler.is_compiling() or bool(rows.any())
    return images if change is None or not needed else change.apply(images).clamp(-1, 1)


def _after(first: Change | None, change: Change | None) -> Change | None:
    """One change and then the other."""
    return first if change is None else dataclasses.replace(change, first=first)


def _sparing(age: Change, off: Change, rows: Tensor, told: Tensor) -> Change:
    """A change that leaves the glasses of some rows as they are, wherever a net would take them `off`."""
    strength, of = _about(off.shade), rows[:, None, None, None]
    cover = _ramp(strength, _UNCOVERED, _COVERED) * of
    rims = torch.maximum(cover, _ramp(strength, _FAINT, _SURE) * of * told[:, None, None, None])
    again = (rims - cover) * _ramp(_about(age.shade), 0, _FADING)
    coarse = F.interpolate(rims, age.detail.shape[-2:], mode="area")
    return Change(
        flow=age.flow,
        shade=age.shade * (1 - cover) - again * off.shade,
        detail=age.detail * (1 - coarse),
        creases=None if age.creases is None else age.creases * (1 - scaled(rims, age.creases.shape[-2:])),
    )


def _unframed(age: Change, faces: Tensor, rows: Tensor, look: Look) -> Change:
    """An ageing that does less about the eyes of those rows that it makes look as if they wore glasses."""
    if not (torch.compiler.is_compiling() or bool(rows.any())):
        return age
    some: slice | Tensor = slice(None) if torch.compiler.is_compiling() else rows
    worn = torch.zeros(len(faces), device=faces.device)
    worn[some] = look(age[some].apply(faces[some]).clamp(-1, 1))
    less = (_HELD * _ramp(worn, *_FRAMED) * rows)[:, None, None, None]
    band = oval(faces.shape[-1], *_BAND)

    def held(field: Tensor) -> Tensor:
        return field * (1 - less * scaled(band, field.shape[-2:]))

    return Change(
        flow=age.flow,
        shade=held(age.shade),
        detail=held(age.detail),
        creases=None if age.creases is None else held(age.creases),
    )


def _about(shade: Tensor) -> Tensor:
    """How much (B, 3, S, S) changes colours around each pixel, (B, 1, S, S)."""
    most = F.max_pool2d(shade.abs().amax(1, keepdim=True), _SPARED, 1, _SPARED // 2)
    return F.avg_pool2d(most, 3, 1, 1)


def _ramp(values: Tensor, low: float, high: float) -> Tensor:
    """From 0 at `low` to 1 at `high`."""
    return ((values - low) / (high - low)).clamp(0, 1)

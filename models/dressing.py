"""Combines ageing by mean faces with a net for glasses: what is asked of each, and in which order.

Glasses come off before a face ages, as mean faces wear none, and go on afterwards. The net takes them off in
two passes, because remnants of a dark lens or a coloured rim still look like glasses. Glasses that stay are
masked out of the ageing, which would fade them. Thin rims are too faint to be distinguished from lids and
bags; if the label was given, and not only estimated, rims that ageing has faded are drawn again.
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

Look = Callable[[Tensor], Tensor]  # faces -> probability that they wear glasses, (B,)
Glasses = Callable[[Tensor, Condition, Condition], Change]  # faces, what they wear, what they shall wear
Ageing = Callable[[Tensor], Change | None]  # takes faces without the glasses that shall come off

_NONE, _CLEAR = GLASSES.index("none"), GLASSES.index("clear")
_LIGHT = 0.8  # strength of a clear pair put on: at full strength it is black and thick, like dark ones
# The mask of glasses, from how much the net that takes them off would change, of the range of 2: 0 below the
# first (bare faces are often read to wear some), 1 above the second.
_UNCOVERED, _COVERED = 0.2, 0.4
_FAINT, _SURE = 0.06, 0.14  # the same where the label is given
_FADING = 0.2  # of the same range: ageing that changes colours by this much has fully faded a thin rim
_FRAMED = 0.05, 0.2  # probability of glasses from which ageing is reduced about the eyes, and fully so
_HELD = 0.6  # the fraction that is taken away then
_BAND = (0.5, 0.43), (0.30, 0.14), 0.4  # an oval over both eyes and the bridge of the nose: see `oval`
_SPARED = 5  # pixels: side of the window about each pixel, at the net's resolution


def dressed(
    images: Tensor,
    source: Condition,
    target: Condition,
    ageing: Ageing,
    net: Glasses,
    look: Look,
    told: Tensor,
) -> Change:
    """The whole change of (B, 3, S, S) faces, ageing and glasses; every label of `target` is known.

    `told` (B,) is set where the requested glasses were given; elsewhere they were estimated.
    """
    # Where it is unknown, a face may wear glasses.
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
    """The net's change for some rows (B,) bool, no change for the others; None if there are no rows."""
    if torch.compiler.is_compiling():  # an exported ager has no branches
        return net(images, source, target).times(rows.float())
    if not rows.any():
        return None
    return placed(net(images[rows], source[rows], target[rows]), rows, images)


def _applied(change: Change | None, images: Tensor, rows: Tensor) -> Tensor:
    """The changed faces, or the faces as they are if none of these rows is needed."""
    needed = torch.compiler.is_compiling() or bool(rows.any())
    return images if change is None or not needed else change.apply(images).clamp(-1, 1)


def _after(first: Change | None, change: Change | None) -> Change | None:
    """`change` applied after `first`."""
    return first if change is None else dataclasses.replace(change, first=first)


def _sparing(age: Change, off: Change, rows: Tensor, told: Tensor) -> Change:
    """The ageing, with the glasses of some rows masked out, wherever the net would take them `off`."""
    strength, of = _about(off.shade), rows[:, None, None, None]
    cover = _ramp(strength, _UNCOVERED, _COVERED) * of
    rims = torch.maximum(cover, _ramp(strength, _FAINT, _SURE) * of * told[:, None, None, None])
    faded = age.shade if age.grey is None else age.shade + age.grey
    again = (rims - cover) * _ramp(_about(faded), 0, _FADING)
    coarse = F.interpolate(rims, age.detail.shape[-2:], mode="area")
    return Change(
        flow=age.flow,
        shade=age.shade * (1 - cover) - again * off.shade,
        detail=age.detail * (1 - coarse),
        smooth=None if age.smooth is None else age.smooth * (1 - coarse),
        creases=None if age.creases is None else age.creases * (1 - scaled(rims, age.creases.shape[-2:])),
        grey=None if age.grey is None else age.grey * (1 - cover),
    )


def _unframed(age: Change, faces: Tensor, rows: Tensor, look: Look) -> Change:
    """Ageing reduced about the eyes in those rows (B,) bool that it makes look as if they wore glasses."""
    if not (torch.compiler.is_compiling() or bool(rows.any())):
        return age
    some: slice | Tensor = slice(None) if torch.compiler.is_compiling() else rows
    worn = torch.zeros(len(faces), device=faces.device)
    worn[some] = look(age[some].apply(faces[some]).clamp(-1, 1))
    less = (_HELD * _ramp(worn, *_FRAMED) * rows)[:, None, None, None]
    band = oval(faces.shape[-1], *_BAND).to(faces.device)

    def held(field: Tensor) -> Tensor:
        return field * (1 - less * scaled(band, field.shape[-2:]))

    return Change(
        flow=age.flow,
        shade=held(age.shade),
        detail=held(age.detail),
        smooth=age.smooth,
        creases=None if age.creases is None else held(age.creases),
        grey=None if age.grey is None else held(age.grey),
    )


def _about(shade: Tensor) -> Tensor:
    """Largest colour change of (B, 3, S, S) around each pixel, smoothed: (B, 1, S, S)."""
    most = F.max_pool2d(shade.abs().amax(1, keepdim=True), _SPARED, 1, _SPARED // 2)
    return F.avg_pool2d(most, 3, 1, 1)


def _ramp(values: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, rising linearly to 1 at `high`."""
    return ((values - low) / (high - low)).clamp(0, 1)

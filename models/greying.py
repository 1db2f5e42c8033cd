"""Grey hair, which mean faces cannot show either: their difference is kept to the skin.

The generator that learned from drawn twins (`models/ageing.py`) has seen hair of every cut and colour turn
grey, and it finds hair in photographs too, although it has seen none. Only the brightness of its residual is
used, masked to what looks like hair; the change takes the hair's colour out in proportion (`turned_grey`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nenrin.models.change import Change, scaled, shift
from nenrin.models.condition import Condition
from nenrin.models.filters import box_mean as _mean
from nenrin.models.registration import oval
from nenrin.models.toning import inside, luma, middle_of, steps_from

SIDE = 32  # pixels that the generator looks at: it learned at 64, but finds hair as well at half of that
# Ovals in the mean face's frame, see `oval`: from brows to chin, where the generator takes shadows for
# moustaches; the whole face, where only a fringe is hair; around both, where most hair is; the head with all.
_OVALS = (
    ((0.5, 0.60), (0.30, 0.33), 0.35),
    ((0.5, 0.53), (0.31, 0.42), 0.25),
    ((0.5, 0.45), (0.46, 0.48), 0.20),
    ((0.5, 0.47), (0.64, 0.68), 0.35),
)
_ROUGH, _WINDOW = 0.03, 9  # standard deviation of brightness within a window of pixels: walls have less
_LIGHT, _HUE = 0.4, 0.10  # a difference of this, of the range of 2, is one step from the hair's colour ...
_SURE, _NEVER = 1.0, 2.0  # ... and the mask is 1 up to the first number of steps, 0 from the second
_SKIN, _HAIR = 0.4, 0.55  # of the way from the skin's colour to the hair's: the mask rises from 0 to 1 ...
_CLOSE, _APART = 0.8, 1.3  # steps from the skin's colour to the hair's: nothing is greyed, all is
_FRINGE = 0.25  # ... and within the face so much further on
_ALL = 0.25  # of the range of 2: what becomes lighter by this much is hair for sure
_HOLES = 9  # pixels
_DOUBT, _SURE_OF_IT = 0.35, 0.6  # intersection over union from which hair is greyed, and fully so
_FRAME = 7  # pixels: the mask is 0 this near to the edge of the picture


def greyed(net: nn.Module, images: Tensor, source: Condition, target: Condition, back: Tensor) -> Tensor:
    """The light (B, 1, S, S) that hair of (B, 3, S, S) faces gains from one age to another: `Change.grey`.

    `net` is the generator that learned from twins, `back` (B, 2, FIELD, FIELD) the field from each face to
    the mean face, see `inverse`.
    """
    size = images.shape[-2:]
    change: Change = net(scaled(images, (SIDE, SIDE)), source, target)
    lighter = luma(scaled(change.shade, size)).clamp(min=0)
    ovals = torch.cat([oval(size[-1], *one) for one in _OVALS], dim=1).to(images.device)
    laid = shift(ovals.expand(len(images), -1, -1, -1), back)
    features, face, around, head = (laid[:, one : one + 1] for one in range(len(_OVALS)))
    within = (2 * _mean(inside(images), _FRAME) - 1).clamp(min=0)
    where = head * (1 - features) * within * _rough(images)
    found = lighter * where
    seen = (found / _ALL).clamp(max=1)
    near = (2 * _mean(seen, _HOLES)).clamp(max=1)  # closes the holes in what the generator sees
    mask = where * near * _alike(images, found * around, _FRINGE * face)
    # Hair is greyed evenly, or not at all if the generator and the colours disagree about where it is.
    agreed = _total(seen * mask * around) / _total(torch.maximum(seen, mask) * around)
    level = _total(found * seen * mask) / _total(seen * mask)
    sure = ((agreed - _DOUBT) / (_SURE_OF_IT - _DOUBT)).clamp(0, 1)
    light: Tensor = level * mask * sure
    return light


def _total(values: Tensor) -> Tensor:
    return values.sum((2, 3), keepdim=True).clamp(min=1e-6)


def _rough(images: Tensor) -> Tensor:
    """(B, 1, S, S) mask: 0 where brightness is uniform, as on a wall, 1 where it varies as in hair."""
    light = luma(images)
    variance = (_mean(light.square(), _WINDOW) - _mean(light, _WINDOW).square()).clamp(min=0)
    return _mean((variance.sqrt() / _ROUGH).clamp(max=1), _WINDOW)


def _alike(images: Tensor, hair: Tensor, strict: Tensor) -> Tensor:
    """(B, 1, S, S) mask of what has the colour of the hair and not of the skin: so forehead, neck and what is
    behind the head stay as they are. `hair` (B, 1, S, S) weights where the hair is, and `strict` (B, 1, S, S)
    is added to `_SKIN` and `_HAIR`."""
    light = luma(images)
    colour = _mean(torch.cat([light / _LIGHT, (images - light) / _HUE], dim=1), 3)
    skin = steps_from(colour, middle_of(images.shape[-1], images.device).expand_as(hair))
    hairy = steps_from(colour, hair)
    nearer = skin / (skin + hairy).clamp(min=1e-6)  # 0 at the skin's colour, 1 at the hair's
    unlike_skin = ((nearer - strict - _SKIN) / (_HAIR - _SKIN)).clamp(0, 1)
    # Hair of the colour of the skin is not told from it.
    apart = _total(skin * hair) / _total(hair)
    known = ((apart - _CLOSE) / (_APART - _CLOSE)).clamp(0, 1)
    return known * _mean(((_NEVER - hairy) / (_NEVER - _SURE)).clamp(0, 1) * unlike_skin, 3)

"""Grey hair on whoever mean faces age. What they differ by is kept to the skin; hair is not in one place.

The generator that drawn twins taught (`models/ageing.py`) saw hair of every cut and colour turn grey, and it
finds hair in photographs too, though it has seen none. Of its answer only the brightness is taken, outside
the features, where it takes shadows for moustaches, and off the skin. The hair's own colour goes with it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.models.change import Change, scaled, shift
from nenrin.models.condition import Condition
from nenrin.models.registration import oval
from nenrin.models.toning import inside, luma, middle_of, steps_from

SIDE = 64  # pixels that the generator looks at
# Of the mean face, in shares of the side: the features, from the brows down, where no hair grows.
_FEATURES, _RADIUS, _EDGE = (0.5, 0.60), (0.30, 0.33), 0.35
_HEAD, _HEAD_RADIUS, _HEAD_EDGE = (0.5, 0.47), (0.72, 0.76), 0.30  # with its hair, likewise
_ROUGH, _WINDOW = 0.03, 9  # deviation of the brightness over so many pixels: a wall has less, hair more
_LIGHT, _HUE = 0.4, 0.10  # what differs by this, of the range of 2, is one step from the hair's colour ...
_SURE, _NEVER = 1.0, 2.2  # ... and so many steps away it begins to end, and has ended
_SKIN, _HAIR = (
    0.4,
    0.55,
)  # share of the way from the skin's colour to the hair's: none of it turns grey, all does
_ALL = 0.25  # of the range of 2: what becomes lighter by so much is hair, and loses its colour ...
_COLOUR = 0.85  # ... up to this share
_FRAME = 7  # pixels: so near to where a picture ends nothing is told from it


def greyed(net: nn.Module, images: Tensor, source: Condition, target: Condition, back: Tensor) -> Tensor:
    """What turns the hair of (B, 3, S, S) faces grey from one age to another: a shade (B, 3, S, S).

    `back` (B, 2, FIELD, FIELD) says where each place of a face lies in the mean face, as `inverse` does.
    """
    size = images.shape[-2:]
    change: Change = net(scaled(images, (SIDE, SIDE)), source, target)
    lighter = luma(scaled(change.shade, size)).clamp(min=0)
    ovals = oval(size[-1], _FEATURES, _RADIUS, _EDGE), oval(size[-1], _HEAD, _HEAD_RADIUS, _HEAD_EDGE)
    laid = shift(torch.cat(ovals, dim=1).expand(len(images), -1, -1, -1), back)
    features, head = laid[:, :1], laid[:, 1:]
    within = (2 * _mean(inside(images), _FRAME) - 1).clamp(min=0)
    where = head * (1 - features) * within * _rough(images)
    where = where * _alike(images, lighter * where)
    colour = images - luma(images)
    shade: Tensor = (lighter - _COLOUR * (lighter / _ALL).clamp(max=1) * colour) * where
    return shade


def _rough(images: Tensor) -> Tensor:
    """(B, 1, S, S): 0 where the brightness is the same all around, 1 where it varies as in hair."""
    light = luma(images)
    variance = (_mean(light.square(), _WINDOW) - _mean(light, _WINDOW).square()).clamp(min=0)
    return _mean((variance.sqrt() / _ROUGH).clamp(max=1), _WINDOW)


def _alike(images: Tensor, hair: Tensor) -> Tensor:
    """How much each place of (B, 3, S, S) faces looks like their hair, which is where (B, 1, S, S) says, and
    not like their skin: so neither forehead nor neck nor what is behind the head turns grey with it."""
    light = luma(images)
    colour = _mean(torch.cat([light / _LIGHT, (images - light) / _HUE], dim=1), 3)
    skin = steps_from(colour, middle_of(images.shape[-1], images.device).expand_as(hair))
    hairy = steps_from(colour, hair)
    nearer = skin / (skin + hairy).clamp(min=1e-6)  # to the hair's colour than to the skin's: 1, else 0
    alike = ((_NEVER - hairy) / (_NEVER - _SURE)).clamp(0, 1) * ((nearer - _SKIN) / (_HAIR - _SKIN)).clamp(
        0, 1
    )
    return _mean(alike, 3)


def _mean(values: Tensor, window: int) -> Tensor:
    return F.avg_pool2d(values, window, 1, window // 2, count_include_pad=False)

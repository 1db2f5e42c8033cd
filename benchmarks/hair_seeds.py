"""Where hair is for sure, told without labels of hair: what the generator taught by drawn twins lightens.

It has seen hair of every cut and colour turn grey (`models/ageing.py`), and finds hair in photographs too,
although it has seen none. There and in cartoons much else becomes lighter, so what it finds is masked to what
looks like hair. `hair_growing.py` grows the seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nenrin.models.ager import Ager
from nenrin.models.change import scaled, shift
from nenrin.models.condition import Condition
from nenrin.models.filters import box_mean
from nenrin.models.means import MeanFaces
from nenrin.models.registration import inverse, oval
from nenrin.models.toning import inside, luma, middle_of, steps_from

YOUNG, OLD = 25.0, 80.0  # years: hair is what the generator lightens from one age to the other
_LEARNED_AT = 64  # pixels that the generator learned at ...
_SEEN_AT = 32  # ... and at which it finds hair in photographs too
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
_CLOSE, _APART = 0.8, 1.3  # steps from the skin's colour to the hair's: nothing is found, all is
_FRINGE = 0.25  # ... and within the face so much further on
_ALL = 0.25  # of the range of 2: what becomes lighter by this much is hair for sure
_HOLES = 9  # pixels
_DOUBT, _SURE_OF_IT = 0.35, 0.6  # intersection over union from which hair is found, and fully so
_FRAME = 7  # pixels: the mask is 0 this near to the edge of the picture


@torch.no_grad()
def seeds(ager: Ager, images: Tensor, domain: str) -> Tensor:
    """How surely (B, 1, S, S) aligned faces (B, 3, S, S) of one domain have hair, relative to each other's
    places; all 0 in a face where the generator and the colours disagree about where hair is.

    `ager` is a mixed ager with what twins taught.
    """
    means = ager.model.nets["means"]
    assert isinstance(means, MeanFaces)
    labels = Condition.of(len(images), domains=ager.domains, age=YOUNG, domain=domain)
    if not means.taught[ager.domains.index(domain)]:  # no registration, and no need of masks
        return _lighter(ager, images, labels, _LEARNED_AT)
    back = inverse(means.places(images, labels.domain))
    return _masked(_lighter(ager, images, labels, _SEEN_AT), images, back)


def _lighter(ager: Ager, images: Tensor, labels: Condition, side: int) -> Tensor:
    """(B, 1, S, S) how much lighter the generator makes faces that it sees at `side` pixels."""
    old = labels.replace(age=torch.full_like(labels.age, OLD))
    change = ager.model.nets["twins"](scaled(images, (side, side)), labels, old)
    lighter: Tensor = luma(scaled(change.shade, images.shape[-2:])).clamp(min=0)
    return lighter


def _masked(lighter: Tensor, images: Tensor, back: Tensor) -> Tensor:
    """(B, 1, S, S) the light that hair gains, of all that becomes lighter.

    `back` (B, 2, FIELD, FIELD) is the field from each face to the mean face, see `inverse`.
    """
    ovals = torch.cat([oval(images.shape[-1], *one) for one in _OVALS], dim=1)
    laid = shift(ovals.expand(len(images), -1, -1, -1), back)
    features, face, around, head = (laid[:, one : one + 1] for one in range(len(_OVALS)))
    within = (2 * box_mean(inside(images), _FRAME) - 1).clamp(min=0)
    where = head * (1 - features) * within * _rough(images)
    found = lighter * where
    seen = (found / _ALL).clamp(max=1)
    near = (2 * box_mean(seen, _HOLES)).clamp(max=1)  # closes the holes in what the generator sees
    mask = where * near * _alike(images, found * around, _FRINGE * face)
    # Hair is found evenly, or not at all if the generator and the colours disagree about where it is.
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
    variance = (box_mean(light.square(), _WINDOW) - box_mean(light, _WINDOW).square()).clamp(min=0)
    return box_mean((variance.sqrt() / _ROUGH).clamp(max=1), _WINDOW)


def _alike(images: Tensor, hair: Tensor, strict: Tensor) -> Tensor:
    """(B, 1, S, S) mask of what has the colour of the hair and not of the skin: so forehead, neck and what is
    behind the head are left out. `hair` (B, 1, S, S) weights where the hair is, and `strict` (B, 1, S, S)
    is added to `_SKIN` and `_HAIR`."""
    light = luma(images)
    colour = box_mean(torch.cat([light / _LIGHT, (images - light) / _HUE], dim=1), 3)
    skin = steps_from(colour, middle_of(images.shape[-1], images.device).expand_as(hair))
    hairy = steps_from(colour, hair)
    nearer = skin / (skin + hairy).clamp(min=1e-6)  # 0 at the skin's colour, 1 at the hair's
    unlike_skin = ((nearer - strict - _SKIN) / (_HAIR - _SKIN)).clamp(0, 1)
    # Hair of the colour of the skin is not told from it.
    apart = _total(skin * hair) / _total(hair)
    known = ((apart - _CLOSE) / (_APART - _CLOSE)).clamp(0, 1)
    return known * box_mean(((_NEVER - hairy) / (_NEVER - _SURE)).clamp(0, 1) * unlike_skin, 3)

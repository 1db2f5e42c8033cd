"""Mean faces by age, gender and domain, and the differences between them.

They are means of registered faces (`models/registration.py`), so all share one geometry. The mean shape of
each age is stored beside its colours.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.domains.face import GENDERS
from nenrin.models.change import Change, scaled, shift
from nenrin.models.condition import UNKNOWN
from nenrin.models.registration import FIELD, RegistrationNet, inverse, oval
from nenrin.models.toning import luma, smoothed

OLDEST = 90.0  # years; older ages are clamped to this
KNOT = 5.0  # years between the stored mean faces; interpolated linearly in between
KNOTS = int(OLDEST / KNOT) + 1
GROUPS = len(GENDERS) + 1  # female, male, everybody
_FEW, _MOST = 0.4, 0.9  # fractions of faces that have a pixel: between them the change fades in, 0 to 1
_EDGE = 0.08  # softness of the change's edge, as a fraction of the face's width
# Ovals in the mean face, as fractions of the side: chin to forehead, each eye with its brow, the lips.
_FACE, _FACE_RADIUS, _FACE_EDGE = (0.5, 0.51), (0.315, 0.50), 0.23
_EYES = ((0.365, 0.40), (0.13, 0.11)), ((0.635, 0.40), (0.13, 0.11))
_LIPS = (0.5, 0.71), (0.17, 0.10)
# Beards and lipstick, of which a mean face has a little of everybody's; last, the share of shading kept.
_MOUTH, _MOUTH_RADIUS, _MOUTH_EDGE, _MOUTH_SHARE = (0.5, 0.74), (0.22, 0.20), 0.6, 0.6
# Shading as broad as a cheek differs with the lights and colours of two ages' pictures more than with age.
# Folds lie in other places in each old face, so that their mean has smudges. How far the filters reach that
# find these, of the width, and the fraction that is kept.
_BROAD, _SMUDGE, _BROAD_SHARE = 0.6, 0.2, 0.2
_DEPTH = 1.4  # factor on the light and shade of folds as faces grow older: each is deeper than their mean
_DARKER = 0.35  # share of darker skin kept as faces grow younger: children have fringes, and other lights
# Means show little of what time engraves in skin. -log of the factor on its weak details, to be scaled by the
# strength of ageing, and the years that faces grow younger by until it is reached.
_SMOOTHER, _LINED = 0.5, 50.0
_SEEN = 0.2  # least fraction of the filter that lies on the face
_LIVELY = 0.7  # share of shading kept on eyes and lips, which differ most between people of any age


@dataclasses.dataclass(kw_only=True, slots=True)
class Difference:
    """The differences between B pairs of mean faces, in the mean face's geometry."""

    moves: Tensor  # (B, 2, FIELD, FIELD) displacement of each place, x then y, in the grid's units
    shade: Tensor  # (B, 3, S, S) what is added to the colours
    detail: Tensor  # (B, 1, FIELD, FIELD) log of the factor by which details grow
    smooth: Tensor  # (B, 1, FIELD, FIELD) -log of the factor on weak details

    def times(
        self, strength: Tensor, *, moves: Tensor | None = None, detail: Tensor | None = None
    ) -> Difference:
        """Scaled by `strength` (B,); `moves` and `detail` (B,) scale these parts separately, if given."""
        each, moved, finer = (
            (strength if one is None else one)[:, None, None, None] for one in (strength, moves, detail)
        )
        return Difference(
            moves=self.moves * moved,
            shade=self.shade * each,
            detail=self.detail * finer,
            smooth=self.smooth * finer,
        )

    def warped(self, field: Tensor, left: Tensor | None = None) -> Change:
        """The change for faces registered by `field` (B, 2, FIELD, FIELD), the output of `RegistrationNet`;
        `left` is its `inverse`, where that is known.

        Place u of the mean face lies at u + field(u) in the face, and moves to u + field(u) + moves(u).
        """
        back = inverse(field + self.moves)
        # The error of the inversion is not ageing, so it is subtracted.
        left = inverse(field) if left is None else left
        flow = back + shift(field, back) - left - shift(field, left)
        return Change(
            flow=flow,
            shade=shift(self.shade, back),
            detail=shift(self.detail, back),
            smooth=shift(self.smooth, back),
        )


class MeanFaces(nn.Module):
    """Mean faces of D domains, three gender groups and `KNOTS` ages, their shapes, and the net that
    registers them to a face.

    A shape (2, FIELD, FIELD) is the mean displacement field of an age's faces. The difference of two shapes
    is the displacement from one age to the other.
    """

    def __init__(self, domains: int, size: int) -> None:
        super().__init__()
        self.registration = RegistrationNet()
        self.pictures = nn.Buffer(torch.zeros(domains, GROUPS, KNOTS, 3, size, size, dtype=torch.float16))
        self.shapes = nn.Buffer(torch.zeros(domains, GROUPS, KNOTS, 2, FIELD, FIELD))
        # The log of the mean strength of details.
        self.details = nn.Buffer(torch.zeros(domains, GROUPS, KNOTS, 1, FIELD, FIELD))
        self.main = nn.Buffer(torch.zeros((), dtype=torch.int64))  # index used for an unknown domain
        self.taught = nn.Buffer(torch.ones(domains))  # 1 for a domain that has ages of its own, else 0
        self.shown = nn.Buffer(torch.ones(1, 1, size, size))  # 1 where most faces have pixels, 0 where few
        eyes = torch.stack([oval(size, *eye, 0.5) for eye in _EYES]).sum(0).clamp(max=1)
        features = (eyes + oval(size, *_LIPS, 0.5)).clamp(max=1)
        face = oval(size, _FACE, _FACE_RADIUS, _FACE_EDGE)
        mouth = oval(size, _MOUTH, _MOUTH_RADIUS, _MOUTH_EDGE)
        self.face, self.eyes, self.features, self.mouth = (
            nn.Buffer(mask.clone(), persistent=False) for mask in (face, eyes, features, mouth)
        )

    def fill(
        self, pictures: Tensor, details: Tensor, shapes: Tensor, main: int, share: Tensor, taught: Tensor
    ) -> None:
        """Store mean faces (D, GROUPS, KNOTS, 3, S, S) in [-1, 1], the strength of their details
        (..., 1, S, S), and their shapes (..., 2, FIELD, FIELD).

        `share` (S, S) is the fraction of faces that have a pixel there; where few do, the mean is unreliable.
        `taught` (D,) says which domains had ages of their own.
        """
        self.pictures.copy_(pictures)
        self.shapes.copy_(shapes)
        strength = F.interpolate(details.flatten(0, 2), (FIELD // 2,) * 2, mode="area")
        strength = F.interpolate(strength, (FIELD, FIELD), mode="bilinear", align_corners=False)
        self.details.copy_(strength.clamp(min=1e-3).log().view_as(self.details))
        self.main.fill_(main)
        self.taught.copy_(taught)
        self.shown.copy_(_faded(share))

    def forward(self, years: Tensor, domain: Tensor, gender: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mean faces (B, 3, S, S), shapes (B, 2, FIELD, FIELD) and details (B, 1, FIELD, FIELD) for
        these labels."""
        domain = torch.where(domain == UNKNOWN, self.main, domain)
        gender = torch.where(gender == UNKNOWN, len(GENDERS), gender)
        place = years.nan_to_num(0.0).clamp(0.0, OLDEST) / KNOT
        low = place.long().clamp(max=KNOTS - 2)
        mix = (place - low)[:, None, None, None]
        picture, shape, detail = (
            torch.lerp(table[domain, gender, low].float(), table[domain, gender, low + 1].float(), mix)
            for table in (self.pictures, self.shapes, self.details)
        )
        return picture, shape, detail

    def places(self, images: Tensor, domain: Tensor) -> Tensor:
        """Registers the mean face to (B, 3, S', S') faces: displacement fields (B, 2, FIELD, FIELD).

        The field is zero in a domain with too few known ages of its own.
        """
        field: Tensor = self.registration(images)
        return field * self._taught(domain)

    def difference(
        self, own: Tensor, asked: Tensor, domain: Tensor, gender: Tensor, *, whole: bool = True
    ) -> Difference:
        """The difference between the mean faces of the ages `own` and `asked` (B,).

        A domain that has borrowed its ageing gets the shape alone: a photograph's cheek colours are smudges
        on a drawing. Unless the `whole` picture ages, only the face from chin to forehead does. Then its mean
        colour is kept, which depends on who is photographed at which age, and broad shading is reduced.
        """
        (here, shape_here, fine_here), (there, shape_there, fine_there) = (
            self(years, domain, gender) for years in (own, asked)
        )
        shown: Tensor = self.shown
        shade = there - here
        smooth = torch.zeros_like(fine_here)
        if not whole:
            shown = shown * self.face
            shade = self._of_age(shade, shown, (asked - own).sign()[:, None, None, None])
            younger = (own - asked).nan_to_num(0.0)[:, None, None, None]
            smooth = _SMOOTHER * (younger / _LINED).clamp(0, 1) * (1 - scaled(self.features, (FIELD, FIELD)))
        coarse = scaled(shown, (FIELD, FIELD))
        taught = self._taught(domain)
        return Difference(
            moves=(shape_there - shape_here) * coarse,
            shade=shade * shown * taught,
            detail=(fine_there - fine_here) * coarse * taught,
            smooth=smooth * coarse * taught,
        )

    def _of_age(self, shade: Tensor, shown: Tensor, way: Tensor) -> Tensor:
        """What of a shade (B, 3, S, S) on the face that `shown` (1, 1, S, S) masks is due to age.

        `way` (B, 1, 1, 1) is 1 as faces grow older and -1 as they grow younger.
        """
        older, younger = way > 0, way < 0
        shade = shade - (shade * shown).sum((2, 3), keepdim=True) / shown.sum().clamp(min=1)
        shade = shade * (1 - (1 - _LIVELY) * self.features)
        broad, smudge = (_broad(shade, shown, width) for width in (_BROAD, _SMUDGE))
        # Round cheeks are a child's own, so that only their hue is broad.
        shade = shade - (1 - _BROAD_SHARE) * torch.where(older, smudge, broad - luma(broad))
        light = luma(shade)
        darker = younger * (1 - self.eyes) * light.clamp(max=0)
        wanted = light * torch.where(older, _DEPTH, 1.0) - (1 - _DARKER) * darker
        return shade - light + wanted * (1 - (1 - _MOUTH_SHARE) * self.mouth)

    def _taught(self, domain: Tensor) -> Tensor:
        return self.taught[torch.where(domain == UNKNOWN, self.main, domain)][:, None, None, None]


def _broad(shade: Tensor, shown: Tensor, width: float) -> Tensor:
    """The part of a shade (B, 3, S, S) that varies slowly over the face, which `shown` (1, 1, S, S) masks.

    `width`, of the face's, is how far the filter reaches.
    """
    size = shade.shape[-1]
    total, weight = (
        smoothed(F.interpolate(each, (FIELD, FIELD), mode="area"), width * FIELD)
        for each in (shade * shown, shown)
    )
    return scaled(total / weight.clamp(min=_SEEN), (size, size))


def _faded(share: Tensor) -> Tensor:
    """(1, 1, S, S) mask with a soft edge further inside: a hard one shows as a line on the forehead."""
    size = share.shape[-1]
    soft = torch.from_numpy(cv2.GaussianBlur(share.numpy(), (0, 0), size / 32))
    shown = ((soft - _FEW) / (_MOST - _FEW)).clamp(0, 1)
    edge = size * _EDGE
    inside = cv2.erode(shown.numpy(), np.ones((round(edge) | 1,) * 2))
    return (torch.from_numpy(cv2.GaussianBlur(inside, (0, 0), 0.7 * edge)) * shown)[None, None]

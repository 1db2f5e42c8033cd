"""How a head grows and ages: cardioidal strain for the skull, laws of age for what lies on it.

The skull follows the revised cardioidal strain of Todd, Mark, Shaw and Pittenger ("The perception of human
growth", Scientific American 242, 1980; first form in Pittenger and Shaw, "Aging faces as viscal-elastic
events", J. Exp. Psychol. HPP 1, 1975): in polar coordinates about the middle of the braincase, with the
angle t measured from the vertical, R' = R (1 + k (1 - cos t)) and t' = t. What is below grows most, so a
child has a high forehead, a short face and wide eyes. Here it is applied in three dimensions.

Coordinates are millimetres of the adult head: x to the viewer's right, y down, z towards the viewer; the
adult's eyes are at (-31.5, 0, 75) and (31.5, 0, 75).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from nenrin.domains.twins.curves import Floats, bump, ramp
from nenrin.domains.twins.people import People, Rows

BRAINCASE = np.array([0, -35, 0], np.float32)  # origin of the strain
# Share of the growth of the face that is behind one, by age: fast at first, a spurt at puberty.
_YEARS = [0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 21]
_GROWN = [0, 0.12, 0.22, 0.36, 0.46, 0.54, 0.62, 0.71, 0.83, 0.92, 0.97, 1]
_STRAIN_AT_BIRTH = -0.215  # fits the face heights and eye distances of Farkas's tables within a few per cent


@dataclasses.dataclass(kw_only=True, slots=True)
class Age(Rows):
    """What age has done to N faces; (N,) float32, fractions in [0, 1] unless noted."""

    years: Floats
    grown: Floats  # share of the growth of the face that is behind one
    strain: Floats  # k of the cardioidal strain
    masculine: Floats  # how far puberty has set male and female faces apart: 0 or `grown` after it
    eyes: Floats  # opening of the eyes relative to an adult's, around 1
    iris: Floats  # size of the iris relative to an adult's
    puppy_fat: Floats
    sag: Floats
    gaunt: Floats
    fold: Floats  # depth of wrinkles
    pouch: Floats  # bags under the eyes
    thin_lips: Floats
    grey: Floats
    recede: Floats  # hairline
    cover: Floats  # how dense the hair is
    beard: Floats


def age_of(people: People, years: Floats) -> Age:
    """The state of N persons at `years` (N,)."""
    grown = np.interp(years, _YEARS, _GROWN).astype(np.float32)
    young = 1 - grown
    old = ramp(years, 25, 90)
    male = (people.gender == 1).astype(np.float32)
    puberty = ramp(years, 11, 18)
    own = 1 + 0.1 * people.wrinkling
    return Age(
        years=years,
        grown=grown,
        strain=_STRAIN_AT_BIRTH * young + 0.012 * old,
        masculine=(2 * male - 1) * puberty,
        # The eyeball is nearly full-grown at three, so in a small face the eyes are huge; lids droop later.
        eyes=1 + 0.46 * young + 0.1 * (1 - ramp(years, 0, 5)) - 0.38 * ramp(years, 26, 92),
        iris=1 + 0.42 * young,
        puppy_fat=np.power(1 - ramp(years, 0, 15), 1.2, dtype=np.float32),
        sag=ramp(years, 38, 92),
        gaunt=ramp(years, 22, 92),
        fold=np.clip(ramp(years, 23, 85) * own, 0, 1.2),
        pouch=np.clip(ramp(years, 28, 80) * own, 0, 1.2),
        thin_lips=ramp(years, 30, 85),
        grey=1 / (1 + np.exp(-(years - people.grey_onset) / 6.5)),
        recede=people.balding * ramp(years, 22, 68) * male,
        cover=ramp(years, 0, 4) * (1 - 0.45 * ramp(years, 55, 92)),
        beard=ramp(years, 16, 27) * male,
    )


def grow(points: Floats, people: People, age: Age, *, pointed: float = 0.0) -> Floats:
    """Adult template points (M, 3) or (N, M, 3) as they lie on N persons at their ages, (N, M, 3).

    Bone first (each person's own), then growth by strain, then the soft tissue. `pointed` > 0 draws the
    lower face towards a pointed chin, the convention of manga.
    """

    def own(values: Floats) -> Floats:
        return values[:, None]

    shape = (len(people), points.shape[-2])
    x, y, z = (np.broadcast_to(points[..., i], shape) for i in range(3))
    height = y
    low = ramp(y, 10, 105)
    jaw = low * low * (3 - 2 * low)
    side = np.abs(x) / 60
    male = own(age.masculine)
    chin = bump(y, 112, 22) * jaw
    width = 0.035 * own(people.face_width) + 0.012 * male
    width = width + jaw * (0.05 * own(people.jaw_width) + 0.05 * male - 0.02)
    width = width + chin * (0.09 * own(people.chin_width) + 0.06 * male)
    width = width + 0.045 * own(people.fat) * bump(y, 55, 45)
    x = x * (1 + width - pointed * (0.3 * jaw + 0.12 * chin + 0.06))
    midface = ramp(y, 0, 45)
    y = y + midface * 2.0 * own(people.midface) * (1 - 0.6 * jaw)
    longer = 3.0 * own(people.chin_length) + 2.5 * male - pointed * (26 - 14 * np.maximum(male, 0))
    y = np.add(y, ramp(y, 74, 108) * longer)
    y = y - ramp(-y, 30, 110) * 4.0 * own(people.forehead)

    y = y - BRAINCASE[1]
    radius = np.sqrt(x * x + y * y + z * z) + np.float32(1e-6)
    factor = 1 + own(age.strain) * (1 + y / radius)  # cos t = -y / R, for y points down
    x, y, z = x * factor, y * factor + BRAINCASE[1], z * factor

    # Soft tissue: round cheeks first, hollow ones and jowls later.
    side = np.minimum(side, 1)
    outer = side**1.5 * np.sign(x)
    cheek, jowl = bump(height, 54, 40), bump(height, 84, 20)
    x = x + outer * own(age.puppy_fat) * (12.5 - 4 * pointed) * cheek
    x = x + np.sign(x) * np.sqrt(side) * own(age.puppy_fat) * (8 - 8 * pointed) * bump(height, 94, 20)
    x = x + outer * (5.5 * own(age.sag) * jowl - 3.5 * own(age.gaunt) * bump(height, 44, 18))
    y = y + own(age.sag) * side * (7.0 * jowl + 3.0 * bump(height, 40, 24) + 3.0 * bump(height, -22, 10))
    return np.stack([x, y, z], axis=-1).astype(np.float32)

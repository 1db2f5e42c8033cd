"""The pictures to try: people drawn by a program, and scikit-image's astronaut. Made at the start."""

from __future__ import annotations

import numpy as np
from PIL import Image
from skimage import data

from nenrin.domains.face import GLASSES
from nenrin.domains.twins import draw, sample_people, sample_views

SEED = 11
SIZE = 256  # pixels


def draw_examples() -> dict[str, Image.Image]:
    """Name -> picture."""
    people, views = sample_people(2, seed=SEED), sample_views(2, seed=SEED)
    glasses = np.array([GLASSES.index("none"), GLASSES.index("clear")])
    ages = np.array([12, 35])
    found = {"astronaut": Image.fromarray(data.astronaut())}  # type: ignore[no-untyped-call]
    for domain in ("photo", "manga"):
        drawn = draw(people, ages, domain=domain, glasses=glasses, views=views, size=SIZE)
        found |= {
            f"twin, {domain}, {age} years": Image.fromarray(face)
            for age, face in zip(ages, drawn.images, strict=True)
        }
    return found

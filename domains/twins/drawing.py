"""Draw twins: any persons at any ages, in either domain."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.frame import LIFE, MANGA
from nenrin.domains.twins.growth import age_of
from nenrin.domains.twins.head import Head
from nenrin.domains.twins.manga import Manga
from nenrin.domains.twins.people import People, Rows, View
from nenrin.domains.twins.photo import Photo

Domain = Literal["photo", "manga"]
CHUNK = 256  # pictures whose curves are computed together: memory stays flat


@dataclasses.dataclass(kw_only=True, slots=True)
class Drawing(Rows):
    """N drawn faces."""

    images: NDArray[np.uint8]  # (N, S, S, 3) RGB
    points: NDArray[np.float32]  # (N, 5, 2) x, y in pixels, exact, in the order of POINTS


def draw(
    people: People,
    ages: NDArray[np.floating],
    *,
    domain: Domain,
    glasses: NDArray[np.integer],
    views: View,
    size: int,
) -> Drawing:
    """Draw N persons at `ages` (N,) years, wearing `glasses` (N,), indices into GLASSES.

    The pictures are `size` pixels wide, antialiased by drawing at twice that, and aligned: the eyes and the
    middle of the mouth lie at the template's in both domains. The same arguments give the same pixels.
    """
    years = np.asarray(ages, np.float32)
    worn = np.asarray(glasses, np.int64)
    count = len(people)
    images = np.empty((count, size, size, 3), np.uint8)
    points = np.empty((count, 5, 2), np.float32)
    for start in range(0, count, CHUNK):
        rows = slice(start, min(start + CHUNK, count))
        some = people[rows]
        style, painter = (LIFE, Photo) if domain == "photo" else (MANGA, Manga)
        head = Head(some, age_of(some, years[rows]), views[rows], style)
        points[rows] = head.points() * size
        pictures = painter(head, worn[rows], 2 * size)
        for i in range(len(some)):
            pictures.paint(i, images[start + i])
    return Drawing(images=images, points=points)

"""Put drawn glasses on any aligned face, so that it is had with and without them."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.frame import LIFE, MANGA, Proportions
from nenrin.domains.twins.glasses import DARK, Glasses, Look
from nenrin.domains.twins.glasses import MANGA as INKED
from nenrin.domains.twins.glasses import PHOTO as SHADED
from nenrin.domains.twins.growth import age_of
from nenrin.domains.twins.head import Head
from nenrin.domains.twins.people import sample_people, sample_views
from nenrin.domains.twins.raster import shrink
from nenrin.domains.twins.tones import colours

# How far the twins' poses are brought back: alignment has levelled the face, and its turn is unknown.
_FRONTAL = 0.5
# Photographed rims may be as thin as a wire.
_WIRE = dataclasses.replace(SHADED, rim=0.05, wire=1.3)
_STYLES: tuple[tuple[Proportions, Look], ...] = ((LIFE, SHADED), (LIFE, _WIRE), (MANGA, INKED))
_THIN = 0.25  # share of wires among photographed rims
_FAINTEST = 0.8  # light, skin and the camera let rims through: how much of clear ones is left, at least
_AGE = 30.0  # years: by then a head is grown


def wear(
    images: NDArray[np.uint8],
    glasses: NDArray[np.integer],
    *,
    manga: NDArray[np.bool_],
    seed: int,
    alike: bool = False,
) -> NDArray[np.uint8]:
    """Faces (N, S, S, 3), aligned to the template, with `glasses` (N,), indices into GLASSES, drawn on them.

    Rims, lenses and gleam are those of N twins drawn from the seed, or all those of one of them (`alike`),
    with manga proportions where `manga` (N,) says so. A face that is to wear none stays as it is.
    """
    size = images.shape[1]
    count = 1 if alike else len(images)
    people, views = sample_people(count, seed=seed), sample_views(count, seed=seed)
    level = np.zeros(count, np.float32)
    people = dataclasses.replace(people, eye_spacing=level, eye_height=level)  # the template's eyes
    views = dataclasses.replace(views, yaw=_FRONTAL * views.yaw, pitch=_FRONTAL * views.pitch, roll=level)
    age = age_of(people, np.full(count, _AGE, np.float32))
    rims = colours(people.rim_colour)
    pairs = [Glasses(Head(people, age, views, style), 2 * size, look, colour=rims) for style, look in _STYLES]
    rng = np.random.default_rng([seed, 1])
    style = np.where(manga, 2, (rng.random(count) < _THIN) & (not alike))
    faint = np.ones(1) if alike else rng.uniform(_FAINTEST, 1, count)
    shown = np.where(manga | (glasses == DARK), 1.0, faint).astype(np.float32)
    worn = images.copy()
    for i in np.flatnonzero(glasses):
        large = cv2.resize(images[i], (2 * size, 2 * size), interpolation=cv2.INTER_LINEAR)
        canvas = large.copy()
        pairs[int(style[i])].paint(0 if alike else int(i), canvas, int(glasses[i]), temples=True)
        canvas = cv2.addWeighted(canvas, float(shown[i]), large, 1 - float(shown[i]), 0)
        shrink(canvas, worn[i])
        # Enlarging and shrinking softens a picture a little: all but the glasses is put back.
        touched = (canvas != large).any(axis=2).reshape(size, 2, size, 2).any(axis=(1, 3))
        worn[i] = np.where(touched[..., None], worn[i], images[i])
    return worn

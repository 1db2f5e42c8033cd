"""Pairs of faces with and without glasses, from which a net learns to take glasses off.

Glasses are drawn (`domains/eyewear.py`), or copied from people who wear some: an ager takes them off, and
what it changed most is cut out and laid on other faces. Even a bad cutout teaches the right result, because
the target of the pair is a face that never wore glasses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.eyewear import put_on_any
from nenrin.domains.face import GLASSES, Face
from nenrin.domains.twins import wear
from nenrin.models.ager import Ager
from nenrin.models.condition import UNKNOWN
from nenrin.models.made import Originals
from nenrin.models.samples import to_tensor

NONE = GLASSES.index("none")
_PLAIN = 11  # seed of a round black pair: a net that learns to draw all pairs would draw their blurred mean
_KINDS = (0.6, 0.4)  # probabilities of clear and of dark ones
_NOTHING, _ALL = 0.07, 0.21  # of the range of 2: the mask is 0 where less changed, 1 where more did
_WITHIN = (0.15, 0.78)  # of the face's height: changes outside are not glasses
_FOREIGN = 0.5  # probability that a drawn face gets a photograph's glasses, or other colours


@dataclasses.dataclass(kw_only=True, slots=True)
class Cutouts:
    """Glasses of N people."""

    pixels: NDArray[np.uint8]  # (N, S, S, 3)
    cover: NDArray[np.float32]  # (N, S, S), 1 where the glasses are
    drawn: NDArray[np.bool_]  # (N,)

    def put_on(self, face: NDArray[np.uint8], rng: np.random.Generator, *, drawn: bool) -> NDArray[np.uint8]:
        """A face (S, S, 3), photographed or drawn, with another's glasses on it, slightly moved at random."""
        free = drawn and rng.random() < _FOREIGN
        own = np.flatnonzero(self.drawn == drawn)
        i = int(rng.choice(len(self.drawn) if free or not len(own) else own))
        pixels, cover, size = self.pixels[i], self.cover[i], face.shape[0]
        if drawn and rng.random() < _FOREIGN:
            pixels = _recoloured(pixels, rng)
        if rng.random() < 0.5:
            pixels, cover = pixels[:, ::-1], cover[:, ::-1]
        moved = cv2.getRotationMatrix2D((size / 2, 0.43 * size), rng.normal(0, 2), rng.normal(1, 0.05))
        moved = moved + np.pad(rng.normal(0, size / 80, (2, 1)), ((0, 0), (2, 0)))
        pixels, cover = (
            cv2.warpAffine(np.ascontiguousarray(part), moved, (size, size), borderMode=border)
            for part, border in ((pixels, cv2.BORDER_REPLICATE), (cover, cv2.BORDER_CONSTANT))
        )
        share = cover[..., None]
        worn = face + share * (pixels.astype(np.float32) - face)
        return worn.round().clip(0, 255).astype(np.uint8)


def cut_out(ager: Ager, wearers: Originals) -> Cutouts:
    """The wearers' glasses, masked by what the ager changes when it takes them off."""
    bare = wearers.labels.replace(glasses=wearers.labels.glasses * 0 + NONE)
    changed = (ager.transform(wearers.images, wearers.labels, bare) - wearers.images).abs().amax(1).numpy()
    cover = ((changed - _NOTHING) / (_ALL - _NOTHING)).clip(0, 1) * wearers.shown
    size = ager.size
    cover[:, : round(_WITHIN[0] * size)] = cover[:, round(_WITHIN[1] * size) :] = 0
    for each in cover:
        closed = cv2.morphologyEx(each, cv2.MORPH_CLOSE, np.ones((3, 3)))
        each[:] = cv2.GaussianBlur(cv2.dilate(closed, np.ones((2, 2))), (0, 0), size / 128)
    return Cutouts(pixels=wearers.pixels, cover=cover.astype(np.float32), drawn=wearers.drawn)


def reads_bare(ager: Ager, faces: Originals) -> NDArray[np.bool_]:
    """(N,) whether faces wear none: by their labels, else by reading both the face and its mirror image."""
    mirrored = ager.estimate(to_tensor(np.ascontiguousarray(faces.pixels[:, :, ::-1]))).glasses
    return ((faces.labels.glasses == NONE) & ((faces.told != UNKNOWN) | (mirrored == NONE))).numpy()


def worn(
    faces: Originals,
    bare: NDArray[np.bool_],
    cutouts: Cutouts | None,
    each: int,
    rng: np.random.Generator,
) -> Iterator[Face]:
    """Yields each bare face, the same with the plain pair, and `each` times with any other pair.

    The kind of the others stays unlabelled, so that no net learns to draw them. If there are `cutouts`, every
    second one is cut out of another person's picture.
    """
    count = len(faces)
    kinds = rng.choice([1, 2], size=(each + 1, count), p=_KINDS)
    plain = wear(faces.pixels, kinds[0], manga=faces.manga, seed=_PLAIN, alike=True)
    told = faces.labels.replace(glasses=faces.labels.glasses.new_tensor(kinds[0]))
    untold = faces.labels.replace(glasses=faces.labels.glasses * 0 + UNKNOWN)
    for i in np.flatnonzero(bare).tolist():
        yield faces.row(i)
        yield faces.made(i, plain[i], told)
    for number in range(each):
        any_kind = put_on_any(faces.pixels, kinds[number + 1], rng)
        for i in np.flatnonzero(bare).tolist():
            drawn = any_kind[i]
            if cutouts is not None and (number + each) % 2:  # a single one too
                drawn = cutouts.put_on(faces.pixels[i], rng, drawn=bool(faces.drawn[i]))
            yield faces.made(i, drawn, untold)


def _recoloured(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    hsv: NDArray[np.float32] = np.asarray(
        cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2HSV), np.float32
    )
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 180)) % 180
    hsv[..., 1] *= rng.uniform(0.3, 1.6)
    hsv[..., 2] = hsv[..., 2] * rng.uniform(0.6, 1.2) + rng.normal(0, 15)
    return np.asarray(cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)

"""Grows seeds of hair in a head's wide view by GrabCut (Rother et al. 2004), and rejects what has leaked.

A net learns more from a few hundred masks that are right than from thousands that may be. So hair that
merges with what is behind it is no label, nor is what does not cover the crown.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.align import cut, similarity
from nenrin.models.hair import SIDE
from nenrin.models.hairnet import LEFT, SQUARE, TOP, VIEW

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

LEAK, LEAK_DRAWN, LEAK_AGAIN = 0.06, 0.16, 0.10  # of the outline on no edge: more is a leak; see `_leaked`
_UNIT = SIDE / VIEW * SQUARE  # pixels of the view for the aligned square's side
_HAIR, _PERHAPS = 0.75, 0.3  # of the level of what was found: from here it is a seed; it may be hair
_BARE = 0.15  # of the level: below, face and neck are skin
_SURELY, _LIKELY, _NOT = 0.85, 0.35, 0.04  # a net's probability: above it is a seed; it may be; it is none
_SEEDS, _SEEDS_AGAIN = 20, 61  # pixels of the view: fewer seeds, or so few of all else, tell no colours
_SQUARE = 0.44  # half the width of the aligned square within which what was found is trusted
_RIM = 4  # pixels of the view: width of the border of what is looked at, which is no hair
_BELOW = 0.7  # of the square's side: hair may hang over that border from here on
_ROUNDS = 3  # of GrabCut
_STEP = 0.12  # of the range of 1, in square roots: an edge between hair and what is behind it has more
_LEAK_INSIDE = 0.35  # of the outline within the face on no edge: more is a leak
_REACHED, _SIDE = 0.6, 0.6  # of the border, and of either side of what is looked at: likewise
_CROWN = 0.25  # of the crown: less is covered on the bald and under hats, where the wall was found


def _oval(centre: tuple[float, float], half: tuple[float, float]) -> Bools:
    inside: Bools = ((_X - centre[0]) / half[0]) ** 2 + ((_Y - centre[1]) / half[1]) ** 2 < 1
    return inside


# The view's pixel centres, in sides of the aligned square, and parts of the view.
_AT = (np.arange(SIDE, dtype=np.float32) + 0.5) / _UNIT
_X, _Y = np.meshgrid(_AT - LEFT, _AT - TOP)
_AROUND = np.abs(_X - 0.5)
_WITHIN = np.maximum(_AROUND, np.abs(_Y - 0.5)) < _SQUARE
_LIMIT = _oval((0.5, 0.4), (0.82, 0.85)) | ((_AROUND < 0.78) & (_Y > 0.4))  # no hair is beyond
_USUAL = _oval((0.5, 0.45), (0.62, 0.68)) | ((_AROUND < 0.62) & (_Y > 0.45))  # little hair is beyond
_CLOSE = _oval((0.5, 0.42), (0.47, 0.55))  # what was found further out may be of the wall
_SKIN = _oval((0.5, 0.6), (0.27, 0.33)) | ((_AROUND < 0.17) & (_Y > 0.7))  # face and neck
_FACE = _oval((0.5, 0.56), (0.34, 0.42))
_SIDES = tuple((_Y > -0.2) & (_Y < 0.9) & beyond for beyond in (_X < 0.02, _X > 0.98))
_OVER = (_AROUND < 0.22) & (np.abs(_Y + 0.02) < 0.1)  # the crown


def view(picture: Image.Image, points: Floats) -> tuple[Bytes, Bools]:
    """The wide view (SIDE, SIDE, 3) of the face with those points (5, 2) in an RGB picture, and where in it
    the picture has pixels."""
    matrix = similarity(points[None], 1)[0].astype(np.float64)
    matrix[:, 2] += LEFT, TOP
    return cut(picture, (matrix * _UNIT).astype(np.float32), SIDE)


def grown(pixels: Bytes, inside: Bools, light: Floats, leak: float) -> Bools | None:
    """(SIDE, SIDE) what is hair in a view, from the `seeds` (S, S) of its square; None if there are too few
    or if it leaked."""
    found, own = laid(light), inside & _LIMIT
    marks = np.full(found.shape, cv2.GC_PR_BGD, np.uint8)
    marks[_WITHIN & (found > _PERHAPS)] = cv2.GC_PR_FGD
    marks[_eroded(_WITHIN & (found > _HAIR)) & _CLOSE & own] = cv2.GC_FGD
    marks[(_SKIN & (found < _BARE)) | _border(own) | ~own] = cv2.GC_BGD
    hair = _cut_out(pixels, inside, marks, _SEEDS)
    if hair is None:
        return None
    _, pieces = cv2.connectedComponents(hair.astype(np.uint8))
    hair &= np.isin(pieces, pieces[(marks == cv2.GC_FGD) & hair])
    if _crowned(inside):  # a piece apart is of the wall or of a coat
        hair &= np.isin(pieces, pieces[_OVER & hair])
    return None if _leaked(pixels, inside, hair, leak) else hair


def grown_again(pixels: Bytes, inside: Bools, chance: Floats) -> Bools | None:
    """The same from a net's probability (SIDE, SIDE) of hair in the whole view."""
    marks = np.full(chance.shape, cv2.GC_PR_BGD, np.uint8)
    marks[chance > _LIKELY] = cv2.GC_PR_FGD
    marks[chance > _SURELY] = cv2.GC_FGD
    marks[(chance < _NOT) | ~(inside & _LIMIT)] = cv2.GC_BGD
    hair = _cut_out(pixels, inside, marks, _SEEDS_AGAIN)
    return None if hair is None or _leaked(pixels, inside, hair, LEAK_AGAIN) else hair


def laid(light: Floats) -> Floats:
    """(SIDE, SIDE) seeds (S, S) of the square in the view, 1 at their level: their mean, weighted by them."""
    scale = _UNIT / len(light)
    matrix = np.asarray([[scale, 0, LEFT * _UNIT], [0, scale, TOP * _UNIT]])
    matrix[:, 2] += 0.5 * scale - 0.5
    level = float((light**2).sum()) / max(float(light.sum()), 1e-6)
    found: Floats = cv2.warpAffine(light / max(level, 1e-6), matrix, (SIDE, SIDE)).astype(np.float32)
    return found


def _border(own: Bools) -> Bools:
    """The border of what is looked at, where it is further out than most hair."""
    border: Bools = own & ~_eroded(own, _RIM) & ~_USUAL & (_Y < _BELOW)
    return border


def _cut_out(pixels: Bytes, inside: Bools, marks: Bytes, least: int) -> Bools | None:
    """What GrabCut makes of marks (SIDE, SIDE); None if fewer than `least` are seeds, or too few no hair."""
    if (marks == cv2.GC_FGD).sum() < least or (marks[inside] % 2 == cv2.GC_BGD).sum() < _SEEDS:
        return None
    # Only what the picture has: grey beyond it would be a colour of the background.
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    picture, mask = (np.ascontiguousarray(whole[part]) for whole in (_roots(pixels), marks))
    models = np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)  # the same hair each time
    cv2.grabCut(picture, mask, (0, 0, 0, 0), models[0], models[1], _ROUNDS, cv2.GC_INIT_WITH_MASK)
    hair = np.zeros_like(inside)
    hair[part] = (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)
    return hair


def _leaked(pixels: Bytes, inside: Bools, hair: Bools, leak: float) -> bool:
    """Whether what was grown is no hair: it ends where there is no edge, or is not where hair is."""
    own = inside & _LIMIT
    border = _border(own)
    outline = hair & ~_eroded(hair) & _eroded(inside, 2)
    smooth = cv2.GaussianBlur(_roots(pixels), (0, 0), 1.0)
    edges = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)).max(-1)
    none = edges < 255 * _STEP
    nearby = cv2.dilate(border.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool) & inside & ~border
    edge = own & ~_eroded(own, _RIM)
    return bool(
        _share(none, outline & ~_FACE) > leak
        or _share(none, outline & _FACE) > _LEAK_INSIDE
        or _share(hair, nearby) > _REACHED
        or any(_share(hair, edge & side) > _SIDE for side in _SIDES)
        or (_crowned(inside) and _share(hair, _OVER & inside) < _CROWN)
    )


def _crowned(inside: Bools) -> bool:
    """Whether the picture shows most of where hair covers the crown."""
    return _share(inside, _OVER) > 0.5


def _share(of: Bools, where: Bools) -> float:
    return float(of[where].mean()) if where.any() else 0.0


def _eroded(mask: Bools, times: int = 1) -> Bools:
    """What is not within so many pixels of where (H, W) is not set, or of its border."""
    padded = np.pad(mask, times).astype(np.uint8)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=times)
    return eroded[times:-times, times:-times].astype(bool)


def _roots(pixels: Bytes) -> Bytes:
    """Square roots of colours, 0 to 255: dark hair before a black wall differs more in them."""
    return (np.sqrt(pixels.astype(np.float32) / 255) * 255).astype(np.uint8)

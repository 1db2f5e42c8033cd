"""Where a face's hair is in its whole picture: the square that the ager sees ends above the forehead.

What `greying` finds in that square is the seed. GrabCut (Rother et al. 2004) grows it along the colours and
edges of a wider view, and a guided filter (He et al. 2013) makes its edge as fine as the picture's own. Hair
that merges with what is behind it is not told, nor is what does not cover the crown: a grey cloud on a wall
is worse than hair that keeps its colour.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nenrin.domains.align import cut, similarity, transform

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

SIDE = 192  # pixels of the view that hair is looked for in
_WIDE, _LEFT, _TOP = 2.4, 0.7, 0.5  # sides of the aligned square: width of the view, and what it has beyond
_UNIT = SIDE / _WIDE  # pixels of the view for the aligned square's side
_HAIR, _PERHAPS = 0.75, 0.3  # of the level of grey: from here it is a seed; it may be hair
_SEEDS = 20  # pixels of the view: fewer of hair, or of all else, do not tell their colours
_BARE = 0.15  # of the level: below, face and neck are skin
_SQUARE = 0.44  # half the width of the aligned square within which grey is trusted
_RIM = 4  # pixels of the view: width of the border of what is looked at, which is no hair
_BELOW = 0.7  # of the square's side: hair may hang over that border from here on
_ROUNDS = 3  # of GrabCut
_STEP = 0.12  # of the range of 1, in square roots: an edge between hair and what is behind it has more
_LEAK, _LEAK_DRAWN = 0.06, 0.16  # of the outline of hair on no edge: more is a leak, also in drawings ...
_LEAK_INSIDE = 0.35  # ... and of its part within the face
_REACHED, _SIDE = 0.6, 0.6  # of the border, and of either side of what is looked at: likewise
_CROWN = 0.25  # of the crown: less is covered on the bald and under hats, where grey is of the wall
_NEAR, _FLAT = 4, 3e-3  # pixels of the view, and variance of colour: radius and smoothness of the edge
_EDGE = 3  # pixels of the view: how far single hairs are looked for beyond what was grown
_TRACE = 0.1  # a share of less than this counts as none, and of less than this from all as all
_FADE = 8  # pixels of the view: within so many from the limit, grey ends


def _grid() -> tuple[Floats, Floats]:
    """The view's pixel centres, x and y, in sides of the aligned square."""
    at = (np.arange(SIDE, dtype=np.float32) + 0.5) / _UNIT
    x, y = np.meshgrid(at - _LEFT, at - _TOP)
    return x, y


def _oval(centre: tuple[float, float], half: tuple[float, float]) -> Bools:
    inside: Bools = ((_X - centre[0]) / half[0]) ** 2 + ((_Y - centre[1]) / half[1]) ** 2 < 1
    return inside


_X, _Y = _grid()
_MIDDLE = 0.5, 0.42  # of a head
_AROUND = np.abs(_X - 0.5)
_WITHIN = np.maximum(_AROUND, np.abs(_Y - 0.5)) < _SQUARE
_LIMIT = _oval((0.5, 0.4), (0.82, 0.85)) | ((_AROUND < 0.78) & (_Y > 0.4))  # no hair is beyond
_USUAL = _oval((0.5, 0.45), (0.62, 0.68)) | ((_AROUND < 0.62) & (_Y > 0.45))  # little hair is beyond
_CLOSE = _oval(_MIDDLE, (0.47, 0.55))  # what grey lies further out may be of the wall
_SKIN = _oval((0.5, 0.6), (0.27, 0.33)) | ((_AROUND < 0.17) & (_Y > 0.7))  # face and neck
_FACE = _oval((0.5, 0.56), (0.34, 0.42))
_SIDES = tuple((_Y > -0.2) & (_Y < 0.9) & beyond for beyond in (_X < 0.02, _X > 0.98))
_OVER = (_AROUND < 0.22) & (np.abs(_Y + 0.02) < 0.1)  # the crown


@dataclasses.dataclass(kw_only=True, slots=True)
class Hair:
    """Where one face's hair is, at any resolution."""

    matrix: NDArray[np.float64]  # (2, 3), from the picture to the view
    share: Floats  # (SIDE, SIDE, 4) slopes of hair's share for the roots of a pixel's colour, and an offset
    box: tuple[int, int, int, int]  # left, top, right, bottom in the picture: there is none outside

    def of(self, pixels: NDArray[np.uint8], left: int, top: int) -> Floats:
        """Hair's share (H, W) of the picture's pixels (H, W, 3) from a corner on."""
        matrix = self.matrix.copy()
        matrix[:, 2] += matrix[:, :2] @ (left + 0.5, top + 0.5) - 0.5  # OpenCV counts from pixel centres
        size = pixels.shape[1], pixels.shape[0]
        linear = cv2.warpAffine(self.share, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        share: Floats = (linear[..., :3] * _roots(pixels)).sum(-1) + linear[..., 3]
        return ((share - _TRACE) / (1 - 2 * _TRACE)).clip(0, 1)


def level(grey: Tensor) -> float:
    """How much lighter hair becomes where (1, 1, S, S) `Change.grey` takes it for hair; 0 if nowhere."""
    return float(grey.square().sum() / grey.sum().clamp(min=1e-6))


def hair(
    picture: Image.Image, points: Floats, grey: Tensor, others: Sequence[Floats] = (), *, drawn: bool = False
) -> Hair | None:
    """The hair of the face with those points (5, 2) in an RGB picture; None if it cannot be told.

    `grey` (1, 1, S, S) is what `greying` found in the aligned square, and `others` are the points of other
    faces, whose hair it is not. Black strands of a drawn head may touch a black ground, a photograph's should
    not: there it is a wall.
    """
    matrix = similarity(points[None], 1)[0].astype(np.float64)
    matrix[:, 2] += _LEFT, _TOP
    matrix *= _UNIT
    pixels, inside = cut(picture, matrix.astype(np.float32), SIDE)
    nearest = _nearest(matrix, others)
    grown = _grown(pixels, inside & nearest, _found(grey), _LEAK_DRAWN if drawn else _LEAK)
    if grown is None:
        return None
    share = _edged(pixels, inside, grown, _LIMIT & nearest)
    rows, columns = (np.flatnonzero(share.any((axis, 2))) for axis in (1, 0))
    corners = [(x, y, 1) for x in (columns[0] - 1, columns[-1] + 2) for y in (rows[0] - 1, rows[-1] + 2)]
    there = np.asarray(corners) @ cv2.invertAffineTransform(matrix).T
    left, top = np.floor(there.min(0)).clip(0).astype(int)
    right, bottom = np.ceil(there.max(0)).astype(int)
    box = left, top, min(right, picture.width), min(bottom, picture.height)
    return Hair(matrix=matrix, share=share, box=box)


def _nearest(matrix: NDArray[np.float64], others: Sequence[Floats]) -> Bools:
    """(SIDE, SIDE) where the view's own head is nearer than any of the others, each by its own size."""
    own = (_X - _MIDDLE[0]) ** 2 + (_Y - _MIDDLE[1]) ** 2
    nearest = np.ones_like(own, bool)
    for points in others:
        there = similarity(transform(matrix.astype(np.float32)[None], points[None]), 1)[0]
        view = np.stack([_X + _LEFT, _Y + _TOP], -1) * _UNIT
        x, y = np.moveaxis(view @ there[:, :2].T + there[:, 2], -1, 0)  # in the other's square
        nearest &= own < (x - _MIDDLE[0]) ** 2 + (y - _MIDDLE[1]) ** 2
    return nearest


def _found(grey: Tensor) -> Floats:
    """(SIDE, SIDE) `Change.grey` (1, 1, S, S) in the view, 1 at its level."""
    scale = _UNIT / grey.shape[-1]
    matrix = np.asarray([[scale, 0, _LEFT * _UNIT], [0, scale, _TOP * _UNIT]])
    matrix[:, 2] += 0.5 * scale - 0.5
    relative = grey[0, 0].numpy() / max(level(grey), 1e-6)
    found: Floats = cv2.warpAffine(relative, matrix, (SIDE, SIDE)).astype(np.float32)
    return found


def _grown(pixels: NDArray[np.uint8], inside: Bools, found: Floats, leak: float) -> Bools | None:
    """(SIDE, SIDE) what is hair in the view; None if there are no seeds or if it leaked.

    `inside` (SIDE, SIDE) is set where the picture has pixels that are nearest to this head. `leak` is the
    share of the outline that may be on no edge.
    """
    own = inside & _LIMIT
    seeds = _eroded(_WITHIN & (found > _HAIR)) & _CLOSE & own
    border = own & ~_eroded(own, _RIM) & ~_USUAL & (_Y < _BELOW)
    marks = np.full(found.shape, cv2.GC_PR_BGD, np.uint8)
    marks[_WITHIN & (found > _PERHAPS)] = cv2.GC_PR_FGD
    marks[seeds] = cv2.GC_FGD
    marks[(_SKIN & (found < _BARE)) | border | ~own] = cv2.GC_BGD
    if min(seeds.sum(), (marks[inside] % 2 == cv2.GC_BGD).sum()) < _SEEDS:  # nothing to begin with
        return None
    # Only what the picture has: grey beyond it would be a colour of the background.
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    roots = (_roots(pixels) * 255).astype(np.uint8)
    mask, models = np.ascontiguousarray(marks[part]), np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)  # the same hair each time
    picture = np.ascontiguousarray(roots[part])
    cv2.grabCut(picture, mask, (0, 0, 0, 0), models[0], models[1], _ROUNDS, cv2.GC_INIT_WITH_MASK)
    grown = np.zeros_like(seeds)
    grown[part] = (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)
    _, pieces = cv2.connectedComponents(grown.astype(np.uint8))
    grown &= np.isin(pieces, pieces[seeds & grown])
    if _crowned(inside):  # a piece apart is of the wall or of a coat
        grown &= np.isin(pieces, pieces[_OVER & grown])
    return None if _leaked(grown, inside, own, border, roots, leak) else grown


def _leaked(
    grown: Bools, inside: Bools, own: Bools, border: Bools, roots: NDArray[np.uint8], leak: float
) -> bool:
    """Whether what was grown is no hair: it ends where there is no edge, or is not where hair is."""
    outline = grown & ~_eroded(grown) & _eroded(inside, 2)
    smooth = cv2.GaussianBlur(roots, (0, 0), 1.0)
    edges = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)).max(-1)
    none = edges < 255 * _STEP
    nearby = cv2.dilate(border.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool) & inside & ~border
    edge = own & ~_eroded(own, _RIM)
    return bool(
        _share(none, outline & ~_FACE) > leak
        or _share(none, outline & _FACE) > _LEAK_INSIDE
        or _share(grown, nearby) > _REACHED
        or any(_share(grown, edge & side) > _SIDE for side in _SIDES)
        or (_crowned(inside) and _share(grown, _OVER & inside) < _CROWN)
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


def _edged(pixels: NDArray[np.uint8], inside: Bools, grown: Bools, room: Bools) -> Floats:
    """`Hair.share` (SIDE, SIDE, 4): linear in colour about each pixel, as the guided filter has it.

    Its coefficients can be enlarged: the picture's own pixels then give the edge (He and Sun 2015).
    """
    window = (2 * _NEAR + 1, 2 * _NEAR + 1)
    weight = inside.astype(np.float32)[..., None]
    around = cv2.blur(weight, window)[..., None].clip(1e-3)

    def mean(values: Floats) -> Floats:
        """Mean of (SIDE, SIDE, C) within a window about each pixel, of what the picture has."""
        blurred: Floats = cv2.blur(values * weight, window).reshape(values.shape) / around
        return blurred

    guide, mask = _roots(pixels), grown.astype(np.float32)[..., None]
    colour, share = mean(guide), mean(mask)
    with_mask = mean(guide * mask) - colour * share
    products = (guide[..., :, None] * guide[..., None, :]).reshape(SIDE, SIDE, 9)
    spread = mean(products).reshape(SIDE, SIDE, 3, 3) - colour[..., :, None] * colour[..., None, :]
    slopes = np.linalg.solve(spread + _FLAT * np.eye(3, dtype=np.float32), with_mask[..., None])[..., 0]
    linear = mean(np.concatenate([slopes, share - (slopes * colour).sum(-1, keepdims=True)], -1))
    # Exactly 0 further from hair, where colours may be like it, and falling to 0 at the limit.
    reached = cv2.dilate(grown.astype(np.uint8), np.ones((2 * _EDGE + 1, 2 * _EDGE + 1), np.uint8))
    far = cv2.distanceTransform(np.pad(room, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    edged: Floats = linear * ((far / _FADE).clip(0, 1) * reached)[..., None]
    return edged


def _roots(pixels: NDArray[np.uint8]) -> Floats:
    """Square roots of colours, 0 to 1: dark hair before a black wall differs more in them."""
    return np.sqrt(pixels.astype(np.float32) / 255)

"""Where a face's hair is in its whole picture: the square that the ager sees ends above the brow.

`HairNet` finds it in a wider view, and a guided filter (He et al. 2013) makes its edge as fine as the
picture's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.align import cut, similarity, transform
from nenrin.models.hairnet import LEFT, SQUARE, TOP, VIEW, HairNet
from nenrin.models.samples import to_tensor

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

SIDE = 2 * VIEW  # pixels of the view whose edges are followed
_UNIT = 2 * SQUARE  # pixels of it for the aligned square's side
_LEAST = 20  # pixels of it: less hair than this is none
_NEAR, _FLAT = 4, 3e-3  # pixels of it, and variance of colour: radius and smoothness of the edge
_TRACE = 0.1  # a share of less than this counts as none, and of less than this from all as all
_EDGE = 3  # pixels of it: the edge reaches so far at most
_FADE = 8  # pixels of it: grey fades within so many from another's head and from the view's border


def _grid() -> tuple[Floats, Floats]:
    """The view's pixel centres, x and y, in sides of the aligned square."""
    at = (np.arange(SIDE) + 0.5) / _UNIT
    x, y = np.meshgrid(at - LEFT, at - TOP)
    return x.astype(np.float32), y.astype(np.float32)


_X, _Y = _grid()
_MIDDLE = 0.5, 0.42  # of a head
_MOUTH = 0.7  # from the top of the aligned square


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


def hair(
    net: HairNet,
    picture: Image.Image,
    points: Floats,
    others: Sequence[Floats] = (),
    *,
    seen: Floats | None = None,
) -> Hair | None:
    """The hair of the face with those points (5, 2) in an RGB picture; None if there is none.

    `others` are the points of other faces, whose hair it is not. `seen` (S, S) is hair's share in the aligned
    square of a drawing, of which more is known than the net knows.
    """
    matrix = similarity(points[None], 1)[0].astype(np.float64)
    matrix[:, 2] += LEFT, TOP
    matrix *= _UNIT
    pixels, inside = cut(picture, matrix.astype(np.float32), SIDE)
    nearest = _nearest(matrix, others)
    found = _found(net, pixels, inside, drawn=seen is not None) * nearest
    if seen is not None:
        found = np.maximum(found, _laid(seen) * nearest)
    found = _grown(found)
    if found.sum() < _LEAST:
        return None
    share = _edged(pixels, inside, found, nearest)
    rows, columns = (np.flatnonzero(share.any((axis, 2))) for axis in (1, 0))
    corners = [(x, y, 1) for x in (columns[0] - 1, columns[-1] + 2) for y in (rows[0] - 1, rows[-1] + 2)]
    there = np.asarray(corners) @ cv2.invertAffineTransform(matrix).T
    left, top = np.floor(there.min(0)).clip(0).astype(int)
    right, bottom = np.ceil(there.max(0)).astype(int)
    box = left, top, min(right, picture.width), min(bottom, picture.height)
    return Hair(matrix=matrix, share=share, box=box)


@torch.no_grad()
def _found(net: HairNet, pixels: NDArray[np.uint8], inside: Bools, *, drawn: bool) -> Floats:
    """(SIDE, SIDE) what the net takes for hair in the view."""
    size = (VIEW, VIEW)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    seen = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    images, known = to_tensor(np.asarray(small, np.uint8)[None]), torch.from_numpy(seen)[None, None]
    share = net.view(images, known, drawn=drawn)[0, 0].numpy()
    return np.asarray(cv2.resize(share, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.float32)


def _grown(found: Floats) -> Floats:
    """What is found without patches that no hair leads to, as on clothes: hair begins above the mouth."""
    _, labels, boxes, _ = cv2.connectedComponentsWithStats((found > 0).astype(np.uint8))
    begins = (boxes[:, cv2.CC_STAT_TOP] + 0.5) / _UNIT - TOP < _MOUTH
    grown: Floats = found * begins[labels]
    return grown


def _laid(seen: Floats) -> Floats:
    """(SIDE, SIDE) a map of the square (S, S) in the view."""
    scale = _UNIT / len(seen)
    matrix = np.asarray([[scale, 0, LEFT * _UNIT], [0, scale, TOP * _UNIT]])
    matrix[:, 2] += 0.5 * scale - 0.5  # OpenCV counts from pixel centres
    return np.asarray(cv2.warpAffine(seen, matrix, (SIDE, SIDE)), np.float32)


def _nearest(matrix: NDArray[np.float64], others: Sequence[Floats]) -> Bools:
    """(SIDE, SIDE) where the view's own head is nearer than any of the others, each by its own size."""
    own = (_X - _MIDDLE[0]) ** 2 + (_Y - _MIDDLE[1]) ** 2
    nearest = np.ones_like(own, bool)
    for points in others:
        there = similarity(transform(matrix.astype(np.float32)[None], points[None]), 1)[0]
        view = np.stack([_X + LEFT, _Y + TOP], -1) * _UNIT
        x, y = np.moveaxis(view @ there[:, :2].T + there[:, 2], -1, 0)  # in the other's square
        nearest &= own < (x - _MIDDLE[0]) ** 2 + (y - _MIDDLE[1]) ** 2
    return nearest


def _edged(pixels: NDArray[np.uint8], inside: Bools, found: Floats, nearest: Bools) -> Floats:
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

    guide, mask = _roots(pixels), found[..., None]
    colour, share = mean(guide), mean(mask)
    with_mask = mean(guide * mask) - colour * share
    products = (guide[..., :, None] * guide[..., None, :]).reshape(SIDE, SIDE, 9)
    spread = mean(products).reshape(SIDE, SIDE, 3, 3) - colour[..., :, None] * colour[..., None, :]
    slopes = np.linalg.solve(spread + _FLAT * np.eye(3, dtype=np.float32), with_mask[..., None])[..., 0]
    linear = mean(np.concatenate([slopes, share - (slopes * colour).sum(-1, keepdims=True)], -1))
    # Exactly 0 further from hair, where colours may be like it.
    reached = cv2.dilate((found > 0).astype(np.uint8), np.ones((2 * _EDGE + 1, 2 * _EDGE + 1), np.uint8))
    far = cv2.distanceTransform(np.pad(nearest, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    edged: Floats = linear * ((far / _FADE).clip(0, 1) * reached)[..., None]
    return edged


def _roots(pixels: NDArray[np.uint8]) -> Floats:
    """Square roots of colours, 0 to 1: dark hair before a black wall differs more in them."""
    return np.sqrt(pixels.astype(np.float32) / 255)

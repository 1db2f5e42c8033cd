"""Self-training: the net marks the points of faces whose box alone is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from nenrin.domains.finder.boxes import Floats, box_of, overlap
from nenrin.domains.finder.look import Eyes, merge
from nenrin.domains.finder.sources import Picture
from nenrin.ground import track

_SWAP = [1, 0, 2, 4, 3]
_SIDE = 160  # pixels of the square in which a face is looked at
_LOOKS = ((76, False), (76, True), (100, False), (100, True))  # pixels of the box, mirrored
_AGREE = 0.035  # mean distance from the median of all looks, in sides of the box
_LEAST = 0.12  # score below which a crop shows no face
_FITS = 0.35  # least overlap of a face's box with the known one


def relabel(eyes: Eyes, sources: Mapping[str, Sequence[Picture]]) -> dict[str, list[Picture]]:
    """The sources with new points for `anime` and `illustrations`. Anime crops in which no look finds a face
    are left out; where the looks disagree, the box is kept and the points stay unknown."""
    marked = {name: list(pictures) for name, pictures in sources.items()}
    anime = [(picture, _mark(eyes, picture)) for picture in track(sources["anime"], "marking anime")]
    marked["anime"] = [
        dataclasses.replace(picture, points=points, trust=trust, boxes=boxes)
        for picture, (boxes, points, trust) in anime
        if (trust >= 0).all()
    ]
    illustrations = [(picture, _mark(eyes, picture)) for picture in sources["illustrations"]]
    # Their boxes were drawn by hand, and are kept.
    marked["illustrations"] = [
        dataclasses.replace(picture, points=points, trust=trust.clip(0))
        for picture, (_, points, trust) in illustrations
    ]
    return marked


def _mark(eyes: Eyes, picture: Picture) -> tuple[Floats, Floats, Floats]:
    """Boxes, points and trust of a picture's faces; trust is -1 where none is seen, 0 where the looks
    disagree."""
    decoded = cv2.imdecode(np.frombuffer(picture.encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded is not None, "the sources were opened once"
    boxes, points, trust = picture.boxes.copy(), picture.points.copy(), picture.trust.copy()
    for row, box in enumerate(picture.boxes):
        seen = _points(eyes, decoded.astype(np.uint8, copy=False), box)
        if not seen:
            trust[row] = -1
            continue
        middle, side = np.median(seen, axis=0), float(box[2] - box[0])
        spread = np.linalg.norm(np.array(seen) - middle, axis=-1).mean()
        trust[row] = float(len(seen) > len(_LOOKS) // 2 and spread < _AGREE * side)
        if trust[row]:
            points[row] = middle
            boxes[row] = box_of(points[row : row + 1])[0]
    return boxes, points, trust


def _points(eyes: Eyes, pixels: NDArray[np.uint8], box: Floats) -> list[Floats]:
    """The points (5, 2) by each look that finds the face in the box."""
    views, backs = [], []
    middle = (box[:2] + box[2:]) / 2
    for side, mirrored in _LOOKS:
        scale = side / float(max(box[2] - box[0], box[3] - box[1]))
        turn = np.diag([-scale if mirrored else scale, scale])
        back = np.column_stack([turn, _SIDE / 2 - turn @ middle])
        views.append(cv2.warpAffine(pixels, back, (_SIDE, _SIDE), flags=cv2.INTER_AREA))
        backs.append(back)
    seen = []
    for (side, mirrored), back, rows in zip(_LOOKS, backs, eyes.look(np.stack(views), _LEAST), strict=True):
        faces = merge(rows)
        wanted = np.array(
            [[_SIDE - side, _SIDE - side, _SIDE + side, _SIDE + side]], np.float32
        ) / np.float32(2)
        fits = np.flatnonzero(overlap(wanted, faces.boxes)[0][0] > _FITS)
        if len(fits):
            five = (faces.points[fits[0]] - back[:, 2]) @ np.linalg.inv(back[:, :2]).T
            seen.append(five[_SWAP if mirrored else slice(None)].astype(np.float32))
    return seen

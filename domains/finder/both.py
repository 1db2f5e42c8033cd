"""The default finder: MTCNN, together with our net for drawn faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from nenrin.domains.find import Finder, Found
from nenrin.domains.finder.boxes import Floats, overlap
from nenrin.domains.finder.finder import NetFinder

_ONE_FACE = 0.3  # IoU above which two boxes are one face
_DENIED = 0.25  # second-look score of our net below which MTCNN's finding is rejected
_INSIDE = 0.6  # also one face: boxes of which one holds this much of the other, as MTCNN's are longer


class BothFinders:
    """Combines MTCNN and our net. For a face that both find, MTCNN's points are kept, which are more exact,
    unless our net takes it for manga. Faces found by our net alone count if MTCNN finds none, or if our net
    takes both them and the surest face of the picture for drawn (photographs contain no drawn faces). Faces
    found by MTCNN alone count unless our net's second look there is sure that they are none."""

    def __init__(self, mtcnn: Finder, net: NetFinder) -> None:
        self._mtcnn = mtcnn
        self._net = net

    def find(self, pictures: Sequence[Image.Image]) -> list[list[Found]]:
        """Faces of each RGB picture, surest first."""
        return [
            combine(self._granted(picture, theirs), ours)
            for picture, theirs, ours in zip(
                pictures, self._mtcnn.find(pictures), self._net.find(pictures), strict=True
            )
        ]

    def _granted(self, picture: Image.Image, faces: Sequence[Found]) -> list[Found]:
        scores = self._net.looked_at(picture, [face.points for face in faces])
        return [face for face, score in zip(faces, scores, strict=True) if score >= _DENIED]


def combine(mtcnn: Sequence[Found], net: Sequence[Found]) -> list[Found]:
    """The faces of one picture, combined from both finders (see `BothFinders`)."""
    if not mtcnn:
        return list(net)
    if not net or net[0].domain == "photo":
        return list(mtcnn)
    drawn = [face for face in net if face.domain != "photo"]
    union, inner = overlap(_boxes(mtcnn), _boxes(drawn))
    same = (union > _ONE_FACE) | (inner > _INSIDE)
    found_twice = np.logical_or.reduce(same, axis=0)
    manga = np.array([face.domain == "manga" for face in drawn])
    theirs = [face for face, row in zip(mtcnn, same, strict=True) if not (row & manga).any()]
    ours = [
        face for face, twice, is_manga in zip(drawn, found_twice, manga, strict=True) if is_manga or not twice
    ]
    return sorted([*theirs, *ours], key=lambda face: -face.score)


def _boxes(faces: Sequence[Found]) -> Floats:
    return np.stack([face.box for face in faces]).astype(np.float32)

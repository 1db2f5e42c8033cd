"""Faces, and what has been made of them, as rows of a set."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.align import OUTSIDE, frame_mask
from nenrin.domains.array import decode
from nenrin.domains.face import GENDERS, GLASSES, Face, face_id
from nenrin.models.ager import Ager
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.samples import to_tensor

MADE = "made"  # the attribute that tells a made face from a picture


class Originals:
    """N faces at the size of an ager, with missing labels filled in by its estimates."""

    def __init__(self, ager: Ager, faces: Sequence[Face]) -> None:
        self.pixels = np.stack([decode(face, ager.size) for face in faces])  # (N, S, S, 3) uint8
        self.images = to_tensor(self.pixels)
        told = _labels(faces, ager.domains)
        self.read = ager.estimate(self.images, told.domain)
        self.told = told.glasses  # (N,), as labelled, without estimates
        self.labels = told.filled(self.read)
        self.shown = np.stack([_shown(face, ager.size) for face in faces])  # (N, S, S) bool
        domains = np.array([face.domain for face in faces])
        self.drawn, self.manga = domains != "photo", domains == "manga"  # (N,) bool
        self._faces = faces

    def __len__(self) -> int:
        return len(self._faces)

    def row(self, i: int) -> Face:
        """Face `i` itself."""
        face = self._faces[i]
        source = face.age_source or "estimated"
        return self._labelled(i, self.pixels[i], self.labels, source, face.attributes)

    def made(self, i: int, pixels: NDArray[np.uint8], labels: Condition) -> Face:
        """A picture (S, S, 3) made of face `i`, with row `i` of `labels`: the same view, marked as made."""
        attributes = self._faces[i].attributes | {MADE: True}
        drawn = np.where(self.shown[i][..., None], pixels, np.uint8(OUTSIDE))
        return self._labelled(i, drawn, labels, "estimated", attributes)

    def _labelled(
        self, i: int, pixels: NDArray[np.uint8], labels: Condition, source: str, attributes: dict[str, bool]
    ) -> Face:
        face, glasses, gender = self._faces[i], int(labels.glasses[i]), int(labels.gender[i])
        return dataclasses.replace(
            face,
            id=face_id(pixels),
            image=cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))[1].tobytes(),
            age=float(labels.age[i]),
            age_source=source,
            glasses=None if glasses == UNKNOWN else GLASSES[glasses],
            gender=None if gender == UNKNOWN else GENDERS[gender],
            attributes=attributes,
            view=face.view or self._faces[i].id,
            frame=None if face.frame is None else _frame(face, len(pixels)),
        )


def _labels(faces: Sequence[Face], domains: Sequence[str]) -> Condition:
    """What the faces' rows say, (N,)."""

    def index(words: Sequence[str | None], vocabulary: Sequence[str]) -> torch.Tensor:
        return torch.tensor([vocabulary.index(word) if word in vocabulary else UNKNOWN for word in words])

    return Condition(
        age=torch.tensor([float("nan") if face.age is None else face.age for face in faces]),
        domain=index([face.domain for face in faces], domains),
        glasses=index([face.glasses for face in faces], GLASSES),
        gender=index([face.gender for face in faces], GENDERS),
    )


def _shown(face: Face, size: int) -> NDArray[np.bool_]:
    """(size, size), where the source picture has pixels."""
    if face.frame is None:
        return np.ones((size, size), bool)
    mask: NDArray[np.bool_] = frame_mask(_frame(face, size)[None], size)[0] > 0
    return mask


def _frame(face: Face, size: int) -> NDArray[np.float32]:
    assert face.frame is not None
    with Image.open(io.BytesIO(face.image)) as picture:
        return face.frame * np.float32(size / picture.width)

"""The subjects of an evaluation: anything that ages faces, and how it is given a batch of faces."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

import nenrin.models
from nenrin.domains.array import FaceArray
from nenrin.eval.nets import chunks, to_pixels, to_tensor
from nenrin.models.checkpoint import all_tensors
from nenrin.models.condition import UNKNOWN, Condition

Pixels = NDArray[np.uint8]
Role = Literal["ceiling", "ager", "floor", "embedder"]


class Subject(Protocol):
    """An ager as the evaluation sees it; `nenrin.models.ager.Ager` is one."""

    name: str
    size: int  # px
    domains: tuple[str, ...]

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """(N, 3, size, size) in [-1, 1] to the same, at the target's age."""
        ...

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        """The ager's own estimates of the faces' labels, used where labels are unknown. `domain` (N,) is -1
        where it is unknown."""
        ...


@dataclasses.dataclass(kw_only=True, slots=True)
class Batch:
    """N faces in memory with their labels. Unknown is NaN for the age, -1 for the others."""

    pixels: Pixels  # (N, H, H, 3)
    masks: Pixels  # (N, H, H) 255 where the source picture has pixels
    age: NDArray[np.float32]  # (N,) years
    domain: NDArray[np.str_]  # (N,) names
    glasses: NDArray[np.int64]
    gender: NDArray[np.int64]
    person: NDArray[np.str_]  # (N,) identity if known, else a unique name
    picture: NDArray[np.str_]  # (N,) "source/name": a photograph and its drawing share it
    source: NDArray[np.str_]  # (N,)

    @classmethod
    def of(cls, faces: FaceArray) -> Batch:
        """Read the pixels of a (small) array."""
        known = [faces.identities[i] if i >= 0 else "" for i in faces.identity]
        pictures = [f"{source}/{name}" for source, name in zip(faces.source, faces.source_id, strict=True)]
        return cls(
            pixels=np.asarray(faces.pixels),
            masks=np.asarray(faces.masks),
            age=faces.age,
            domain=np.array([faces.domains[i] if i >= 0 else "" for i in faces.domain]),
            glasses=faces.glasses,
            gender=faces.gender,
            person=np.array([name or f"face/{id_}" for name, id_ in zip(known, faces.ids, strict=True)]),
            picture=np.array(pictures, dtype=np.str_),
            source=faces.source,
        )

    @classmethod
    def drawn(
        cls,
        pixels: Pixels,
        *,
        age: NDArray[np.floating],
        domain: str,
        person: Sequence[str],
        glasses: NDArray[np.integer] | None = None,
        gender: NDArray[np.integer] | None = None,
    ) -> Batch:
        """Whole pictures (N, H, H, 3) that come from no set."""
        unknown = np.full(len(pixels), UNKNOWN)
        return cls(
            pixels=pixels,
            masks=np.full(pixels.shape[:3], 255, np.uint8),
            age=np.asarray(age, dtype=np.float32),
            domain=np.full(len(pixels), domain),
            glasses=np.asarray(unknown if glasses is None else glasses, dtype=np.int64),
            gender=np.asarray(unknown if gender is None else gender, dtype=np.int64),
            person=np.asarray(person, dtype=np.str_),
            picture=np.array([f"{name}/{i}" for i, name in enumerate(person)], dtype=np.str_),
            source=np.full(len(pixels), "drawn"),
        )

    @classmethod
    def empty(cls, size: int) -> Batch:
        """No faces."""
        none = np.zeros(0, np.float32)
        return cls.drawn(np.zeros((0, size, size, 3), np.uint8), age=none, domain="", person=[])

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, index: Any) -> Batch:
        """These rows (integers, with repeats if wanted, or a mask)."""
        return Batch(**{f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self)})

    def labels(self) -> tuple[NDArray[Any], ...]:
        """The labels that an ager is told about these faces, for the cache's key."""
        return self.age, self.glasses, self.gender, np.char.encode(self.domain, "utf-8")


@dataclasses.dataclass(kw_only=True, slots=True)
class Asked:
    """The requested age and glasses of each of N faces."""

    age: NDArray[np.float32]  # (N,) years; NaN: its own
    glasses: NDArray[np.int64]  # (N,) index into GLASSES; unknown: as they are

    def take(self, rows: slice) -> Asked:
        """These rows."""
        return Asked(age=self.age[rows], glasses=self.glasses[rows])


def asked_of(batch: Batch, to: NDArray[np.floating], glasses: NDArray[np.integer] | None) -> Asked:
    """A request for the ages `to` (N,), with these glasses or, by default, those that each face wears."""
    worn = batch.glasses if glasses is None else glasses
    return Asked(
        age=np.ascontiguousarray(to, dtype=np.float32), glasses=np.ascontiguousarray(worn, dtype=np.int64)
    )


def resize(images: Tensor, size: int) -> Tensor:
    """(N, 3, H, H) to `size` px, antialiased when smaller."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bicubic", antialias=True).clamp(-1, 1)


def age_faces(subject: Subject, batch: Batch, asked: Asked) -> Pixels:
    """Every face of the batch as asked: (N, H, H, 3) at the batch's size.

    The ager is told the known labels of a face and estimates the rest itself. It is asked to keep gender and
    domain.
    """
    size, out = batch.pixels.shape[1], np.empty_like(batch.pixels)
    for rows in chunks(len(batch), 64):
        images = resize(to_tensor(batch.pixels[rows]), subject.size)
        known = _condition(batch.take(rows), subject.domains)
        age = torch.from_numpy(asked.age[rows])
        with torch.no_grad():
            source = known.filled(subject.estimate(images, known.domain))
            target = known.replace(
                age=torch.where(age.isnan(), source.age.to(age), age),
                domain=source.domain,
                glasses=torch.from_numpy(asked.glasses[rows]),
            )
            out[rows] = to_pixels(resize(subject.transform(images, source, target), size))
    return out


def fingerprint(subject: Subject) -> str:
    """A hash of what a trained ager's outputs depend on: weights, configuration, and the code in `models`.

    Weights that no checkpoint holds count too, such as those of the net that finds hair. "" for anything
    else, whose outputs are not worth caching.
    """
    model = getattr(subject, "model", None)
    if not isinstance(model, torch.nn.Module):
        return ""
    digest = hashlib.sha256(repr(getattr(model, "config", "")).encode())
    for name, tensor in sorted(all_tensors(model).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    for file in sorted(Path(nenrin.models.__path__[0]).glob("*.py")):
        digest.update(file.read_bytes())
    return f"outputs {digest.hexdigest()}"


def _condition(batch: Batch, domains: Sequence[str]) -> Condition:
    index = {word: i for i, word in enumerate(domains)}
    return Condition(
        age=torch.from_numpy(batch.age.copy()),
        domain=torch.tensor([index.get(word, UNKNOWN) for word in batch.domain.tolist()]),
        glasses=torch.from_numpy(batch.glasses.copy()),
        gender=torch.from_numpy(batch.gender.copy()),
    )

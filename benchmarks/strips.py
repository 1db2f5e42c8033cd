"""Faces that no ager trained on, drawn by lot, at seven ages: python -m benchmarks.strips SET... -o FOLDER

For each domain of the sets, and for what lies at the edge in each: the youngest and the oldest, dark
pictures, faces turned by about 30 degrees and more, and labels that nobody knows. To be looked at; who is
shown is decided by the seed, not by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nenrin.domains.align import frame_mask
from nenrin.domains.face import Face
from nenrin.domains.faceset import FaceSet
from nenrin.models.ager import Ager
from nenrin.models.condition import Condition
from nenrin.models.samples import to_pixels, to_tensor
from nenrin.pictures import draw_strip, write_picture

AGES = (5, 12, 20, 35, 50, 65, 80)  # years
SIDE = 144  # pixels of a face
GAP = 6
DARK = 0.25  # mean brightness of the picture, of 1
TURNED = 0.25  # how far the nose lies off the middle between the eyes, of their distance: about 30 degrees

EDGES: dict[str, Callable[[Face], bool]] = {
    "": lambda face: True,
    "-0-to-5": lambda face: face.age is not None and face.age <= 5,
    "-80-and-more": lambda face: face.age is not None and face.age >= 80,
    "-dark": lambda face: _brightness(face) < DARK,
    "-turned": lambda face: _turn(face) > TURNED,
}


def _pixels(face: Face, size: int) -> np.ndarray:
    with Image.open(io.BytesIO(face.image)) as picture:
        return np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.LANCZOS))


def _brightness(face: Face) -> float:
    pixels = _pixels(face, 32).astype(float).mean(2) / 255
    seen = np.full((32, 32), 255)
    if face.frame is not None:
        seen = frame_mask(face.frame[None] * 32 / _side(face), 32)[0]
    return float(pixels[seen > 0].mean()) if (seen > 0).any() else 1.0


def _side(face: Face) -> int:
    with Image.open(io.BytesIO(face.image)) as picture:
        return picture.width


def _turn(face: Face) -> float:
    if face.points is None:
        return 0.0
    left, right, nose = face.points[:3].astype(float)
    across = right - left
    return float(abs(np.dot(nose - (left + right) / 2, across)) / max(np.dot(across, across), 1e-6))


def drawn(faces: Iterator[Face], seed: int) -> list[Face]:
    """The faces in the order of lots that the seed and their names draw."""
    return sorted(faces, key=lambda f: hashlib.sha256(f"{seed} {f.source} {f.source_id}".encode()).digest())


def _aged(ager: Ager, images: Tensor, own: Tensor, source: Condition, asked: Condition, age: float) -> Tensor:
    """Faces at an age, (B, 3, SIDE, SIDE): the change made to their own pixels, if the ager makes one."""
    target = asked.replace(age=torch.full_like(source.age, age))
    change = ager.model.change(images, source, target)
    if change is not None:
        return change.apply(own).clamp(-1, 1)
    return F.interpolate(ager.transform(images, source, target), (SIDE, SIDE), mode="bicubic")


def sheet(ager: Ager, faces: list[Face], *, told: bool) -> Image.Image:
    """A strip a face; `told` its age and gender where they are known, else as the ager reads them."""
    images = to_tensor(np.stack([_pixels(face, ager.size) for face in faces]))
    read = ager.estimate(images)
    labels = [
        Condition.of(
            1,
            domains=ager.domains,
            domain=face.domain,
            **({"age": face.age, "gender": face.gender, "glasses": face.glasses} if told else {}),
        )
        for face in faces
    ]
    known = Condition.joined(labels)
    source = known.filled(read)
    asked = source.replace(glasses=known.glasses)  # what nobody says of them is left to the ager
    own = to_tensor(np.stack([_pixels(face, SIDE) for face in faces]))
    shown = [own, *(_aged(ager, images, own, source, asked, age) for age in AGES)]
    columns = [to_pixels(one) for one in shown]
    strips = []
    for row, face in enumerate(faces):
        age = f"{face.age:.0f}" if told and face.age is not None else f"read: {source.age[row]:.0f}"
        pictures = [Image.fromarray(column[row]) for column in columns]
        strips.append(draw_strip(pictures, [age, *map(str, AGES)]))
    height = strips[0].height + GAP
    whole = Image.new("RGB", (strips[0].width, height * len(strips) - GAP), "white")
    for row, strip in enumerate(strips):
        whole.paste(strip, (0, row * height))
    return whole


def main() -> None:
    """Write a sheet for each domain and edge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--run", type=Path, help="what is shipped if not said")
    parser.add_argument("-o", "--out", type=Path, default=Path("out/strips"))
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ager = Ager.load(options.run)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.sets:
        held = (f for f in FaceSet.open(path).faces() if f.split == options.split and f.verdict == "keep")
        faces = drawn(held, options.seed)
        for domain in dict.fromkeys(face.domain for face in faces):
            own = [face for face in faces if face.domain == domain]
            for edge, belongs in EDGES.items():
                chosen = [face for face in own if belongs(face)][: options.count]
                for told in (True, False) if not edge else (True,):
                    if chosen:
                        file = options.out / f"{path.name}-{domain}{edge}{'' if told else '-untold'}.png"
                        write_picture(sheet(ager, chosen, told=told), file)
                        print(f"{file}: {len(chosen)} faces")


if __name__ == "__main__":
    main()

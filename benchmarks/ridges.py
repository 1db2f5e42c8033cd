"""Where faces crease with age: python -m benchmarks.ridges SET -o out/ridges.png

Lays the training faces of a set over the mean face and averages the strength of dark ridges at each place,
for the young and the old. The picture shows both and their difference, which `models/wrinkles.py` follows.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from kornia.filters import gaussian_blur2d, spatial_gradient
from PIL import Image
from torch import Tensor

from nenrin.domains.face import Face
from nenrin.domains.faceset import FaceSet
from nenrin.ground import track
from nenrin.models.ager import Ager
from nenrin.models.change import shift
from nenrin.models.means import MeanFaces
from nenrin.models.samples import to_tensor
from nenrin.models.toning import luma
from nenrin.pictures import write_picture

SIDE = 256  # pixels
YOUNG, OLD = (20, 32), (65, 95)  # years
WIDTH = 1.5  # pixels: standard deviation of the blur before ridges are looked for
BATCH = 50
WHITE = 0.05, 0.05, 0.02  # the strength shown as white: of the young, the old, the difference


def ridges(images: Tensor) -> Tensor:
    """Strength of dark ridges in (B, 3, H, W): the larger eigenvalue of the brightness's Hessian, at least 0.
    (B, 1, H, W)."""
    size = 2 * round(3 * WIDTH) + 1
    light = gaussian_blur2d(luma(images), (size, size), (WIDTH, WIDTH))
    xx, xy, yy = spatial_gradient(light, order=2).unbind(2)
    return ((xx + yy) / 2 + (((xx - yy) / 2).square() + xy.square()).sqrt()).clamp(min=0)


@torch.no_grad()
def mean_ridges(means: MeanFaces, faces: list[Face]) -> Tensor:
    """The mean over faces in the mean face's frame, (SIDE, SIDE)."""
    total = torch.zeros(SIDE, SIDE)
    for start in track(range(0, len(faces), BATCH), "registering"):
        opened = [Image.open(io.BytesIO(face.image)) for face in faces[start : start + BATCH]]
        pixels = np.stack([np.asarray(one.convert("RGB").resize((SIDE, SIDE))) for one in opened])
        images = to_tensor(pixels)
        total += ridges(shift(images, means.registration(images))).sum((0, 1))
    return total / max(len(faces), 1)


def main() -> None:
    """Write the three maps side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", type=Path)
    parser.add_argument("--run", type=Path, help="an ager with mean faces; the shipped one by default")
    parser.add_argument("--most", type=int, default=500, help="faces of each age")
    parser.add_argument("-o", "--out", type=Path, default=Path("out/ridges.png"))
    options = parser.parse_args()
    means = Ager.load(options.run).model.nets["means"]
    assert isinstance(means, MeanFaces)
    known = [
        face
        for face in FaceSet.open(options.set).faces()
        if face.split == "train"
        and face.verdict == "keep"
        and face.age is not None
        and face.glasses != "dark"
    ]
    young, old = (
        mean_ridges(means, [face for face in known if low <= face.age <= high][: options.most])
        for low, high in (YOUNG, OLD)
    )
    maps = [(one / white).clamp(0, 1) for one, white in zip((young, old, old - young), WHITE, strict=True)]
    write_picture(Image.fromarray(torch.cat(maps, dim=1).mul(255).byte().numpy()), options.out)
    print(options.out)


if __name__ == "__main__":
    main()

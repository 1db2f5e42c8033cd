"""The net of the second look, which begins as the finder's backbone, and its training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn import functional as F

from nenrin.domains.finder import looks
from nenrin.domains.finder.boxes import overlap
from nenrin.domains.finder.close import BOX, SIDE
from nenrin.domains.finder.compose import Canvas, Composer
from nenrin.domains.finder.look import DOMAINS
from nenrin.domains.finder.loop import Plan, fit
from nenrin.domains.finder.net import MEAN, FinderNet, export
from nenrin.domains.finder.sources import Picture
from nenrin.domains.finder.trouble import Trouble
from nenrin.ground import seed_everything

_FACE, _NONE = 0.45, 0.25  # least overlap with the box for a face, and largest for none


class CloseNet(nn.Module):
    """(B, 3, SIDE, SIDE) RGB in [0, 255] to (B, 1, 18), laid out as `FinderNet`'s answer for one cell."""

    def __init__(self, finder: FinderNet) -> None:
        super().__init__()
        self.stem = copy.deepcopy(finder.stem)
        self.stages = copy.deepcopy(finder.stages)
        self.narrow = nn.Sequential(
            nn.Conv2d(128, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        )
        fine, coarse = -(-SIDE // 16), -(-SIDE // 32)
        self.head = nn.Sequential(
            nn.Linear(64 * fine**2 + 192 * coarse**2, 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, 15 + len(DOMAINS)),
        )
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.stem((x - 127.5) / 64)
        x = self.stages[1](self.stages[0](x))
        raw = self.head(torch.cat([self.narrow(x).flatten(1), self.stages[2](x).flatten(1)], 1))
        middle = SIDE / 2 + raw[:, 1:3] * (BOX / 4)
        half = raw[:, 3:4].clamp(max=3).exp() * (BOX / 2)
        points = middle.repeat(1, 5) + 2 * half * (MEAN.to(raw.device) + raw[:, 5:15] / 4)
        # The fifth number is unused: a box is square, so its size needs only one.
        return torch.cat([raw[:, :1], middle - half, middle + half, points, raw[:, 15:]], 1)[:, None]


def train_close(
    net: CloseNet,
    sources: Mapping[str, Sequence[Picture]],
    trouble: Sequence[Trouble],
    out: Path,
    *,
    number: int,
    views: int,
    rate: float,
    decay: float,
    seed: int,
    save_every: int = 100,
    batch: int = 32,
) -> CloseNet:
    """A round of training for the net of the second look, on that many views; it continues from the newest
    state in `out`. The result is written there as `close.onnx`."""
    seed_everything(seed)
    composer = Composer(sources, SIDE, trouble)
    steps = views // batch
    plan = Plan(
        name=f"close{number}",
        steps=steps,
        batch=batch,
        seed=(seed, 99 + number),
        rate=rate,
        along=(0, steps),
        fresh=number == 0,
        decay=decay,
        save_every=save_every,
    )
    net = fit(net, close_loss, lambda rng: draw_close(composer, rng), out, plan)
    export(net, out / "close.onnx", size=(SIDE, SIDE))
    return net


def draw_close(composer: Composer, rng: Generator) -> Canvas:
    """A training view for the second look: a face roughly where the first look would place it, a place that
    was mistaken for a face, or a face of quite another place or size."""
    kind = rng.random()
    middle = SIDE / 2 + rng.normal(0, 0.07 * BOX, 2)
    side = BOX * float(np.exp(rng.normal(0, 0.12)))
    # A view of a place in a whole picture needs a background only at its edges.
    canvas = composer.plain(rng) if 0.42 <= kind < 0.88 else composer.ground(rng)
    if kind < 0.42:
        composer.put(canvas, composer.face(rng), 0, middle, side, rng)
    elif kind < 0.53 and (known := composer.known(rng)):
        composer.put(canvas, *known, middle, side, rng, shape="all")
    elif kind < 0.88 and (trouble := composer.trouble(rng)):
        composer.lay(canvas, trouble.picture, trouble.box, middle, side, rng)
    elif kind < 0.95:
        far = middle + rng.choice([-1, 1], 2) * rng.uniform(0.4, 1.0, 2) * BOX
        composer.put(canvas, composer.face(rng), 0, far, side * float(np.exp(rng.uniform(-1, 0.5))), rng)
    if rng.random() < 0.35:  # a small face, enlarged
        small = int(SIDE / rng.uniform(1.2, 4))
        less = cv2.resize(canvas.pixels, (small, small), interpolation=cv2.INTER_AREA)
        canvas.pixels = cv2.resize(less, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    canvas.pixels = looks.weather(canvas.pixels, rng)
    return canvas


def close_loss(answer: Tensor, batch: Sequence[Canvas]) -> dict[str, Tensor]:
    """Cross entropy for the score and the domain, smooth L1 for the box and the points, in sides of the
    box."""
    half = BOX / 2
    nominal = np.array([[SIDE / 2 - half] * 2 + [SIDE / 2 + half] * 2], np.float32)
    answer = answer[:, 0]
    label, faces = torch.full((len(batch),), -1.0), list[tuple[int, Canvas, int]]()
    for row, canvas in enumerate(batch):
        shares = overlap(nominal, canvas.boxes)[0][0]
        best = int(shares.argmax()) if len(shares) else -1
        if best < 0 or shares[best] < _NONE:
            label[row] = 0
        elif shares[best] > _FACE and canvas.trust[best] >= 0:
            label[row] = 1
            faces.append((row, canvas, best))
    sure = label >= 0
    score = F.binary_cross_entropy_with_logits(answer[sure, 0], label[sure])
    if not faces:
        return {"score": score}
    told = answer[[row for row, _, _ in faces]]
    boxes = torch.from_numpy(np.stack([canvas.boxes[face] for _, canvas, face in faces]))
    points = torch.from_numpy(np.stack([canvas.points[face].ravel() for _, canvas, face in faces]))
    trust = torch.tensor([float(canvas.trust[face]) for _, canvas, face in faces])
    domain = torch.tensor([int(canvas.domain[face]) for _, canvas, face in faces])
    side = (boxes[:, 2] - boxes[:, 0])[:, None]
    nothing = torch.zeros(())
    off_box = F.smooth_l1_loss((told[:, 1:5] - boxes) / side, nothing.expand(boxes.shape), beta=0.02)
    off = F.smooth_l1_loss(
        (told[:, 5:15] - points) / side, nothing.expand(points.shape), beta=0.02, reduction="none"
    )
    return {
        "score": score,
        "box": 2 * off_box,
        "points": 10 * (off.mean(1) * trust).sum() / trust.sum().clamp(min=1),
        "domain": 0.2 * F.cross_entropy(told[:, 15:], domain),
    }

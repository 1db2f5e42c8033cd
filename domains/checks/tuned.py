"""MTCNN's last net with its upper layers tuned on the set, to tell its faces from spoilt ones and to estimate
their labels.

It sees what linear rules on fixed features miss, writing and blur above all. Each face is shown once or twice
among tens of thousands, too rarely to memorise a fault or a wrong label that it may have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nenrin.domains.array import FaceArray
from nenrin.domains.checks.features import WINDOW
from nenrin.domains.checks.labels import to_log
from nenrin.domains.checks.opinion import FAULTS, Floats
from nenrin.domains.checks.spoilt import BATCH, spoil_rows
from nenrin.domains.face import GENDERS, GLASSES
from nenrin.domains.mtcnn import ONet, load
from nenrin.ground import track

_SOUND = 64  # faces of a step, beside BATCH spoilt ones
_PASSES = 2  # over the set
_STEPS = (150, 900)  # fewer are not worth doing; more are not needed
_RATE = 3e-3
_ASKED = 256
SEEN = 256  # features of the net's penultimate layer


class Tuned(nn.Module):
    """(B, 3, 48, 48) faces to features (B, SEEN). From these, `fault` classifies sound ones (the first of its
    1 + len(FAULTS) logits) and faults, and `age`, `gender` and `glasses` estimate labels."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ONet()
        load(self.net, "onet")
        for layer in (self.net.conv1, self.net.prelu1, self.net.conv2, self.net.prelu2):
            layer.requires_grad_(False)  # edge filters need no tuning, and take half of the time
        self.fault, self.age, self.gender, self.glasses = self.heads = nn.ModuleList(
            nn.Linear(SEEN, width) for width in (1 + len(FAULTS), 1, len(GENDERS), len(GLASSES))
        )
        for weight in self.heads.parameters():
            nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        things: Tensor = self.net.features(self.net.textures(x))[1]
        return F.dropout(things, 0.2, self.training)


def steps_for(count: int) -> int:
    """The number of steps for a set of `count` faces; 0 if they are too few."""
    steps = min(_PASSES * count // _SOUND, _STEPS[1])
    return steps if steps >= _STEPS[0] else 0


def look(faces: FaceArray, *, steps: int, seed: int = 0) -> tuple[Floats, Floats]:
    """How much more each face looks spoilt than sound, in logits (N, len(FAULTS)), and features (N, SEEN)
    from which ages, genders and glasses can be estimated."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        net = _tune(faces, steps, seed)
    answer = np.empty((len(faces), len(FAULTS)), dtype=np.float32)
    seen = np.empty((len(faces), SEEN), dtype=np.float32)
    with torch.inference_mode():
        for start in track(range(0, len(faces), _ASKED), "looking for faults"):
            part = slice(start, start + _ASKED)
            images = _view(faces.pixels[part])
            things = (net(images) + net(images.flip(3))) / 2
            logits = net.fault(things).numpy()
            answer[part], seen[part] = logits[:, 1:] - logits[:, :1], things.numpy()
    return answer, seen


def _tune(faces: FaceArray, steps: int, seed: int) -> Tuned:
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    net = Tuned().train()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lower = [weight for weight in net.net.parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = [{"params": lower}, {"params": list(net.heads.parameters())}]
    optimiser = torch.optim.AdamW(groups, lr=_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [_RATE, 3 * _RATE], total_steps=steps, pct_start=0.1
    )
    passes = -(-steps * _SOUND // len(faces))
    order = np.concatenate([rng.permutation(len(faces)) for _ in range(passes)])
    kinds = np.resize(np.arange(len(FAULTS)), BATCH)
    target = torch.from_numpy(np.concatenate([np.zeros(_SOUND, np.int64), 1 + kinds]))
    for step in track(range(steps), "learning faults closely"):
        sound = np.sort(order[step * _SOUND : (step + 1) * _SOUND])
        spoilt, _ = spoil_rows(faces, rng.choice(len(faces), BATCH), kinds, generator)
        images = _view(np.concatenate([faces.pixels[sound], spoilt]))
        things = net(images.flip(3) if rng.random() < 0.5 else images)
        loss = F.cross_entropy(net.fault(things), target) + _misread(net, things[:_SOUND], faces, sound)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    net.eval()
    return net


def _misread(net: Tuned, things: Tensor, faces: FaceArray, rows: NDArray[np.int64]) -> Tensor:
    """The loss of these faces' labels, predicted from their features; unknown labels cost nothing."""
    age = torch.from_numpy(2 * to_log(faces.age[rows]) - 6)  # about as spread as a class
    off = F.smooth_l1_loss(net.age(things)[:, 0], age.nan_to_num(), reduction="none")
    total = off[~age.isnan()].sum()
    for head, labels in ((net.gender, faces.gender), (net.glasses, faces.glasses)):
        label = torch.from_numpy(labels[rows])
        total = total + F.cross_entropy(head(things), label, ignore_index=-1, reduction="sum")
    return total / len(rows)


def _view(pixels: NDArray[np.uint8]) -> Tensor:
    """The net's input for aligned faces (B, 64, 64, 3), in its own scale."""
    images = torch.from_numpy(np.ascontiguousarray(pixels[:, *WINDOW])).permute(0, 3, 1, 2)
    return (images.float() - 127.5) / 128

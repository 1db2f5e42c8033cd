"""A net that tells a set's faces from spoilt ones: the last of MTCNN's, its upper layers tuned on the set.

It sees what linear rules on fixed features miss, writing and blur above all. Each face is shown a time or two
among tens of thousands, too seldom to be learned by heart with the fault that it may have.
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
from nenrin.domains.checks.opinion import FAULTS, Floats
from nenrin.domains.checks.spoilt import BATCH, spoil_rows
from nenrin.domains.mtcnn import ONet, load
from nenrin.ground import track

_SOUND = 64  # faces of a step, beside BATCH spoilt ones
_PASSES = 2  # over the set
_STEPS = (150, 900)  # with fewer nothing is learned that is worth asking; more are not needed
_RATE = 3e-3
_ASKED = 256


class Tuned(nn.Module):
    """(B, 3, 48, 48) faces to logits (B, 1 + len(FAULTS)); the first is of sound ones."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ONet()
        load(self.net, "onet")
        for layer in (self.net.conv1, self.net.prelu1, self.net.conv2, self.net.prelu2):
            layer.requires_grad_(False)  # edges are edges, and half of the time is spent on them
        self.head = nn.Linear(256, 1 + len(FAULTS))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        _, things = self.net.features(x)
        answer: Tensor = self.head(F.dropout(things, 0.2, self.training))
        return answer


def steps_for(count: int) -> int:
    """How long to learn from a set of so many faces; 0 where they are too few."""
    steps = min(_PASSES * count // _SOUND, _STEPS[1])
    return steps if steps >= _STEPS[0] else 0


def look(faces: FaceArray, *, steps: int, seed: int = 0) -> Floats:
    """How much more each face looks spoilt than sound, in logits: (N, len(FAULTS))."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        net = _tune(faces, steps, seed)
    answer = np.empty((len(faces), len(FAULTS)), dtype=np.float32)
    with torch.inference_mode():
        for start in track(range(0, len(faces), _ASKED), "looking for faults"):
            logits = net(_view(faces.pixels[start : start + _ASKED])).numpy()
            answer[start : start + _ASKED] = logits[:, 1:] - logits[:, :1]
    return answer


def _tune(faces: FaceArray, steps: int, seed: int) -> Tuned:
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    net = Tuned().train()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lower = [weight for weight in net.net.parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = [{"params": lower}, {"params": list(net.head.parameters())}]
    optimiser = torch.optim.AdamW(groups, lr=_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [_RATE, 3 * _RATE], total_steps=steps, pct_start=0.1
    )
    passes = -(-steps * _SOUND // len(faces))
    order = np.concatenate([rng.permutation(len(faces)) for _ in range(passes)])
    kinds = np.resize(np.arange(len(FAULTS)), BATCH)
    target = torch.from_numpy(np.concatenate([np.zeros(_SOUND, np.int64), 1 + kinds]))
    for step in track(range(steps), "learning faults closely"):
        sound = faces.pixels[np.sort(order[step * _SOUND : (step + 1) * _SOUND])]
        spoilt, _ = spoil_rows(faces, rng.choice(len(faces), BATCH), kinds, generator)
        images = _view(np.concatenate([sound, spoilt]))
        loss = F.cross_entropy(net(images.flip(3) if rng.random() < 0.5 else images), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    net.eval()
    return net


def _view(pixels: NDArray[np.uint8]) -> Tensor:
    """What the net is shown of aligned faces (B, 64, 64, 3), in its own scale."""
    images = torch.from_numpy(np.ascontiguousarray(pixels[:, *WINDOW])).permute(0, 3, 1, 2)
    return (images.float() - 127.5) / 128

"""How guides lead an ager: their reading of its results is a loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.models.condition import MAX_AGE, UNKNOWN, Condition
from nenrin.models.data import Faces
from nenrin.models.guide import Scale
from nenrin.models.reader import reading, reading_loss
from nenrin.models.reading import other_views

_KINDS = (0.5, 0.3, 0.2)  # probabilities of no, clear and dark glasses, where glasses are drawn at random
_UNASKED = 0.3  # weight of gender and domain, which are to stay


def other_labels(source: Condition, told: Sequence[str]) -> Condition:
    """A random age and, half of the time, random glasses (if the ager is told them); the rest as it is."""
    count, device = len(source), source.age.device
    kinds = torch.multinomial(torch.tensor(_KINDS).expand(count, -1), 1)[:, 0].to(device)
    other = (torch.rand(count) < (0.5 if "glasses" in told else 0.0)).to(device)
    return source.replace(
        age=(torch.rand(count) * MAX_AGE).to(device), glasses=torch.where(other, kinds, source.glasses)
    )


def led(
    guides: Sequence[nn.Module],
    faces: Faces,
    result: Tensor,
    target: Condition,
    *,
    age: float,
    ageless: float,
    glasses: float,
) -> dict[str, Tensor]:
    """Losses by one of the guides: how far its reading moved, between `faces` and `result`, as asked.

    `result` (B, 3, S, S) is what became of the faces. `age` and `glasses` are weights; `ageless` is that of
    the age in domains whose ages the guide was never told.
    """
    # What deceives one guide need not deceive the next: holes that one takes for old eyes, say.
    guide = guides[int(torch.randint(len(guides), ()))]
    reader, scale = guide.get_submodule("reader").eval(), guide.get_submodule("scale")
    assert isinstance(scale, Scale)
    # Each face before and after, both under augmentations of their own.
    looks = reader(other_views(torch.cat([faces.images, result])))
    before, seen = (reading(logits) for logits in looks.chunk(2))
    source = faces.condition
    years = scale.expected(target) - scale.expected(source)  # that real faces of those ages differ by
    off = (seen.years() - before.years().detach() - years).abs() / 10
    known = scale.knows(source)
    # In domains without labels the guide takes large eyes for glasses, so it does not ask for any there.
    asked = known & (target.glasses != source.glasses)
    told = target.replace(glasses=torch.where(asked, target.glasses, UNKNOWN))
    # Labels that are to stay must not become less likely; rewarding more of them would paint over the face.
    worn = _denied(before.glasses, seen.glasses, torch.where(asked, UNKNOWN, target.glasses))
    rest = _denied(before.gender, seen.gender, target.gender)
    rest = rest + _denied(before.domain, seen.domain, target.domain)
    return {
        "age": (off.nan_to_num(0) * torch.where(known, age, ageless)).mean(),
        "glasses": glasses * (reading_loss(seen, told)["glasses"] + worn),
        "rest": _UNASKED * rest,
    }


def _denied(before: Tensor, seen: Tensor, labels: Tensor) -> Tensor:
    """Mean increase in the labels' cross-entropy (B,) from `before` to `seen` (B, C), decreases being 0."""
    was, now = (
        F.cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="none")
        for logits in (before.detach(), seen)
    )
    return F.relu(now - was).sum() / (labels != UNKNOWN).sum().clamp(min=1)

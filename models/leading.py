"""How guides lead an ager: what they think of its outcomes is its loss."""

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

_KINDS = (0.5, 0.3, 0.2)  # chances of no, clear and dark glasses where others are asked for
_UNASKED = 0.3  # weight of gender and domain, which nobody asked to change


def other_labels(source: Condition, told: Sequence[str]) -> Condition:
    """Any age, and every second time any glasses, if they are told; the rest as it is."""
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
    """What one of the guides thinks of outcomes: do they read as `target` where the faces read as they are?

    `result` is what became of the faces, (B, 3, S, S). `age` and `glasses` are weights, `ageless` that of the
    age in domains of which the guide was told none.
    """
    # What deceives one of them need not deceive the next: holes that one takes for old eyes, say.
    guide = guides[int(torch.randint(len(guides), ()))]
    reader, scale = guide.get_submodule("reader").eval(), guide.get_submodule("scale")
    assert isinstance(scale, Scale)
    # A face before and after, each in a light and place of its own.
    looks = reader(other_views(torch.cat([faces.images, result])))
    before, seen = (reading(logits) for logits in looks.chunk(2))
    source = faces.condition
    years = scale.expected(target) - scale.expected(source)  # that real faces of those ages differ by
    off = (seen.years() - before.years().detach() - years).abs() / 10
    known = scale.knows(source)
    # Of faces such as it has seen no labels of, it takes large eyes for glasses.
    asked = known & (target.glasses != source.glasses)
    told = target.replace(glasses=torch.where(asked, target.glasses, UNKNOWN))
    # What nobody asked to change must not be denied; to ask for more of it would paint over the face.
    worn = _denied(before.glasses, seen.glasses, torch.where(asked, UNKNOWN, target.glasses))
    rest = _denied(before.gender, seen.gender, target.gender)
    rest = rest + _denied(before.domain, seen.domain, target.domain)
    return {
        "age": (off.nan_to_num(0) * torch.where(known, age, ageless)).mean(),
        "glasses": glasses * (reading_loss(seen, told)["glasses"] + worn),
        "rest": _UNASKED * rest,
    }


def _denied(before: Tensor, seen: Tensor, labels: Tensor) -> Tensor:
    """By how much more (B, C) logits deny the labels (B,) than those before did, on average; never less."""
    was, now = (
        F.cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="none")
        for logits in (before.detach(), seen)
    )
    return F.relu(now - was).sum() / (labels != UNKNOWN).sum().clamp(min=1)

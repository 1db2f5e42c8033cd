"""The reader: estimates age, domain, glasses and gender from a face.

It is trained with the ager, on the ager's own faces. It guides the generator and fills in missing labels. It
never scores anything: the judges of `nenrin.eval` are other nets, trained on other people.
"""

from __future__ import annotations

import dataclasses
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.domains.face import GENDERS, GLASSES
from nenrin.models.condition import UNKNOWN, Condition

SIZE = 64  # pixels
# The part of an aligned face that is read, brows to chin. Tight sources such as UTKFace have no pixels
# further out, and the edge of their frame would reveal the source, and with it the age.
CENTRE = (0.18, 0.28, 0.64)
AGE_STEP = 4.0  # years between the centres of two age classes
AGE_CLASSES = 26  # 0, 4, ..., 100
_GLASSES_WEIGHTS = (1.0, 2.0, 2.0)  # few faces wear any, and overlooking them is costly
AGE_SPREAD = 3.0  # years: uncertainty of a label, about as much as labels of apparent age differ


@dataclasses.dataclass(kw_only=True, slots=True)
class Reading:
    """What the reader says of B faces, as logits."""

    age: Tensor  # (B, AGE_CLASSES)
    domain: Tensor  # (B, domains)
    glasses: Tensor  # (B, 3)
    gender: Tensor  # (B, 2)

    def years(self) -> Tensor:
        """Expected age in years, (B,)."""
        return (self.age.float().softmax(1) * age_centres(self.age.device)).sum(1)

    def condition(self) -> Condition:
        """The most likely labels."""
        return Condition(
            age=self.years(),
            domain=self.domain.argmax(1),
            glasses=self.glasses.argmax(1),
            gender=self.gender.argmax(1),
        )


class Reader(nn.Module):
    """A small residual net over the middle of a face, `CENTRE` at `SIZE` pixels."""

    def __init__(self, domains: int, width: int = 32) -> None:
        super().__init__()
        channels = [width, width * 2, width * 3, width * 4]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 5, stride=2, padding=2)]  # 64 -> 32
        for inside, outside in itertools.pairwise(channels):
            layers += [_Residual(inside), _norm(inside), nn.SiLU(), nn.Conv2d(inside, outside, 3, 2, 1)]
        layers += [_Residual(channels[-1]), _norm(channels[-1]), nn.SiLU()]  # 4 x 4
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(channels[-1] * 16, answers(domains)))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, SIZE, SIZE) in [-1, 1] to all logits concatenated (B, C); `reading` splits them."""
        return self.head(self.body(images).flatten(1))  # type: ignore[no-any-return]


def answers(domains: int) -> int:
    """The number of logits of a reading with `domains` domains."""
    return AGE_CLASSES + domains + len(GLASSES) + len(GENDERS)


def reading(logits: Tensor) -> Reading:
    """Split the reader's output (B, C) into its parts."""
    parts = [AGE_CLASSES, logits.shape[1] - answers(0), len(GLASSES), len(GENDERS)]
    age, domain, glasses, gender = torch.split(logits.float(), parts, dim=1)
    return Reading(age=age, domain=domain, glasses=glasses, gender=gender)


def reading_loss(seen: Reading, truth: Condition) -> dict[str, Tensor]:
    """Cross-entropies with the known labels; an unknown label costs nothing.

    The age uses label distribution learning with expectation regression (DLDL-v2, Gao et al. 2018).
    """
    known = ~truth.age.isnan()
    years = truth.age.nan_to_num(0)
    spread = F.softmax(-0.5 * ((years[:, None] - age_centres(years.device)) / AGE_SPREAD) ** 2, dim=1)
    age = -(spread * seen.age.log_softmax(1)).sum(1) + (seen.years() - years).abs() / 10
    return {
        "age": (age * known).sum() / known.sum().clamp(min=1),
        "domain": _cross_entropy(seen.domain, truth.domain),
        "glasses": _cross_entropy(seen.glasses, truth.glasses, seen.glasses.new_tensor(_GLASSES_WEIGHTS)),
        "gender": _cross_entropy(seen.gender, truth.gender),
    }


def worst_noise(reader: nn.Module, views: Tensor, truth: Condition, reach: float) -> Tensor:
    """Adversarial noise of L2 norm `reach` or less for (B, 3, SIZE, SIZE) views in [-1, 1].

    It takes one step uphill from a random start (Wong, Rice and Kolter 2020). A reader trained against it
    (Madry et al. 2018) relies on features that people see too, and what satisfies it looks like a face
    (Santurkar et al. 2019). So it can guide an ager, where any other reader is deceived.
    """
    noise = _scaled_to(torch.randn_like(views), reach * torch.rand(len(views), 1, 1, 1).to(views))
    noise.requires_grad_(True)
    # This gradient is not for the weights, and Fabric allows no backward but its own on a net it has set up.
    net = getattr(reader, "module", reader)
    losses = reading_loss(reading(net(views + noise)), truth)
    (uphill,) = torch.autograd.grad(torch.stack(list(losses.values())).sum(), noise)
    noise = noise.detach() + _scaled_to(uphill, reach)
    return noise * (reach / _length(noise)).clamp(max=1)


def age_centres(device: torch.device) -> Tensor:
    """The years that the age classes stand for, (AGE_CLASSES,)."""
    return torch.arange(AGE_CLASSES, device=device) * AGE_STEP


def _scaled_to(values: Tensor, norm: Tensor | float) -> Tensor:
    return values * (norm / _length(values))


def _length(values: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(values, dim=(1, 2, 3), keepdim=True)
    return length.clamp(min=1e-12)


def _cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    total = F.cross_entropy(logits, labels, weights, ignore_index=UNKNOWN, reduction="sum")
    return total / (labels != UNKNOWN).sum().clamp(min=1)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2, self.conv2 = _norm(channels), nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(hidden)))  # type: ignore[no-any-return]


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)

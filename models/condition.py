"""The labels that an ager is told, for a batch: age, domain, glasses, gender; each may be unknown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from nenrin.domains.face import GENDERS, GLASSES
from nenrin.ground import UsageError, suggest

MAX_AGE = 90.0  # years; requests are clamped to this, as hardly a training face is older
LABELS = ("age", "domain", "glasses", "gender")
UNKNOWN = -1  # in `domain`, `glasses` and `gender`; an unknown age is NaN


@dataclasses.dataclass(kw_only=True, slots=True)
class Condition:
    """Labels of a batch of B faces. `age` is years, NaN where unknown; the others index a vocabulary."""

    age: Tensor  # (B,) float32
    domain: Tensor  # (B,) int64, index into the model's domains
    glasses: Tensor  # (B,) int64, index into GLASSES
    gender: Tensor  # (B,) int64, index into GENDERS

    @classmethod
    def of(
        cls,
        count: int,
        *,
        domains: Sequence[str],
        age: float | None = None,
        domain: str | None = None,
        glasses: str | None = None,
        gender: str | None = None,
    ) -> Condition:
        """The same labels for `count` faces. Raises `UsageError` for a word outside its vocabulary."""
        return cls(
            age=torch.full((count,), float("nan") if age is None else float(age)),
            domain=torch.full((count,), _index(domain, domains, "domain")),
            glasses=torch.full((count,), _index(glasses, GLASSES, "glasses")),
            gender=torch.full((count,), _index(gender, GENDERS, "gender")),
        )

    @classmethod
    def joined(cls, parts: Sequence[Condition]) -> Condition:
        """The labels of some batches, concatenated."""
        names = [f.name for f in dataclasses.fields(cls)]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    def __len__(self) -> int:
        return len(self.age)

    def __getitem__(self, index: Tensor | slice) -> Condition:
        return Condition(**{f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self)})

    def to(self, device: torch.device | str) -> Condition:
        """The same labels on another device."""
        return Condition(**{f.name: getattr(self, f.name).to(device) for f in dataclasses.fields(self)})

    def replace(self, **changes: Tensor) -> Condition:
        """The same labels except for those named."""
        return dataclasses.replace(self, **changes)

    def where(self, chosen: Tensor, other: Condition) -> Condition:
        """The same labels where `chosen` (B,), those of `other` elsewhere."""
        names = [f.name for f in dataclasses.fields(self)]
        return Condition(**{n: torch.where(chosen, getattr(self, n), getattr(other, n)) for n in names})

    def filled(self, other: Condition) -> Condition:
        """The same labels, with those of `other` where they are unknown."""
        return Condition(
            age=torch.where(self.age.isnan(), other.age, self.age),
            **{
                name: torch.where(getattr(self, name) == UNKNOWN, getattr(other, name), getattr(self, name))
                for name in ("domain", "glasses", "gender")
            },
        )

    def only(self, names: Sequence[str]) -> Condition:
        """The same labels, with those not named set to unknown."""
        unknown = {
            name: torch.full_like(getattr(self, name), torch.nan if name == "age" else UNKNOWN)
            for name in LABELS
            if name not in names
        }
        return self.replace(**unknown) if unknown else self

    def withheld(self, share: float) -> Condition:
        """The same labels, with a random fraction `share` of each set to unknown."""
        names = [f.name for f in dataclasses.fields(self)]
        draw = torch.rand(len(names), len(self)).to(self.age.device)
        return Condition(
            **{
                name: torch.where(row < share, torch.nan if name == "age" else UNKNOWN, getattr(self, name))
                for name, row in zip(names, draw, strict=True)
            }
        )


def _index(word: str | None, vocabulary: Sequence[str], what: str) -> int:
    if word is None:
        return UNKNOWN
    try:
        return vocabulary.index(word)
    except ValueError:
        raise UsageError(f"unknown {what} {word!r}; {suggest(word, vocabulary)}") from None

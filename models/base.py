"""What the training loop and `Ager` ask of every ager."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from nenrin.models.condition import Condition
from nenrin.models.data import Batch

Backward = Callable[[Tensor], None]


@dataclasses.dataclass(kw_only=True, slots=True)
class ModelConfig:
    """What every model's configuration has; `domains` is filled in from the training sets."""

    size: int = 64  # pixels, a power of two
    domains: tuple[str, ...] = ("photo",)


class AgerModel(nn.Module, ABC):
    """The nets of one ager, how they are trained on a batch, and how they age a face.

    `nets` holds everything that is trained or saved; `optimizers` names the part of it that each one steps.
    """

    name: ClassVar[str]
    config: ModelConfig
    nets: nn.ModuleDict

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """A fresh optimizer for each trained entry of `nets`, under the same name."""

    @abstractmethod
    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        """Train on one batch; `progress` runs from 0 to 1 over the training. Returns scalars to log."""

    @abstractmethod
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """Age faces: (B, 3, size, size) in [-1, 1] to the same shape and range."""

    @abstractmethod
    def estimate(self, images: Tensor) -> Condition:
        """What the model itself reads off faces (B, 3, size, size); unknown where it has no opinion."""

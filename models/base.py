"""What the training loop and `Ager` ask of every ager."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from nenrin.domains.array import FaceArray
from nenrin.models.change import Change
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
    needs_pairs: ClassVar[bool] = False  # whether it learns from faces of one view alone
    begins_still: ClassVar[bool] = False  # whether, untrained, it leaves faces as they are
    ages: ClassVar[bool] = True  # whether it changes faces at all, or only reads them
    least_batch: ClassVar[int] = 1  # faces of a step; batch normalisation needs two
    parallel: ClassVar[bool] = True  # whether several processes can train it
    exports: ClassVar[bool] = True  # whether ageing is one pass through its nets
    channels_last: ClassVar[bool] = True  # the layout that trains it faster; group norms are slower in it
    config: ModelConfig
    nets: nn.ModuleDict

    def begin(self) -> None:
        """Called once before the first step of a training; a resumed one has it behind it."""

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """A fresh optimizer for each trained entry of `nets`, under the same name."""

    @abstractmethod
    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        """Train on one batch; `progress` runs from 0 to 1 over the training. Returns scalars to log.

        Losses are as they weigh in the sum. The watchdog knows by their names what a generator pays to an
        adversary, `...adversary`, and the discriminators, their losses and nets, `...discriminator`.
        """

    @abstractmethod
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """Age faces: (B, 3, size, size) in [-1, 1] to the same shape and range."""

    @abstractmethod
    def estimate(self, images: Tensor) -> Condition:
        """What the model itself reads off faces (B, 3, size, size); unknown where it has no opinion."""

    def change(self, images: Tensor, source: Condition, target: Condition) -> Change | None:
        """What `transform` does to faces, as something that can be done to them at any resolution.

        None where the ager makes pictures and not changes.
        """
        return None

    def finished(self) -> tuple[ModelConfig, nn.ModuleDict]:
        """What ages faces, without what only training needs: its configuration and its nets."""
        return self.config, self.nets

    def preview(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """As `transform`, for looking on while it trains: what costs much or comes late may be left out."""
        return self.transform(images, source, target)


class FittedModel(AgerModel):
    """An ager that reads all faces once instead of training on batches."""

    @abstractmethod
    def fit(self, faces: FaceArray) -> dict[str, float]:
        """Fit on all faces. Returns scalars to log."""

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        raise AssertionError("a fitted model takes no steps")

"""The interface of every ager for the training loop and `Ager`."""

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
    needs_pairs: ClassVar[bool] = False  # whether it learns only from pairs of pictures of one view
    begins_still: ClassVar[bool] = False  # whether, untrained, it leaves faces as they are
    ages: ClassVar[bool] = True  # whether it changes faces at all, or only reads them
    least_batch: ClassVar[int] = 1  # faces of a step; batch normalisation needs two
    parallel: ClassVar[bool] = True  # whether several processes can train it
    exports: ClassVar[bool] = True  # whether ageing is one pass through its nets
    channels_last: ClassVar[bool] = True  # the layout that trains it faster; group norms are slower in it
    config: ModelConfig
    nets: nn.ModuleDict

    def begin(self) -> None:
        """Called once before the first step of a training, but not when a training is resumed."""

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """A fresh optimizer for each trained entry of `nets`, under the same name."""

    @abstractmethod
    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        """Train on one batch; `progress` runs from 0 to 1 over the training. Returns scalars to log.

        Losses include their weights. The watchdog goes by their names: `...adversary` is a generator's loss
        to an adversary, `...discriminator` a discriminator's loss or net.
        """

    @abstractmethod
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """Age faces: (B, 3, size, size) in [-1, 1] to the same shape and range."""

    @abstractmethod
    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        """The model's own estimates of the labels of (B, 3, size, size) faces; unknown if it has none.

        `domain` (B,), where it is known, may tell how to read the age; the domain read is returned as it is.
        """

    def change(self, images: Tensor, source: Condition, target: Condition) -> Change | None:
        """What `transform` does to faces, as a change that can be applied at any resolution.

        None if the ager outputs pictures instead of changes.
        """
        return None

    def finished(self) -> tuple[ModelConfig, nn.ModuleDict]:
        """The configuration and nets needed to age faces, without those that only training needs."""
        return self.config, self.nets

    def preview(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """As `transform`, for samples during training: expensive or not yet trained parts may be left out."""
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

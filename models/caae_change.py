"""CAAE's change without its pictures: the difference of two decodings, added to the face itself.

CAAE ages but forgets the person, as its picture has to fit into fifty numbers. The difference between its
decodings at the requested age and at the face's own age contains the ageing and not the person, and added to
the face it frightens nobody. A single difference shows too little, because the face keeps its own details,
so it is multiplied by `strength`. A reader estimates the face's own age where it is not given.

CAAE itself learns only from the domains in `taught`, by default photographs. Drawings, most without an age,
would dilute what it learns of ageing, and its change works on them all the same. The reader learns from all.

It is the teacher that makes pairs for the mixed ager (`models/pairs.py`), and a baseline of its own.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.optim import Optimizer

from nenrin.models.base import Backward
from nenrin.models.caae import CAAE, CAAEConfig
from nenrin.models.condition import Condition
from nenrin.models.data import Batch
from nenrin.models.reading import READER_EVERY, new_reader, read, reader_optimizer, train_reader


@dataclasses.dataclass(kw_only=True, slots=True)
class CAAEChangeConfig(CAAEConfig):
    """CAAE's configuration, and how strongly its change is applied."""

    size: int = 64
    taught: tuple[str, ...] = ("photo",)  # domains that CAAE learns from; the reader learns from all
    strength: float = 3.0  # factor on the difference


class CAAEChange(CAAE):
    """CAAE, trained as published, beside a reader."""

    name = "caae-change"
    parallel = False  # a process without photographs in its part of a batch would step nothing
    config: CAAEChangeConfig

    def __init__(self, config: CAAEChangeConfig) -> None:
        super().__init__(config)
        self.nets["reader"] = new_reader(len(config.domains))

    def optimizers(self) -> dict[str, Optimizer]:
        return {**super().optimizers(), "reader": reader_optimizer(self.nets["reader"])}

    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        logs: dict[str, Tensor] = {}
        taught = [i for i, name in enumerate(self.config.domains) if name in self.config.taught]
        rows = torch.isin(batch.condition.domain, torch.tensor(taught).to(batch.images.device))
        if rows.sum() > 1:  # batch normalisation needs two
            logs |= super().step(batch[rows], optimizers, backward, progress)
        if torch.rand(()) < 1 / READER_EVERY:
            logs |= train_reader(self.nets["reader"], batch, optimizers["reader"], backward, progress)
        return logs

    @torch.no_grad()
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        source = source.filled(self.estimate(images))
        here = super().transform(images, source, source)
        there = super().transform(images, source, target.filled(source))
        return (images + self.config.strength * (there - here)).clamp(-1, 1)

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        return read(self.nets["reader"], images)

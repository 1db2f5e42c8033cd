"""The mixed ager: CAAE's idea taken to every domain, answering with a change instead of a picture.

An encoder keeps a spatial code of the face; a generator, told age, domain, glasses and gender as they are
and as they shall be, answers with a `Change`: a flow (growth changes shape) and a shade. Asked for what it
already is, a face is left alone; told nothing about glasses or gender, the ager leaves them alone.

The pull towards the asked age comes from a reader trained beside it, and from a projection discriminator
(Miyato and Koyama 2018) with R1 (Mescheder et al. 2018) told the same labels. Both look through
augmentation (Zhao et al. 2020) and through noise of any strength: a reader trained without noise is pleased
by one faint pattern laid over every face, one that reads through noise only by what a person sees too
(Kaur et al. 2019).
"""

from __future__ import annotations

import copy
import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from nenrin.models import augment
from nenrin.models.base import AgerModel, Backward, ModelConfig
from nenrin.models.change import Change, ChangeGenerator
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.data import Batch
from nenrin.models.nets import Discriminator
from nenrin.models.reader import CENTRE, SIZE, Reader, Reading, reading, reading_loss

MAX_AGE = 90.0  # years; older is asked for as this
READER_RATE = 2e-3  # learning rate of the reader, at first


@dataclasses.dataclass(kw_only=True, slots=True)
class MixedConfig(ModelConfig):
    """The mixed ager's shape and the weights of its losses."""

    width: int = 24  # channels at half resolution; deeper levels have up to four times as many
    flow: float = 0.12  # largest shift, as a share of the width
    learning_rate: float = 5e-4
    warm_up: float = 0.5  # of the training, in which faces are read and none is aged
    ema: float = 0.998  # decay of the average of the generator that is used afterwards
    reader_every: int = 4  # after the warm-up the reader is trained in one step of so many
    noise: float = 0.2  # largest deviation of the noise through which reader and discriminator look

    age: float = 1.0  # the reader sees the asked age
    labels: float = 0.5  # the reader sees the domain, glasses and gender that were asked for, or were there
    adversary: float = 0.5
    r1: float = 10.0  # gradient penalty of the discriminator, applied to one step in `r1_every`
    r1_every: int = 8
    same: float = 5.0  # L1 where a face is asked for what it is
    same_share: float = 0.2  # of the faces
    keep: float = 1.0  # L1 between the face and what it became, least for the longest way
    pair: float = 0.0  # coarse L1 to the same person's true picture, where the set has one
    smooth: float = 50.0  # bending of the flow


class MixedAger(AgerModel):
    """Encoder and generator of a change, their discriminator and reader."""

    name = "mixed"
    config: MixedConfig

    def __init__(self, config: MixedConfig) -> None:
        super().__init__()
        self.config = config
        domains = len(config.domains)
        generator = ChangeGenerator(size=config.size, domains=domains, width=config.width, flow=config.flow)
        self.nets = nn.ModuleDict(
            {
                "generator": generator,
                "average": copy.deepcopy(generator).requires_grad_(False),
                "discriminator": Discriminator(domains, config.width),
                "reader": Reader(domains, config.width),
            }
        )

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.config.learning_rate
        return {
            "generator": Adam(self.nets["generator"].parameters(), rate, betas=(0.5, 0.99)),
            "discriminator": Adam(self.nets["discriminator"].parameters(), rate / 2, betas=(0.0, 0.99)),
            "reader": torch.optim.AdamW(self.nets["reader"].parameters(), 1e-3, weight_decay=0.05),
        }

    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        if progress < self.config.warm_up:
            return self._train_reader(batch, optimizers["reader"], backward, progress)
        logs: dict[str, Tensor] = {}
        if torch.rand(()) < 1 / self.config.reader_every:
            logs = self._train_reader(batch, optimizers["reader"], backward, progress)
        self.nets["reader"].eval()
        with torch.no_grad():
            source = _fill(batch.condition, self._read(batch.images).condition())
        target, same = self._ask(batch, source)
        aged, losses = self._train_generator(batch, source, target, same, optimizers["generator"], backward)
        logs |= {f"generator/{name}": loss for name, loss in losses.items()}
        logs |= self._train_discriminator(batch, aged, target, optimizers["discriminator"], backward)
        self.nets["reader"].train()
        return logs

    @torch.no_grad()
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        target = target.replace(age=target.age.clamp(max=MAX_AGE))
        change: Change = self.nets["average"](images, source, _fill(target, source))
        return change.apply(images).clamp(-1, 1)

    @torch.no_grad()
    def estimate(self, images: Tensor) -> Condition:
        seen, mirrored = self._read(images), self._read(images.flip(3))
        return seen.condition().replace(age=(seen.years() + mirrored.years()) / 2)

    def _read(self, images: Tensor) -> Reading:
        return reading(self.nets["reader"](augment.crop(images, CENTRE, SIZE)))

    def _train_reader(
        self, batch: Batch, optimizer: Optimizer, backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        for group in optimizer.param_groups:  # falls over the training, so that it settles
            group["lr"] = READER_RATE * 0.05**progress
        losses = reading_loss(reading(self.nets["reader"](self._close_view(batch.images))), batch.condition)
        backward(torch.stack(list(losses.values())).sum())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {f"reader/{name}": loss.detach() for name, loss in losses.items()}

    def _ask(self, batch: Batch, source: Condition) -> tuple[Condition, Tensor]:
        """What to ask of each face, every label of it, and (B,) which are asked for what they are.

        A face with a partner is asked for the partner's labels; of the others, half are asked for other
        glasses, all for another age.
        """
        count, device = len(batch.images), batch.images.device
        same = torch.rand(count, device=device) < self.config.same_share
        age = torch.rand(count, device=device) * MAX_AGE
        other = torch.rand(count, device=device) < 0.5
        glasses = torch.where(other, torch.randint(0, 2, (count,), device=device), source.glasses)
        partner = _fill(batch.partner_condition, source)
        asked = source.replace(
            age=torch.where(batch.has_partner, partner.age, age),
            glasses=torch.where(batch.has_partner, partner.glasses, glasses),
        )
        return asked.where(~same, source), same

    def _train_generator(
        self,
        batch: Batch,
        source: Condition,
        target: Condition,
        same: Tensor,
        optimizer: Optimizer,
        backward: Backward,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config, images = self.config, batch.images
        change: Change = self.nets["generator"](images, source, target)
        aged = change.apply(images)
        far = (target.age - source.age).abs() / MAX_AGE
        shown = batch.masks.mean(dim=(1, 2, 3)).clamp(min=0.1)
        off = ((aged - images).abs() * batch.masks).mean(dim=(1, 2, 3)) / shown  # (B,)
        losses = self._guidance(aged, batch.masks, target) | {
            "same": config.same * (off * same).mean(),
            "keep": config.keep * (off * (1 - far).clamp(min=0.2)).mean(),
            "smooth": config.smooth * change.roughness(),
        }
        if config.pair:
            losses["pair"] = config.pair * self._pair_loss(aged, batch, same)
        backward(torch.stack([loss.float() for loss in losses.values()]).sum())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self._update_average()
        return aged.detach(), {name: loss.detach() for name, loss in losses.items()}

    def _guidance(self, aged: Tensor, masks: Tensor, target: Condition) -> dict[str, Tensor]:
        """What reader and discriminator say of the aged faces; they themselves learn nothing here."""
        config = self.config
        for name in ("reader", "discriminator"):
            self.nets[name].requires_grad_(False)
        seen = reading_loss(reading(self.nets["reader"](self._close_view(aged))), target)
        logits = self.nets["discriminator"](self._view(aged * masks), target)
        for name in ("reader", "discriminator"):
            self.nets[name].requires_grad_(True)
        return {
            "age": config.age * seen["age"],
            "labels": config.labels * (seen["domain"] + seen["glasses"] + seen["gender"]),
            "adversary": config.adversary * F.softplus(-logits).mean(),
        }

    def _pair_loss(self, aged: Tensor, batch: Batch, same: Tensor) -> Tensor:
        """Coarsely: another picture of the person is taken in another pose and light."""
        there = batch.masks * batch.partner_masks * (batch.has_partner & ~same)[:, None, None, None]
        weight = F.adaptive_avg_pool2d(there, 16)
        off = F.adaptive_avg_pool2d((aged - batch.partner) * there, 16).abs()
        return off.sum() / (weight.sum() * 3).clamp(min=1)

    def _train_discriminator(
        self, batch: Batch, aged: Tensor, target: Condition, optimizer: Optimizer, backward: Backward
    ) -> dict[str, Tensor]:
        discriminator = self.nets["discriminator"]
        images = batch.images * batch.masks
        fake = discriminator(self._view(aged * batch.masks), target)
        real = discriminator(self._view(images), batch.condition)
        loss = F.softplus(fake).mean() + F.softplus(-real).mean()
        penalty = torch.zeros((), device=loss.device)
        if torch.rand(()) < 1 / self.config.r1_every:
            # Fabric's wrapper allows no gradient but its own backward's: the net below it is asked.
            bare = getattr(discriminator, "module", discriminator)
            views = self._view(images).requires_grad_(True)
            (slope,) = torch.autograd.grad(
                bare(views, batch.condition).float().sum(), views, create_graph=True
            )
            penalty = slope.float().square().sum(dim=(1, 2, 3)).mean() * self.config.r1 / 2
        backward(loss + penalty * self.config.r1_every)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {
            "discriminator/loss": loss.detach(),
            "discriminator/real": real.detach().mean(),
            "discriminator/fake": fake.detach().mean(),
        }

    @torch.no_grad()
    def _update_average(self) -> None:
        average, current = self.nets["average"].state_dict(), self.nets["generator"].state_dict()
        for name, value in average.items():
            value.lerp_(current[name].to(value.dtype), 1 - self.config.ema)

    def _view(self, images: Tensor) -> Tensor:
        """A random view of the whole picture, for the discriminator."""
        return self._dim(augment.jitter_geometry(images, torch.default_generator))

    def _close_view(self, images: Tensor) -> Tensor:
        """A random view of the middle of the face, for the reader."""
        return self._dim(augment.jitter_geometry(images, torch.default_generator, box=CENTRE, size=SIZE))

    def _dim(self, images: Tensor) -> Tensor:
        generator = torch.default_generator
        images = augment.jitter_colour(images, generator)
        return augment.add_noise(images, generator, deviation=self.config.noise)


def _fill(condition: Condition, seen: Condition) -> Condition:
    """The labels, with what the reader says where they are unknown."""
    return Condition(
        age=torch.where(condition.age.isnan(), seen.age, condition.age),
        **{
            name: torch.where(
                getattr(condition, name) == UNKNOWN, getattr(seen, name), getattr(condition, name)
            )
            for name in ("domain", "glasses", "gender")
        },
    )

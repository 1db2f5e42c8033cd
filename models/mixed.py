"""The mixed ager: CAAE's idea taken to every domain, answering with a change instead of a picture.

The code of a face is its middle at 6 x 6 pixels: enough for light, pose and skin, too little for age or
glasses, so that nothing has to make it forget them. A generator, told age, domain, glasses and gender,
answers with the face that is to be expected of code and labels: a prototype, in the sense of Burt and
Perrett (1995), that is learned for every face instead of averaged for a group. The face is changed by the
*difference* between the prototype of what it is and that of what it shall be: see `Change`. Asked for what it
already is, it is left alone by construction; told nothing about glasses or gender, the ager leaves them
alone.

All of this is regression, without an adversary. In short trials (11,000 pictures, which take a CPU minutes) a
generator that was pulled by an age reader or a discriminator laid one and the same deceptive tint over every
face; the difference of two expectations cannot deceive, as nobody looks at it. A reader trained beside it
stands in for labels that nobody gave.
"""

from __future__ import annotations

import copy
import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from nenrin.models import augment
from nenrin.models.base import AgerModel, Backward, ModelConfig
from nenrin.models.change import Change, details, roughness, shift
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.data import Batch
from nenrin.models.nets import CODE, FIELD, Generator, Prototype
from nenrin.models.reader import CENTRE, SIZE, Reader, Reading, reading, reading_loss

MAX_AGE = 90.0  # years; older is asked for as this


@dataclasses.dataclass(kw_only=True, slots=True)
class MixedConfig(ModelConfig):
    """The mixed ager's shape and the weights of its losses."""

    width: int = 16  # channels at full resolution; deeper levels have up to six times as many
    reader_width: int = 24  # channels of the reader at half resolution
    learning_rate: float = 1e-3  # falls to a twentieth over the training
    ema: float = 0.998  # decay of the average of the generator that is used afterwards
    noise: float = 0.2  # largest deviation of the noise through which the reader learns to look
    unknown: float = 0.1  # share of the labels that are withheld, so that the ager can do without
    strength: float = 3.0  # how often the difference of two prototypes is applied: a mean shows too little

    prototype: float = 10.0  # squared error of the prototype's picture
    detail: float = 0.3  # squared error of its details
    flow: float = 10.0  # L1 between one prototype, shifted, and another
    smooth: float = 20.0  # bending of the flow


class MixedAger(AgerModel):
    """Generator of prototypes, and reader."""

    name = "mixed"
    config: MixedConfig

    def __init__(self, config: MixedConfig) -> None:
        super().__init__()
        self.config = config
        domains = len(config.domains)
        generator = Generator(size=config.size, domains=domains, width=config.width)
        self.nets = nn.ModuleDict(
            {
                "generator": generator,
                "average": copy.deepcopy(generator).requires_grad_(False),
                "reader": Reader(domains, config.reader_width),
            }
        )

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.config.learning_rate
        return {
            "generator": AdamW(self.nets["generator"].parameters(), rate, betas=(0.9, 0.99)),
            "reader": AdamW(self.nets["reader"].parameters(), rate, weight_decay=0.05),
        }

    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        logs: dict[str, Tensor] = {}
        losses_of = {"reader": self._reader_losses, "generator": self._generator_losses}
        for name, optimizer in optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate * 0.05**progress
            losses = losses_of[name](batch)
            backward(torch.stack(list(losses.values())).sum())
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            logs |= {f"{name}/{part}": loss.detach() for part, loss in losses.items()}
        self._update_average(optimizers["generator"])
        return logs

    @torch.no_grad()
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        generator, code = self.nets["average"], encode(images)
        here, there = (
            generator(code, labels.replace(age=labels.age.clamp(max=MAX_AGE)))
            for labels in (source, _fill(target, source))
        )
        return difference(here, there).times(self.config.strength).apply(images).clamp(-1, 1)

    @torch.no_grad()
    def estimate(self, images: Tensor) -> Condition:
        seen, mirrored = self._read(images), self._read(images.flip(3))
        return seen.condition().replace(age=(seen.years() + mirrored.years()) / 2)

    def _read(self, images: Tensor) -> Reading:
        return reading(self.nets["reader"](augment.crop(images, CENTRE, SIZE)))

    def _reader_losses(self, batch: Batch) -> dict[str, Tensor]:
        generator = torch.default_generator
        views = augment.jitter_geometry(batch.images, generator, box=CENTRE, size=SIZE)
        views = augment.jitter_colour(views, generator)
        views = augment.add_noise(views, generator, deviation=self.config.noise)
        return reading_loss(reading(self.nets["reader"](views)), batch.condition)

    def _generator_losses(self, batch: Batch) -> dict[str, Tensor]:
        config, generator, images = self.config, self.nets["generator"], batch.images
        code = encode(images)
        known = _withhold(batch.condition, config.unknown)
        count, device = len(images), images.device
        other = known.replace(
            age=torch.rand(count, device=device) * MAX_AGE,
            glasses=torch.where(
                known.glasses == UNKNOWN, UNKNOWN, torch.randint(0, 2, (count,), device=device)
            ),
        )
        here, there = generator(code, known), generator(code, other)
        shown = F.adaptive_avg_pool2d(batch.masks, FIELD)
        off = F.mse_loss(here.detail, details(images, FIELD), reduction="none")
        # The flow only learns to match pictures, and no picture is learned for the sake of a flow.
        flow = there.shape - here.shape
        between = (shift(here.picture.detach(), flow) - there.picture.detach()).abs()
        paired = batch.masks * (~known.age.isnan())[:, None, None, None]
        return {
            "prototype": config.prototype * _mean((here.picture - images).square(), batch.masks),
            "detail": config.detail * _mean(off, (shown > 0.99).float()),
            "flow": config.flow * _mean(between, paired),
            "smooth": config.smooth * roughness(flow),
        }

    @torch.no_grad()
    def _update_average(self, optimizer: Optimizer) -> None:
        steps = int(optimizer.state_dict()["state"][0]["step"])
        keep = min(self.config.ema, (1 + steps) / (10 + steps))  # of the first steps nothing is to be kept
        average, current = self.nets["average"].state_dict(), self.nets["generator"].state_dict()
        for name, value in average.items():
            value.lerp_(current[name].to(value.dtype), 1 - keep)


def encode(images: Tensor) -> Tensor:
    """The code of (B, 3, H, W) faces: their middle at (B, 3, CODE, CODE)."""
    return augment.crop(images.float(), CENTRE, CODE)


def difference(here: Prototype, there: Prototype) -> Change:
    """The change that turns one prototype into the other."""
    flow = there.shape - here.shape
    return Change(
        flow=flow, shade=there.picture - shift(here.picture, flow), detail=there.detail - here.detail
    )


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


def _withhold(condition: Condition, share: float) -> Condition:
    """The labels, but for a share of each."""
    names = [f.name for f in dataclasses.fields(condition)]
    draw = torch.rand(len(names), len(condition), device=condition.age.device)
    return Condition(
        **{
            name: torch.where(row < share, torch.nan if name == "age" else UNKNOWN, getattr(condition, name))
            for name, row in zip(names, draw, strict=True)
        }
    )


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of (B, C, H, W) where (B, 1, H, W) is set."""
    return (values * weight).sum() / (weight.sum() * values.shape[1]).clamp(min=1)

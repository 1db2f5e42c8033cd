"""The reader beside an ager, and what else the agers' trainings share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from nenrin.domains.face import GLASSES
from nenrin.models import augment
from nenrin.models.base import Backward
from nenrin.models.condition import Condition
from nenrin.models.data import Batch
from nenrin.models.reader import CENTRE, SIZE, Reader, reading, reading_loss, worst_noise

READER_EVERY = 2  # it learns faster than an ager: one step of so many is enough
_WIDTH = 24  # channels at half resolution
RATE = 2e-3  # learning rate, at first
_NOISE = 0.2  # largest deviation of the noise through which it learns to look
_FALL = 0.05  # what is left of a learning rate at the end


def new_reader(domains: int) -> Reader:
    """A reader of so many domains, as every ager has it."""
    return Reader(domains, _WIDTH)


def reader_optimizer(reader: nn.Module) -> Optimizer:
    """AdamW for `train_reader`."""
    return AdamW(reader.parameters(), RATE, weight_decay=0.05, fused=True)


def train_reader(
    reader: nn.Module,
    batch: Batch,
    optimizer: Optimizer,
    backward: Backward,
    progress: float,
    *,
    rate: float = RATE,
    reach: float = 0.0,
) -> dict[str, Tensor]:
    """One step of the reader, on views of the faces in other light, place and noise. Returns its losses.

    With a `reach` the noise is the worst of that L2 norm, see `worst_noise`.
    """
    slow_down(optimizer, rate, progress)
    views = other_views(batch.images)
    if reach > 0:
        views = views + worst_noise(reader, views, batch.condition, reach)
    else:
        views = augment.add_noise(views, torch.default_generator, deviation=_NOISE)
    losses = reading_loss(reading(reader(views)), batch.condition)
    backward(torch.stack(list(losses.values())).sum())
    advance(optimizer)
    return {f"reader/{name}": loss.detach() for name, loss in losses.items()}


def other_views(images: Tensor) -> Tensor:
    """(B, 3, SIZE, SIZE) of (B, 3, S, S) faces, in another light, colour and place each time."""
    generator = torch.default_generator
    views = augment.jitter_geometry(images, generator, box=CENTRE, size=SIZE)
    views = augment.jitter_colour(views, generator)
    return augment.jitter_channels(views, generator)


@torch.no_grad()
def read(reader: nn.Module, images: Tensor) -> Condition:
    """The most likely labels of (B, 3, S, S) faces; the age is the mean of two looks, one at the mirror."""

    looks = torch.cat([images, images.flip(3)])  # in one pass: a small net is mostly overhead
    seen = reading(reader(augment.crop(looks, CENTRE, SIZE)))
    straight, mirrored = seen.years().chunk(2)
    return seen.condition()[: len(images)].replace(age=(straight + mirrored) / 2)


@torch.no_grad()
def wearing(reader: nn.Module, images: Tensor) -> Tensor:
    """How likely (B, 3, S, S) faces are to wear glasses, (B,): the mean of two looks, one at the mirror."""
    looks = torch.cat([images, images.flip(3)])
    chances = reading(reader(augment.crop(looks, CENTRE, SIZE))).glasses.softmax(1)
    straight, mirrored = (1 - chances[:, GLASSES.index("none")]).chunk(2)
    return (straight + mirrored) / 2


def advance(optimizer: Optimizer) -> None:
    """Step, and forget the gradients."""
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def steps_of(optimizer: Optimizer) -> int:
    """How often it has stepped.

    What is to happen at every other step goes by this, and by no draw: the processes of a training draw
    differently, and must step the same optimizers.
    """
    first = next(iter(optimizer.state_dict()["state"].values()), None)
    return 0 if first is None else int(first["step"])


def slow_down(optimizer: Optimizer, rate: float, progress: float) -> None:
    """Let the learning rate fall exponentially from `rate` to a twentieth as `progress` goes from 0 to 1."""
    for group in optimizer.param_groups:
        group["lr"] = rate * _FALL**progress


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average of the weights; of the first steps nothing is kept."""
    keep = min(decay, (1 + step) / (10 + step))
    state = current.state_dict()
    for name, value in average.state_dict().items():
        value.lerp_(state[name].to(value.dtype), 1 - keep)

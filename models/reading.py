"""Training the reader beside an ager, and other parts that the agers' trainings share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from nenrin.domains.face import GLASSES
from nenrin.models import augment
from nenrin.models.base import Backward
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.data import Batch
from nenrin.models.reader import CENTRE, SIZE, Reader, reading, reading_loss, worst_noise

READER_EVERY = 2  # steps of the ager for each of the reader's, which learns faster
_WIDTH = 24  # channels at half resolution
RATE = 2e-3  # initial learning rate
_NOISE = 0.2  # largest standard deviation of the noise in its training views
_SURE = 0.75  # least probability of a gender that is believed: of less likely ones two fifths are wrong
_FALL = 0.05  # final learning rate, as a fraction of the initial one


def new_reader(domains: int) -> Reader:
    """A reader for `domains` domains, of the width that every ager uses."""
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
    """A reader step on views of the faces with random light, placement and noise. Returns its losses.

    With a `reach` the noise is adversarial, of at most that L2 norm; see `worst_noise`.
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
    """(B, 3, SIZE, SIZE) views of (B, 3, S, S) faces, with random light, colour and placement."""
    generator = torch.default_generator
    views = augment.jitter_geometry(images, generator, box=CENTRE, size=SIZE)
    views = augment.jitter_colour(views, generator)
    return augment.jitter_channels(views, generator)


@torch.no_grad()
def read(reader: nn.Module, images: Tensor) -> Condition:
    """The most likely labels of (B, 3, S, S) faces; age and gender are averaged with the mirror image.

    A gender that the reader is not sure of is unknown.
    """
    looks = torch.cat([images, images.flip(3)])  # in one pass: a small net is mostly overhead
    seen = reading(reader(augment.crop(looks, CENTRE, SIZE)))
    years, chances = (
        each.view(2, len(images), -1).mean(0) for each in (seen.years(), seen.gender.softmax(1))
    )
    chance, gender = chances.max(1)
    labels = seen.condition()[: len(images)]
    return labels.replace(age=years[:, 0], gender=torch.where(chance < _SURE, UNKNOWN, gender))


@torch.no_grad()
def wearing(reader: nn.Module, images: Tensor, *, mirrored: bool = True) -> Tensor:
    """Probability (B,) that (B, 3, S, S) faces wear glasses, averaged with that of the mirror images."""
    looks = torch.cat([images, images.flip(3)]) if mirrored else images
    chances = reading(reader(augment.crop(looks, CENTRE, SIZE))).glasses.softmax(1)
    worn = 1 - chances[:, GLASSES.index("none")]
    return worn.view(-1, len(images)).mean(0)


def advance(optimizer: Optimizer) -> None:
    """Step, and forget the gradients."""
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def steps_of(optimizer: Optimizer) -> int:
    """The number of steps it has taken.

    What happens at every n-th step goes by this number rather than a random draw: the processes of a training
    draw differently, but must step the same optimizers.
    """
    first = next(iter(optimizer.state_dict()["state"].values()), None)
    return 0 if first is None else int(first["step"])


def slow_down(optimizer: Optimizer, rate: float, progress: float) -> None:
    """Decay the learning rate exponentially from `rate` to a twentieth as `progress` goes from 0 to 1."""
    for group in optimizer.param_groups:
        group["lr"] = rate * _FALL**progress


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, decay: float, step: int) -> None:
    """Update the exponential moving average of the weights; it soon forgets the first steps."""
    keep = min(decay, (1 + step) / (10 + step))
    state = current.state_dict()
    for name, value in average.state_dict().items():
        value.lerp_(state[name].to(value.dtype), 1 - keep)

"""The mixed ager: CAAE's idea taken to every domain, answering with a change instead of a picture.

An encoder keeps a spatial code of the face; a generator, told age, domain, glasses and gender, answers
with a flow (growth changes shape), a paint and a mask. The aged face is the input, warped, with the paint
laid over it where the mask says so. What age does not touch stays as it was, at any resolution. Told
nothing about glasses or gender, it leaves them alone.

The pull towards the asked age comes from a reader trained beside it, and from a projection discriminator
(Miyato and Koyama 2018) with R1 (Mescheder et al. 2018) told the same labels; both look through augmentation
(Zhao et al. 2020), so that no pattern too faint for a person counts.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from nenrin.domains.face import GENDERS, GLASSES
from nenrin.models import augment
from nenrin.models.base import AgerModel, Backward, ModelConfig
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.data import Batch
from nenrin.models.reader import AGE_CLASSES, Reader, age_centres, reading, reading_loss

MAX_AGE = 90.0  # years; older is asked for as this


@dataclasses.dataclass(kw_only=True, slots=True)
class MixedConfig(ModelConfig):
    """The mixed ager's shape and the weights of its losses."""

    width: int = 32  # channels at half resolution; deeper levels have 2, 3 and 4 times as many
    flow: float = 0.12  # largest shift, as a share of the width
    learning_rate: float = 4e-4
    reader_share: float = 0.1  # of the training, in which only the reader learns
    ema: float = 0.995  # decay of the average of the generator that is used afterwards

    age: float = 1.0  # the reader sees the asked age
    labels: float = (
        0.5  # the reader sees the domain, glasses and gender that were asked for, or were there before
    )
    adversary: float = 0.3
    r1: float = 1.0  # gradient penalty of the discriminator, applied on every `r1_every`-th step
    r1_every: int = 8
    pair: float = 5.0  # L1 to the same person's true picture at the asked age, where the set has one
    cycle: float = 5.0  # back to the original age gives the original picture
    same: float = 5.0  # asked for its own age, a face is left alone
    keep: float = 1.0  # coarse appearance stays, less so the further the age is away
    smooth: float = 20.0  # total variation of the flow
    sparse: float = 0.05  # the mask covers no more than it must


class MixedAger(AgerModel):
    """Encoder and generator of a change, their discriminator and reader."""

    name = "mixed"
    config: MixedConfig

    def __init__(self, config: MixedConfig) -> None:
        super().__init__()
        self.config = config
        generator = ChangeGenerator(config)
        self.nets = nn.ModuleDict(
            {
                "generator": generator,
                "average": copy.deepcopy(generator).requires_grad_(False),
                "discriminator": Discriminator(config),
                "reader": Reader(len(config.domains), config.width),
            }
        )

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.config.learning_rate
        return {
            "generator": Adam(self.nets["generator"].parameters(), rate, betas=(0.0, 0.99)),
            "discriminator": Adam(self.nets["discriminator"].parameters(), rate, betas=(0.0, 0.99)),
            "reader": torch.optim.AdamW(self.nets["reader"].parameters(), 1e-3, weight_decay=0.05),
        }

    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        logs = self._train_reader(batch, optimizers["reader"], backward, progress)
        if progress >= self.config.reader_share:
            target, paired = self._ask(batch)
            logs |= self._train_generator(batch, target, paired, optimizers["generator"], backward)
            logs |= self._train_discriminator(batch, target, optimizers["discriminator"], backward)
            self._update_average()
        return logs

    @torch.no_grad()
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        change: Change = self.nets["average"](images, target)
        return change.apply(images).clamp(-1, 1)

    @torch.no_grad()
    def estimate(self, images: Tensor) -> Condition:
        reader = self.nets["reader"]
        seen, mirrored = reading(reader(images)), reading(reader(images.flip(3)))
        return seen.condition().replace(age=(seen.years() + mirrored.years()) / 2)

    def _train_reader(
        self, batch: Batch, optimizer: Optimizer, backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        for group in optimizer.param_groups:  # to a tenth over the training, so that it settles
            group["lr"] = 1e-3 * 0.1**progress
        reader = self.nets["reader"]
        views = _view(batch.images)
        losses = reading_loss(reading(reader(views)), batch.condition)
        backward(torch.stack(list(losses.values())).sum())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {f"reader/{name}": loss.detach() for name, loss in losses.items()}

    def _ask(self, batch: Batch) -> tuple[Condition, Tensor]:
        """What to ask of each face: its partner's labels where it has one, an age at random else."""
        count = len(batch.images)
        device = batch.images.device
        age = torch.where(
            batch.has_partner, batch.partner_condition.age, torch.rand(count, device=device) * 80
        )
        glasses = torch.where(
            batch.has_partner,
            batch.partner_condition.glasses,
            torch.where(
                torch.rand(count, device=device) < 0.5, UNKNOWN, torch.randint(0, 2, (count,), device=device)
            ),
        )
        gender = torch.where(torch.rand(count, device=device) < 0.5, UNKNOWN, batch.condition.gender)
        return batch.condition.replace(age=age, glasses=glasses, gender=gender), batch.has_partner

    def _train_generator(
        self, batch: Batch, target: Condition, paired: Tensor, optimizer: Optimizer, backward: Backward
    ) -> dict[str, Tensor]:
        config, generator, reader = self.config, self.nets["generator"], self.nets["reader"]
        reader.requires_grad_(False)
        self.nets["discriminator"].requires_grad_(False)
        with torch.no_grad():
            before = reading(reader(batch.images)).condition()
        own = _fill(batch.condition, before)

        change: Change = generator(batch.images, target)
        aged = change.apply(batch.images)
        expected = _fill(target, before)
        seen = reading_loss(reading(reader(_view(aged))), expected)
        logits = self.nets["discriminator"](_view(aged), target)
        # Half of the faces are asked back, from the aged picture; the others for what they already are.
        half = len(aged) // 2
        start = torch.cat([aged[:half], batch.images[half:]])
        ends = generator(start, own.replace(gender=target.gender)).apply(start)
        distance = (target.age - own.age).abs()
        losses = {
            "age": config.age * seen["age"],
            "labels": config.labels * (seen["domain"] + seen["glasses"] + seen["gender"]),
            "adversary": config.adversary * F.softplus(-logits).mean(),
            "cycle": config.cycle * _masked_l1(ends[:half], batch.images[:half], batch.masks[:half]),
            "same": config.same * _masked_l1(ends[half:], batch.images[half:], batch.masks[half:]),
            "pair": config.pair
            * _masked_l1(
                aged, batch.partner, batch.masks * batch.partner_masks * paired[:, None, None, None]
            ),
            "keep": config.keep * ((1 - distance / 80).clamp(min=0.1) * _coarse(aged, batch.images)).mean(),
            "smooth": config.smooth * change.roughness(),
            "sparse": config.sparse * change.mask.mean(),
        }
        backward(torch.stack([loss.float() for loss in losses.values()]).sum())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        reader.requires_grad_(True)
        self.nets["discriminator"].requires_grad_(True)
        self._aged = aged.detach()
        return {f"generator/{name}": loss.detach() for name, loss in losses.items()}

    def _train_discriminator(
        self, batch: Batch, target: Condition, optimizer: Optimizer, backward: Backward
    ) -> dict[str, Tensor]:
        discriminator = self.nets["discriminator"]
        fake = discriminator(_view(self._aged), target)
        real = discriminator(_view(batch.images), batch.condition)
        loss = F.softplus(fake).mean() + F.softplus(-real).mean()
        penalty = torch.zeros((), device=loss.device)
        if torch.rand(()) < 1 / self.config.r1_every:
            # Fabric's wrapper allows no gradient but its own backward's: the net below it is asked.
            bare = getattr(discriminator, "module", discriminator)
            views = _view(batch.images).requires_grad_(True)
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


@dataclasses.dataclass(kw_only=True, slots=True)
class Change:
    """What the generator answers with, for B faces."""

    flow: Tensor  # (B, 2, h, w) where to fetch each pixel from, x then y, in the grid's units (2 = the width)
    paint: Tensor  # (B, 3, H, W) in [-1, 1]
    mask: Tensor  # (B, 1, H, W) in [0, 1], the share of paint

    def apply(self, images: Tensor) -> Tensor:
        """Warp (B, 3, H', W') and lay the paint over it; at another size the change is scaled smoothly."""
        size = images.shape[-2:]
        flow = F.interpolate(self.flow.float(), size, mode="bicubic", align_corners=False)
        identity = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
        grid = F.affine_grid(identity, [len(images), 1, *size], align_corners=False)
        warped = F.grid_sample(
            images.float(), grid + flow.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
        )
        paint, mask = self.paint.float(), self.mask.float()
        if paint.shape[-2:] != size:
            paint = F.interpolate(paint, size, mode="bicubic", align_corners=False)
            mask = F.interpolate(mask, size, mode="bicubic", align_corners=False).clamp(0, 1)
        return warped + mask * (paint - warped)

    def roughness(self) -> Tensor:
        """Mean squared second difference of the flow: bending costs, shifting and scaling do not."""
        flow = self.flow.float()
        return flow.diff(n=2, dim=2).square().mean() + flow.diff(n=2, dim=3).square().mean()


class ConditionEmbedding(nn.Module):
    """Labels to a vector; an unknown label adds nothing."""

    def __init__(self, domains: int, width: int) -> None:
        super().__init__()
        self.age = nn.Linear(AGE_CLASSES, width)
        self.domain = nn.Embedding(domains, width)
        self.glasses = nn.Embedding(len(GLASSES), width)
        self.gender = nn.Embedding(len(GENDERS), width)

    def forward(self, condition: Condition) -> Tensor:
        """(B, width)"""
        known = ~condition.age.isnan()
        years = condition.age.nan_to_num(0).clamp(0, MAX_AGE)
        bumps = torch.exp(-0.5 * ((years[:, None] - age_centres(years.device)) / 6) ** 2)  # (B, AGE_CLASSES)
        embedded: Tensor = self.age(bumps) * known[:, None]
        for table, labels in (
            (self.domain, condition.domain),
            (self.glasses, condition.glasses),
            (self.gender, condition.gender),
        ):
            embedded = embedded + table(labels.clamp(min=0)) * (labels != UNKNOWN)[:, None]
        return embedded


class ChangeGenerator(nn.Module):
    """Encoder to an 8 x 8 code with skips, and a generator of a `Change` under FiLM (Perez et al. 2018)."""

    def __init__(self, config: MixedConfig) -> None:
        super().__init__()
        width, self.flow_limit = config.width, config.flow * 2
        levels = (config.size // 8).bit_length() - 1  # halvings down to 8 x 8
        channels = [width * min(level + 1, 4) for level in range(levels)]
        code = width * 4
        self.embed = nn.Sequential(
            ConditionEmbedding(len(config.domains), 128), nn.SiLU(), nn.Linear(128, 128)
        )
        self.stem = nn.Conv2d(3, channels[0], 5, stride=2, padding=2)
        self.down = nn.ModuleList(
            nn.Conv2d(inside, outside, 3, stride=2, padding=1)
            for inside, outside in zip(channels, [*channels[1:], code][: levels - 1], strict=False)
        )
        deepest = channels[-1]
        self.encode = nn.Sequential(_Block(deepest), _Block(deepest))
        self.decode = nn.ModuleList(_Block(deepest, 128) for _ in range(3))
        self.up = nn.ModuleList()
        self.refine = nn.ModuleList()
        inside = deepest
        for skip in reversed(channels[:-1]):
            self.up.append(nn.Conv2d(inside + skip, skip, 3, padding=1))
            self.refine.append(_Block(skip, 128))
            inside = skip
        flow_channels = channels[min(1, levels - 1)]  # the flow is read at a quarter of the resolution
        self.to_flow = _zero(nn.Conv2d(flow_channels, 2, 3, padding=1))
        self.to_paint = nn.Conv2d(inside, 4, 3, padding=1)

    def forward(self, images: Tensor, condition: Condition) -> Change:
        embedded = F.silu(self.embed(condition))
        x = self.stem(images)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(F.silu(x))
        x = self.encode(x)  # (B, C, 8, 8): the code
        for block in self.decode:
            x = block(x, embedded)
        flow = None
        for up, refine in zip(self.up, self.refine, strict=True):
            if len(skips) == 1:
                flow = self.to_flow(x)
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = refine(up(torch.cat([x, skips.pop()], dim=1)), embedded)
        assert flow is not None
        # Enlarged smoothly: a pixel shuffle here paints the chequered patterns that deceive a reader.
        x = F.interpolate(F.silu(x), scale_factor=2, mode="bilinear", align_corners=False)
        painted = self.to_paint(x)  # (B, 4, H, W)
        return Change(
            flow=torch.tanh(flow) * self.flow_limit,
            paint=torch.tanh(painted[:, :3]),
            mask=torch.sigmoid(painted[:, 3:] - 2),
        )


class Discriminator(nn.Module):
    """Real or made, for a face of these labels: residual, without normalisation, projecting the labels."""

    def __init__(self, config: MixedConfig) -> None:
        super().__init__()
        width = config.width
        channels = [width, width * 2, width * 3, width * 4]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 5, stride=2, padding=2)]
        for inside, outside in itertools.pairwise(channels):
            layers += [_Plain(inside), nn.LeakyReLU(0.2), nn.Conv2d(inside, outside, 3, stride=2, padding=1)]
        self.body = nn.Sequential(*layers, _Plain(channels[-1]), nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(4))
        self.feature = nn.Linear(channels[-1] * 16, 128)
        self.score = nn.Linear(128, 1)
        self.embed = ConditionEmbedding(len(config.domains), 128)

    def forward(self, images: Tensor, condition: Condition) -> Tensor:
        """Logits (B,), positive for real."""
        feature = F.leaky_relu(self.feature(self.body(images).flatten(1)), 0.2)
        projection = (feature * self.embed(condition)).sum(1) / feature.shape[1] ** 0.5
        return self.score(feature)[:, 0] + projection  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Residual block; with a condition, FiLM after the second normalisation."""

    def __init__(self, channels: int, embedded: int | None = None) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(embedded, channels * 2) if embedded else None

    def forward(self, x: Tensor, embedded: Tensor | None = None) -> Tensor:
        hidden = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.film is not None and embedded is not None:
            scale, shift = self.film(embedded)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        return x + self.conv2(F.silu(hidden))  # type: ignore[no-any-return]


class _Plain(nn.Module):
    """Residual block without normalisation, as R1 wants it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2))) / 2**0.5  # type: ignore[no-any-return]


def _view(images: Tensor) -> Tensor:
    """A random view through which reader and discriminator look."""
    generator = torch.default_generator
    images = augment.jitter_geometry(images, generator)
    images = augment.jitter_colour(images, generator)
    return augment.add_noise(images, generator)


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


def _masked_l1(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference where the mask is set."""
    return ((a - b).abs() * mask).sum() / (mask.sum() * a.shape[1]).clamp(min=1)


def _coarse(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the two at an eighth of the resolution, (B,)."""
    return (F.avg_pool2d(a, 8) - F.avg_pool2d(b, 8)).abs().mean(dim=(1, 2, 3))


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer

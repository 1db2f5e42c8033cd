"""CAAE, the conditional adversarial autoencoder, as published (Zhang, Song and Qi, CVPR 2017).

Kept faithful, for the record and as the baseline: an encoder to z in [-1, 1]^50, a generator told ten age
classes and the gender, a discriminator that holds z to a uniform prior and one that judges the picture with
its label. There are two named weightings. `code` is what the authors' public code trains with (prior
adversary and total variation off: nearly an autoencoder). `paper` is what the paper says (lambda 100 on the
reconstruction, gamma 10 on the total variation, both adversaries at 1), divided by 100 so that the
reconstruction has weight 1 in both.

A known label is +1 in its class and -1 elsewhere; an unknown one is all zeros.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from nenrin.domains.face import GENDERS
from nenrin.models.base import AgerModel, Backward, ModelConfig
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.data import Batch

AGE_BOUNDS = (5, 10, 15, 20, 30, 40, 50, 60, 70)  # years: the last of each class but the tenth, which is 71+
AGE_CLASSES = len(AGE_BOUNDS) + 1
WEIGHTINGS = {
    "code": (1e-4, 0.0, 0.0),
    "paper": (1e-2, 1e-2, 1e-1),
}  # picture adversary, z adversary, variation


@dataclasses.dataclass(kw_only=True, slots=True)
class CAAEConfig(ModelConfig):
    """CAAE's shape and the weights of its losses; the L1 reconstruction weighs 1."""

    size: int = 128
    weighting: str = "code"  # `code` or `paper`: sets the three weights below that are left at -1
    picture_adversary: float = -1.0
    latent_adversary: float = -1.0
    variation: float = -1.0
    width: float = 1.0  # 1 as published; 0.5 halves the channels
    latent: int = 50
    learning_rate: float = 2e-4

    def weights(self) -> tuple[float, float, float]:
        """Weights of the picture adversary, the latent adversary and the total variation."""
        given = (self.picture_adversary, self.latent_adversary, self.variation)
        named = WEIGHTINGS[self.weighting]
        return (
            named[0] if given[0] < 0 else given[0],
            named[1] if given[1] < 0 else given[1],
            named[2] if given[2] < 0 else given[2],
        )


class CAAE(AgerModel):
    """Encoder, generator and the two discriminators."""

    name = "caae"
    least_batch = 2
    config: CAAEConfig

    def __init__(self, config: CAAEConfig) -> None:
        super().__init__()
        self.config = config
        self.nets = nn.ModuleDict(
            {
                "encoder": Encoder(config),
                "generator": Generator(config),
                "picture_discriminator": PictureDiscriminator(config),
                "latent_discriminator": LatentDiscriminator(config),
            }
        )

    def optimizers(self) -> dict[str, Optimizer]:
        return {
            name: Adam(net.parameters(), self.config.learning_rate, betas=(0.5, 0.999), fused=True)
            for name, net in self.nets.items()
        }

    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        nets = self.nets
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        images, masks = batch.images, batch.masks
        label = age_label(batch.condition), gender_label(batch.condition)
        z = nets["encoder"](images)
        made = nets["generator"](z, *label)
        picture_weight, latent_weight, variation_weight = self.config.weights()

        # Encoder and generator: reconstruct, and deceive both discriminators.
        for name in ("picture_discriminator", "latent_discriminator"):
            nets[name].requires_grad_(False)
        losses = {"reconstruction": ((made - images).abs() * masks).sum() / (masks.sum() * 3).clamp(min=1)}
        losses["picture_adversary"] = picture_weight * _real(nets["picture_discriminator"](made, *label))
        # Losses of weight 0 are not computed, which makes a step 4% shorter.
        nothing = losses["reconstruction"].new_zeros(())
        losses["latent_adversary"] = (
            latent_weight * _real(nets["latent_discriminator"](z)) if latent_weight else nothing
        )
        losses["variation"] = variation_weight * _total_variation(made) if variation_weight else nothing
        backward(torch.stack(list(losses.values())).sum())
        optimizers["encoder"].step()
        optimizers["generator"].step()

        # The discriminators: prior against z, photograph against decoding.
        for name in ("picture_discriminator", "latent_discriminator"):
            nets[name].requires_grad_(True)
        prior = torch.rand_like(z) * 2 - 1
        losses["latent_discriminator"] = _real(nets["latent_discriminator"](prior)) + _made(
            nets["latent_discriminator"](z.detach())
        )
        losses["picture_discriminator"] = _real(nets["picture_discriminator"](images, *label)) + _made(
            nets["picture_discriminator"](made.detach(), *label)
        )
        backward(losses["latent_discriminator"] + losses["picture_discriminator"])
        optimizers["latent_discriminator"].step()
        optimizers["picture_discriminator"].step()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        z = self.nets["encoder"](images)
        made: Tensor = self.nets["generator"](z, age_label(target), gender_label(target))
        return made

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        return Condition.of(len(images), domains=self.config.domains).to(images.device)


def age_label(condition: Condition) -> Tensor:
    """(B, 10): +1 in the age's class, -1 elsewhere; zeros where it is unknown."""
    bounds = torch.tensor(AGE_BOUNDS, device=condition.age.device)
    years = condition.age.nan_to_num(0).ceil().clamp(min=0)
    classes = torch.bucketize(years, bounds)
    return _label(torch.where(condition.age.isnan(), UNKNOWN, classes), AGE_CLASSES)


def gender_label(condition: Condition) -> Tensor:
    """(B, 2): +1 for the gender, -1 for the other; zeros where it is unknown."""
    return _label(condition.gender, len(GENDERS))


def _label(index: Tensor, count: int) -> Tensor:
    label = F.one_hot(index.clamp(min=0), count).float() * 2 - 1
    return label * (index != UNKNOWN)[:, None]


class Encoder(nn.Module):
    """5 x 5 stride-2 convolutions from 64 channels up, to z: (B, 3, S, S) to (B, latent) in [-1, 1]."""

    def __init__(self, config: CAAEConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for level in range(_levels(config)):
            outside = int(64 * config.width * 2**level)
            layers += [_conv(inside, outside), nn.ReLU(inplace=True)]
            inside = outside
        self.body = nn.Sequential(*layers)
        self.to_latent = nn.Linear(inside * 16, config.latent)

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(self.to_latent(self.body(images).flatten(1)))  # (B, latent)


class Generator(nn.Module):
    """z with its labels tiled to z's own length, through 5 x 5 transposed convolutions, to the picture."""

    def __init__(self, config: CAAEConfig) -> None:
        super().__init__()
        self.tiles = config.latent // AGE_CLASSES, config.latent // len(GENDERS)
        labels = self.tiles[0] * AGE_CLASSES + self.tiles[1] * len(GENDERS)
        self.channels = int(1024 * config.width)
        self.from_latent = nn.Linear(config.latent + labels, self.channels * 16)
        layers: list[nn.Module] = []
        inside = self.channels
        for _ in range(_levels(config)):
            up = Up(inside, inside // 2, 5, stride=2, padding=2, output_padding=1)
            layers += [_init(up), nn.ReLU(inplace=True)]
            inside //= 2
        layers += [_conv(inside, inside // 2, stride=1), nn.ReLU(inplace=True)]
        layers += [_conv(inside // 2, 3, stride=1), nn.Tanh()]
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor, age: Tensor, gender: Tensor) -> Tensor:
        labelled = torch.cat(
            [z, age.repeat(1, self.tiles[0]), gender.repeat(1, self.tiles[1])], dim=1
        )  # (B, 150)
        start = F.relu(self.from_latent(labelled)).view(-1, self.channels, 4, 4)
        made: Tensor = self.body(start)
        return made  # (B, 3, S, S)


class PictureDiscriminator(nn.Module):
    """Photograph or decoding, with the label concatenated to the first layer's output: logits (B,)."""

    def __init__(self, config: CAAEConfig) -> None:
        super().__init__()
        widths = [int(channels * config.width) for channels in (16, 32, 64, 128)]
        self.gender_tiles = AGE_CLASSES // 2
        labels = AGE_CLASSES + self.gender_tiles * len(GENDERS)
        self.first = nn.Sequential(_conv(3, widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
        layers: list[nn.Module] = []
        inside = widths[0] + labels
        for outside in widths[1:]:
            layers += [_conv(inside, outside), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
            inside = outside
        self.rest = nn.Sequential(*layers)
        hidden = int(1024 * config.width)
        side = config.size // 16
        self.head = nn.Sequential(
            nn.Linear(inside * side * side, hidden), nn.LeakyReLU(0.2, inplace=True), nn.Linear(hidden, 1)
        )

    def forward(self, images: Tensor, age: Tensor, gender: Tensor) -> Tensor:
        x = self.first(images)
        label = torch.cat([age, gender.repeat(1, self.gender_tiles)], dim=1)[:, :, None, None]
        everywhere = label.to(x.dtype).expand(-1, -1, *x.shape[2:])
        if x.is_contiguous(memory_format=torch.channels_last):  # else `cat` would undo the layout
            everywhere = everywhere.contiguous(memory_format=torch.channels_last)
        x = torch.cat([x, everywhere], dim=1)
        logits: Tensor = self.head(self.rest(x).flatten(1))[:, 0]
        return logits


class LatentDiscriminator(nn.Module):
    """Prior or encoder: (B, latent) to logits (B,)."""

    def __init__(self, config: CAAEConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = config.latent
        for outside in (64, 32, 16):
            layers += [nn.Linear(inside, outside), nn.BatchNorm1d(outside), nn.ReLU(inplace=True)]
            inside = outside
        self.body = nn.Sequential(*layers, nn.Linear(inside, 1))

    def forward(self, z: Tensor) -> Tensor:
        logits: Tensor = self.body(z)[:, 0]
        return logits


class Up(nn.ConvTranspose2d):
    """A transposed convolution whose bias learns by a plain sum.

    oneDNN's own gradient of such a bias takes as long in bf16 as that of all the weights.
    """

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) to twice the height and width."""
        bias = self.bias
        assert bias is not None
        if not (torch.is_grad_enabled() and bias.requires_grad):
            return super().forward(x)
        stride, padding, more = self.stride, self.padding, self.output_padding
        made = F.conv_transpose2d(x, self.weight, bias.detach(), stride, padding, more)  # type: ignore[arg-type]
        summed: Tensor = _BiasGradient.apply(made, bias)  # type: ignore[no-untyped-call]
        return summed


class _BiasGradient(torch.autograd.Function):
    """Passes on (B, C, H, W), to which a bias (C,) was added; backward gives the bias its gradient."""

    @staticmethod
    def forward(ctx: Any, made: Tensor, bias: Tensor) -> Tensor:
        ctx.mark_dirty(made)
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient.sum((0, 2, 3), dtype=torch.float32)


def _levels(config: CAAEConfig) -> int:
    """Halvings down to the 4 x 4 map."""
    return (config.size // 4).bit_length() - 1


def _conv(inside: int, outside: int, *, stride: int = 2) -> nn.Module:
    return _init(nn.Conv2d(inside, outside, 5, stride=stride, padding=2))


def _init(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """The published initialisation: normal, deviation 0.02, bias 0."""
    nn.init.normal_(layer.weight, std=0.02)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _real(logits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def _made(logits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))


def _total_variation(images: Tensor) -> Tensor:
    """Total variation of squared differences as in the public code: a picture's sum, divided by its side."""
    size = images.shape[-1]
    return (images.diff(dim=2).square().sum() + images.diff(dim=3).square().sum()) / (size * len(images))

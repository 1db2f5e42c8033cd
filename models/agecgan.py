"""Age-cGAN, as published (Antipov, Baccouche and Dugelay, ICIP 2017), for the record and as a baseline.

Three parts are trained one after the other. A conditional GAN draws faces from z (100 numbers) and one of six
age classes. An encoder learns to recover z from pictures that the generator drew. For each face to be aged,
L-BFGS then moves z until a face embedding sees the same person ("identity-preserving optimisation"). The nets
are DCGAN's (Radford et al. 2016), with the class concatenated to z and to the output of the discriminator's
first layer (Perarnau et al. 2016).

The paper takes a pretrained face recogniser and an age estimator. Here both are learned inside the run, so
that no net of the evaluation is involved: an embedding that recognises a face under shifts, light and noise
(NT-Xent, Chen et al. 2020), and a linear reader of the age class on its features.
"""

from __future__ import annotations

import dataclasses
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from nenrin.models import augment
from nenrin.models.base import AgerModel, Backward, ModelConfig
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.data import Batch

AGE_BOUNDS = (18, 29, 39, 49, 59)  # years: the last of each class but the sixth, which is 60+
AGE_CENTRES = (9.0, 24.0, 34.5, 44.5, 54.5, 70.0)  # years that each class stands for in an estimate
AGE_CLASSES = len(AGE_CENTRES)
SEEN = 32  # pixels that the embedding looks at
EMBEDDED = 128  # numbers of an embedding


@dataclasses.dataclass(kw_only=True, slots=True)
class AgeCGANConfig(ModelConfig):
    """Age-cGAN's shape and schedule."""

    latent: int = 100
    width: float = 1.0  # 1 as published; 0.5 halves the channels
    learning_rate: float = 2e-4
    encoder_share: float = 0.3  # fraction of the training that goes to the encoder, after the generator
    iterations: int = 20  # of L-BFGS for each face; 0 uses the encoder's z
    temperature: float = 0.2  # of the embedding's contrastive loss


class AgeCGAN(AgerModel):
    """Generator, discriminator, encoder, and the embedding with its reader."""

    name = "age-cgan"
    exports = False
    config: AgeCGANConfig

    def __init__(self, config: AgeCGANConfig) -> None:
        super().__init__()
        self.config = config
        self.nets = nn.ModuleDict(
            {
                "generator": Generator(config),
                "discriminator": Discriminator(config),
                "encoder": Encoder(config),
                "embedder": Embedder(),
                "reader": nn.Linear(EMBEDDED, AGE_CLASSES),
            }
        )
        self._encoding = False  # whether the encoder has begun to learn

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.config.learning_rate
        rates = {"embedder": 1e-3, "reader": 1e-3}
        return {
            name: Adam(net.parameters(), rates.get(name, rate), betas=(0.5, 0.999), fused=True)
            for name, net in self.nets.items()
        }

    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        self._encoding = progress >= 1 - self.config.encoder_share
        losses = self._embed(batch, optimizers, backward)
        if self._encoding:
            losses |= self._encode(batch, optimizers, backward)
        else:
            losses |= self._contest(batch, optimizers, backward)
        return {name: loss.detach() for name, loss in losses.items()}

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        own, asked = age_label(source), age_label(target)
        with torch.no_grad():
            z = self.nets["encoder"](images, own)
        if self.config.iterations:
            z = torch.cat(
                [self._refine(*(part[None] for part in each)) for each in zip(z, images, own, strict=True)]
            )
        with torch.no_grad():
            made: Tensor = self.nets["generator"](z, asked)
        return made

    @torch.no_grad()
    def preview(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """Without L-BFGS; before the encoder is trained, each face gets some fixed z."""
        if self._encoding:
            z = self.nets["encoder"](images, age_label(source))
        else:
            generator = torch.Generator().manual_seed(0)
            z = torch.randn(len(images), self.config.latent, generator=generator).to(images)
        made: Tensor = self.nets["generator"](z, age_label(target))
        return made

    @torch.no_grad()
    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        features = self.nets["embedder"](images)
        share = self.nets["reader"](features).float().softmax(1)
        unknown = Condition.of(len(images), domains=self.config.domains).to(images.device)
        return unknown.replace(age=share @ share.new_tensor(AGE_CENTRES))

    def _contest(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward
    ) -> dict[str, Tensor]:
        """Generator against discriminator."""
        generator, discriminator = self.nets["generator"], self.nets["discriminator"]
        label = age_label(batch.condition)
        made = generator(self._draw(batch), label)
        real, false = discriminator(batch.images, label), discriminator(made.detach(), label)
        losses = {"discriminator": F.softplus(-real).mean() + F.softplus(false).mean()}
        backward(losses["discriminator"])
        optimizers["discriminator"].step()

        discriminator.requires_grad_(False)
        losses["generator"] = F.softplus(-discriminator(made, label)).mean()
        backward(losses["generator"])
        optimizers["generator"].step()
        discriminator.requires_grad_(True)
        return losses

    def _encode(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward
    ) -> dict[str, Tensor]:
        """The encoder recovers z from pictures drawn by the generator, which no longer learns."""
        label, z = age_label(batch.condition), self._draw(batch)
        generator = self.nets["generator"].eval()
        with torch.no_grad():
            made = generator(z, label)
        losses = {"encoder": F.mse_loss(self.nets["encoder"](made, label).float(), z)}
        backward(losses["encoder"])
        optimizers["encoder"].step()
        return losses

    def _embed(self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward) -> dict[str, Tensor]:
        """Contrastive loss between two views of each face, and the reader of age classes on the embedding."""
        random = torch.default_generator
        views = [
            augment.add_noise(
                augment.jitter_colour(augment.jitter_geometry(batch.images, random), random), random
            )
            for _ in range(2)
        ]
        one, other = (F.normalize(self.nets["embedder"](view).float()) for view in views)
        both = torch.cat([one, other])
        alike = (both @ both.T / self.config.temperature).fill_diagonal_(-torch.inf)
        partner = torch.arange(len(both), device=both.device).roll(len(one))
        losses = {"embedder": F.cross_entropy(alike, partner)}

        known = ~batch.condition.age.isnan()
        classes = torch.where(known, age_class(batch.condition.age), UNKNOWN)
        with torch.no_grad():
            features = self.nets["embedder"](batch.images)
        read = F.cross_entropy(
            self.nets["reader"](features).float(), classes, ignore_index=UNKNOWN, reduction="sum"
        )
        losses["reader"] = read / known.sum().clamp(min=1)
        backward(losses["embedder"] + losses["reader"])
        for name in ("embedder", "reader"):
            optimizers[name].step()
        return losses

    def _draw(self, batch: Batch) -> Tensor:
        return torch.randn(len(batch.images), self.config.latent, device=batch.images.device)

    @torch.enable_grad()
    def _refine(self, z: Tensor, image: Tensor, own: Tensor) -> Tensor:
        """Move z (1, latent) of one face until its drawing at its own age shows the same person."""
        generator, embedder = self.nets["generator"], self.nets["embedder"]
        wanted = embedder(image).detach()
        z = z.detach().clone().requires_grad_()
        search = torch.optim.LBFGS([z], max_iter=self.config.iterations, line_search_fn="strong_wolfe")

        def distance() -> Tensor:
            search.zero_grad()
            loss: Tensor = (embedder(generator(z, own)) - wanted).square().sum()
            loss.backward(inputs=[z])  # type: ignore[no-untyped-call]
            return loss

        search.step(distance)  # type: ignore[no-untyped-call]
        return z.detach()


def age_class(years: Tensor) -> Tensor:
    """The class of ages (B,), the first for an unknown one."""
    bounds = torch.tensor(AGE_BOUNDS, device=years.device)
    return torch.bucketize(years.nan_to_num(0).floor().clamp(min=0), bounds)


def age_label(condition: Condition) -> Tensor:
    """(B, 6): 1 for the age's class; zeros where it is unknown."""
    label = F.one_hot(age_class(condition.age), AGE_CLASSES).float()
    return label * (~condition.age.isnan())[:, None]


class Generator(nn.Module):
    """z (B, latent) and its class (B, 6) to a picture (B, 3, S, S) in [-1, 1]."""

    def __init__(self, config: AgeCGANConfig) -> None:
        super().__init__()
        widths = _widths(config)[::-1]
        layers: list[nn.Module] = [
            _init(nn.ConvTranspose2d(config.latent + AGE_CLASSES, widths[0], 4)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for inside, outside in itertools.pairwise(widths):
            up = nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1)
            layers += [_init(up), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
        layers += [_init(nn.ConvTranspose2d(widths[-1], 3, 4, stride=2, padding=1)), nn.Tanh()]
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        made: Tensor = self.body(torch.cat([z, label], dim=1)[:, :, None, None])
        return made


class Discriminator(nn.Module):
    """Real or generated, given a class (B, 6) concatenated to the first layer's output: logits (B,)."""

    def __init__(self, config: AgeCGANConfig) -> None:
        super().__init__()
        widths = _widths(config)
        self.first = nn.Sequential(_down(3, widths[0]), nn.LeakyReLU(0.2, inplace=True))
        layers: list[nn.Module] = []
        for inside, outside in itertools.pairwise([widths[0] + AGE_CLASSES, *widths[1:]]):
            layers += [_down(inside, outside), nn.BatchNorm2d(outside), nn.LeakyReLU(0.2, inplace=True)]
        self.rest = nn.Sequential(*layers, _init(nn.Conv2d(widths[-1], 1, 4)))

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        x = self.first(images)
        told = label[:, :, None, None].to(x.dtype).expand(-1, -1, *x.shape[2:])
        logits: Tensor = self.rest(torch.cat([x, told], dim=1)).flatten()
        return logits


class Encoder(nn.Module):
    """Picture (B, 3, S, S) and its class (B, 6) to z (B, latent)."""

    def __init__(self, config: AgeCGANConfig) -> None:
        super().__init__()
        widths = _widths(config)
        layers: list[nn.Module] = []
        for inside, outside in itertools.pairwise([3, *widths]):
            layers += [_down(inside, outside), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        self.to_latent = nn.Linear(widths[-1] * 16 + AGE_CLASSES, config.latent)

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        found: Tensor = self.to_latent(torch.cat([self.body(images).flatten(1), label], dim=1))
        return found


class Embedder(nn.Module):
    """(B, 3, S, S) to (B, EMBEDDED)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in itertools.pairwise((3, 32, 64, 96)):
            down = nn.Conv2d(inside, outside, 3, stride=2, padding=1)
            layers += [down, nn.GroupNorm(8, outside), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(96 * (SEEN // 8) ** 2, EMBEDDED))

    def forward(self, images: Tensor) -> Tensor:
        images = images.float()  # CPUs cannot downsample in half precision
        small = F.interpolate(images, (SEEN, SEEN), mode="bilinear", antialias=True, align_corners=False)
        embedded: Tensor = self.body(small)
        return embedded


def _widths(config: AgeCGANConfig) -> list[int]:
    """Channels after each halving, from 64 up, until the map is 4 x 4."""
    levels = (config.size // 4).bit_length() - 1
    return [int(64 * config.width * 2**level) for level in range(levels)]


def _down(inside: int, outside: int) -> nn.Module:
    return _init(nn.Conv2d(inside, outside, 4, stride=2, padding=1))


def _init(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """DCGAN's initialisation: normal, deviation 0.02, bias 0."""
    nn.init.normal_(layer.weight, std=0.02)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer

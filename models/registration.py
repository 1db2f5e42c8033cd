"""Registers the mean face to a face.

Five points align eyes and mouths, but not noses, brows and jaws, nor turned faces. A small net outputs a
smooth displacement field that lays a face over the mean face. Averages are then taken eye upon eye and chin
upon chin, and what ages a mean face lands where it belongs.

There are no labels for this. Faces are registered to the mean of all registered faces, which sharpens
meanwhile (Learned-Miller 2006). The net learns without labels from local correlation and a bending penalty
(Balakrishnan et al. 2019, VoxelMorph).
"""

from __future__ import annotations

import functools
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from nenrin.domains.array import FaceArray
from nenrin.ground import track
from nenrin.models.change import roughness, scaled, shift
from nenrin.models.data import Sampler
from nenrin.models.filters import places
from nenrin.models.toning import luma

FIELD = 32  # resolution of a displacement field
_SIDE = 64  # pixels: resolution of the net's input
_COARSE = 8  # resolution of the net's output, which keeps fields smooth
_WIDTH = 16
_GENTLE = 0.1  # scale of the last layer's output
_BATCH, _RATE, _LEAST = 32, 2e-3, 12
_WINDOW = 9  # pixels: side of the window of the local correlation
_FLAT = 2e-3  # variance in a window up to which it is noise
_BENDING, _DRIFT = 20.0, 20.0  # weights of bending, and of moving all faces alike
_MEMORY = 0.995  # decay of the running mean face, for each batch
_SETTLING = 50  # batches before the mean face begins to change
_ITERATIONS = 6  # of the inversion; the mean error is then a few thousandths of a pixel
# The oval that is correlated, as fractions of the side; its edge, as a fraction of the radius.
_CENTRE, _RADIUS, _EDGE = (0.5, 0.56), (0.345, 0.414), 0.26


class RegistrationNet(nn.Module):
    """Maps (B, 3, S, S) faces in [-1, 1] to displacement fields (B, 2, FIELD, FIELD).

    Place u of the mean face lies at u + field(u) in the face, x then y, in the grid's units (2 = the width).
    """

    def __init__(self) -> None:
        super().__init__()
        widths = [3, _WIDTH, 2 * _WIDTH, 4 * _WIDTH, 4 * _WIDTH]
        self.body = nn.Sequential(*(_halved(a, b) for a, b in itertools.pairwise(widths)))
        left = _SIDE // 2 ** (len(widths) - 1)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(widths[-1] * left**2, 256),
            nn.SiLU(),
            nn.Linear(256, 2 * _COARSE**2),
        )
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)  # untrained, it leaves faces where they are
        nn.init.zeros_(last.bias)

    def forward(self, images: Tensor) -> Tensor:
        return scaled(self.coarse(images), (FIELD, FIELD))

    def coarse(self, images: Tensor) -> Tensor:
        """The same, (B, 2, _COARSE, _COARSE)."""
        seen = scaled(images, (_SIDE, _SIDE))
        answer: Tensor = self.head(self.body(seen))
        return _GENTLE * answer.view(-1, 2, _COARSE, _COARSE)


def _halved(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, 2, 1), nn.GroupNorm(4, out), nn.SiLU(),
        nn.Conv2d(out, out, 3, 1, 1), nn.GroupNorm(4, out), nn.SiLU(),
    )  # fmt: skip


def inverse(field: Tensor) -> Tensor:
    """The inverse of a displacement field, (B, 2, h, w): p of the face lies at p + inverse(p) in the mean.

    Uses fixed-point iteration (Chen et al. 2008), which assumes a field without folds. Where there are
    folds, as in a few faces made very young, the result is off by up to a pixel.
    """
    grid = places(field.shape[-2:], field.device)
    back = -field
    for _ in range(_ITERATIONS):
        where = grid + back.permute(0, 2, 3, 1)
        back = -F.grid_sample(field, where, padding_mode="border", align_corners=False)
    return back


def oval(size: int, centre: tuple[float, float], radius: tuple[float, float], edge: float) -> Tensor:
    """(1, 1, S, S) mask: 1 inside an oval, 0 outside. `centre` and `radius` are fractions of the side, `edge`
    of the radius. Not to be changed in place: it is made once."""
    if torch.compiler.is_compiling():  # what is made then is no tensor to keep
        return _oval.__wrapped__(size, centre, radius, edge)
    return _oval(size, centre, radius, edge)


@functools.cache
def _oval(size: int, centre: tuple[float, float], radius: tuple[float, float], edge: float) -> Tensor:
    at = (torch.arange(size) + 0.5) / size
    x, y = ((at - middle) / reach for middle, reach in zip(centre, radius, strict=True))
    distance = (x[None, :].square() + y[:, None].square()).sqrt()
    inside = ((1 - distance) / edge).clamp(0, 1)
    return (inside * inside * (3 - 2 * inside))[None, None]


def train_registration(net: RegistrationNet, faces: FaceArray, views: int, seed: int = 0) -> dict[str, float]:
    """Train the net on `views` views of faces, balanced over decades and domains. Returns scalars to log.

    The correlation is that of registered faces with their mean, 1 at best. With fewer than `_LEAST` batches
    of views, training is skipped.
    """
    steps = views // _BATCH
    if steps < _LEAST:
        return {}
    sampler = Sampler(faces, batch=_BATCH, seed=seed)
    optimizer = AdamW(net.parameters(), _RATE, weight_decay=1e-4)
    rates = OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.1)
    face = oval(_SIDE, _CENTRE, _RADIUS, _EDGE)
    total, weight = _first_mean(sampler)
    seen = 0.0
    with torch.enable_grad():
        for step in track(range(steps), "registering"):
            images, masks = _seen(sampler, step)
            field = net.coarse(images)
            laid, shown = shift(images, field), shift(masks, field, "zeros")
            mean = luma(total / weight.clamp(min=0.05))
            where = face * shown
            match = (_correlation(luma(laid), mean, shown) * where).sum() / where.sum().clamp(min=1)
            loss = 1 - match + _BENDING * roughness(field) + _DRIFT * field.mean(0).square().mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            rates.step()
            if step >= _SETTLING:
                total, weight = _remembered(total, weight, laid.detach(), shown.detach())
            seen += (match.item() - seen) / min(step + 1, 100)
    return {"registration/correlation": seen}


def _seen(sampler: Sampler, step: int) -> tuple[Tensor, Tensor]:
    """A step's faces at the net's input size, and their masks in [0, 1]."""
    batch = sampler.at(step).ready("cpu")
    return scaled(batch.images, (_SIDE, _SIDE)), scaled(batch.masks, (_SIDE, _SIDE)).clamp(0, 1)


def _first_mean(sampler: Sampler) -> tuple[Tensor, Tensor]:
    """The mean of some unregistered faces: colours times their weight (1, 3, H, W), and the weight."""
    total, weight = torch.zeros(1, 3, _SIDE, _SIDE), torch.zeros(1, 1, _SIDE, _SIDE)
    for step in range(_SETTLING):
        images, masks = _seen(sampler, step)
        total += (images * masks).mean(0, keepdim=True) / _SETTLING
        weight += masks.mean(0, keepdim=True) / _SETTLING
    return (total + total.flip(-1)) / 2, (weight + weight.flip(-1)) / 2


def _remembered(total: Tensor, weight: Tensor, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The running mean, updated with (B, 3, H, W) registered faces and their mirror images."""
    new, seen = ((each + each.flip(-1)).mean(0, keepdim=True) / 2 for each in (images * masks, masks))
    return torch.lerp(new, total, _MEMORY), torch.lerp(seen, weight, _MEMORY)


def _correlation(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """Local correlation of (B, 1, H, W) with (1, 1, H, W) in a window about each pixel, in [-1, 1], counting
    only pixels where the mask is 1."""
    weight = _box(mask).clamp(min=1e-4)

    def mean(values: Tensor) -> Tensor:
        return _box(values * mask) / weight

    a, b = mean(one), mean(other)
    spread_a, spread_b = ((mean(x * x) - m * m).clamp(min=0) for x, m in ((one, a), (other, b)))
    return (mean(one * other) - a * b) / ((spread_a + _FLAT).sqrt() * (spread_b + _FLAT).sqrt())


def _box(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)

"""A reader that can guide an ager, because it is trained against adversarial noise.

A picture that satisfies an ordinary reader need not look like anything. A reader trained against the worst
noise of a given size relies on features that people see too (see `worst_noise`), so an ager can learn from
it what age looks like, even without pairs of pictures. Its estimates are poorer for it, and pulled towards
the middle for the very young and the old. `Scale` measures by how much, so that an ager is asked for no more
than real faces show.

It ages nobody: `transform` leaves faces as they are.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nenrin.ground import UsageError
from nenrin.models import checkpoint
from nenrin.models.base import AgerModel, Backward, ModelConfig
from nenrin.models.condition import Condition
from nenrin.models.data import Batch
from nenrin.models.reading import RATE, new_reader, read, reader_optimizer, train_reader
from nenrin.models.run import nets_of, open_nets

KNOTS = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0)  # years; a scale is linear in between
_SCALE_EVERY = 8  # steps
_KEPT = 0.99  # decay of the scale's statistics, at each update
_PULL = 0.02  # towards the scale of all domains, as a fraction of one domain's own evidence
_WARM_UP = 0.25  # fraction of the training over which the noise grows


@dataclasses.dataclass(kw_only=True, slots=True)
class GuideConfig(ModelConfig):
    """How strong the noise is that the reader is trained against."""

    reach: float = 1.2  # L2 norm of the noise over 64 x 64 pixels in [-1, 1]
    learning_rate: float = RATE  # falls to a twentieth over the training
    start: str = ""  # a run whose reader to begin with: learning without noise first, it reads better


class Scale(nn.Module):
    """A reader's mean estimate for real faces of each age: a linear spline over `KNOTS` for each domain.

    Fitted by least squares; a domain with few known ages is pulled towards the spline of all domains.
    """

    squares: Tensor
    products: Tensor

    def __init__(self, domains: int) -> None:
        super().__init__()
        count = len(KNOTS)
        self.register_buffer("squares", torch.zeros(domains, count, count))
        self.register_buffer("products", torch.zeros(domains, count))

    @torch.no_grad()
    def update(self, truth: Condition, said: Tensor) -> None:
        """Add the reader's estimates `said` (B,), in years, for the faces of known age."""
        self.squares *= _KEPT
        self.products *= _KEPT
        known = ~truth.age.isnan() & (truth.domain >= 0)
        for domain in set(truth.domain[known].tolist()):
            rows = known & (truth.domain == domain)
            basis = _hats(truth.age[rows])
            self.squares[domain] += basis.T @ basis
            self.products[domain] += basis.T @ said[rows]

    def knows(self, condition: Condition) -> Tensor:
        """Whether faces of that domain have been added, (B,)."""
        return self.squares.sum((1, 2))[condition.domain] > 0

    def expected(self, condition: Condition) -> Tensor:
        """The estimates to expect for real faces of these ages and domains, (B,) in years."""
        together = _solve(self.squares.sum(0), self.products.sum(0), self.squares.new_tensor(KNOTS), 1e-3)
        lines = [
            _solve(squares, products, together, _PULL)
            for squares, products in zip(self.squares, self.products, strict=True)
        ]
        values = torch.stack([*lines, together])[condition.domain]  # a domain of -1 is the last: all
        return (_hats(condition.age) * values).sum(1)


class Guide(AgerModel):
    """A reader trained against adversarial noise, and its scale."""

    name = "guide"
    ages = False
    channels_last = False
    config: GuideConfig

    def __init__(self, config: GuideConfig) -> None:
        super().__init__()
        self.config = config
        domains = len(config.domains)
        self.nets = nn.ModuleDict({"reader": new_reader(domains), "scale": Scale(domains)})

    def begin(self) -> None:
        if self.config.start:
            open_nets(Path(self.config.start), self.nets, ["reader"], self.config.domains)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"reader": reader_optimizer(self.nets["reader"])}

    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        reader = self.nets["reader"]
        reach = self.config.reach * min(progress / _WARM_UP, 1.0)
        losses = train_reader(
            reader,
            batch,
            optimizers["reader"],
            backward,
            progress,
            rate=self.config.learning_rate,
            reach=reach,
        )
        if torch.rand(()) < 1 / _SCALE_EVERY:
            scale = self.nets["scale"]
            assert isinstance(scale, Scale)
            scale.update(batch.condition, read(reader, batch.images).age)
        return losses

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        return images

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        return read(self.nets["reader"], images)


def take_over(path: Path, nets: nn.ModuleDict, domains: tuple[str, ...]) -> None:
    """Fill the `reader` and the `scale` in `nets` with those of a guide's run.

    Raises `UsageError` where it is none, or knows other domains.
    """
    model = checkpoint.read_state(nets_of(path))["config"]["model"]
    if model != Guide.name:
        raise UsageError(f"{path} is a run of --model {model}, not of --model {Guide.name}")
    open_nets(path, nets, ["reader", "scale"], domains)


def _hats(age: Tensor) -> Tensor:
    """The linear spline's basis at (B,) ages, (B, KNOTS); constant beyond the last knot."""
    knots = age.new_tensor(KNOTS)
    age = age.clamp(knots[0], knots[-1])
    right = torch.searchsorted(knots, age.contiguous(), right=True).clamp(max=len(KNOTS) - 1)
    share = (age - knots[right - 1]) / (knots[right] - knots[right - 1])
    basis = torch.zeros(len(age), len(KNOTS), device=age.device)
    basis.scatter_(1, right[:, None], share[:, None])
    return basis.scatter_(1, right[:, None] - 1, 1 - share[:, None])


def _solve(squares: Tensor, products: Tensor, prior: Tensor, pull: float) -> Tensor:
    """The spline's values at the knots: least squares, pulled towards `prior` where data are few."""
    weight = torch.eye(len(prior), device=prior.device) * (pull * squares.diagonal().sum() + 1e-6)
    values: Tensor = torch.linalg.solve(squares + weight, products + weight @ prior)
    return values

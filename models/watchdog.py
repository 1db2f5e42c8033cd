"""The watchdog: detects that a training has collapsed, and says how.

It looks at what the ager makes of a few faces, at how fast its weights move, and at its losses. A run is told
to stop when the same fault shows at `PATIENCE` looks in a row without becoming smaller. (A young run makes
flat pictures too, but less so at each look.)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from nenrin.domains.face import GLASSES
from nenrin.models.base import AgerModel
from nenrin.models.condition import UNKNOWN, Condition

PATIENCE = 3  # looks
WARM_UP = 3  # looks at the start of a run at which only finite numbers and weights of sound size are expected
STILL = 2000  # steps by which an ager that begins by leaving faces alone must have begun to age them
YOUNG, OLD = 8.0, 65.0  # years: the two ages at which the faces are looked at
WEARS_NONE = GLASSES.index("none")
BINS = 8  # of each colour channel, for the entropy

# Relative to the input faces: a collapsed training is below the least, or above the most. The margins on both
# sides are in docs/results/watchdog.md.
LEAST_CONTRAST = 0.1  # within a picture
LEAST_ENTROPY = 0.25  # of the colours
LEAST_SPREAD = 0.05  # between the pictures of different faces at one age
LEAST_RESPONSE = 0.01  # between the pictures of one face at two ages
LEAST_GRADIENT = 1e-3  # of what it was over the last thousand steps
MOST_GROWTH = 5.0  # of a net's weights, since all was well ...
DEADLY_GROWTH = 2.0  # ... or this, if a net has died meanwhile: too large steps kill units
MOST_ERROR = 1.0  # of faces at their own age; outputting the mean face would give 1
MOST_ADVERSARY = 10.0  # the generator's loss to adversaries, relative to all its other losses


@dataclasses.dataclass(kw_only=True, slots=True)
class Look:
    """What the watchdog saw at one step; all but the figures of nets and losses is relative to the inputs."""

    contrast: float  # standard deviation within a picture
    entropy: float  # of the colours, in bits
    spread: float  # standard deviation between faces at one age
    response: float  # root mean square between two ages of one face
    error: float  # root mean square between a face and itself at its own age, the mean face being 1
    gradient: dict[str, float]  # each net's recent mean gradient, relative to its earlier size
    growth: dict[str, float]  # the norm of each net's weights, relative to when all was well
    adversary: float  # the generator's loss to adversaries, relative to its other losses

    def scalars(self) -> dict[str, float]:
        """The values to log as curves."""
        names = ("contrast", "entropy", "spread", "response", "error")
        rows = {f"watch/{name}": float(getattr(self, name)) for name in names}
        rows |= {f"watch/gradient/{name}": value for name, value in self.gradient.items()}
        return rows | {f"watch/growth/{name}": value for name, value in self.growth.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One way to collapse: its name, how bad it is (rising), and what to say."""

    name: str
    badness: float
    explanation: str


class Watchdog:
    """Looks at a training now and then; see `look`."""

    def __init__(
        self,
        images: Tensor,
        source: Condition,
        optimizers: Mapping[str, Optimizer],
        healthy_step: int | None = None,
    ) -> None:
        """`images` (N, 3, S, S) are the faces to look at, two or more, in [-1, 1].

        A run that goes on from a checkpoint was healthy at `healthy_step`.
        """
        self._images, self._source = images, source
        self._inputs = _Statistics(images)
        self._looks = 0 if healthy_step is None else WARM_UP
        self._suspicions: list[list[Fault]] = []
        self._sizes = _sizes(optimizers)  # of the nets' weights when all was well
        self.healthy_step = healthy_step  # the last step at which nothing was wrong

    @property
    def suspects(self) -> bool:
        """Whether something was wrong at the last look."""
        return bool(self._suspicions and self._suspicions[-1])

    def look(
        self, model: AgerModel, optimizers: Mapping[str, Optimizer], losses: Mapping[str, float], step: int
    ) -> tuple[Look, Fault | None]:
        """See how the training does; the fault, if it has collapsed.

        `losses` are the means since the last look. Neither the nets nor any random state is changed.
        """
        sizes = _sizes(optimizers)
        seen = self._see(model, optimizers, losses, sizes)
        faults = find_faults(seen, losses)
        if model.begins_still and step < STILL:
            faults = [fault for fault in faults if fault.name != "ignored age"]
        self._looks += 1
        if self._looks <= WARM_UP:
            faults = [fault for fault in faults if fault.name in ("not finite", "learning rate")]
        elif not faults:
            self.healthy_step = step
        if not faults:
            self._sizes = sizes
        self._suspicions = [*self._suspicions[1 - PATIENCE :], faults]
        return seen, _confirmed(self._suspicions)

    @torch.no_grad()
    def _see(
        self,
        model: AgerModel,
        optimizers: Mapping[str, Optimizer],
        losses: Mapping[str, float],
        sizes: Mapping[str, float],
    ) -> Look:
        source, inputs = self._source, self._inputs
        keep = source.replace(glasses=torch.full_like(source.glasses, UNKNOWN))
        # Request other glasses than they wear, so that agers that change glasses alone show a response too.
        other = source.replace(glasses=(source.glasses == WEARS_NONE).long())
        random, training = torch.get_rng_state(), model.training
        model.eval()
        young, old = (
            model.preview(self._images, source, other.replace(age=torch.full_like(source.age, years)))
            for years in (YOUNG, OLD)
        )
        own = model.preview(self._images, source, keep)
        model.train(training)
        torch.set_rng_state(random)
        made = [_Statistics(young), _Statistics(old)]
        paid = {name: value for name, value in losses.items() if "discriminator" not in name}
        adversary = sum(value for name, value in paid.items() if name.endswith("adversary"))
        return Look(
            contrast=max(each.contrast for each in made) / inputs.contrast,
            entropy=max(each.entropy for each in made) / inputs.entropy,
            spread=max(each.spread for each in made) / inputs.spread,
            response=_root_mean_square(old - young) / inputs.spread,
            error=_root_mean_square(own - self._images) / inputs.spread,
            gradient={name: _gradient_share(optimizer) for name, optimizer in optimizers.items()},
            growth={name: size / (self._sizes[name] or 1) for name, size in sizes.items()},
            adversary=adversary / max(sum(paid.values()) - adversary, 1e-12),
        )


def find_faults(seen: Look, losses: Mapping[str, float]) -> list[Fault]:
    """All that is wrong at one look, causes before what they cause."""
    strange = [name for name, value in {**losses, **seen.scalars()}.items() if not math.isfinite(value)]
    if strange:
        return [
            Fault(
                "not finite",
                math.inf,
                f"{strange[0]} is no longer a finite number: lower learning_rate, or use precision=32-true",
            )
        ]
    faults = []
    grown = max(seen.growth, key=lambda name: seen.growth[name], default="")
    stillest = min(seen.gradient, key=lambda name: seen.gradient[name], default="")
    dead = bool(stillest) and seen.gradient[stillest] < LEAST_GRADIENT
    if grown and seen.growth[grown] > (DEADLY_GROWTH if dead else MOST_GROWTH):
        growth = seen.growth[grown]
        faults.append(
            Fault(
                "learning rate",
                growth,
                f"the weights of {grown} are {growth:.1f} times what they were when all was well: lower "
                "learning_rate",
            )
        )
    if dead:
        faults.append(
            Fault(
                "dead discriminator" if "discriminator" in stillest else "dead gradient",
                -seen.gradient[stillest],
                f"{stillest} no longer learns: its gradient is {seen.gradient[stillest]:.0e} of what it was, "
                "so it is saturated, or its units have died",
            )
        )
    lost = seen.error > MOST_ERROR or seen.spread < LEAST_SPREAD
    if lost and seen.adversary > MOST_ADVERSARY:
        faults.append(
            Fault(
                "adversary too strong",
                seen.error,  # the adversary's loss falls by itself once the face is lost: no recovery
                f"the generator pays its adversaries {seen.adversary:.0f} times as much as all else, and a "
                "face comes back no more like itself than the mean face is: lower their weights",
            )
        )
    if seen.contrast < LEAST_CONTRAST or seen.entropy < LEAST_ENTROPY:
        faults.append(
            Fault(
                "one colour",
                -min(seen.contrast / LEAST_CONTRAST, seen.entropy / LEAST_ENTROPY),
                f"the pictures are one colour: {seen.contrast:.0%} of the faces' contrast and "
                f"{seen.entropy:.0%} of their colours' entropy are left",
            )
        )
    elif seen.spread < LEAST_SPREAD and seen.response < LEAST_RESPONSE:
        faults.append(
            Fault(
                "all faces alike",
                -seen.spread,
                f"one face comes out whatever goes in and whatever age is asked: {seen.spread:.1%} of the "
                f"spread between faces and {seen.response:.1%} of it between ages are left",
            )
        )
    elif seen.spread < LEAST_SPREAD:
        faults.append(
            Fault(
                "ignored input",
                -seen.spread,
                f"the face that goes in is ignored: {seen.spread:.1%} of the spread between faces is left",
            )
        )
    elif seen.response < LEAST_RESPONSE:
        faults.append(
            Fault(
                "ignored age",
                -seen.response,
                f"the age asked for is ignored: it changes a face by {seen.response:.1%} of what other faces "
                "differ by; are the labels of the set right?",
            )
        )
    return faults


def _confirmed(suspicions: Sequence[Sequence[Fault]]) -> Fault | None:
    """The first fault that shows at all of the last looks, no smaller at the last than at the first."""
    if not suspicions:
        return None
    *earlier, last = ({fault.name: fault for fault in faults} for faults in suspicions)
    for name, fault in last.items():
        if fault.badness == math.inf:
            return fault
        before = [found[name].badness for found in earlier if name in found]
        if len(before) == PATIENCE - 1 and fault.badness >= before[0] - 0.1 * abs(before[0]):
            return fault
    return None


class _Statistics:
    """What (N, 3, S, S) pictures in [-1, 1] show."""

    def __init__(self, images: Tensor) -> None:
        images = images.float()
        self.contrast = max(float(images.flatten(1).std(1).mean()), 1e-6)
        self.spread = max(float((images - images.mean(0)).square().mean().sqrt()), 1e-6)
        levels = ((images + 1) * (BINS / 2)).nan_to_num(0).long().clamp(0, BINS - 1)
        colours = (levels[:, 0] * BINS + levels[:, 1]) * BINS + levels[:, 2]
        share = torch.bincount(colours.flatten(), minlength=BINS**3) / colours.numel()
        self.entropy = max(float(torch.special.entr(share).sum()) / math.log(2), 1e-6)


def _root_mean_square(values: Tensor) -> float:
    return float(values.float().square().mean().sqrt())


def _gradient_share(optimizer: Optimizer) -> float:
    """The recent gradient relative to its earlier size: Adam's mean over the root of its mean square.

    The mean forgets within ten steps or fewer, the mean square within a thousand; noise alone leaves a half
    or a quarter. 1 for an optimizer that keeps no such means.
    """
    mean = square = 0.0
    for group in optimizer.param_groups:
        for weight in group["params"]:
            state = optimizer.state.get(weight, {})
            if "exp_avg_sq" in state:
                fast, slow = (1 - beta ** float(state["step"]) for beta in group["betas"])  # unbiased
                mean += float(state["exp_avg"].square().sum()) / fast**2
                square += float(state["exp_avg_sq"].sum()) / slow
    return math.sqrt(mean / square) if square else 1.0


def _sizes(optimizers: Mapping[str, Optimizer]) -> dict[str, float]:
    """The norm of each net's weights, without biases and scales, which begin at 0 or 1."""
    sizes = {}
    for name, optimizer in optimizers.items():
        weights = [w for group in optimizer.param_groups for w in group["params"] if w.ndim > 1]
        sizes[name] = math.sqrt(sum(float(weight.detach().float().square().sum()) for weight in weights))
    return sizes

"""The mixed ager: CAAE's idea taken to every domain, answering with a change instead of a picture.

An encoder with skips looks at the face; a generator, told age, domain, glasses and gender as they are and as
they shall be, answers with a `Change`: what moves, what changes its colour, and where details grow or fade.
What age does not touch stays as it was, at any resolution.

What the mean faces of two ages differ by (`models/prototypes.py`) may come first, or be all that ages: it is
safe, and the generator need only find what it lacks, glasses above all.

It learns by regression (as FRAN, Zoss et al. 2022) from pairs of pictures that differ in age and glasses
alone, the same *view* of a person. Twins come in such pairs; of real faces nobody has them, and a teacher
makes them (`models/pairs.py`). Of a made pair either picture may be the one to reach: where it is the real
one, the ager learns from made faces what real ones look like.

Made pairs show too little: where outcomes differ, regression learns their middle. So half of a batch may be
led by a *guide* (`models/guide.py`), a reader that is not easily deceived, or by several in turn: the face
shall read as much older or younger as real faces of those ages do, and with the glasses asked for. There is
no adversary, so nothing collapses.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from nenrin.ground import UsageError
from nenrin.models import dressing
from nenrin.models.base import AgerModel, Backward, ModelConfig
from nenrin.models.change import Change, roughness
from nenrin.models.condition import LABELS, MAX_AGE, UNKNOWN, Condition
from nenrin.models.data import Batch
from nenrin.models.dressing import dressed
from nenrin.models.guide import Scale, take_over
from nenrin.models.leading import led, other_labels
from nenrin.models.nets import EMBEDDED, ConditionEmbedding, UNet, zero
from nenrin.models.prototypes import MeanFaces
from nenrin.models.reading import (
    READER_EVERY,
    advance,
    masked_mean,
    new_reader,
    read,
    reader_optimizer,
    slow_down,
    train_reader,
    update_average,
)
from nenrin.models.run import open_nets

# L1 above, squares below: the median of changes that nobody can foresee is no change, their mean is one.
BEND = 0.2
FLOW_SCALE = 0.2  # of the net's answer, which is around 1, to the grid's units: growth moves little
_GUIDED_FROM = 0.1  # share of the training after which the guide has all its weight
UNASKED = 2.0  # years: a smaller difference is as good as none, and is not applied


@dataclasses.dataclass(kw_only=True, slots=True)
class MixedConfig(ModelConfig):
    """The mixed ager's shape and the weights of its losses."""

    width: int = 32  # channels at half resolution; deeper levels have up to twice as many
    learning_rate: float = 1.5e-3  # falls to a twentieth over the training
    ema: float = 0.998  # decay of the average of the generator that is used afterwards
    told: tuple[str, ...] = LABELS  # of what a face is and shall be; what is missing here it never learns
    unknown: float = 0.1  # share of the labels before the change that are withheld, so that it can do without
    skips: bool = True  # between the resolutions; without them all must pass through the coarsest
    strength: float = 1.0  # how often the change is applied
    prototypes: float = 0.0  # how often the difference of mean faces is applied before it
    shapes: float = 1.0  # share of that in the shape: warped, a person is sooner taken for another
    net_ages: bool = True  # else ages are left to the mean faces, and the generator changes glasses alone
    elsewhere: float = 1.0  # share of that in domains with fewer ages: a drawn person is sooner another

    shade: float = 0.02  # L1 of the shade: what can be moved is not to be painted
    smooth: float = 5.0  # bending of the flow

    start: str = ""  # a run of this ager that it goes on from, with other settings or pairs
    reader: str = ""  # a run whose reader it begins with
    means: str = ""  # the run of --model prototypes whose mean faces they are
    guide: tuple[
        str, ...
    ] = ()  # runs of --model guide: in each step one of their readers leads half the batch
    guided: float = 0.01  # weight of what the guide says
    glasses: float = 2.0  # how much the glasses weigh in it ...
    ages: float = 0.15  # ... and the ages: asked for more, it paints holes for eyes
    ageless: float = 0.0  # the same in domains of which it was told no age


class ChangeGenerator(nn.Module):
    """A face, what it is and what it shall be, to the `Change` that leads there."""

    def __init__(self, domains: int, config: MixedConfig) -> None:
        super().__init__()
        self.told = config.told
        self.before, self.after = ConditionEmbedding(domains, EMBEDDED), ConditionEmbedding(domains, EMBEDDED)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(EMBEDDED * 2, EMBEDDED), nn.SiLU())
        self.net = UNet(3, 3, width=config.width, skips=config.skips)
        self.field = zero(nn.Conv2d(self.net.channels[1], 3, 3, padding=1))

    def forward(self, images: Tensor, source: Condition, target: Condition) -> Change:
        """The change of (B, 3, S, S) faces in [-1, 1]."""
        source, target = source.only(self.told), target.only(self.told)
        told = self.mix(torch.cat([self.before(source), self.after(target)], dim=1))
        shade, known = self.net(images, told)
        flow, detail = self.field(known).float().split([2, 1], dim=1)
        return Change(flow=flow * FLOW_SCALE, shade=shade.float(), detail=detail)


class MixedAger(AgerModel):
    """Generator of a change, its average, and reader."""

    name = "mixed"
    needs_pairs = True
    begins_still = True
    channels_last = False
    config: MixedConfig

    def __init__(self, config: MixedConfig) -> None:
        super().__init__()
        self.config = config
        generator = ChangeGenerator(len(config.domains), config)
        self.nets = nn.ModuleDict(
            {
                "generator": generator,
                "average": copy.deepcopy(generator).requires_grad_(False),
                "reader": new_reader(len(config.domains)),
            }
        )
        domains = len(config.domains)
        if config.prototypes:
            self.nets["means"] = MeanFaces(domains, config.size)
        if config.guide:
            guides = nn.ModuleList(
                nn.ModuleDict({"reader": new_reader(domains), "scale": Scale(domains)}) for _ in config.guide
            )
            self.nets["guide"] = guides.requires_grad_(False)

    def begin(self) -> None:
        domains = self.config.domains
        if self.config.start:
            open_nets(Path(self.config.start), self.nets, ["average", "reader"], domains)
            self.nets["generator"].load_state_dict(self.nets["average"].state_dict())
        if self.config.reader:
            open_nets(Path(self.config.reader), self.nets, ["reader"], domains)
        if self.config.prototypes:
            source = self.config.means or self.config.start
            if not source:
                raise UsageError("prototypes need mean faces: name a run, as in means=runs/00000-prototypes")
            open_nets(Path(source), self.nets, ["means"], domains)
        for place, path in enumerate(self.config.guide):
            take_over(Path(path), self.nets["guide"][place], domains)  # type: ignore[index]

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.config.learning_rate
        generator = AdamW(self.nets["generator"].parameters(), rate, betas=(0.9, 0.99), fused=True)
        return {"generator": generator, "reader": reader_optimizer(self.nets["reader"])}

    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        logs: dict[str, Tensor] = {}
        if torch.rand(()) < 1 / READER_EVERY and self._learns_to_read:
            logs |= train_reader(self.nets["reader"], batch, optimizers["reader"], backward, progress)
        slow_down(optimizers["generator"], self.config.learning_rate, progress)
        losses = self._losses(batch, progress)
        backward(torch.stack(list(losses.values())).sum())
        advance(optimizers["generator"])
        steps = int(optimizers["generator"].state_dict()["state"][0]["step"])
        update_average(self.nets["average"], self.nets["generator"], self.config.ema, steps)
        return logs | {f"generator/{name}": loss.detach() for name, loss in losses.items()}

    @property
    def _learns_to_read(self) -> bool:
        """Pairs for glasses alone teach no reader more than it knows."""
        return self.config.net_ages or not (self.config.reader or self.config.start)

    @torch.no_grad()
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        return self.change(images, source, target).apply(images).clamp(-1, 1)

    def finished(self) -> tuple[MixedConfig, nn.ModuleDict]:
        kept = {name: net for name, net in self.nets.items() if name != "guide"}
        return dataclasses.replace(self.config, start="", reader="", means="", guide=()), nn.ModuleDict(kept)

    def estimate(self, images: Tensor) -> Condition:
        return read(self.nets["reader"], images)

    @torch.no_grad()
    def change(self, images: Tensor, source: Condition, target: Condition) -> Change:
        """The change that `transform` applies: scaled up it serves a picture of any resolution."""
        told = target.glasses != UNKNOWN
        target = target.filled(source)
        target = target.replace(age=target.age.clamp(max=MAX_AGE))
        first = self._first(source, target)
        if not self.config.net_ages:
            return dressed(images, source, target, first, self._glasses, told)
        asked = _asked(source, target)
        if first is not None and not torch.compiler.is_compiling() and not asked.any():
            return first
        seen = images if first is None else first.apply(images)
        change: Change = self.nets["average"](seen, source, target)
        return dataclasses.replace(change.times(self.config.strength * asked), first=first)

    def _glasses(self, images: Tensor, source: Condition, target: Condition) -> Change:
        """The generator's change of glasses alone."""
        change: Change = self.nets["average"](images, source, target)
        return change.times(self.config.strength)

    def _first(self, source: Condition, target: Condition) -> Change | None:
        """What comes before the generator's change; nothing for faces of unknown age."""
        if not self.config.prototypes:
            return None
        means = self.nets["means"]
        assert isinstance(means, MeanFaces)
        own = torch.where(source.age.isnan(), target.age, source.age)
        asked = torch.where(target.age.isnan(), own, target.age)
        change = means.difference(own, asked, target.domain, target.gender, tint=False)
        home = torch.where(target.domain == UNKNOWN, means.main, target.domain)
        # Where nothing but a shape is borrowed, all of it is taken.
        shapes = torch.where(means.taught[home] > 0, self.config.shapes, 1.0)
        change.flow = change.flow * shapes[:, None, None, None]
        return change.times(
            self.config.prototypes * torch.where(home == means.main, 1.0, self.config.elsewhere)
        )

    def _aged_first(self, batch: Batch, target: Condition) -> Tensor:
        """What the generator sees: faces as the mean faces leave them, if it is to age them further."""
        if not (self.config.prototypes and self.config.net_ages):
            return batch.images
        known = batch.condition
        if known.age.isnan().any():
            known = known.filled(self.estimate(batch.images))
        first = self._first(known, target)
        return batch.images if first is None else first.apply(batch.images).clamp(-1, 1)

    def _losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        partner, count = batch.partner, len(batch.images)
        target, paired = partner.condition, torch.ones(count, dtype=torch.bool, device=batch.images.device)
        if self.config.guide:
            paired[count // 2 :] = False
            target = target.where(paired, other_labels(batch.condition, self.config.told))
        source = batch.condition.withheld(self.config.unknown)
        images = self._aged_first(batch, target)
        change: Change = self.nets["generator"](images, source, target)
        result = change.apply(images)
        seen = batch.masks * partner.masks * (batch.has_partner & paired)[:, None, None, None]
        if self.config.net_ages:
            off = F.smooth_l1_loss(result, partner.images, reduction="none", beta=BEND)
            pair = masked_mean(off, seen)
        else:
            pair = dressing.loss(result, images, partner.images, seen, bend=BEND)
        losses = {
            "pair": pair,
            "shade": self.config.shade * change.shade.abs().mean(),
            "smooth": self.config.smooth * roughness(change.flow),
        }
        if self.config.guide:
            weight = self.config.guided * min(progress / _GUIDED_FROM, 1.0)
            guides = list(self.nets["guide"].children())
            weights = {
                "age": self.config.ages if self.config.net_ages else 0.0,
                "ageless": self.config.ageless if self.config.net_ages else 0.0,
                "glasses": self.config.glasses,
            }
            said = led(guides, batch[~paired], result[~paired], target[~paired], **weights)
            losses |= {f"guide_{name}": weight * loss for name, loss in said.items()}
        return losses


def _asked(source: Condition, target: Condition) -> Tensor:
    """(B,) from 0, where nothing else is asked for than what is there, to 1."""
    years = (target.age - source.age.clamp(max=MAX_AGE)).nan_to_num(MAX_AGE)
    same = torch.exp(-0.5 * (years / UNASKED).square())
    return 1 - same * (target.glasses == source.glasses) * (target.gender == source.gender)

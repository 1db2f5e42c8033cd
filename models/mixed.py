"""The mixed ager: CAAE's idea for every domain, with a change instead of a picture as its output.

A U-Net sees the face and the current and requested age, domain, glasses and gender. It outputs a `Change`: a
displacement field, a residual in colour, and where details grow or fade. What age does not touch stays as it
was, at any resolution.

The difference of mean faces, or what twins taught (`models/ageing.py`), may be applied first, or do all the
ageing. It is robust, and leaves the generator to learn only what it lacks, glasses above all.

The generator learns by regression (as FRAN, Zoss et al. 2022) from pairs of pictures that differ in age and
glasses alone, the same *view* of a person. Twins come in such pairs. Nobody has them of real faces, so a
teacher makes them (`models/pairs.py`). Either picture of a made pair may be the target: where it is the real
one, the ager learns from made faces what real ones look like.

Made pairs show too little change, as regression learns the mean of different outcomes. So a *guide*
(`models/guide.py`), a reader that is hard to deceive, or several in turn, may lead half of a batch: the
aged face should read as much older or younger as real faces of those ages do, with the glasses asked for.
There is no adversary, so nothing collapses.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from nenrin.ground import UsageError
from nenrin.models import regression
from nenrin.models.ageing import ageing, new_twins, take_twins, unasked
from nenrin.models.base import AgerModel, Backward, ModelConfig
from nenrin.models.change import Change, roughness
from nenrin.models.checkpoint import read_state
from nenrin.models.condition import LABELS, MAX_AGE, UNKNOWN, Condition
from nenrin.models.data import Batch
from nenrin.models.dressing import dressed
from nenrin.models.generator import ChangeGenerator
from nenrin.models.guide import Scale, take_over
from nenrin.models.hairnet import shipped
from nenrin.models.leading import led, other_labels
from nenrin.models.means import MeanFaces
from nenrin.models.reading import (
    READER_EVERY,
    advance,
    new_reader,
    read,
    reader_optimizer,
    slow_down,
    steps_of,
    train_reader,
    update_average,
    wearing,
)
from nenrin.models.run import nets_of, open_nets
from nenrin.models.wrinkles import Wrinkles

_CHARACTER = 16.0  # years: most drawn characters are in their teens
_GUIDED_FROM = 0.1  # fraction of the training after which the guide has its full weight


@dataclasses.dataclass(kw_only=True, slots=True)
class MixedConfig(ModelConfig):
    """The mixed ager's shape and the weights of its losses."""

    width: int = 32  # channels at half resolution; deeper levels have up to twice as many
    learning_rate: float = 1.5e-3  # falls to a twentieth over the training
    ema: float = 0.998  # decay of the average of the generator that is used afterwards
    told: tuple[str, ...] = LABELS  # the labels that the generator sees; it cannot learn to change others
    unknown: float = 0.1  # fraction of source labels withheld in training, so that it can do without
    skips: bool = True  # between the resolutions; without them all must pass through the coarsest
    strength: float = 1.0  # factor on the generator's change
    prototypes: float = 0.0  # factor on the colour difference of mean faces, which is applied first
    shapes: float = 1.8  # factor on their difference in shape
    details: float = 0.5  # factor on their difference in details, relative to that on colours
    elsewhere: float = 0.83  # factor on all this in domains with fewer ages: drawings lose identity sooner
    children: float = 0.74  # factor on colours and details up to 5 years, rising to 1 at 25
    near: float = 0.7  # factor on all this for age differences up to 10 years, rising to 1 at 40
    colours: float = 0.75  # factor on the hue: without it, strong ageing turns skin green
    most: float = 0.5  # soft limit on how much lighter or darker a place becomes, of the range of 2
    wrinkles: float = 0.9  # depth of the wrinkles drawn on whoever mean faces or twins age; 0 for none
    hair: float = 1.0  # how far hair turns grey on whoever mean faces or twins age; 0 for not
    twins: float = 0.0  # factor on the flow learned from twins, which age the domains without ages
    net_ages: bool = True  # if not, mean faces and twins do the ageing, and the generator only glasses

    shade: float = 0.02  # weight of the shade's L1, so that what can be moved is not painted
    smooth: float = 5.0  # weight of the flow's bending

    start: str = ""  # a run of this ager to continue from, with other settings or pairs
    reader: str = ""  # a run whose reader to begin with
    means: str = ""  # the run of --model prototypes whose mean faces to use
    pupil: str = ""  # the run that learned from twins, told the age alone, or an ager that took it over
    guide: tuple[
        str, ...
    ] = ()  # runs of --model guide: in each step one of their readers leads half the batch
    guided: float = 0.01  # weight of the guide's loss
    glasses: float = 2.0  # weight of the glasses in it ...
    ages: float = 0.15  # ... and of the ages: with more, the ager paints holes for eyes
    ageless: float = 0.0  # weight of the ages in domains of which the guide saw none


class MixedAger(AgerModel):
    """The generator of a change, the moving average of its weights, and a reader."""

    name = "mixed"
    needs_pairs = True
    begins_still = True
    channels_last = False
    config: MixedConfig

    def __init__(self, config: MixedConfig) -> None:
        super().__init__()
        self.config = config
        domains = len(config.domains)
        generator = ChangeGenerator(domains, width=config.width, skips=config.skips, told=config.told)
        self.nets = nn.ModuleDict(
            {
                "generator": generator,
                "average": copy.deepcopy(generator).requires_grad_(False),
                "reader": new_reader(domains),
            }
        )
        if config.prototypes:
            self.nets["means"] = MeanFaces(domains, config.size).requires_grad_(False)
        if config.prototypes and config.wrinkles:
            self.nets["wrinkles"] = Wrinkles()
            if config.twins:
                self.nets["ink"] = Wrinkles(ink=True)
        if config.prototypes and config.hair:
            self.nets["hair"] = copy.deepcopy(shipped())
        if config.twins:
            self.nets["twins"] = new_twins().requires_grad_(False)
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
        if self.config.twins or self.config.pupil:
            self._begin_twins()
        for place, path in enumerate(self.config.guide):
            take_over(Path(path), self.nets["guide"][place], domains)  # type: ignore[index]

    def _begin_twins(self) -> None:
        """Load what twins taught from the run named by `pupil`, else from the one named by `start`."""
        config = self.config
        if not config.twins:
            raise UsageError("pupil= says whom twins have taught: say too how far to follow, as in twins=1.2")
        if not config.prototypes:
            raise UsageError("twins age what mean faces cannot: set prototypes as well, as in prototypes=6.0")
        if config.pupil:
            take_twins(Path(config.pupil), self.nets["twins"])
        elif config.start and read_state(nets_of(Path(config.start)))["config"].get("twins"):
            open_nets(Path(config.start), self.nets, ["twins"], config.domains)
        else:
            raise UsageError("twins need a run that learned from them: name it, as in pupil=runs/00000-mixed")

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.config.learning_rate
        generator = AdamW(self.nets["generator"].parameters(), rate, betas=(0.9, 0.99), fused=True)
        return {"generator": generator, "reader": reader_optimizer(self.nets["reader"])}

    def step(
        self, batch: Batch, optimizers: dict[str, Optimizer], backward: Backward, progress: float
    ) -> dict[str, Tensor]:
        logs: dict[str, Tensor] = {}
        if self._learns_to_read and steps_of(optimizers["generator"]) % READER_EVERY == 0:
            logs |= train_reader(self.nets["reader"], batch, optimizers["reader"], backward, progress)
        slow_down(optimizers["generator"], self.config.learning_rate, progress)
        losses = self._losses(batch, progress)
        backward(torch.stack(list(losses.values())).sum())
        advance(optimizers["generator"])
        steps = steps_of(optimizers["generator"])
        update_average(self.nets["average"], self.nets["generator"], self.config.ema, steps)
        return logs | {f"generator/{name}": loss.detach() for name, loss in losses.items()}

    @property
    def _learns_to_read(self) -> bool:
        """A loaded reader learns nothing more from pairs that are for glasses alone."""
        return self.config.net_ages or not (self.config.reader or self.config.start)

    @torch.no_grad()
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        return self.change(images, source, target).apply(images).clamp(-1, 1)

    def finished(self) -> tuple[MixedConfig, nn.ModuleDict]:
        kept = {name: net for name, net in self.nets.items() if name != "guide"}
        config = dataclasses.replace(self.config, start="", reader="", means="", pupil="", guide=())
        return config, nn.ModuleDict(kept)

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        seen = read(self.nets["reader"], images)
        if "twins" not in self.nets:
            return seen
        # Of the domains that twins age nobody knows ages: what the reader says there is noise.
        home = seen.domain if domain is None else torch.where(domain == UNKNOWN, seen.domain, domain)
        means = self.nets["means"]
        assert isinstance(means, MeanFaces)
        return seen.replace(age=torch.where(means.taught[home] > 0, seen.age, _CHARACTER))

    @torch.no_grad()
    def change(self, images: Tensor, source: Condition, target: Condition) -> Change:
        """The change that `transform` applies; it can be applied at any resolution."""
        told = target.glasses != UNKNOWN
        target = target.filled(source)
        target = target.replace(age=target.age.clamp(max=MAX_AGE))
        if not self.config.net_ages:
            return dressed(
                images,
                source,
                target,
                lambda faces: self._ageing(faces, source, target),
                self._glasses,
                lambda faces: wearing(self.nets["reader"], faces, mirrored=False),
                told,
            )
        first = self._ageing(images, source, target)
        asked = _asked(source, target)
        if first is not None and not torch.compiler.is_compiling() and not asked.any():
            return first
        seen = images if first is None else first.apply(images)
        change: Change = self.nets["average"](seen, source, target)
        return dataclasses.replace(change.times(self.config.strength * asked), first=first)

    def _glasses(self, images: Tensor, source: Condition, target: Condition) -> Change:
        """The generator's change, if it changes glasses alone."""
        change: Change = self.nets["average"](images, source, target)
        return change.times(self.config.strength)

    def _ageing(self, images: Tensor, source: Condition, target: Condition) -> Change | None:
        """The ageing applied before the generator."""
        return ageing(self.nets, self.config, images, source, target)

    @torch.no_grad()
    def _aged_first(self, batch: Batch, target: Condition) -> Tensor:
        """The generator's input: faces aged by mean faces, if it is to age them further, else as they are."""
        if not (self.config.prototypes and self.config.net_ages):
            return batch.images
        known = batch.condition
        if known.age.isnan().any():
            known = known.filled(self.estimate(batch.images, known.domain))
        first = self._ageing(batch.images, known, target)
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
        losses = {
            "pair": regression.loss(result, images, partner.images, seen),
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
    """(B,) 0 where the target asks for no change, rising to 1."""
    same = (target.glasses == source.glasses) * (target.gender == source.gender)
    return 1 - unasked(source, target) * same

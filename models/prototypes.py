"""The prototype ager: the difference of two mean faces applied to a face.

Mean faces are computed by age, gender and domain, with a kernel over age. The difference in shape and colour
and the ratio of details between the mean faces of the current and the requested labels are applied to a face
(Burt and Perrett 1995; Tiddeman, Burt and Perrett 2001; Kemelmacher-Shlizerman, Suwajanakorn and Seitz 2014),
where a small net registers the mean face to it. It fits in minutes, works at any resolution and frightens
nobody: the other end of the scale from CAAE.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from nenrin.domains.array import FaceArray
from nenrin.domains.face import GENDERS
from nenrin.ground import UsageError, track
from nenrin.models.base import FittedModel, ModelConfig
from nenrin.models.change import Change, coarsened, shift
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.data import conditions, load
from nenrin.models.looks import AdjustedSums, expression
from nenrin.models.means import GROUPS, KNOT, KNOTS, OLDEST, MeanFaces
from nenrin.models.reader import Reader
from nenrin.models.reading import wearing
from nenrin.models.registration import train_registration
from nenrin.models.ridge import RidgeReader

CHUNK = 256  # faces at a time
EACH = 4  # views of a face that are enough for registration
BIN = 2.5  # years: width of the age bins in which faces are first summed
BINS = int(OLDEST / BIN) + 1
BORROWED = 6.0  # faces: weight of the prior that a group takes from the larger group it is part of
LEAST = 50  # faces of known age from which a domain ages by its own colours
SEEN = 0.98  # least value of a warped mask where a registered pixel counts as inside its picture


@dataclasses.dataclass(kw_only=True, slots=True)
class PrototypesConfig(ModelConfig):
    """What the prototypes are made of."""

    size: int = 128
    strength: float = 1.0  # factor on the difference
    views: int = 25600  # at most, from which the registration net learns; 0 for no registration
    bandwidth: float = 2.0  # years: the kernel's standard deviation at birth ...
    widening: float = 0.08  # ... and its growth per year of age, as faces change faster in childhood
    bare: str = ""  # a run that takes off glasses first: more old people wear some, which is not ageing


class Prototypes(FittedModel):
    """Mean faces, their shapes, and a reader for missing labels."""

    name = "prototypes"
    config: PrototypesConfig

    def __init__(self, config: PrototypesConfig) -> None:
        super().__init__()
        self.config = config
        domains = len(config.domains)
        self.nets = nn.ModuleDict({"means": MeanFaces(domains, config.size), "reader": RidgeReader(domains)})

    def fit(self, faces: FaceArray) -> dict[str, float]:
        known = int((~np.isnan(faces.age)).sum())
        if known < 2:
            raise UsageError("prototypes need faces of known age, and these sets have none")
        undress = _undresser(self.config)
        error = self.nets["reader"].fit((images, labels) for images, _, labels in _chunks(faces, "reading"))  # type: ignore[operator]
        means = self.nets["means"]
        assert isinstance(means, MeanFaces)
        aged = faces.select(~np.isnan(faces.age))
        views = min(self.config.views, EACH * len(aged))
        learned = train_registration(means.registration, aged, views)
        with torch.no_grad():
            _fill(means, faces, self.config, undress)
        return {"known_ages": known, "reader/age_error": error} | learned

    def finished(self) -> tuple[PrototypesConfig, nn.ModuleDict]:
        return dataclasses.replace(self.config, bare=""), self.nets

    @torch.no_grad()
    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        return self.change(images, source, target).apply(images).clamp(-1, 1)

    @torch.no_grad()
    def change(self, images: Tensor, source: Condition, target: Condition) -> Change:
        """The change that `transform` applies, for faces at any resolution."""
        read = self.estimate(images)
        domain = torch.where(target.domain == UNKNOWN, source.domain, target.domain)
        gender = torch.where(target.gender == UNKNOWN, source.gender, target.gender)
        own = torch.where(source.age.isnan(), read.age, source.age)
        asked = torch.where(target.age.isnan(), own, target.age)
        means = self.nets["means"]
        assert isinstance(means, MeanFaces)
        strength = torch.full_like(own, self.config.strength)
        return (
            means.difference(own, asked, domain, gender).times(strength).warped(means.places(images, domain))
        )

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        read: Condition = self.nets["reader"](images)
        return read


def strength_of_details(images: Tensor) -> Tensor:
    """Amplitude of the structure in (B, 3, S, S) faces that is finer than `GRID`, (B, 1, S, S).

    The ratio of two ages' means is the factor by which wrinkles grow between them (Tiddeman, Burt and
    Perrett 2001, who use wavelets).
    """
    return (images - coarsened(images)).abs().mean(1, keepdim=True)


def _chunks(faces: FaceArray, label: str) -> Iterator[tuple[Tensor, Tensor, Condition]]:
    """Pixels, masks and labels of all faces, `CHUNK` at a time."""
    for start in track(range(0, len(faces), CHUNK), label):
        rows = np.arange(start, min(start + CHUNK, len(faces)))
        images, masks = load(faces, rows, np.zeros(len(rows), bool))
        yield images, masks, conditions(faces, rows)


Undress = Callable[[Tensor, Condition], tuple[Tensor, Tensor]]


def _undresser(config: PrototypesConfig) -> Undress:
    """A function that takes glasses off faces labelled, or read by `config.bare`, to wear some.

    It returns the faces (B, 3, S, S), and traits (B, K) that say how likely they still look to wear glasses.
    Without `config.bare` it returns the faces as they are, and K is 0.
    """
    if not config.bare:
        return lambda images, labels: (images, images.new_zeros(len(images), 0))
    from nenrin.models.ager import Ager  # which can hold prototypes itself

    ager = Ager.load(config.bare)
    if (ager.size, ager.domains) != (config.size, config.domains):
        ours, theirs = (f"{of.size} px and {', '.join(of.domains)}" for of in (config, ager))
        raise UsageError(f"{config.bare} is of {theirs}, not of {ours}: it takes off no glasses here")

    nets = ager.model.nets
    reader = nets["reader"] if "reader" in nets else None  # noqa: SIM401  (a ModuleDict has no `get`)
    if not isinstance(reader, Reader):
        raise UsageError(f"{config.bare} is of --model {ager.model.name}, which takes off no glasses")

    def undress(images: Tensor, labels: Condition) -> tuple[Tensor, Tensor]:
        read = ager.estimate(images)
        worn = torch.where(labels.glasses == UNKNOWN, read.glasses, labels.glasses) > 0
        if worn.any():
            source = labels.filled(read)[worn]
            images[worn] = ager.transform(
                images[worn], source, source.replace(glasses=torch.zeros_like(source.glasses))
            )
        return images, wearing(reader, images)[:, None]

    return undress


def _fill(
    means: MeanFaces,
    faces: FaceArray,
    config: PrototypesConfig,
    undress: Undress,
) -> None:
    """Register all faces of known age and average them."""
    domains, cells = len(config.domains), len(config.domains) * GROUPS * BINS
    colours, shapes = AdjustedSums(domains, cells), AdjustedSums(domains, cells)
    for images, masks, labels in _chunks(faces, "averaging"):
        known = ~labels.age.isnan()
        if not known.any():
            continue
        images, masks, labels = images[known], masks[known], labels[known]
        bare, look = undress(images, labels)
        field = means.registration(bare)
        laid, shown = shift(bare, field), (shift(masks, field, "zeros") > SEEN).float()
        where = (labels.age.clamp(0.0, OLDEST) / BIN).round().long()
        group = torch.where(labels.gender == UNKNOWN, len(GENDERS), labels.gender)
        cell = (labels.domain * GROUPS + group) * BINS + where
        traits = torch.cat([expression(laid), look], dim=1)
        values = torch.cat([laid, strength_of_details(laid)], dim=1)
        colours.add(cell, labels.domain, values, shown, traits)
        shapes.add(cell, labels.domain, field, torch.ones_like(field[:, :1]), traits)
    sums, moved = (
        each.view(domains, GROUPS, BINS, *each.shape[1:]) for each in (colours.sums(), shapes.sums())
    )
    # Average with the mirror image, so that no mean face looks aside.
    sums = sums + sums.flip(-1)
    moved = moved + moved.flip(-1) * moved.new_tensor([-1.0, 1.0, 1.0])[:, None, None]
    for each in (sums, moved):
        each[:, -1] = each.sum(1)  # everybody, those of unknown gender among them

    weights = sums[:, -1, :, -1]  # (D, BINS, S, S)
    main = int(weights.sum((1, 2, 3)).argmax())
    seen = weights[main].sum(0)
    taught = (weights.amax((2, 3)).sum(1) / 2 >= LEAST).float()
    pictures, fields = (_smooth_over_ages(each, config, main) for each in (sums, moved))
    means.fill(
        pictures[:, :, :, :3], pictures[:, :, :, 3:], fields, main, seen / seen.max().clamp(min=1), taught
    )


def _smooth_over_ages(sums: Tensor, config: PrototypesConfig, main: int) -> Tensor:
    """Means (D, GROUPS, KNOTS, C, S, S) from sums by age bins (D, GROUPS, BINS, C + 1, S, S).

    A group with few faces is shrunk towards a larger one: a gender towards everybody of its domain, a domain
    towards `main`, the domain with most faces of known age. A domain without any takes its ageing from there.
    """
    years = torch.arange(BINS) * BIN
    knots = torch.arange(KNOTS)[:, None] * KNOT
    kernel = torch.exp(-0.5 * ((years - knots) / (config.bandwidth + config.widening * knots)) ** 2)
    smooth = torch.einsum("kb,dgbchw->dgkchw", kernel, sums)
    everybody = smooth[:, -1]
    standard = everybody[main, :, :-1] / everybody[main, :, -1:].clamp(min=1e-6)
    means = []
    for domain in range(len(sums)):
        own = standard if domain == main else _borrow(everybody[domain], standard)
        means.append(torch.stack([*(_borrow(each, own) for each in smooth[domain, :-1]), own]))
    return torch.stack(means)


def _borrow(smooth: Tensor, larger: Tensor) -> Tensor:
    """Means (KNOTS, C, S, S) of a group from its sums (KNOTS, C + 1, S, S) and the means of a larger group.

    The larger group is first shifted to the mean of this one, so it lends its change with age, not its looks.
    """
    values, weight = smooth[:, :-1], smooth[:, -1:]
    total = weight.sum(0)
    offset = (values - weight * larger).sum(0) / total.clamp(min=1e-6) * (total > 1)
    return (values + BORROWED * (larger + offset)) / (weight + BORROWED)

"""The prototype ager: no net, the difference of two mean faces applied to a face.

Mean faces by age, gender and domain, weighted by a kernel over age; the dense flow, the colour difference and
the ratio of details between the mean face of what a face is and that of what it shall be are applied to it
(Burt and Perrett 1995; Tiddeman, Burt and Perrett 2001; Kemelmacher-Shlizerman, Suwajanakorn and Seitz 2014).
It fits in seconds, works at any resolution and frightens nobody: the other end of the scale from CAAE.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nenrin.domains.array import FaceArray
from nenrin.domains.face import GENDERS
from nenrin.ground import UsageError, track
from nenrin.models.base import FittedModel, ModelConfig
from nenrin.models.change import Change, coarsened, shift
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.data import conditions, load
from nenrin.models.ridge import RidgeReader

CHUNK = 256  # faces at a time
BIN = 2.5  # years: faces are first summed up in bins of this
OLDEST = 90.0  # years; older counts as this
BINS = int(OLDEST / BIN) + 1
KNOT = 5.0  # years between the mean faces that are kept; linear in between
KNOTS = int(OLDEST / KNOT) + 1
GROWN = int(30 / KNOT)  # the knot that shapes are told from
FIELD = 32  # pixels: side of a shape
FEW, MOST = 0.4, 0.9  # share of the faces that have a pixel: from none of the change to all of it
EDGE = 0.08  # of a face's width: how soft the edge of the change is
BORROWED = 6.0  # faces: how much a group trusts the larger one it is part of
GROUPS = len(GENDERS) + 1  # female, male, everybody
LEAST = 50  # faces of known age from which a domain has colours of ageing of its own


@dataclasses.dataclass(kw_only=True, slots=True)
class PrototypesConfig(ModelConfig):
    """What the prototypes are made of."""

    size: int = 128
    strength: float = 1.0  # how often the difference is applied
    bandwidth: float = 2.0  # years: the kernel's deviation at birth ...
    widening: float = 0.08  # ... and what it grows by with each year, as faces change faster in childhood
    bare: str = ""  # a run that takes off glasses first: more of the old wear some, which is no ageing


class Prototypes(FittedModel):
    """Mean faces, their shapes, and a reader for the labels that nobody gives."""

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
        self.nets["means"].fill(*_mean_faces(faces, self.config, undress))  # type: ignore[operator]
        return {"known_ages": known, "reader/age_error": error}

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
        return means.difference(own, asked, domain, gender).times(self.config.strength)

    def estimate(self, images: Tensor) -> Condition:
        read: Condition = self.nets["reader"](images)
        return read


class MeanFaces(nn.Module):
    """Mean faces of D domains, three gender groups and `KNOTS` ages, and their shapes.

    A shape (2, FIELD, FIELD) says where in the mean face of a grown-up each place comes from, in the grid's
    units; the difference of two shapes is the flow from one age to another.
    """

    def __init__(self, domains: int, size: int) -> None:
        super().__init__()
        self.pictures = nn.Buffer(torch.zeros(domains, GROUPS, KNOTS, 3, size, size, dtype=torch.float16))
        self.shapes = nn.Buffer(torch.zeros(domains, GROUPS, KNOTS, 2, FIELD, FIELD))
        # The log of `strength_of_details`.
        self.details = nn.Buffer(torch.zeros(domains, GROUPS, KNOTS, 1, FIELD, FIELD))
        self.main = nn.Buffer(torch.zeros((), dtype=torch.int64))  # stands in for an unknown domain
        self.taught = nn.Buffer(torch.ones(domains))  # 1 for a domain that has ages of its own, else 0
        self.shown = nn.Buffer(torch.ones(1, 1, size, size))  # 1 where most faces have pixels, to 0 where few

    def fill(self, means: Tensor, main: int, share: Tensor, taught: Tensor) -> None:
        """Take mean faces (D, GROUPS, KNOTS, 4, S, S), colours in [-1, 1] and `strength_of_details`, and find
        their shapes.

        `share` (S, S) is that of the faces which have pixels there: what few have is no mean. `taught` (D,)
        says which domains had ages of their own.
        """
        self.pictures.copy_(means[:, :, :, :3])
        self.main.fill_(main)
        self.taught.copy_(taught)
        size = share.shape[-1]
        soft = torch.from_numpy(cv2.GaussianBlur(share.numpy(), (0, 0), size / 32))
        self.shown.copy_(_faded(((soft - FEW) / (MOST - FEW)).clamp(0, 1))[None, None])
        for group in np.ndindex(*means.shape[:2]):
            self.shapes[group] = torch.from_numpy(_shapes(means[group][:, :3].numpy()))
            strength = F.interpolate(means[group][:, 3:], (FIELD // 2, FIELD // 2), mode="area")
            strength = F.interpolate(strength, (FIELD, FIELD), mode="bilinear", align_corners=False)
            self.details[group] = strength.clamp(min=1e-3).log()

    def forward(self, years: Tensor, domain: Tensor, gender: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mean faces (B, 3, S, S), shapes (B, 2, FIELD, FIELD) and details (B, 1, FIELD, FIELD) of such
        labels."""
        domain = torch.where(domain == UNKNOWN, self.main, domain)
        gender = torch.where(gender == UNKNOWN, len(GENDERS), gender)
        place = years.nan_to_num(0.0).clamp(0.0, OLDEST) / KNOT
        low = place.long().clamp(max=KNOTS - 2)
        mix = (place - low)[:, None, None, None]
        picture, shape, detail = (
            torch.lerp(table[domain, gender, low].float(), table[domain, gender, low + 1].float(), mix)
            for table in (self.pictures, self.shapes, self.details)
        )
        return picture, shape, detail

    def difference(
        self, own: Tensor, asked: Tensor, domain: Tensor, gender: Tensor, *, tint: bool = True
    ) -> Change:
        """What mean faces of the ages `own` and `asked` (B,) differ by.

        Where a domain has borrowed its ageing it is the shape alone: the colours of a photograph's cheeks
        are smudges on a drawn one. Without `tint` the colour of the face as a whole stays: that of a mean
        face tells who is photographed at which age.
        """
        (here, shape_here, fine_here), (there, shape_there, fine_there) = (
            self(years, domain, gender) for years in (own, asked)
        )
        flow = shape_there - shape_here
        shown: Tensor = self.shown
        shade = there - shift(here, flow)
        if not tint:
            shade = shade - (shade * shown).sum((2, 3), keepdim=True) / shown.sum().clamp(min=1)
        taught = self.taught[torch.where(domain == UNKNOWN, self.main, domain)][:, None, None, None]
        coarse = F.interpolate(shown, flow.shape[-2:], mode="bilinear", antialias=True)
        return Change(
            flow=flow * coarse,
            shade=shade * shown * taught,
            detail=(fine_there - fine_here) * coarse * taught,
        )


def _faded(shown: Tensor) -> Tensor:
    """(S, S) from 1 to 0 with a soft edge further inside: a hard one is a line across the forehead."""
    edge = shown.shape[-1] * EDGE
    inside = cv2.erode(shown.numpy(), np.ones((round(edge) | 1,) * 2))
    return torch.from_numpy(cv2.GaussianBlur(inside, (0, 0), 0.7 * edge)) * shown


def strength_of_details(images: Tensor) -> Tensor:
    """How much of (B, 3, S, S) faces is finer than a `Change` can move, (B, 1, S, S).

    The ratio of two ages' means is the factor by which wrinkles grow between them (Tiddeman, Burt and
    Perrett 2001, who take wavelets).
    """
    return (images - coarsened(images)).abs().mean(1, keepdim=True)


def _chunks(faces: FaceArray, label: str) -> Iterator[tuple[Tensor, Tensor, Condition]]:
    """Pixels, masks and labels of all faces, `CHUNK` at a time."""
    for start in track(range(0, len(faces), CHUNK), label):
        rows = np.arange(start, min(start + CHUNK, len(faces)))
        images, masks = load(faces, rows, np.zeros(len(rows), bool))
        yield images, masks, conditions(faces, rows)


def _undresser(config: PrototypesConfig) -> Callable[[Tensor, Condition], Tensor]:
    """What takes their glasses off faces that are said, or read by `config.bare`, to wear some."""
    if not config.bare:
        return lambda images, labels: images
    from nenrin.models.ager import Ager  # which can hold prototypes itself

    ager = Ager.load(config.bare)
    if (ager.size, ager.domains) != (config.size, config.domains):
        ours, theirs = (f"{of.size} px and {', '.join(of.domains)}" for of in (config, ager))
        raise UsageError(f"{config.bare} is of {theirs}, not of {ours}: it takes off no glasses here")

    def undress(images: Tensor, labels: Condition) -> Tensor:
        read = ager.estimate(images)
        worn = torch.where(labels.glasses == UNKNOWN, read.glasses, labels.glasses) > 0
        if worn.any():
            source = labels.filled(read)[worn]
            images[worn] = ager.transform(
                images[worn], source, source.replace(glasses=torch.zeros_like(source.glasses))
            )
        return images

    return undress


def _mean_faces(
    faces: FaceArray, config: PrototypesConfig, undress: Callable[[Tensor, Condition], Tensor]
) -> tuple[Tensor, int, Tensor, Tensor]:
    """Mean faces (D, GROUPS, KNOTS, 4, S, S), colours and details, the domain with most faces of known age,
    which share of these have a pixel (S, S), and which domains have faces enough of known age (D,).
    """
    domains, size = len(config.domains), config.size
    sums = torch.zeros(domains, GROUPS, BINS, 5, size, size)  # colours and details, times mask, and mask
    for pictures, masks, labels in _chunks(faces, "averaging"):
        images = undress(pictures, labels)
        known = ~labels.age.isnan()
        where = (labels.age.nan_to_num(0.0).clamp(0.0, OLDEST) / BIN).round().long()
        group = torch.where(labels.gender == UNKNOWN, len(GENDERS), labels.gender)
        cells = (labels.domain * GROUPS + group) * BINS + where
        shown = torch.cat([images * masks, strength_of_details(images) * masks, masks], dim=1)
        sums.view(-1, 5, size, size).index_add_(0, cells[known], shown[known])
    sums += sums.flip(-1)  # a face and its mirror image, so that no mean face looks aside
    sums[:, -1] = sums.sum(1)  # everybody, those of unknown gender among them
    years = torch.arange(BINS) * BIN
    knots = torch.arange(KNOTS)[:, None] * KNOT
    kernel = torch.exp(-0.5 * ((years - knots) / (config.bandwidth + config.widening * knots)) ** 2)
    smooth = torch.einsum("kb,dgbchw->dgkchw", kernel, sums)

    # What a group has too few faces for, it borrows: a gender from everybody of its domain, a domain from
    # the one with most faces of known age, from which one without any takes all of its ageing.
    everybody = smooth[:, -1]
    main = int(everybody[:, :, -1].sum((1, 2, 3)).argmax())
    standard = everybody[main, :, :-1] / everybody[main, :, -1:].clamp(min=1e-6)
    means = torch.empty(*smooth.shape[:3], 4, size, size)
    for domain in range(domains):
        own = standard if domain == main else _borrow(everybody[domain], standard)
        means[domain] = torch.stack([*(_borrow(each, own) for each in smooth[domain, :-1]), own])
    seen = sums[main, -1, :, -1].sum(0)
    taught = (sums[:, -1, :, -1].amax((2, 3)).sum(1) / 2 >= LEAST).float()
    return means, main, seen / seen.max().clamp(min=1), taught


def _borrow(smooth: Tensor, larger: Tensor) -> Tensor:
    """Means (KNOTS, C, S, S) of a group from its sums (KNOTS, C + 1, S, S) and the means of a larger group.

    The larger group lends how it changes with age, not how it looks: first it is shifted to the group.
    """
    values, weight = smooth[:, :-1], smooth[:, -1:]
    total = weight.sum(0)
    offset = (values - weight * larger).sum(0) / total.clamp(min=1e-6) * (total > 1)
    return (values + BORROWED * (larger + offset)) / (weight + BORROWED)


def _shapes(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where each place of the mean faces (K, 3, S, S) lies in that of a grown-up: (K, 2, FIELD, FIELD).

    The flow (Farneback 2003) is followed from age to age, outward from the grown-up, as each step is small.
    """
    grey = [_equalised(mean) for mean in means]
    size = grey[0].shape[0]
    shapes = np.zeros((len(means), 2, FIELD, FIELD), np.float32)
    options: dict[str, Any] = {
        "pyr_scale": 0.5,
        "levels": 3,
        "winsize": max(size // 8, 5),
        "iterations": 5,
        "poly_n": 7,
        "poly_sigma": 1.5,
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
    }
    for way in (range(GROWN + 1, len(means)), range(GROWN - 1, -1, -1)):
        flow: NDArray[Any] = np.zeros((size, size, 2), np.float32)
        for knot in way:
            flow = cv2.calcOpticalFlowFarneback(grey[knot], grey[GROWN], flow.copy(), **options)
            smooth = torch.from_numpy(cv2.GaussianBlur(flow, (0, 0), size / 24)).permute(2, 0, 1)
            small = F.adaptive_avg_pool2d(smooth, FIELD)
            shapes[knot] = small.numpy() * (2 / size)  # the grid spans 2
    return shapes


def _equalised(mean: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The lightness of (3, S, S), evened out in neighbourhoods: flow follows shape, not paling hair."""
    grey = ((mean.mean(0) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    even: NDArray[np.uint8] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4)).apply(grey)
    return even

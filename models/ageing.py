"""The ageing that the mixed ager applies before its generator: by mean faces, or by what twins taught.

In domains with known ages, the difference between two mean faces ages a face. Nobody knows how old drawn
characters are; there a generator does it that learned from twins in many styles (`domains/twins/manner.py`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.ground import UsageError
from nenrin.models import toning
from nenrin.models.change import Change, either, placed, scaled
from nenrin.models.checkpoint import load_nets, read_state
from nenrin.models.condition import MAX_AGE, UNKNOWN, Condition
from nenrin.models.generator import ChangeGenerator
from nenrin.models.greying import FIRST, greyness, share_of
from nenrin.models.hairnet import HairNet
from nenrin.models.means import MeanFaces
from nenrin.models.registration import inverse
from nenrin.models.run import nets_of
from nenrin.models.toning import luma
from nenrin.models.wrinkles import wrinkled

_UNASKED = 2.0  # years: scale below which an age difference counts as none and is faded out
_TAUGHT = ("age",)  # labels that the generator taught by twins is told
_NEAR = 10.0, 40.0  # years between the ages: strength is reduced up to the first, full from the second
_CHILD = 5.0, 25.0  # years, the younger of both ages: likewise
_SIDE, _WIDTH = 64, 32  # that generator's input pixels and width, whatever those of the ager around it
_OLDER = 0.65  # factor on the limit of light and shade for who grows older: beyond are smears
_DRAWN = 0.5  # factor on wrinkles in domains with fewer ages: drawings show few
_LIGHTER = 0.1  # of the range of 2: what twins lighten so far as they grow old is left out
_RIM = 0.15  # of the width: flow fades to 0 near the edge, as there is nothing to fetch outside
_SMOOTHEST = 1.2  # -log of the least factor on weak details, which are left alone in drawings
_BLUR, _GRAIN = -0.3, 0.5  # log of the least and largest factor on details: beyond are blur and specks


class Settings(Protocol):
    """The settings of a mixed ager that ageing depends on; see `MixedConfig`."""

    prototypes: float
    shapes: float
    details: float
    elsewhere: float
    children: float
    near: float
    colours: float
    most: float
    wrinkles: float
    hair: float
    twins: float


def new_twins() -> ChangeGenerator:
    """The generator that `take_twins` fills."""
    return ChangeGenerator(1, width=_WIDTH, told=_TAUGHT)


def take_twins(path: Path, net: nn.Module) -> None:
    """Fill the net of `new_twins` with what a run of the mixed ager learned from twins, or has taken over.

    Raises `UsageError` for any other kind of run.
    """
    folder = nets_of(path)
    table = read_state(folder)["config"]
    if table.get("twins"):
        load_nets(folder, nn.ModuleDict({"twins": net}), only=["twins"])
        return
    asked = {
        "model": "mixed",
        "size": _SIDE,
        "width": _WIDTH,
        "told": list(_TAUGHT),
        "domains": ["manga"],
        "skips": True,
        "prototypes": 0.0,
    }
    for name, value in asked.items():
        if table.get(name) != value:
            raise UsageError(
                f"{path} has {name}={_words(table.get(name))}: twins teach with {name}={_words(value)}, as "
                "in nenrin twins --free --size 64 and nenrin train data/sets/twins-manga size=64 told=age"
            )
    load_nets(folder, nn.ModuleDict({"average": net}), only=["average"])


def _words(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def ageing(
    nets: nn.ModuleDict, settings: Settings, images: Tensor, source: Condition, target: Condition
) -> Change | None:
    """The change that ages (B, 3, S, S) faces; None if the ager leaves ageing to its generator."""
    if "means" not in nets:
        return None
    means = nets["means"]
    assert isinstance(means, MeanFaces)
    home = torch.where(target.domain == UNKNOWN, means.main, target.domain)
    known = means.taught[home] > 0
    drawn = ~known
    if "twins" not in nets:
        return _by_means(nets, settings, images, source, target, home)
    if torch.compiler.is_compiling():  # an exported ager has no branches
        change = _by_means(nets, settings, images, source, target, home)
        return either(known, change, _by_twins(nets, settings, images, source, target))
    if drawn.all():
        return _by_twins(nets, settings, images, source, target)
    change = _by_means(nets, settings, images, source, target, home)
    if not drawn.any():
        return change
    answer = _by_twins(nets, settings, images[drawn], source[drawn], target[drawn])
    return either(known, change, placed(answer, drawn, images))


def unasked(source: Condition, target: Condition) -> Tensor:
    """(B,) 1 where the age asked for is the face's own, falling to 0 within some years; 0 if unknown."""
    years = (target.age - source.age.clamp(max=MAX_AGE)).nan_to_num(MAX_AGE)
    return torch.exp(-0.5 * (years / _UNASKED).square())


def _by_means(
    nets: nn.ModuleDict,
    settings: Settings,
    images: Tensor,
    source: Condition,
    target: Condition,
    home: Tensor,
) -> Change:
    """The difference between the mean faces of the two ages, with wrinkles and grey hair; no change for faces
    of unknown age."""
    means = nets["means"]
    assert isinstance(means, MeanFaces)
    own = torch.where(source.age.isnan(), target.age, source.age)
    asked = torch.where(target.age.isnan(), own, target.age)
    main = home == means.main
    share = torch.where(main, 1.0, settings.elsewhere)
    share = share * _rising((asked - own).abs(), settings.near, *_NEAR)
    strength = settings.prototypes * share * _rising(torch.minimum(own, asked), settings.children, *_CHILD)
    difference = means.difference(own, asked, target.domain, target.gender, whole=False)
    difference = difference.times(strength, moves=settings.shapes * share, detail=settings.details * strength)
    places = means.places(images, target.domain)
    back = inverse(places)
    change = difference.warped(places, back)
    here, _, _ = means(own, target.domain, target.gender)
    skin = toning.skin(images)
    coarse = F.interpolate(skin, change.flow.shape[-2:], mode="area")
    # The red cheeks of old mean faces, which are light, would glow on dark skin.
    older = asked > own
    less = torch.where(older[:, None, None, None], toning.relative_brightness(images, here).square(), 1.0)
    shade = toning.tinted(toning.toned(change.shade, images, here, settings.colours * less), images)
    assert change.smooth is not None
    smooth = (change.smooth * coarse * main[:, None, None, None]).clamp(max=_SMOOTHEST)
    most = max(settings.most, 1e-6) * torch.where(older[:, None, None, None], _OLDER, 1.0)
    change = Change(
        flow=change.flow * coarse,
        shade=most * torch.tanh(shade / most) * skin,
        detail=(change.detail * coarse).clamp(_BLUR, _GRAIN),
        smooth=smooth if _some(asked < own) else None,
    )
    known, wanted = source.replace(age=own), target.replace(age=asked, domain=home)
    return _grown_old(nets, settings, images, known, wanted, change, places, back, skin)


def _grown_old(
    nets: nn.ModuleDict,
    settings: Settings,
    images: Tensor,
    source: Condition,
    target: Condition,
    change: Change,
    places: Tensor,
    back: Tensor,
    skin: Tensor,
) -> Change:
    """The change with wrinkles and grey hair, which no mean face shows, for those who grow older."""
    own, asked = source.age, target.age
    creases = None
    if settings.wrinkles and _some(asked > own):
        lines = wrinkled(nets["wrinkles"], images, own, asked, places, back, change.flow, skin)
        means = nets["means"]
        assert isinstance(means, MeanFaces)
        main = target.domain == means.main
        creases = settings.wrinkles * torch.where(main, 1.0, _DRAWN)[:, None, None, None] * lines
    return dataclasses.replace(change, creases=creases, grey=_greyed(nets, settings, images, own, asked))


def _greyed(
    nets: nn.ModuleDict, settings: Settings, images: Tensor, own: Tensor, asked: Tensor
) -> Tensor | None:
    """`Change.grey` of faces whose hair turns grey; None if nobody's does."""
    greying = (asked > own) & (asked > FIRST)
    if not settings.hair or not _some(greying):
        return None
    share = _hair(nets["hair"], images, greying)
    return settings.hair * greyness(own, asked)[:, None, None, None] * share


def _hair(net: nn.Module, images: Tensor, greying: Tensor, *, drawn: bool = False) -> Tensor:
    """Hair's share (B, 1, S, S) where `greying` (B,) is set, 0 in the others; see `HairNet.square`."""
    assert isinstance(net, HairNet)
    # An exported ager looks at all of them.
    rows: slice | Tensor = slice(None) if torch.compiler.is_compiling() else greying
    share = torch.zeros_like(images[:, :1])
    share[rows] = net.square(images[rows], toning.inside(images[rows]), drawn=drawn)
    return share


def _some(rows: Tensor) -> bool:
    """Whether any of (B,) is set; always true in an exported ager, which has no branches."""
    return torch.compiler.is_compiling() or bool(rows.any())


def _rising(years: Tensor, share: float, start: float, end: float) -> Tensor:
    """`share` up to `start` years, rising linearly to 1 at `end`; unknown years count as 0."""
    return share + (1 - share) * ((years.nan_to_num(0.0) - start) / (end - start)).clamp(0, 1)


def _by_twins(
    nets: nn.ModuleDict, settings: Settings, images: Tensor, source: Condition, target: Condition
) -> Change:
    """The change by the generator that learned from twins, with wrinkles."""
    change: Change = nets["twins"](scaled(images, (_SIDE, _SIDE)), source, target)
    change = change.times((1 - unasked(source, target)) * ~target.age.isnan())
    flow = change.flow * settings.twins * _inside(change.flow)
    shade = scaled(change.shade, images.shape[-2:])
    own, asked = source.age.nan_to_num(0.0), target.age.nan_to_num(0.0)
    older = asked > own
    creases, grey = None, None
    if settings.hair and _some(older):
        # Of what twins add to hair, only where they do: anime has hair of more colours. They overlook locks
        # beside the face, which the net finds, and it takes eyes for hair, which they do not.
        lighter = luma(shade).clamp(min=0) * older[:, None, None, None]
        found = _hair(nets["hair"], images, older & (asked > FIRST), drawn=True)
        share = torch.maximum(share_of(lighter), found)
        grey = settings.hair * greyness(own, asked, drawn=True)[:, None, None, None] * share
        shade = shade * (1 - (lighter / _LIGHTER).clamp(max=1))
    if settings.wrinkles and _some(older):
        assert isinstance(nets["means"], MeanFaces)
        places = nets["means"].registration(images)  # which has seen drawn faces too
        skin = toning.skin(images)
        creases = settings.wrinkles * wrinkled(
            nets["ink"], images, own, asked, places, inverse(places), flow, skin
        )
    return Change(
        flow=flow,
        shade=shade,
        detail=change.detail.clamp(min=_BLUR),
        creases=creases,
        grey=grey,
    )


def _inside(field: Tensor) -> Tensor:
    """(1, 1, h, w) mask for (B, C, h, w): 0 at the edge of the picture, rising to 1 further in."""
    down, across = (
        (torch.minimum(at, 1 - at) / _RIM).clamp(0, 1)
        for at in ((torch.arange(n, device=field.device) + 0.5) / n for n in field.shape[-2:])
    )
    return (down[:, None] * across)[None, None]

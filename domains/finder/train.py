"""Trains the finder in rounds, with self-training in between.

The first round learns boxes everywhere and points where they are known. Then the net marks the points of the
crops and illustrations that have none. The next round learns from those that agree between mirrored views and
sizes, and leaves out crops in which the net finds no face (`relabel`). Places that it mistakes for a face are
shown again (`trouble`). The net of the second look learns from the last net's mistakes, and in its later
rounds mostly from those that it makes too.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from nenrin.domains.finder.close import CloseEyes
from nenrin.domains.finder.close_net import CloseNet, train_close
from nenrin.domains.finder.compose import Canvas, Composer
from nenrin.domains.finder.finder import NetFinder
from nenrin.domains.finder.look import Eyes
from nenrin.domains.finder.loop import Plan, fit
from nenrin.domains.finder.net import FinderNet, cells, export
from nenrin.domains.finder.relabel import relabel
from nenrin.domains.finder.sources import Picture
from nenrin.domains.finder.trouble import Trouble, mine, worse
from nenrin.domains.finder.unfold import unfold
from nenrin.ground import seed_everything, write_text

# A level of stride s finds faces whose box has a side within these, in pixels; the ranges overlap.
SPANS = {8: (0.0, 36.0), 16: (28.0, 72.0), 32: (56.0, 1e9)}


@dataclasses.dataclass(kw_only=True, slots=True)
class Recipe:
    """All settings that determine the result of a training, besides its pictures."""

    size: int = 160  # pixels of a training picture's side
    batch: int = 16
    rounds: tuple[int, ...] = (40_000, 60_000, 100_000)  # pictures seen in each round
    views: tuple[int, ...] = (200_000, 400_000)  # seen by the net of the second look, in each round
    rate: float = 2e-3  # AdamW's, warmed up, then lowered to nothing along a cosine over all rounds
    doubt: float = 0.2  # least score of a false face for it to be shown again in the next round
    decay: float = 0.998  # of the weights' running average, which is the result
    seed: int = 0
    save_every: int = 100  # steps


def train(
    sources: dict[str, list[Picture]], out: Path, recipe: Recipe, *, before: Path | None = None
) -> Path:
    """Train by the recipe, from random weights or the net in the file `before`, continuing from the newest
    state in `out`. Returns the net's file; that of the second look, `close.onnx`, is beside it."""
    out.mkdir(parents=True, exist_ok=True)
    previous = None if before is None else _unfolded(before, sources, out, recipe)
    for number in range(len(recipe.rounds)):
        done = out / f"round{number}.safetensors"
        if not done.is_file():
            shown, trouble = _learned(previous, sources, recipe.seed + number, recipe.doubt)
            _round(shown, trouble, out, number, previous, recipe)
        previous = done
    assert previous is not None, "there is a round"
    if recipe.views:
        shown, trouble = _learned(previous, sources, recipe.seed + 99, recipe.doubt)
        net = CloseNet(_net(previous))
        for number, views in enumerate(recipe.views):
            net = train_close(
                net,
                shown,
                worse(CloseEyes(out / "close.onnx"), trouble, recipe.seed) if number else trouble,
                out,
                number=number,
                views=views,
                rate=recipe.rate,
                decay=recipe.decay,
                seed=recipe.seed,
                save_every=recipe.save_every,
            )
    export(_net(previous), out / "finder.onnx")
    return out / "finder.onnx"


def _learned(
    previous: Path | None, sources: dict[str, list[Picture]], seed: int, doubt: float
) -> tuple[dict[str, list[Picture]], list[Trouble]]:
    """The sources, with unknown points marked by the previous net, and that net's mistakes."""
    if previous is None:
        return sources, []
    file = previous.with_suffix(".onnx")
    export(_net(previous), file)
    shown = relabel(Eyes(file), sources)
    return shown, mine(NetFinder(weights=file, close=None, sure=doubt, smallest=0.03), shown, seed)


def _unfolded(before: Path, sources: dict[str, list[Picture]], out: Path, recipe: Recipe) -> Path:
    """A net from a file, stored in the format of the rounds."""
    path = out / "before.safetensors"
    if not path.is_file():
        composer, rng = Composer(sources, recipe.size), np.random.default_rng(recipe.seed)
        pixels = np.stack([composer.draw(rng).pixels for _ in range(64)])
        net = unfold(before, torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
        save_file({name: value.contiguous() for name, value in net.state_dict().items()}, path)
    return path


def _net(path: Path) -> FinderNet:
    net = FinderNet()
    net.load_state_dict(load_file(path))
    return net


def _round(
    sources: Mapping[str, Sequence[Picture]],
    trouble: Sequence[Trouble],
    out: Path,
    number: int,
    previous: Path | None,
    recipe: Recipe,
) -> None:
    seed_everything(recipe.seed + number)
    lengths = [pictures // recipe.batch for pictures in recipe.rounds]
    middles, strides = cells(recipe.size, recipe.size)
    plan = Plan(
        name=f"round{number}",
        steps=lengths[number],
        batch=recipe.batch,
        seed=(recipe.seed, number),
        rate=recipe.rate,
        along=(sum(lengths[:number]), sum(lengths)),
        fresh=previous is None,
        decay=recipe.decay,
        save_every=recipe.save_every,
    )
    average = fit(
        FinderNet() if previous is None else _net(previous),
        lambda answer, batch: loss(answer, batch, middles, strides),
        Composer(sources, recipe.size, trouble).draw,
        out,
        plan,
    )
    weights = {name: value.contiguous() for name, value in average.state_dict().items()}
    save_file(weights, out / f"round{number}.safetensors")
    write_text(out / "recipe.json", json.dumps(dataclasses.asdict(recipe), indent=1))


def loss(answer: Tensor, batch: Sequence[Canvas], middles: Tensor, strides: Tensor) -> dict[str, Tensor]:
    """The net's losses on a batch: quality focal loss (Li et al. 2020) for the score, which learns how well
    the box fits; GIoU (Rezatofighi et al. 2019) for boxes; smooth L1 for points, in units of the box's side;
    cross entropy for the domain."""
    owner, owned, face, count = _assign(batch, middles, strides)
    boxes = torch.cat([torch.from_numpy(canvas.boxes) for canvas in batch])
    points = torch.cat([torch.from_numpy(canvas.points) for canvas in batch]).reshape(-1, 10)
    trust = torch.cat([torch.from_numpy(canvas.trust) for canvas in batch])
    domain = torch.cat([torch.from_numpy(canvas.domain) for canvas in batch])
    told = answer[owner, owned]
    giou, iou = _overlap(told[:, 1:5], boxes[face])
    quality = torch.zeros_like(answer[..., 0])
    quality[owner, owned] = 0.5 + 0.5 * iou.detach()
    weight = torch.ones_like(quality)
    weight[count < 0] = 0
    logits = answer[..., 0]
    focal = (quality - logits.sigmoid()).abs().square() * F.binary_cross_entropy_with_logits(
        logits, quality, reduction="none"
    )
    total = quality.sum().clamp(min=1)
    side = (boxes[face, 2] - boxes[face, 0])[:, None]
    off = F.smooth_l1_loss(
        (told[:, 5:15] - points[face]) / side, torch.zeros(len(face), 10), beta=0.02, reduction="none"
    )
    known = trust[face]
    return {
        "score": (focal * weight).sum() / total,
        "box": ((1 - giou) * quality[owner, owned]).sum() / total,
        "domain": 0.2 * F.cross_entropy(told[:, 15:], domain[face], reduction="sum") / max(len(face), 1),
        "points": 3 * (off.mean(1) * known).sum() / known.sum().clamp(min=1),
    }


def _assign(
    batch: Sequence[Canvas], middles: Tensor, strides: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Assigns faces to cells: picture, cell and face of each pair, and (B, N) -1 for ignored cells."""
    owners, owned, faces = [], [], []
    count = torch.zeros(len(batch), len(middles))
    first = 0
    low = torch.tensor([SPANS[int(s)][0] for s in strides.tolist()])
    high = torch.tensor([SPANS[int(s)][1] for s in strides.tolist()])
    for index, canvas in enumerate(batch):
        boxes = torch.from_numpy(canvas.boxes)
        if not len(boxes):
            continue
        side = (boxes[:, 2] - boxes[:, 0])[:, None]
        off = (middles[None] - (boxes[:, None, :2] + boxes[:, None, 2:]) / 2).abs().amax(-1)  # (F, N)
        within = off < torch.maximum(0.16 * side, 0.75 * strides)
        right = (side >= low) & (side < high)
        hidden = torch.from_numpy(canvas.trust)[:, None] < 0
        count[index, (within & ~right & (side > 0.7 * low) & (side < 1.4 * high)).any(0)] = -1
        count[index, ((off < 0.6 * side) & hidden).any(0)] = -1
        # A cell in reach of two faces learns the smaller one.
        sides = torch.where(within & right & ~hidden, side.expand_as(off), torch.inf)
        least, face = sides.min(0)
        cell = least.isfinite().nonzero()[:, 0]
        count[index, cell] = 1
        owners.append(torch.full_like(cell, index))
        owned.append(cell)
        faces.append(face[cell] + first)
        first += len(boxes)
    if not owners:
        nothing = torch.zeros(0, dtype=torch.long)
        return nothing, nothing, nothing, count
    return torch.cat(owners), torch.cat(owned), torch.cat(faces), count


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """GIoU and IoU of boxes (M, 4), pair by pair."""

    def area(box: Tensor) -> Tensor:
        return (box[:, 2] - box[:, 0]).clamp(min=0) * (box[:, 3] - box[:, 1]).clamp(min=0)

    both = area(torch.cat([torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])], 1))
    hull = area(torch.cat([torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:])], 1))
    union = area(a) + area(b) - both
    iou = both / union.clamp(min=1e-6)
    return iou - (hull - union) / hull.clamp(min=1e-6), iou

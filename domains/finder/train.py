"""Train the finder: twice over, with the points of anime learned by itself in between.

The first round learns boxes everywhere and points where they are known. Then the net marks the points of the
crops and illustrations that have none; where it agrees with itself, seen mirrored and at other sizes, they
are learned from in the second round, and crops in which it sees no face are left out (`relabel`).
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from nenrin.domains.finder.compose import Canvas, Composer
from nenrin.domains.finder.look import Eyes
from nenrin.domains.finder.net import FinderNet, cells, export
from nenrin.domains.finder.relabel import relabel
from nenrin.domains.finder.sources import Picture
from nenrin.ground import seed_everything, track, write_text

# A level of stride s finds faces whose box has a side within these, in pixels; near the borders both do.
SPANS = {8: (0.0, 36.0), 16: (28.0, 72.0), 32: (56.0, 1e9)}


@dataclasses.dataclass(kw_only=True, slots=True)
class Recipe:
    """All that decides the outcome of a training, beside its pictures."""

    size: int = 160  # pixels of a training picture's side
    batch: int = 16
    rounds: tuple[int, int] = (40_000, 120_000)  # pictures seen in each round
    rate: float = 2e-3  # AdamW's, warmed up, then lowered to nothing along a cosine in each round
    decay: float = 0.995  # of the weights' running average, which is what is kept
    seed: int = 0
    save_every: int = 100  # steps


def train(sources: dict[str, list[Picture]], out: Path, recipe: Recipe) -> Path:
    """Train by the recipe; goes on from the newest state in `out`. Returns the net's file."""
    out.mkdir(parents=True, exist_ok=True)
    final = out / "finder.onnx"
    previous: Path | None = None
    for number, pictures in enumerate(recipe.rounds):
        if number:
            assert previous is not None
            export(_net(previous), out / f"round{number - 1}.onnx")
            sources = relabel(Eyes(out / f"round{number - 1}.onnx"), sources)
        done = out / f"round{number}.safetensors"
        if not done.is_file():
            _round(sources, out, number, pictures, previous, recipe)
        previous = done
    assert previous is not None
    export(_net(previous), final)
    return final


def _net(path: Path) -> FinderNet:
    net = FinderNet()
    net.load_state_dict(load_file(path))
    return net


def _round(
    sources: Mapping[str, Sequence[Picture]],
    out: Path,
    number: int,
    pictures: int,
    previous: Path | None,
    recipe: Recipe,
) -> None:
    seed_everything(recipe.seed + number)
    net = FinderNet() if previous is None else _net(previous)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=0.01, fused=True)
    steps = pictures // recipe.batch
    state = out / f"round{number}.state.pt"
    start = 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        start = int(saved["step"])
    middles, strides = cells(recipe.size, recipe.size)
    composer = Composer(sources, recipe.size)
    net.train()
    began = time.perf_counter()
    sums: dict[str, float] = {}
    count = 0
    batches = _batches(composer, recipe, number, start, steps)
    for step, batch in zip(track(range(start, steps), f"round {number + 1}"), batches, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * min((step + 1) / 100, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        pixels = torch.from_numpy(np.stack([canvas.pixels for canvas in batch]))
        losses = loss(net(pixels.permute(0, 3, 1, 2).float()), batch, middles, strides)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        _blend(average, net, min(recipe.decay, step / (step + 10)) if number == 0 else recipe.decay)
        count += 1
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        if (step + 1) % recipe.save_every == 0 or step + 1 == steps:
            row = {name: round(value / count, 4) for name, value in sums.items()}
            row |= {"round": number, "step": step + 1, "seconds": round(time.perf_counter() - began, 1)}
            with (out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            sums, count = {}, 0
            part = state.with_suffix(".part")
            torch.save(
                {
                    "net": net.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                },
                part,
            )
            part.replace(state)
    weights = {name: value.contiguous() for name, value in average.state_dict().items()}
    save_file(weights, out / f"round{number}.safetensors")
    write_text(out / "recipe.json", json.dumps(dataclasses.asdict(recipe), indent=1))


def _batches(
    composer: Composer, recipe: Recipe, number: int, start: int, steps: int
) -> Iterator[list[Canvas]]:
    """The training pictures of each step, which depend on nothing but the seed and the step."""

    def batch(step: int) -> list[Canvas]:
        rng = np.random.default_rng([recipe.seed, number, step])
        return [composer.draw(rng) for _ in range(recipe.batch)]

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(batch, start)
        for step in range(start, steps):
            ready, coming = coming, pool.submit(batch, step + 1)
            yield ready.result()


@torch.no_grad()
def _blend(average: FinderNet, net: FinderNet, decay: float) -> None:
    for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)


def loss(answer: Tensor, batch: Sequence[Canvas], middles: Tensor, strides: Tensor) -> dict[str, Tensor]:
    """The net's losses on a batch: quality focal loss (Li et al. 2020) for the score, which learns to say
    how well the box fits; GIoU (Rezatofighi et al. 2019) for boxes; smooth L1 for points, in shares of the
    box's side; cross entropy for the domain."""
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
    """Which cell learns which face: picture, cell and face of each pair, and (B, N) -1 where nothing is
    learned."""
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

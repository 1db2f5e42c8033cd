"""The loop of training that both nets share."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from nenrin.domains.finder.compose import Canvas
from nenrin.ground import track

N = TypeVar("N", bound=nn.Module)


@dataclasses.dataclass(kw_only=True, slots=True)
class Plan:
    """How long and how fast a net learns, and where its state is kept."""

    name: str  # of the state's and the log's lines
    steps: int
    batch: int
    seed: tuple[int, ...]
    rate: float  # AdamW's, warmed up, then lowered along a cosine
    along: tuple[int, int]  # earlier steps, and steps of the whole cosine, which may span several rounds
    fresh: bool  # the weights are random, so the average soon forgets the first ones
    decay: float
    save_every: int


def fit(
    net: N,
    losses: Callable[[Tensor, Sequence[Canvas]], dict[str, Tensor]],
    draw: Callable[[Generator], Canvas],
    out: Path,
    plan: Plan,
) -> N:
    """Train the net on pictures by `draw`, continuing from the state in `out`. Returns its running
    average."""
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=0.01, fused=True)
    state, start = out / f"{plan.name}.state.pt", 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        start = int(saved["step"])
    net.train()
    began, sums, count = time.perf_counter(), dict[str, float](), 0
    gone, whole = plan.along
    steps = range(start, plan.steps)
    for step, batch in zip(track(steps, plan.name), _batches(draw, plan, start), strict=True):
        for group in optimizer.param_groups:
            cosine = 0.5 + 0.5 * math.cos(math.pi * (gone + step) / whole)
            group["lr"] = plan.rate * min((step + 1) / 100, cosine)
        pixels = torch.from_numpy(np.stack([canvas.pixels for canvas in batch]))
        told = losses(net(pixels.permute(0, 3, 1, 2).float()), batch)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(told.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        _blend(average, net, min(plan.decay, step / (step + 10)) if plan.fresh else plan.decay)
        count += 1
        for name, value in told.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        if (step + 1) % plan.save_every == 0 or step + 1 == plan.steps:
            row: dict[str, float | str] = {name: round(value / count, 4) for name, value in sums.items()}
            row |= {"part": plan.name, "step": step + 1, "seconds": round(time.perf_counter() - began, 1)}
            with (out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            sums, count = {}, 0
            part = state.with_suffix(".part")
            nets = {"net": net.state_dict(), "average": average.state_dict()}
            torch.save(nets | {"optimizer": optimizer.state_dict(), "step": step + 1}, part)
            part.replace(state)
    return average


def _batches(draw: Callable[[Generator], Canvas], plan: Plan, start: int) -> Iterator[list[Canvas]]:
    """The training pictures of each step, which depend on nothing but the seed and the step."""

    def batch(step: int) -> list[Canvas]:
        rng = np.random.default_rng([*plan.seed, step])
        return [draw(rng) for _ in range(plan.batch)]

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(batch, start)
        for step in range(start, plan.steps):
            ready, coming = coming, pool.submit(batch, step + 1)
            yield ready.result()


@torch.no_grad()
def _blend(average: nn.Module, net: nn.Module, decay: float) -> None:
    for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)

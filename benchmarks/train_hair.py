"""Trains the net that finds hair on the masks of `hair_labels.py`, in rounds.

    python -m benchmarks.train_hair runs/hair/labels.npz -o runs/hair/first.safetensors \
        --steps 1200 --rate 3e-3 --shares 1 0 0 0 0 --hats 0.07 --bald 0.05
    python -m benchmarks.hair_labels ... -o runs/hair/more.npz --net runs/hair/first.safetensors --more-drawn
    python -m benchmarks.train_hair runs/hair/more.npz -o runs/hair/second.safetensors \
        --start runs/hair/first.safetensors --steps 2500 --rate 3e-3 --shares 0.6 0.3 0.1 0 0
    python -m benchmarks.train_hair runs/hair/more.npz -o runs/hair/third.safetensors \
        --start runs/hair/second.safetensors
    python -m benchmarks.train_hair runs/hair/more.npz -o runs/hair/nets.safetensors \
        --start runs/hair/third.safetensors --steps 4000 --hats 0.12

The result is then copied to models/weights/hair/. --show also draws what the net finds in the views of
another file of labels, such as one that `hair_labels.py --split val` made; --steps 0 trains no further. Takes
some 30 minutes in all, on one thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.hair_batches import KINDS, Batches, Recipe, unit
from nenrin.ground import atomic_path
from nenrin.models.hairnet import HairNet
from nenrin.models.samples import to_pixels
from nenrin.pictures import write_picture

PREFIX = "hair."  # of the weights' names
DICE = 0.3  # weight of this loss
DECAY, RISING = 1e-3, 0.1  # of weights; the fraction of the steps in which the rate rises
EVERY = 100  # steps between the losses that are printed
SHOWN, IN_A_ROW = 48, 6  # views


def loss_of(logits: Tensor, hair: Tensor, inside: Tensor) -> Tensor:
    """Binary cross-entropy and Dice where pictures have pixels; all (B, 1, S, S)."""
    entropy = F.binary_cross_entropy_with_logits(logits, hair, reduction="none")
    found, hair = logits.sigmoid() * inside, hair * inside
    both, either = (found * hair).sum((1, 2, 3)), (found + hair).sum((1, 2, 3))
    dice = 1 - (2 * both + 1) / (either + 1)
    return (entropy * inside).sum() / inside.sum() + DICE * dice.mean()


def train(batches: Batches, recipe: Recipe, start: Path | None = None) -> tuple[HairNet, list[float]]:
    """The net, from random weights or those of a file, and the loss of each step."""
    torch.manual_seed(recipe.seed)
    net = HairNet() if start is None else load(start)
    optimizer = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=max(recipe.steps, 1), pct_start=RISING
    )
    losses: list[float] = []
    for step in range(recipe.steps):
        images, inside, hair, at = batches.draw()
        loss = loss_of(net(images, inside, at), hair, inside)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % EVERY == 0:
            print(f"{step + 1}: {np.mean(losses[-EVERY:]):.4f}", flush=True)
    return net, losses


def save(net: HairNet, path: Path) -> None:
    """Write the weights in half precision, as `hairnet.shipped` reads them."""
    weights = {PREFIX + name: value.half().contiguous() for name, value in net.state_dict().items()}
    with atomic_path(path) as part:
        save_file(weights, part)


def load(path: Path) -> HairNet:
    """The net that `save` wrote."""
    net = HairNet()
    net.load_state_dict({name.removeprefix(PREFIX): value for name, value in load_file(path).items()})
    return net


@torch.no_grad()
def sheet(net: HairNet, path: Path) -> Image.Image:
    """The first views of a file of labels, each beside itself with what the net finds in red."""
    file = np.load(path)
    images = unit(torch.from_numpy(file["views"][:SHOWN]).permute(0, 3, 1, 2))
    share = net.view(images, torch.from_numpy(file["inside"][:SHOWN])[:, None].float() / 255)
    red = torch.tensor([1.0, -1, -1])[None, :, None, None]
    pairs = torch.cat([images, torch.lerp(images, red, 0.6 * share)], dim=-1)
    pairs = F.pad(pairs, (0, 0, 0, 0, 0, 0, 0, -len(pairs) % IN_A_ROW))
    _, channels, high, wide = pairs.shape
    grid = pairs.view(-1, IN_A_ROW, channels, high, wide).permute(2, 0, 3, 1, 4)
    return Image.fromarray(to_pixels(grid.reshape(1, channels, -1, IN_A_ROW * wide))[0])


def main() -> None:
    """Train and write the weights."""
    usual = Recipe()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="go on from this net's file, instead of random weights")
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--rate", type=float, default=usual.rate)
    parser.add_argument("--shares", type=float, nargs=len(KINDS), default=usual.shares, metavar="SHARE")
    parser.add_argument("--hats", type=float, default=usual.hats)
    parser.add_argument("--bald", type=float, default=usual.bald)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--show", type=Path, nargs=2, metavar=("LABELS", "PNG"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(
        steps=options.steps,
        rate=options.rate,
        shares=tuple(options.shares),
        hats=options.hats,
        bald=options.bald,
        seed=options.seed,
    )
    batches = Batches(options.labels, recipe)
    print(f"{len(batches)} views with hair, {len(batches.grounds)} in all")
    net, _ = train(batches, recipe, options.start)
    save(net, options.out)
    if options.show:
        write_picture(sheet(net, options.show[0]), options.show[1])


if __name__ == "__main__":
    main()

"""Train the finder's weights: python benchmarks/train_finder.py ../shared/data -o runs/finder

DATA holds photo/{utkface,fgnet,celeba} and drawn/{anime,cartoonset,cartoonised-utkface,cartoonised-fgnet,
illustrations}. One thread; interrupted, the same command goes on. The nets, finder.onnx and close.onnx, are
then copied to domains/finder/weights/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import torch

from nenrin.domains.finder.sources import collect
from nenrin.domains.finder.train import Recipe, train
from nenrin.domains.finder.trouble import scenes


def main() -> None:
    """Collect the sources and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/finder"))
    parser.add_argument("--scenes", type=Path, help="a folder of pictures without people (docs/finder.md)")
    parser.add_argument("--before", type=Path, help="go on from this net's file, instead of random weights")
    parser.add_argument(
        "--rounds", type=int, nargs="+", default=Recipe().rounds, help="pictures in each round"
    )
    parser.add_argument(
        "--views", type=int, nargs="*", default=Recipe().views, help="views of the second look in each round"
    )
    parser.add_argument("--rate", type=float, default=Recipe().rate)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    boxes = Path(__file__).with_name("illustrations.csv")
    sources = collect(options.data, boxes, options.out / "points.json")
    if options.scenes:
        sources["scenes"] = scenes(options.scenes)
    print({name: len(pictures) for name, pictures in sources.items()})
    recipe = Recipe(
        rounds=tuple(options.rounds),
        views=tuple(options.views),
        rate=options.rate,
        seed=options.seed,
    )
    print(train(sources, options.out, recipe, before=options.before))


if __name__ == "__main__":
    main()

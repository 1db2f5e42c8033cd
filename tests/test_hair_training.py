"""Hair is cut out of pictures, and a net learns it from a few of them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from benchmarks import hair_labels, train_hair
from benchmarks.hair_batches import Batches, Recipe
from benchmarks.hair_growing import LEAK, grown, grown_again, view
from benchmarks.hair_labels import Labels, joined
from benchmarks.hair_seeds import seeds
from nenrin.domains.align import TEMPLATE, align
from nenrin.domains.face import Face
from nenrin.domains.faceset import SetWriter
from nenrin.domains.pipeline import encode
from nenrin.ground import atomic_path
from nenrin.models import hairnet
from nenrin.models.ager import Ager
from nenrin.models.checkpoint import load_nets
from nenrin.models.hairnet import VIEW, HairNet
from nenrin.models.samples import to_tensor

SQUARE, LEFT, TOP = 160, 150, 130  # pixels of the picture: the aligned square's side and corner
POINTS = (TEMPLATE * SQUARE + (LEFT, TOP)).astype(np.float32)
SIZE = 460, 420  # of the picture
BROWN, SKIN, WALL = (96, 62, 34), (214, 168, 140), (120, 150, 185)

Mask = NDArray[np.bool_]


def head() -> tuple[Mask, Mask]:
    """Where the hair of a head is in the picture, and where its face and neck are."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    x, y = (x - LEFT) / SQUARE - 0.5, (y - TOP) / SQUARE
    face = ((x / 0.3) ** 2 + ((y - 0.55) / 0.42) ** 2 < 1) | ((abs(x) < 0.15) & (y > 0.6))
    return ((x / 0.52) ** 2 + ((y - 0.4) / 0.6) ** 2 < 1) & ~face, face


def portrait(hair: tuple[int, int, int] = BROWN, wall: tuple[int, int, int] = WALL) -> Image.Image:
    """A head before a wall, all of it a little rough."""
    pixels = np.full((SIZE[1], SIZE[0], 3), wall, float)
    for where, colour in zip(head(), (hair, SKIN), strict=True):
        pixels[where] = colour
    pixels += np.random.default_rng(0).normal(0, 4, (*pixels.shape[:2], 1))
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def truth() -> Mask:
    """The hair in the wide view."""
    seen, inside = view(Image.fromarray(head()[0].astype(np.uint8) * 255).convert("RGB"), POINTS)
    return (seen[..., 0] > 127) & inside


def in_the_square() -> NDArray[np.float32]:
    """The hair that the aligned square shows, (64, 64)."""
    seen = head()[0][TOP : TOP + SQUARE, LEFT : LEFT + SQUARE].astype(np.float32)
    return 0.4 * cv2.resize(seen, (64, 64), interpolation=cv2.INTER_AREA)


def alike(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def run(module: ModuleType, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a benchmark as from the command line."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *words])
    threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        module.main()
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def labels(path: Path) -> Path:
    """A file of labels of heads with hair of some colours."""
    made = Labels()
    for colour in (BROWN, (30, 28, 26), (190, 150, 90), (150, 60, 40)):
        pixels, inside = view(portrait(colour), POINTS)
        mask = joined(truth(), None)
        made.add("photo", "head", pixels, inside, mask)
        made.add("drawn", "head", pixels, inside, mask)
    made.add("photo", "unknown", pixels, inside, None)
    with atomic_path(path) as part, part.open("wb") as stream:
        np.savez(stream, **made.arrays())  # type: ignore[arg-type]
    return path


def test_seeds_grow_to_all_of_the_hair_and_not_into_a_wall_of_its_colour() -> None:
    pixels, inside = view(portrait(), POINTS)
    hair = grown(pixels, inside, in_the_square(), LEAK)
    assert hair is not None and alike(hair, truth()) > 0.9
    chance = np.where(truth(), 0.9, 0.01).astype(np.float32)
    again = grown_again(pixels, inside, chance)
    assert again is not None and alike(again, truth()) > 0.9
    same, _ = view(portrait(wall=BROWN), POINTS)
    assert grown(same, inside, in_the_square(), LEAK) is None
    assert grown(pixels, inside, 0 * in_the_square(), LEAK) is None
    assert grown_again(pixels, inside, 0 * chance) is None


def test_two_masks_are_joined_where_they_agree() -> None:
    one = truth()
    half = one & (np.cumsum(one).reshape(one.shape) < one.sum() / 2)
    wide = cv2.dilate(one.astype(np.uint8), np.ones((3, 3))) > 0
    joint, first, only = joined(one, wide), joined(one, half), joined(None, half)
    assert joint is not None and first is not None and only is not None
    assert (joint > 127).sum() > (first > 127).sum() > (only > 127).sum()
    assert joined(None, None) is None


def test_the_shipped_ager_seeds_hair_and_no_skin() -> None:
    pixels, _ = align([portrait()], POINTS[None], 64)
    for domain in ("photo", "manga"):
        light = seeds(Ager.load(), to_tensor(pixels), domain)[0, 0].numpy()
        assert light.shape == (64, 64) and light.min() >= 0
    assert light[in_the_square() > 0.3].mean() > 2 * light[32:48, 24:40].mean()


def test_photographs_and_what_was_drawn_of_them_are_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = tmp_path / "originals"
    for folder in (*hair_labels.SOURCES.values(), *hair_labels.CARTOONISED.values()):
        (originals / folder).mkdir(parents=True)
        portrait().save(originals / folder / "1.png")
    faces = [
        Face(
            id=f"{source:0>16}",
            image=encode(np.zeros((32, 32, 3), np.uint8)),
            domain=domain,
            source=source,
            source_id="1.png",
            points=POINTS,
            split=split,
        )
        for domain, source in (("photo", "celeba"), ("photo", "fgnet"), ("photo", "utkface"))
        for split in ("train", "val")
    ]
    with SetWriter(tmp_path / "set", name="set", size=32) as writer:
        for face in faces:
            writer.add(face)
    monkeypatch.setattr(hair_labels, "seeds", lambda *_: torch.from_numpy(in_the_square())[None, None])
    file, weights = tmp_path / "labels.npz", Path(hairnet.__file__).parent / "weights/hair/nets.safetensors"
    words = [str(tmp_path / "set"), "--originals", str(originals), "--net", str(weights), "-o", str(file)]
    run(hair_labels, words, monkeypatch)
    made = np.load(file)
    assert sorted(made["names"]) == ["cartoonised-fgnet/1.png", "celeba/1.png", "fgnet/1.png"]
    assert sorted(made["kinds"]) == [0, 0, 2]
    assert made["found"].all()
    assert made["views"].shape == (3, VIEW, VIEW, 3)
    small = cv2.resize(truth().astype(np.float32), (VIEW, VIEW), interpolation=cv2.INTER_AREA) > 0.5
    assert all(alike(mask > 127, small) > 0.85 for mask in made["hair"])
    out, png = tmp_path / "further.safetensors", tmp_path / "sheet.png"
    words = [
        str(file),
        "-o",
        str(out),
        "--start",
        str(weights),
        "--steps",
        "0",
        "--show",
        str(file),
        str(png),
    ]
    run(train_hair, words, monkeypatch)
    assert load_file(out).keys() == load_file(weights).keys()
    with Image.open(png) as drawn:
        assert drawn.size == (6 * 2 * VIEW, VIEW)


def test_a_net_learns_from_a_few_labels(tmp_path: Path) -> None:
    recipe = Recipe(steps=60, batch=4)
    file = labels(tmp_path / "labels.npz")
    batches = Batches(file, recipe)
    assert len(batches) == 8 and len(batches.grounds) == 9
    net, losses = train_hair.train(batches, recipe)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    one, other = (Batches(file, recipe).draw() for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))
    path = tmp_path / "nets.safetensors"
    train_hair.save(net, path)
    loaded = HairNet()
    load_nets(tmp_path, torch.nn.ModuleDict({"hair": loaded}))
    torch.testing.assert_close(loaded.out.weight, net.out.weight, atol=1e-3, rtol=1e-2)
    further = train_hair.train(batches, Recipe(steps=1, batch=4), path)[1]
    assert further[0] < losses[0]

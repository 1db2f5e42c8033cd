"""Makes the masks of hair that `train_hair.py` learns from, out of the pictures of face sets.

    python -m benchmarks.hair_labels data/sets/photo data/sets/drawn data/sets/manga \
        --originals ../shared/data -o runs/hair/labels.npz [--net runs/hair/first.safetensors] [--more-drawn]

Nobody drew them. Seeds are what twins taught (`hair_seeds.py`), and in photographs, with the net of a first
round, also what it is sure of. Either is grown by GrabCut in the wide view and rejected if it leaks
(`hair_growing.py`); a cartoonised picture takes its photograph's mask. --more-drawn adds the illustrations of
the finder's own training, and squares of anime faces in which the seeds are the mask. ORIGINALS holds
photo/{celeba,fgnet} and drawn/{cartoonset,anime,cartoonised-fgnet,illustrations}.
Takes some 7 minutes on one thread.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.hair_batches import KINDS, MIDDLE
from benchmarks.hair_growing import LEAK, LEAK_DRAWN, Bools, Bytes, Floats, grown, grown_again, laid, view
from benchmarks.hair_seeds import seeds
from benchmarks.train_hair import load
from nenrin.domains.align import align
from nenrin.domains.face import SPLITS
from nenrin.domains.faceset import FaceSet
from nenrin.domains.finders import open_finder
from nenrin.ground import atomic_path, track
from nenrin.models.ager import Ager
from nenrin.models.hair import SIDE
from nenrin.models.hairnet import VIEW, HairNet, places
from nenrin.models.samples import to_tensor

# Kind, and domain and source of the faces -> their pictures' folder in ORIGINALS. UTKFace is left out: its
# pictures end at the square, and what is behind the head was taken for hair.
SOURCES = {
    ("photo", "photo", "celeba"): "photo/celeba",
    ("photo", "photo", "fgnet"): "photo/fgnet/images",
    ("drawn", "cartoon", "cartoonset"): "drawn/cartoonset",
    ("drawn", "manga", "anime"): "drawn/anime",
}
CARTOONISED = {"fgnet": "drawn/cartoonised-fgnet"}  # source -> folder of the same pictures as drawings
MOST_DRAWN = 3600  # faces
MOST_SQUARES = 2600  # faces, shuffled otherwise
MAYBE, SURELY = 0.25, 0.75  # of the level of seeds: counts as no hair in a square, and as all
AGREED = 0.6  # intersection over union of two masks from which both are believed
BATCH = 32

Row = dict[str, Any]  # of a set: domain, source, source_id, points, split


class Labels:
    """The rows of a file of labels, while they are made."""

    def __init__(self) -> None:
        self._rows: list[tuple[Bytes, Bytes, Bytes, bool, int, str]] = []

    def add(self, kind: str, name: str, pixels: Bytes, inside: Bools, hair: Bytes | None) -> None:
        """A view (SIDE, SIDE, 3), where its picture has pixels, and its hair (VIEW, VIEW) from 0 to 255."""
        mask = np.zeros((VIEW, VIEW), np.uint8) if hair is None else hair
        self._rows.append((_half(pixels), _small(inside), mask, hair is not None, KINDS.index(kind), name))

    def arrays(self) -> dict[str, np.ndarray]:
        """N views (N, VIEW, VIEW, 3) uint8; where they have pixels and hair, (N, VIEW, VIEW) from 0 to 255;
        whether hair was found, which of `KINDS` they are, and their names, (N,) each."""
        names = "views", "inside", "hair", "found", "kinds", "names"
        return {
            name: np.array(column) for name, column in zip(names, zip(*self._rows, strict=True), strict=True)
        }


def rows_of(sets: Sequence[FaceSet], kind: str, split: str, seed: int = 0) -> list[Row]:
    """A split's faces of all sources of a kind, shuffled."""
    known = {key[1:] for key in SOURCES if key[0] == kind}
    columns = ("domain", "source", "source_id", "points", "split")
    rows = [row for one in sets for row in one.stored(columns).to_pylist()]
    rows = [row for row in rows if row["split"] == split and (row["domain"], row["source"]) in known]
    np.random.default_rng(seed).shuffle(rows)
    return rows


def label(sets: Sequence[FaceSet], originals: Path, ager: Ager, net: HairNet | None, split: str) -> Labels:
    """Labels of the faces of `SOURCES`, and of cartoonised ones; `net` is that of the first round, if any."""
    rows = {"photo": rows_of(sets, "photo", split), "drawn": rows_of(sets, "drawn", split)[:MOST_DRAWN]}
    labels = Labels()
    for (kind, domain, source), folder in SOURCES.items():
        chosen = [row for row in rows[kind] if (row["domain"], row["source"]) == (domain, source)]
        leak = LEAK if kind == "photo" else LEAK_DRAWN
        for row, picture, light in _seeded(ager, chosen, originals / folder, domain):
            points = np.array(row["points"], np.float32)
            pixels, inside = view(picture, points)
            found = grown(pixels, inside, light, leak)
            if net is not None and kind == "photo":
                hair = joined(found, grown_again(pixels, inside, chance_of_hair(net, pixels, inside)))
            else:
                hair = None if found is None else _small(found)
            labels.add(kind, f"{source}/{row['source_id']}", pixels, inside, hair)
            if hair is not None and source in CARTOONISED:
                drawn = originals / CARTOONISED[source] / row["source_id"]
                if drawn.is_file():
                    name = f"{drawn.parent.name}/{drawn.name}"
                    labels.add("cartoonised", name, view(_opened(drawn), points)[0], inside, hair)
    return labels


def label_more_drawn(
    labels: Labels, sets: Sequence[FaceSet], originals: Path, ager: Ager, split: str
) -> None:
    """Add whole illustrations, and the squares of anime faces."""
    finder, folder = open_finder(), originals / "drawn/illustrations"
    with Path(__file__).with_name("illustrations.csv").open(encoding="utf-8") as lines:
        names = [line["file"] for line in csv.DictReader(lines) if line["part"] == "train"]
    for name in names:
        picture = _opened(folder / name)
        for face in finder.find([picture])[0][:1]:
            pixels, inside = view(picture, face.points)
            aligned, _ = align([picture], face.points[None], ager.size)
            light = seeds(ager, to_tensor(aligned), "manga")[0, 0].numpy()
            found = grown(pixels, inside, light, LEAK_DRAWN)
            labels.add("illustration", name, pixels, inside, None if found is None else _small(found))
    rows = [row for row in rows_of(sets, "drawn", split, seed=1) if row["source"] == "anime"][:MOST_SQUARES]
    square = np.zeros((SIDE, SIDE), bool)
    square[tuple(slice(2 * part.start + 2, 2 * part.stop - 2) for part in MIDDLE)] = True
    for row, picture, light in _seeded(ager, rows, originals / SOURCES["drawn", "manga", "anime"], "manga"):
        pixels, inside = view(picture, np.array(row["points"], np.float32))
        hair = ((laid(light) - MAYBE) / (SURELY - MAYBE)).clip(0, 1) * square
        mask = _half((hair * 255).astype(np.uint8))
        labels.add("square", f"anime/{row['source_id']}", pixels, inside & square, mask)


def _seeded(
    ager: Ager, rows: Sequence[Row], folder: Path, domain: str
) -> Iterator[tuple[Row, Image.Image, Floats]]:
    """Each row with its picture, and the `seeds` (S, S) of hair in it."""
    for start in track(range(0, len(rows), BATCH), folder.name):
        some = rows[start : start + BATCH]
        pictures = [_opened(folder / row["source_id"]) for row in some]
        aligned, _ = align(pictures, np.array([row["points"] for row in some], np.float32), ager.size)
        lights = seeds(ager, to_tensor(aligned), domain)[:, 0].numpy()
        yield from zip(some, pictures, lights, strict=True)


@torch.no_grad()
def chance_of_hair(net: HairNet, pixels: Bytes, inside: Bools) -> Floats:
    """(SIDE, SIDE) a net's probability of hair in a view: the mean for the view and its mirror image."""
    seen = torch.from_numpy(_small(inside).astype(np.float32) / 255)[None, None]
    image = to_tensor(_half(pixels)[None]) * seen
    both, seen = (torch.cat([one, one.flip(-1)]) for one in (image, seen))
    plain, mirrored = net(both, seen, places(VIEW, image.device)).sigmoid()
    chance = ((plain + mirrored.flip(-1)) / 2)[0].numpy()
    return np.asarray(cv2.resize(chance, (SIDE, SIDE)), np.float32)


def joined(first: Bools | None, again: Bools | None) -> Bytes | None:
    """The union of two masks (SIDE, SIDE) as `_small` has it if they agree, else the first one, or the only
    one; None if there is none."""
    masks = [_small(mask) for mask in (first, again) if mask is not None]
    if len(masks) < 2:
        return masks[0] if masks else None
    one, other = (mask > 127 for mask in masks)
    agreed = (one & other).sum() / max((one | other).sum(), 1)
    return masks[0] if agreed < AGREED else np.maximum(*masks)


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _half(pixels: Bytes) -> Bytes:
    """(SIDE, SIDE, ...) at the size that the net sees, (VIEW, VIEW, ...)."""
    return np.asarray(cv2.resize(pixels, (VIEW, VIEW), interpolation=cv2.INTER_AREA), np.uint8)


def _small(mask: Bools) -> Bytes:
    """The same of a mask, from 0 to 255."""
    return _half(mask.astype(np.uint8) * 255)


def main() -> None:
    """Label the sets and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--originals", type=Path, required=True)
    parser.add_argument("--net", type=Path, help="the net of the first round")
    parser.add_argument("--more-drawn", action="store_true", help="illustrations and squares too")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    net = None if options.net is None else load(options.net)
    sets = [FaceSet.open(path) for path in options.sets]
    ager = Ager.load()
    labels = label(sets, options.originals, ager, net, options.split)
    if options.more_drawn:
        label_more_drawn(labels, sets, options.originals, ager, options.split)
    arrays = labels.arrays()
    with atomic_path(options.out) as part, part.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # NumPy's stubs take every name for an option
    for number, kind in enumerate(KINDS):
        found = arrays["found"][arrays["kinds"] == number]
        print(f"{kind}: hair in {found.sum()} of {len(found)}")


if __name__ == "__main__":
    main()

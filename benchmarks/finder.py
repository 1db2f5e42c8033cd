"""What finders find in pictures kept out of training: python benchmarks/finder.py ../shared/data [FINDER ...]

FINDER is auto, nenrin, mtcnn, or a detector's file; all of these kinds by default. `--part val` measures the
illustrations on which thresholds are chosen instead of those for the table; `--speed` nothing but pictures
a second.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.find import Finder, Found, open_picture
from nenrin.domains.finder.boxes import overlap
from nenrin.domains.finder.sources import (
    DRAWN_FGNET,
    Picture,
    draw_twins,
    fgnet_pictures,
    illustrations,
    kept_out,
    picture_of,
)
from nenrin.domains.finders import open_finder
from nenrin.domains.importers import anime

SAME = 0.4  # intersection over union from which a box found is the box known
# scikit-image's pictures without a human face; chelsea is a cat.
FACELESS = (
    "brick", "cell", "chelsea", "chessboard_RGB", "clock_motion", "coffee", "coins", "color", "grass",
    "gravel", "horse", "hubble_deep_field", "ihc", "logo", "microaneurysms", "moon", "motorcycle_left",
    "motorcycle_right", "page", "phantom", "retina", "rocket", "text",
)  # fmt: skip


def opened(picture: Picture) -> Image.Image:
    """The picture as the finders take it."""
    return Image.open(io.BytesIO(picture.encoded)).convert("RGB")


def matches(found: Sequence[Found], boxes: NDArray[np.float32]) -> list[tuple[Found, int]]:
    """Faces found, surest first, each with the known box that it is; no box twice."""
    left = set(range(len(boxes)))
    pairs = []
    for face in sorted(found, key=lambda face: -face.score):
        shares = overlap(face.box[None].astype(np.float32), boxes)[0][0]
        best = max(left, key=lambda i: shares[i], default=None)
        if best is not None and shares[best] >= SAME:
            left.remove(best)
            pairs.append((face, best))
    return pairs


def portraits(finder: Finder, pictures: Sequence[Picture]) -> str:
    """Share of the faces found, and how far the points are off, in per cent of the distance of the eyes."""
    errors, known = [], 0
    for picture in pictures:
        (found,) = finder.find([opened(picture)])
        known += len(picture.boxes)
        for face, row in matches(found, picture.boxes):
            points = picture.points[row]
            if picture.trust[row] > 0:
                off = np.linalg.norm(face.points - points, axis=1).mean()
                errors.append(100 * off / np.linalg.norm(points[0] - points[1]))
            else:
                errors.append(np.nan)
    text = f"{100 * len(errors) / known:5.1f}% of {known}"
    if np.isfinite(errors).any():
        text += f", points off by {np.nanmedian(errors):.1f}% (median), {np.nanmean(errors):.1f}% (mean)"
    return text


def whole(finder: Finder, pictures: Sequence[Picture]) -> str:
    """Recall and precision on pictures of which every face is known."""
    right = told = known = 0
    for picture in pictures:
        (found,) = finder.find([opened(picture)])
        right += len(matches(found, picture.boxes))
        told += len(found)
        known += len(picture.boxes)
    precision = 100 * right / told if told else 100.0
    return f"recall {100 * right / known:.1f}% of {known}, precision {precision:.1f}%"


def false_alarms(finder: Finder, pictures: Sequence[Image.Image]) -> str:
    """Share of pictures without a face in which one is found."""
    alarms = sum(bool(found) for picture in pictures for found in finder.find([picture]))
    return f"{100 * alarms / len(pictures):.1f}% of {len(pictures)}"


def faceless(illustrated: Sequence[Picture], crops: int = 12) -> Iterator[Image.Image]:
    """Pictures without a face, whole and in crops, and parts of illustrations beside their faces."""
    rng = np.random.default_rng(0)
    folder = Path(skimage.__file__).parent / "data"
    files = [next(folder.glob(f"{name}.*")) for name in FACELESS]
    files += sorted((Path(sklearn.datasets.__file__).parent / "images").glob("*.jpg"))
    for path in files:
        picture = open_picture(path)
        yield picture
        for _ in range(crops):
            side = int(min(picture.size) * rng.uniform(0.3, 0.9))
            x, y = (int(rng.integers(length - side + 1)) for length in picture.size)
            yield picture.crop((x, y, x + side, y + side))
    for known in illustrated:
        picture, made = opened(known), 0
        # Half a face's width around it, the hair and ears of it are its own.
        reach = (known.boxes[:, 2:] - known.boxes[:, :2]) / 2
        around = np.concatenate([known.boxes[:, :2] - reach, known.boxes[:, 2:] + reach], 1)
        for _ in range(60):
            side = int(min(picture.size) * rng.uniform(0.2, 0.5))
            x, y = (int(rng.integers(length - side + 1)) for length in picture.size)
            crop = np.array([[x, y, x + side, y + side]], np.float32)
            if made < 3 and not overlap(crop, around)[0].any():
                made += 1
                yield picture.crop((x, y, x + side, y + side))


def speed(finder: Finder, pictures: Sequence[Picture], count: int = 96) -> str:
    """Pictures a second, opened already, whose longer side is 512 pixels."""
    sized = []
    for picture in pictures[:count]:
        image = opened(picture)
        scale = 512 / max(image.size)
        sized.append(image.resize((round(image.width * scale), round(image.height * scale))))
    finder.find(sized[:8])
    start, busy = time.perf_counter(), time.process_time()
    finder.find(sized)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return f"{len(sized) / seconds:.1f} ({1000 * busy / len(sized):.0f} ms of processor time each)"


def main() -> None:
    """Print a table for each finder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("finders", nargs="*", metavar="FINDER")
    parser.add_argument("--part", choices=("test", "val"), default="test")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    data = options.data
    names = options.finders or ["auto", "nenrin", "mtcnn", str(data / "weights/lbpcascade_animeface.xml")]
    boxes = Path(__file__).with_name("illustrations.csv")
    drawn = illustrations(data / "drawn/illustrations", boxes, part=options.part, longest=900)
    if not options.speed:
        fgnet = list(fgnet_pictures(data / "photo/fgnet", test=True))
        fgnet_drawn = list(fgnet_pictures(data / "photo/fgnet", test=True, drawn=data / DRAWN_FGNET))
        twins = {domain: draw_twins(domain, 200, seed=99, size=256) for domain in ("photo", "manga")}
        nothing = list(faceless(drawn))
        nominal = np.array(anime.IMPORTER.nominal)
        crops = [
            picture_of(raw.path, nominal * open_picture(raw.path).size, "manga", trust=0.0)
            for raw in anime.IMPORTER.read(data / "drawn/anime")
            if kept_out(raw.path.name)
        ]
    for name in names:
        finder = open_finder(name)
        print(f"{Path(name).name}")
        print(f"  pictures a second at 512 px: {speed(finder, drawn)}", flush=True)
        if options.speed:
            continue
        print(f"  FG-NET, test persons: {portraits(finder, fgnet)}", flush=True)
        print(f"  FG-NET, drawn: {portraits(finder, fgnet_drawn)}", flush=True)
        for domain, pictures in twins.items():
            print(f"  twins, {domain}: {portraits(finder, pictures)}", flush=True)
        print(f"  anime crops kept out: {portraits(finder, crops)}", flush=True)
        print(f"  illustrations, {options.part}: {whole(finder, drawn)}", flush=True)
        print(f"  false alarms: {false_alarms(finder, nothing)}", flush=True)


if __name__ == "__main__":
    main()

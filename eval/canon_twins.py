"""Procedural characters in the layout of real characters' pictures: manifest, folders, points."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal

import numpy as np
import tomli_w
from PIL import Image

from nenrin.domains.face import GENDERS, GLASSES
from nenrin.domains.importers.base import POINT_COLUMNS
from nenrin.domains.twins.drawing import draw
from nenrin.domains.twins.people import People, sample_people, sample_views
from nenrin.eval.portraits import POINTS_FILE
from nenrin.ground import atomic_path, write_bytes, write_text

MANIFEST = "characters.toml"
YOUNG, OLD = (7, 16), (30, 75)  # years
PICTURES = 3  # of each character at each age, in other views
SEED = 5_520_000  # added to the caller's seed, so that no training draws these people


def draw_characters(
    folder: Path, count: int, *, seed: int, size: int = 160, domain: Literal["photo", "manga"] = "manga"
) -> Path:
    """Draw `count` fictional people at two ages each into `folder`; returns the manifest in it.

    Every second one wears glasses as a child and none later, as Conan does. Each face is placed somewhere in
    a larger picture, and `points.csv` says where.
    """
    rng = np.random.default_rng(seed + SEED)
    people = sample_people(count, seed=seed + SEED)
    ages = {"from": rng.integers(*YOUNG, count), "to": rng.integers(*OLD, count)}
    glasses = {"from": np.where(np.arange(count) % 2, "none", "clear"), "to": np.full(count, "none")}
    years = {side: ages[side].astype(np.float32) for side in ages}
    rows = []
    for side in ("from", "to"):
        worn = np.array([GLASSES.index(word) for word in glasses[side]])
        for number in range(PICTURES):
            views = sample_views(count, seed=int(rng.integers(2**31)))
            drawn = draw(people, years[side], domain=domain, glasses=worn, views=views, size=size)
            for i in range(count):
                name = f"twin-{i:03d}/{side}/{number + 1}.png"
                corner = rng.integers(0, size // 2, 2)
                rows.append({"file": name} | _points(drawn.points[i] + corner))
                _save(folder / name, drawn.images[i], corner)
    table = io.StringIO()
    writer = csv.DictWriter(table, ["file", *POINT_COLUMNS], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / POINTS_FILE, table.getvalue())
    manifest = {
        "series": "Twins",
        "by": "nenrin",
        "since": 2026,
        "domain": domain,
        "pair": [_pair(people, i, ages, glasses) for i in range(count)],
    }
    write_bytes(folder / MANIFEST, tomli_w.dumps(manifest).encode())
    return folder / MANIFEST


def _pair(
    people: People, i: int, ages: dict[str, np.ndarray], glasses: dict[str, np.ndarray]
) -> dict[str, object]:
    sides = {
        side: {
            "character": f"twin {i}",
            "age": int(ages[side][i]),
            "glasses": str(glasses[side][i]),
        }
        for side in ("from", "to")
    }
    return {"name": f"twin-{i:03d}", "gender": GENDERS[people.gender[i]], **sides}


def _points(points: np.ndarray) -> dict[str, float]:
    return dict(zip(POINT_COLUMNS, (round(float(v), 2) for v in points.ravel()), strict=True))


def _save(path: Path, pixels: np.ndarray, corner: np.ndarray) -> None:
    side = len(pixels)
    canvas = Image.new("RGB", (side * 3 // 2, side * 3 // 2), (128, 128, 128))
    canvas.paste(Image.fromarray(pixels), (int(corner[0]), int(corner[1])))
    with atomic_path(path) as part:
        canvas.save(part, "PNG")

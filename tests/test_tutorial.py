"""docs/tutorial.md is followed command by command, from a comic to a report, on little data."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nenrin.domains.faceset import FaceSet
from nenrin.domains.twins import draw, sample_people, sample_views
from tests import pages

COUNT = 60
AGES = np.random.default_rng(7).integers(1, 90, COUNT)
SMALL = {  # words that make each command small
    "build": ["--size", "64", "--workers", "0"],
    "train": ["size=32", "batch=4", "pictures=16", "threads=1", "precision=32-true"],
    "pairs": ["--limit", "12"],
    "eval": ["--embedder", "pixels", "--people", "4", "--protocol", "ages"],
}


def _drawn(domain: str, size: int) -> list[Image.Image]:
    people, none = sample_people(COUNT, seed=7), np.zeros(COUNT, int)
    faces = draw(people, AGES, domain=domain, glasses=none, views=sample_views(COUNT, seed=7), size=size)  # type: ignore[arg-type]
    return [Image.fromarray(face) for face in faces.images]


def _prepare(folder: Path) -> None:
    """A comic of 60 pages with one drawn face each, photographs as UTKFace names them, a character."""
    with zipfile.ZipFile(folder / "volume-01.cbz", "w") as volume:
        for number, face in enumerate(_drawn("manga", 128)):
            page, stream = Image.new("RGB", (200, 240), "white"), io.BytesIO()
            page.paste(face, (30, 50))
            page.save(stream, format="PNG")
            volume.writestr(f"{number:03d}.png", stream.getvalue())
    (folder / "data/raw/utkface").mkdir(parents=True)
    for number, face in enumerate(_drawn("photo", 100)):
        face.save(folder / f"data/raw/utkface/{AGES[number]}_{number % 2}_0_{number:09d}.jpg.chip.jpg")
    Image.fromarray(np.asarray(_drawn("photo", 160)[20])).save(folder / "conan.png")
    (folder / "models").symlink_to(pages.DOCS.parent / "models")  # in a clone they lie there


WIDTHS = {"mixed": ["width=8"]}  # of the nets


def test_the_tutorial_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _prepare(tmp_path)
    text = "".join(text for kind, text in pages.blocks("tutorial.md") if kind == "commands")
    done = []
    for line in pages.commands(text):
        name = line.split()[0]
        if name == "review":  # waits for a person at a browser: tests/test_review.py is one
            continue
        width = next((word for model, word in WIDTHS.items() if f"--model {model} " in line), [])
        pages.run(line, *SMALL.get(name, []), *width)
        done.append(name)
    assert done == [
        "scrape",
        "build",
        "build",
        "clean",
        "train",
        "pairs",
        "train",
        "age",
        "eval",
    ]

    manga = FaceSet.open(Path("data/sets/manga"))
    assert manga.meta.domains == ("manga",)
    assert {face.age for face in manga.faces()} == {None}
    rows = json.loads(Path("out/ages.json").read_text())
    assert [row["to"] for row in rows] == [17, 40]
    assert Path("out/conan_strip.png").is_file()
    scores = json.loads(Path("reports/mine/metrics.json").read_text())["scores"]
    assert {row["domain"] for row in scores} == {"photo", "manga"}

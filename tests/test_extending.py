"""docs/extending.md is followed to the letter: a domain, a model and a metric are added and used."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nenrin.domains.faceset import FaceSet
from nenrin.domains.importers.base import POINT_COLUMNS
from nenrin.domains.twins import draw, sample_people, sample_views
from nenrin.eval import metrics, suite
from nenrin.models import config
from nenrin.models.ager import Ager
from tests import pages


@pytest.fixture
def unchanged() -> Iterator[None]:
    """What the page adds to is as before afterwards."""
    modules, tables = set(sys.modules), (config.MODELS, suite.PROTOCOLS)
    before, lower = [dict(table) for table in tables], set(metrics.LOWER)
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)  # type: ignore[arg-type]
    metrics.LOWER.intersection_update(lower)
    for name in {"nenrin.models.tint", "nenrin.eval.protocols.background"} - modules:
        sys.modules.pop(name, None)


def _woodcuts(folder: Path) -> None:
    """60 drawn people as a folder of pictures, their points and ages in a table."""
    folder.mkdir(parents=True)
    people, rng = sample_people(60, seed=5), np.random.default_rng(5)
    ages = rng.integers(3, 85, len(people))
    drawn = draw(
        people,
        ages,
        domain="manga",
        glasses=np.zeros(len(people), int),
        views=sample_views(len(people), seed=5),
        size=64,
    )
    rows = [",".join(("file", "age", *POINT_COLUMNS))]
    for i, face in enumerate(drawn.images):
        Image.fromarray(face).convert("L").save(folder / f"{i:02d}.png")
        rows.append(",".join([f"{i:02d}.png", f"{ages[i]}", *(f"{v:.1f}" for v in drawn.points[i].ravel())]))
    (folder / "labels.csv").write_text("\n".join(rows))


@pytest.mark.usefixtures("unchanged")
def test_a_domain_a_model_and_a_metric_are_added_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _woodcuts(tmp_path / "raw" / "woodcuts")
    done = 0
    for kind, text in pages.blocks("extending.md"):
        if kind == "python":
            pages.write(text)
            continue
        for line in pages.commands(text):
            small = ["--size", "64"] if line.startswith("build") else []
            pages.run(line, *small)
            done += 1
    assert done == 8

    assert FaceSet.open(Path("data/sets/woodcut")).meta.domains == ("woodcut",)
    assert Image.open("out/01_to70.png").size == Image.open("out/01_to8.png").size
    # Hair turns from brown to grey: of the years' colour, there is more blue than red.
    red, _, blue = Ager.load("runs/00001-tint").model.nets["colour"].weight[:, 0].tolist()
    assert blue > red + 0.005
    young, old = (np.asarray(Image.open(f"out/tint/01_{name}.png"), float) for name in ("input", "to70"))
    assert (old - young)[..., 2].mean() > (old - young)[..., 0].mean()
    rows = json.loads(Path("reports/background/metrics.json").read_text())["scores"]
    scores = {row["subject"]: row for row in rows}
    assert scores["copy"]["value"] == 0 < scores["00001-tint"]["value"] < scores["mean face"]["value"]
    assert {row["better"] for row in rows} == {-1}

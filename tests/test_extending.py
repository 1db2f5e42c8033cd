"""docs/extending/ is followed to the letter: a source, a domain, a model and a metric are added and used."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nenrin.domains.faceset import FaceSet
from nenrin.domains.importers import importer_of
from nenrin.domains.importers.base import POINT_COLUMNS
from nenrin.domains.twins import draw, sample_people, sample_views
from nenrin.eval import metrics, suite
from nenrin.models import config
from nenrin.models.ager import Ager
from nenrin.scrapers.sources import SOURCES
from tests import pages
from tests.web import Answer, Handler, Request, Web, picture

PAGE_LINES = 90  # of docs, at most 120 characters each: a page
ADDED = {"nenrin.models.tint", "nenrin.eval.protocols.background", "nenrin.scrapers.museum"}


@pytest.fixture(autouse=True)
def unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder to work in; what a page adds to is as before afterwards."""
    monkeypatch.chdir(tmp_path)
    modules, tables = set(sys.modules), (config.MODELS, suite.PROTOCOLS, SOURCES)
    before, lower = [dict(table) for table in tables], set(metrics.LOWER)
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)  # type: ignore[arg-type]
    metrics.LOWER.intersection_update(lower)
    for name in ADDED - modules:
        sys.modules.pop(name, None)


def _follow(page: str, more: Callable[[str], list[str]] = lambda line: []) -> int:
    """Do what a page says, with words added to its commands; the number of those."""
    done = 0
    for kind, text in pages.blocks(f"extending/{page}.md"):
        if kind == "python":
            pages.write(text)
        else:
            for line in pages.commands(text):
                pages.run(line, *more(line))
                done += 1
    return done


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


def test_each_is_a_page() -> None:
    for path in sorted((pages.DOCS / "extending").iterdir()):
        lines = path.read_text().splitlines()
        assert len(lines) <= PAGE_LINES, path.name
        assert f"extending/{path.name}" in (pages.DOCS / "extending.md").read_text()


def test_a_source() -> None:
    with Web() as web:
        objects = [
            {
                "id": 1,
                "image": web.serve("/1.png", picture(1)),
                "artist": "Ada",
                "link": "https://m.example/1",
            },
            {"id": 2, "image": web.serve("/2.png", picture(2))},
            {"id": 3},
        ]

        def route(request: Request, handler: Handler) -> Answer:
            assert request.query["q"] == "self-portrait"
            number = int(request.query["page"])
            page = {"objects": [objects[number - 1]], "next": number + 1 if number < 3 else None}
            return Answer(json.dumps(page).encode(), "application/json")

        web.routes["/objects"] = route
        polite = ["--allow", web.host, "--interval", "0", "--contact", "ada@example.org"]
        words = {
            "scrape": [f"base={web.url}", *polite],
            "build": ["--finder", "nominal", "--size", "16", "--workers", "0"],
        }
        assert _follow("source", lambda line: words[line.split()[0]]) == 2
    importer, folder = importer_of("data/raw/museum")
    first, second = importer.read(folder)
    assert (first.source, first.source_id, first.author) == ("museum", "1", "Ada")
    assert (first.url, first.licence, first.domain) == ("https://m.example/1", "Public domain", "painting")
    assert second.author is None
    assert {face.licence for face in FaceSet.open("data/sets/museum").faces()} == {"Public domain"}


def test_a_domain() -> None:
    _woodcuts(Path("raw/woodcuts"))
    assert _follow("domain", lambda line: ["--size", "64"] if line.startswith("build") else []) == 4
    assert FaceSet.open("data/sets/woodcut").meta.domains == ("woodcut",)
    assert Image.open("out/01_to70.png").size == Image.open("out/01_to8.png").size
    scores = json.loads(Path("reports/woodcut/metrics.json").read_text())["scores"]
    assert {row["domain"] for row in scores} == {"woodcut"}


def test_a_model() -> None:
    _woodcuts(Path("raw"))
    Path("raw/01.png").rename("face.png")
    assert _follow("model") == 3
    # Hair turns from brown to grey: of the years' colour, there is more blue than red.
    red, _, blue = Ager.load("runs/00000-tint").model.nets["colour"].weight[:, 0].tolist()
    assert blue > red + 0.005
    young, old = (np.asarray(Image.open(f"out/face_{name}.png"), float) for name in ("input", "to70"))
    assert (old - young)[..., 2].mean() > (old - young)[..., 0].mean()


def test_a_metric() -> None:
    assert _follow("metric") == 3
    rows = json.loads(Path("reports/background/metrics.json").read_text())["scores"]
    scores = {row["subject"]: row for row in rows}
    assert scores["copy"]["value"] == 0 < scores["00000-prototypes"]["value"] < scores["mean face"]["value"]
    assert {row["better"] for row in rows} == {-1}

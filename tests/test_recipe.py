"""Recipes: a set is shared without a picture, fetched again from where it was, and comes out the same."""

from __future__ import annotations

import io
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from PIL import Image

from nenrin.cli import main
from nenrin.domains.build import build
from nenrin.domains.face import Face, Verdict
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.importers import importer_of
from nenrin.scrapers.archive import Archive
from tests.web import Web, booru, picture

POINTS = [[20.0, 24.0], [44.0, 24.0], [32.0, 36.0], [24.0, 46.0], [40.0, 46.0]]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("DANBOORU_LOGIN", "ada")
    monkeypatch.setenv("DANBOORU_API_KEY", "secret")
    monkeypatch.setenv("NENRIN_CONTACT", "ada@example.org")
    with Web() as server:
        booru(server, 4, size=64)
        yield server


def first(web: Web, out: Path, *more: str | Path) -> None:
    """Scrape the server and write a recipe."""
    words = ["scrape", "danbooru", "solo", f"base={web.url}", "-o", str(out), *map(str, more)]
    assert main([*words, "--allow", web.host, "--interval", "0"]) == 0


def replay(web: Web, recipe: Path, out: Path) -> list[str]:
    return ["scrape", "--recipe", str(recipe), "-o", str(out), "--allow", web.host, "--interval", "0"]


def rows(folder: Path) -> list[tuple[Any, ...]]:
    with Archive.reading(folder) as archive:
        found = [(row.item, (folder / str(row.file)).read_bytes()) for row in archive.pictures()]
    for item, _ in found:
        item.sha256, item.faces = None, []
    return found


def test_the_same_pictures_and_labels_come_back(web: Web, tmp_path: Path) -> None:
    first(web, tmp_path / "raw", "--recipe", tmp_path / "set.toml")
    text = (tmp_path / "set.toml").read_text()
    assert "secret" not in text
    values = tomllib.loads(text)
    assert values["recipe"] == 1 and values["asked"] == {"source": "danbooru", "query": "solo"}
    assert [entry["source_id"] for entry in values["pictures"]] == ["4", "3", "2", "1"]
    assert main(replay(web, tmp_path / "set.toml", tmp_path / "again")) == 0
    assert rows(tmp_path / "again") == rows(tmp_path / "raw")
    assert web.count("/posts.json") == 2  # it asked the pictures' host alone,
    assert web.count("/robots.txt") == 1  # and that for its rules
    before = len(web.asked)
    assert main(replay(web, tmp_path / "set.toml", tmp_path / "again")) == 0
    assert len(web.asked) == before


def test_what_has_changed_is_left_out(web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(web, tmp_path / "raw", "--recipe", tmp_path / "set.toml")
    web.serve("/data/2.png", picture(99))
    del web.routes["/data/3.png"]
    web.serve("/robots.txt", "User-agent: *\nDisallow: /data/4\n")
    capsys.readouterr()
    assert main(replay(web, tmp_path / "set.toml", tmp_path / "again")) == 0
    said = capsys.readouterr().out
    for line in ("1 picture in", "3 left out:", "has changed", "is not there", "is closed to programs"):
        assert line in said
    assert [item.source_id for item, _ in rows(tmp_path / "again")] == ["1"]


def small_set(path: Path, *faces: tuple[str, str, Verdict]) -> Path:
    """A set of faces (source, source_id, verdict), as a build or a review leaves it."""
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    with SetWriter(path, name="small", size=16) as writer:
        for number, (source, source_id, verdict) in enumerate(faces):
            points = np.array(POINTS, dtype=np.float32) + 2 * number
            face = Face(id=f"{number:016x}", image=stream.getvalue(), domain="manga", source=source)
            face.source_id, face.verdict, face.points = source_id, verdict, points
            writer.add(face)
    return path


def test_crops_make_the_same_faces(web: Web, tmp_path: Path) -> None:
    reviewed = small_set(
        tmp_path / "set",
        ("danbooru", "4", "keep"),
        ("danbooru", "3", "keep"),
        ("danbooru", "3#2", "keep"),
        ("danbooru", "2", "drop"),
        ("elsewhere", "1", "keep"),
    )
    first(web, tmp_path / "raw", "--recipe", tmp_path / "set.toml", "--faces", reviewed)
    values = tomllib.loads((tmp_path / "set.toml").read_text())
    assert {entry["source_id"]: len(entry["faces"]) for entry in values["pictures"]} == {"4": 1, "3": 2}
    assert main(replay(web, tmp_path / "set.toml", tmp_path / "again")) == 0
    importer, folder = importer_of(tmp_path / "again")
    raws = list(importer.read(folder))
    assert [raw.source_id for raw in raws] == ["4", "3", "3#2"]
    expected = {
        face.source_id: face.points for face in FaceSet.open(reviewed).faces() if face.verdict == "keep"
    }
    for raw in raws:
        np.testing.assert_allclose(np.array(raw.points), expected[raw.source_id], atol=0.01)
    built = build([tmp_path / "again"], tmp_path / "rebuilt", size=32, workers=0).faces
    for face in built.faces():
        assert face.scores["given"] == 1.0
        np.testing.assert_allclose(face.points, expected[face.source_id], atol=0.01)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": 9}, "is no recipe of version 1"),
        ({"pictures": 3}, "names no pictures"),
        ({"pictures": [3]}, "picture 1: not a table"),
        ({"sha256": "abc"}, "picture 1: wrong sha256: 'abc'"),
        ({"sha256": None}, "picture 1: has no sha256"),
        ({"url": None}, "picture 1: has no url"),
        ({"age": "old"}, "picture 1: wrong age: 'old'"),
        ({"tags": "a b"}, "picture 1: wrong tags"),
        ({"attributes": {"solo": 1}}, "picture 1: wrong attributes"),
        ({"faces": [[[1, 2]]]}, "picture 1: wrong faces"),
        ({"licens": "CC0"}, "picture 1: unknown 'licens'; did you mean 'licence'?"),
        ({"fault": "none"}, "picture 1: unknown 'fault'"),
    ],
)
def test_a_recipe_that_is_none(
    web: Web, tmp_path: Path, fails: Callable[..., str], change: dict[str, Any], said: str
) -> None:
    entry = {"source": "x", "source_id": "1", "url": f"{web.url}/data/1.png", "sha256": "0" * 64}
    entry = {name: value for name, value in {**entry, **change}.items() if value is not None}
    recipe: dict[str, Any] = {"recipe": 1, "pictures": [entry]}
    if change.keys() <= recipe.keys():
        recipe |= change
    (tmp_path / "r.toml").write_text(tomli_w.dumps(recipe))
    assert said in fails(*replay(web, tmp_path / "r.toml", tmp_path / "out"), code=2)
    assert not web.asked


def test_a_recipe_reaches_nothing_private(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str], fails: Callable[..., str]
) -> None:
    addresses = ["file:///etc/passwd", "http://192.168.0.1/x.png", f"{web.url}/data/1.png"]
    entries = [
        {"source": "x", "source_id": str(n), "url": url, "sha256": "0" * 64}
        for n, url in enumerate(addresses)
    ]
    (tmp_path / "r.toml").write_text(tomli_w.dumps({"recipe": 1, "pictures": entries}))
    words = replay(web, tmp_path / "r.toml", tmp_path / "out")
    words = [word for word in words if word not in ("--allow", web.host)]
    assert "nothing was found" in fails(*words, code=1)
    assert not web.asked
    with Archive.reading(tmp_path / "out") as archive:
        assert archive.failures() == {"is a private address": 2, "is no web address": 1}


def test_wrong_use(web: Web, tmp_path: Path, fails: Callable[..., str]) -> None:
    out = tmp_path / "out"
    assert "no.toml does not exist" in fails(*replay(web, tmp_path / "no.toml", out), code=2)
    assert "name a source" in fails("scrape", "-o", out, code=2)
    said = fails("scrape", "danbooru", "x", "-o", out, "--faces", tmp_path / "set", code=2)
    assert "--faces needs a source and a recipe" in said

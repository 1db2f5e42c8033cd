"""docs/sources.md is followed to the letter: its source is added and used, its commands are understood."""

from __future__ import annotations

import json
import re
import types
from pathlib import Path

import pytest

from nenrin.cli import main
from nenrin.domains.importers import importer_of
from nenrin.scrapers.source import Source
from nenrin.scrapers.sources import SOURCES
from tests.web import Answer, Handler, Request, Web, picture

PAGE = (Path(__file__).parents[1] / "docs" / "sources.md").read_text()


def test_a_source_is_added_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    module = types.ModuleType("museum")
    exec(compile(code, "docs/sources.md", "exec"), module.__dict__)
    source: Source = module.SOURCE
    monkeypatch.setitem(SOURCES, source.name, source)
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
        words = ["scrape", "museum", "self-portrait", f"base={web.url}", "-o", str(tmp_path / "raw")]
        polite = ["--allow", web.host, "--interval", "0", "--contact", "ada@example.org"]
        assert main([*words, *polite]) == 0
    importer, folder = importer_of(tmp_path / "raw")
    first, second = importer.read(folder)
    assert (first.source, first.source_id, first.author) == ("museum", "1", "Ada")
    assert (first.url, first.licence, first.domain) == ("https://m.example/1", "Public domain", "painting")
    assert second.author is None


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_the_page_tells_of_every_source(source: Source) -> None:
    assert re.search(rf"^\|.*`{source.name}`", PAGE, re.MULTILINE)
    for key in source.keys:
        assert f"`{key}`" in PAGE


def test_every_command_of_the_page_is_understood(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DANBOORU_LOGIN", "DANBOORU_API_KEY", "NENRIN_CONTACT"):
        monkeypatch.delenv(name, raising=False)
    commands = re.findall(r"^    nenrin (scrape [^#\n]*)", PAGE, re.MULTILINE)
    assert len(commands) >= 6
    for line in commands:
        words = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]
        # Without a contact each gets no further than that, unless it needs a file that is not here.
        assert main(words) == 2, line
        said = capsys.readouterr().err
        assert "--contact" in said or "does not exist" in said, said

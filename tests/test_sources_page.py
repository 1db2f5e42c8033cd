"""docs/sources.md tells of every source, and its commands are understood."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nenrin.cli import main
from nenrin.scrapers.source import Source
from nenrin.scrapers.sources import SOURCES

PAGE = (Path(__file__).parents[1] / "docs" / "sources.md").read_text()


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

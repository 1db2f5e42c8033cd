"""docs/cards.md names every card and every term as the tree has them; no weights are without a card."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nenrin.domains.importers import afad, cacd, cartoonset, celeba, fgnet, imdbwiki, manga109, utkface
from tests import pages

ROOT = pages.DOCS.parent
PAGE = (pages.DOCS / "cards.md").read_text()
WEIGHTS = (".safetensors", ".onnx", ".pt", ".pth", ".tflite")


def _weights() -> list[Path]:
    """Folders of this repository that hold weights."""
    files = (path for room in ("domains", "models", "eval", "nenrin") for path in (ROOT / room).rglob("*.*"))
    return sorted({path.parent for path in files if path.suffix in WEIGHTS})


def test_all_weights_have_a_card_that_says_what_must_be_said() -> None:
    assert len(_weights()) >= 3
    for folder in _weights():
        card = (folder / "README.md").read_text()
        for said in ("What it is", "Learned from", r"\*\*Terms|for\s+research", "Known failures|bad at"):
            assert re.search(said, card), (folder, said)
        assert f"(../{(folder / 'README.md').relative_to(ROOT)})" in PAGE


def test_terms_are_those_that_importers_write() -> None:
    said = dict(re.findall(r"^\| ([\w -]+) \| ([^|]+) \|$", PAGE, re.M))
    importers = {
        "UTKFace": utkface, "CelebA": celeba, "FG-NET": fgnet, "CACD": cacd, "AFAD": afad,
        "IMDB-WIKI": imdbwiki, "Manga109": manga109, "Cartoon Set": cartoonset,
    }  # fmt: skip
    for name, module in importers.items():
        assert said[name] == module.IMPORTER.licence, name


def test_a_sets_card_is_what_the_command_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = pages.commands(PAGE)
    pages.run(line, "--workers", "0")
    (card,) = re.findall(r"^```markdown\n(.*?)^```$", PAGE, re.M | re.S)
    assert Path("data/sets/twins-manga/README.md").read_text().strip() == card.strip()


def test_the_readme_shows_what_the_page_of_the_ager_says() -> None:
    """Its results are those of docs/results/ager.md: of the CAAE and of the shipped ager, cell by cell."""
    rows: dict[str, list[list[str]]] = {}
    for table in (ROOT / "docs/results/ager.md").read_text().split("| CAAE, both |")[1:3]:
        for line in table.split("\n\n")[0].splitlines()[2:]:
            label, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            rows.setdefault(label, []).append([cells[0], cells[3]])
    named = {
        "rank correlation of asked and judged age, CNN judge": "rank correlation, CNN judge",
        "judged years for each year asked, CNN judge": "judged years for each year asked, CNN",
        "same person, up to 20 years apart": "same person, up to 20 years apart",
        "still of its own domain": "of its own domain",
        "glasses put on as asked": "glasses put on as asked, CNN judge",
        "glasses taken off as asked": "glasses taken off as asked, CNN judge",
        "put on or taken off unasked": "put on or taken off unasked, CNN judge",
    }
    shown = (ROOT / "README.md").read_text().split("<!-- results")[1].split("<!-- /results")[0]
    for line in shown.splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if name in named:
            photographs, drawn = rows[named.pop(name)]
            assert cells[:2] == [f"{a} / {b}" for a, b in zip(photographs, drawn, strict=True)], name
    assert not named

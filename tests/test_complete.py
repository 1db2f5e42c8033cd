"""What a Tab offers: the values of options, the sets and runs at hand, and all of it in a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nenrin.commands import complete
from nenrin.eval import distributions, perceptual, suite
from nenrin.models.config import MODELS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder: two sets, two runs, one of them below another folder, and what is neither."""
    for path in (
        "data/sets/photo/set.toml",
        "data/sets/manga/set.toml",
        "runs/00000-mixed/config.toml",
        "demo/runs/00000-mixed-demo/config.toml",
        "data/raw/pictures/1.jpg",
        ".cache/old/set.toml",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _offered(typed: str, place: Path) -> list[str]:
    """What the completion machinery answers to a line whose last word is being typed."""
    asked = {
        "_NENRIN_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "nenrin"],
        env={**os.environ, **asked},
        cwd=place,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("nenrin do", ["doctor"]),
        ("nenrin age --finder m", ["mtcnn"]),
        ("nenrin age --domain ", ["auto", "photo", "painting", "cartoon", "manga"]),
        ("nenrin age --checkpoint r", ["runs/00000-mixed"]),
        ("nenrin train --model caae", ["caae", "caae-change"]),
        ("nenrin train data/sets/p", ["data/sets/photo"]),
        ("nenrin eval runs/00000-mixed --protocol ages,tw", ["ages,twins"]),
        ("nenrin eval --set ", ["data/sets/manga", "data/sets/photo"]),
        ("nenrin scrape wik", ["wikidata"]),
        ("nenrin canon list --only conan", ["conan-shinichi"]),
        ("nenrin age astro", []),  # a file: the shell's own answer
    ],
)
def test_a_tab_offers_values(typed: str, offered: list[str], place: Path) -> None:
    assert _offered(typed, place) == offered


def test_words_written_down_again_are_those_of_their_home() -> None:
    assert set(complete.MODELS) == set(MODELS)
    assert set(complete.PROTOCOLS) == {*suite.PROTOCOLS, suite.ALL}
    assert set(complete.EMBEDDERS) >= set(suite.EMBEDDERS)
    assert complete.PERCEPTUALS == perceptual.NAMES
    assert complete.FEATURES == distributions.NAMES


@pytest.mark.usefixtures("place")
def test_sets_and_runs_are_offered_where_they_are() -> None:
    assert complete.runs("") == ["demo/runs/00000-mixed-demo", "runs/00000-mixed"]
    assert complete.runs("demo/") == ["demo/runs/00000-mixed-demo"]
    assert complete.sets("./data/sets/m") == ["./data/sets/manga"]
    assert complete.sets(f"{Path.cwd()}/data/sets/m") == [f"{Path.cwd()}/data/sets/manga"]
    assert complete.sets("nowhere/") == complete.runs("data/raw/") == []
    assert complete.several("ages", "twins")("twins,") == ["twins,ages"]


def test_a_large_folder_does_not_hold_up_the_shell(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        (place / "data" / "raw" / f"{number}.jpg").touch()
    monkeypatch.setattr(complete, "_MOST", 20)
    assert set(complete.sets("")) <= {"data/sets/manga", "data/sets/photo"}
    assert complete.sets("data/sets/p") == ["data/sets/photo"]


def test_bash_completes_once_it_was_told_to(place: Path) -> None:
    """Installed by the program, read by a new bash, asked as a Tab asks."""
    programs = place / "bin"
    programs.mkdir()
    (programs / "nenrin").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nenrin "$@"\n')
    (programs / "nenrin").chmod(0o755)
    here = {
        **os.environ,
        "HOME": str(place),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }

    def bash(script: str) -> str:
        # A command after it keeps bash from giving its place to the program, which looks for its parent.
        done = subprocess.run(
            ["bash", "--norc", "-c", f"{script}\ntrue"], env=here, cwd=place, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "bash completion installed" in bash("nenrin --install-completion")
    tab = """
        source ~/.bashrc
        COMP_WORDS=(nenrin train --model proto); COMP_CWORD=3
        function=$(complete -p nenrin | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function nenrin proto --model
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    assert bash(tab).split() == ["prototypes"]

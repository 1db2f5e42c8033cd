"""The benchmarks still run: each says what it is, and those of training and ageing measure something tiny."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

from nenrin.domains.decisions import Decisions

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(
    file.stem for file in (ROOT / "benchmarks").glob("*.py") if "\ndef main(" in file.read_text("utf-8")
)

DECISIONS = sorted((ROOT / "benchmarks" / "decisions").glob("*.jsonl"))


def run(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
    threads = torch.get_num_threads()
    try:
        importlib.import_module(f"benchmarks.{name}").main()
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(name, ["--help"], monkeypatch)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {name}.py")


def test_training_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    net = ["--size", "32", "--width", "0.125", "--batch", "4", "--threads", "1", "--workers", "0"]
    little = ["--people", "6", "--steps", "1", "--rounds", "1", "--memory", "16", "--seconds", "0.2"]
    run("train", [*net, *little], monkeypatch)
    loops, as_bytes, as_floats, memory = capsys.readouterr().out.splitlines()
    assert re.search(r"plain [\d.]+, ours [\d.]+ pictures/s", loops)
    for line in (as_bytes, as_floats):
        assert re.search(r"[\d,]+ pictures/s", line)
    assert memory.startswith("memory:")


def test_ageing_is_measured(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("age", [str(tiny_run), "--pictures", "1", "--threads", "1", "--no-cold", "--no-find"], monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert all(re.search(r"\d+ faces/s", line) for line in lines)


def test_strips_are_drawn_by_lot(
    tiny_run: Path,
    tiny_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(tiny_set), "--run", str(tiny_run), "--split", "train", "--count", "2", "-o", str(tmp_path)]
    run("strips", words, monkeypatch)
    written = sorted(file.name for file in tmp_path.glob("*.png"))
    said = capsys.readouterr().out
    assert len(written) >= 2 and all(name in said for name in written)
    first = {name: (tmp_path / name).read_bytes() for name in written}
    run("strips", words, monkeypatch)
    assert {name: (tmp_path / name).read_bytes() for name in written} == first
    run("strips", [*words, "--seed", "1"], monkeypatch)
    assert {name: (tmp_path / name).read_bytes() for name in written} != first


@pytest.mark.parametrize("file", DECISIONS, ids=lambda file: file.stem)
def test_decisions_can_be_laid_beside_a_set(file: Path) -> None:
    lines = file.read_text("utf-8").splitlines()
    assert 0 < len(Decisions(file)) <= len(lines)
    assert file.read_bytes().endswith(b"\n")  # else its last line would be taken for what a kill left

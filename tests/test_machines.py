"""`--json`: every command of docs/machines.md prints one list of rows with the fields that the page names."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from PIL import Image
from skimage import data

from nenrin.cli import COMMANDS, main
from nenrin.commands.rows import as_text

PAGE = (Path(__file__).parents[1] / "docs" / "machines.md").read_text()
MINE = """
series = "Mine"
by = "me"
since = 2026
domain = "photo"
[[pair]]
name = "me"
from = { character = "I", age = 9, glasses = "none", find = [{ source = "local", query = "raw" }] }
to = { character = "I", age = 50, glasses = "none" }
"""
SILENT = {"demo", "serve"}  # they have nothing to say to a machine
TOLD = dict(re.findall(r"^\| `([\w -]+)` \|[^|]*\| (.*) \|$", PAGE, re.M))


def _fields(command: str) -> list[str]:
    """The fields that the page names, without what is said of them in brackets or after a semicolon."""
    return re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)|;.*", "", TOLD[command]))


def test_the_page_tells_of_every_command() -> None:
    assert {name.split()[0] for name in TOLD} == {name for name, _, _ in COMMANDS} - SILENT


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_set: Path, tiny_run: Path, crops: Path) -> Path:
    """A folder to work in: a picture, a set, a run, a folder of raw pictures."""
    folder = tmp_path_factory.mktemp("machines")
    Image.fromarray(data.astronaut()).save(folder / "astronaut.png")
    shutil.copytree(tiny_set, folder / "faces")
    shutil.copytree(tiny_run, folder / "run")
    (folder / "raw").mkdir()
    for path in sorted(crops.iterdir())[:12]:
        shutil.copy(path, folder / "raw")
    (folder / "raw" / "letter.jpg").write_text("no picture")
    (folder / "mine.toml").write_text(MINE)
    shape = ["n", 3, "h", "w"]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "as-it-is", ends[:1], ends[1:]
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=opset), folder / "net.onnx")
    return folder


@pytest.fixture
def ask(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(place)

    def run(line: str) -> list[dict[str, Any]]:
        assert main([*line.split(), "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert isinstance(rows, list)
        return rows

    return run


CALLS = {
    "twins": "twins --people 2 --ages 1 --size 32 --workers 0 -o twins",
    "scrape": "scrape local raw -o scraped",
    "scrape --list": "scrape --list",
    "find": "find astronaut.png --finder mtcnn -o found",
    "build": "build raw -o set --size 64 --finder nominal --split test --workers 0",
    "clean": "clean set",
    "review": "review set",
    "stylize": "stylize faces -o drawn-set --weights net.onnx --channels rgb --range=-1,1 --workers 0",
    "pairs": "pairs run faces -o pairs --limit 4",
    "train": "train faces --model prototypes size=32 -o runs",
    "age": "age astronaut.png --to 9,70 --checkpoint run --finder mtcnn -o aged",
    "export": "export run -o small",
    "eval": "eval run --set set --protocol ages --embedder pixels --people 4 -o report",
    "canon list": "canon list",
    "canon fetch": "canon fetch --manifest mine.toml --pictures characters",
    "canon draw": "canon draw --count 1 -o drawn",
    "doctor": "doctor --finder mtcnn",
}


@pytest.mark.parametrize("command", CALLS)
def test_rows_have_the_fields_that_the_page_names(command: str, ask: Any) -> None:
    rows = ask(CALLS[command])
    assert rows
    assert all(list(row) == _fields(command) for row in rows), list(rows[0])


def test_what_a_word_more_adds(ask: Any) -> None:
    (row,) = ask("canon list --only conan-shinichi --pictures .")
    assert row["from"] == {"character": "Conan Edogawa", "age": 7, "glasses": "clear", "pictures": 0}
    (row,) = ask("train --model prototypes size=32 --dry-run")
    assert (row["model"], row["size"]) == ("prototypes", 32)
    (row,) = ask("build raw -o set --size 64 --finder nominal --split test --workers 0 --clean")
    assert row["unreadable"] == {"the file is not a picture that can be read": 1}
    assert row["faces"] == 12 and row["to_look_at"] >= 0


def test_nothing_is_a_list_too() -> None:
    assert json.loads(as_text([])) == []

"""`nenrin doctor`: what it finds is so, and what is broken is named."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from nenrin.cli import main


def _rows(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_all_that_is_needed_is_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NENRIN_CACHE", str(tmp_path))
    assert main(["doctor", "--json", "--finder", "mtcnn"]) == 0
    rows = _rows(capsys)
    assert rows["torch"]["said"] == version("torch")
    assert rows["gradio"]["said"].endswith("[web] for nenrin serve")
    assert rows["the shipped ager"]["state"] == rows["finder mtcnn"]["state"] == "ok"
    assert rows["fetched"]["state"] == "absent"
    assert rows["finding"]["said"].startswith("mtcnn finds 1 of 1 face")
    assert rows["ageing"]["state"] == "ok"
    assert {row["state"] for row in rows.values()} <= {"ok", "absent"}


def test_what_is_broken_is_named_and_the_rest_still_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NENRIN_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "net.onnx").write_bytes(bytes(2_000_000))
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(b"no net")
    assert main(["doctor", "--finder", str(torn)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("nenrin: needed, and missing or broken: trial: the rest")
    assert " ! trial: the rest" in said.out
    assert "1 files, 2.0 MB" in said.out
    assert "free on the disk" in said.out


def test_a_library_that_cannot_be_imported_hides_nothing_else() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from nenrin.cli import main; sys.exit(main(['doctor', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    rows = json.loads(done.stdout)
    assert {row["part"] for row in rows} == {"Installed", "Weights", "Machine", "Trial"}
    broken = {row["name"]: row["said"] for row in rows if row["state"] == "bad"}
    assert "torch" in broken["machine: the rest"]
    assert done.stderr.count("\n") == 1


def test_a_finder_that_nobody_knows_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--finder", "mtcn"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "nenrin: unknown finder 'mtcn'; did you mean 'mtcnn'?\n"

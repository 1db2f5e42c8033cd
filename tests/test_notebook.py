"""docs/first-hour.ipynb is executed from its first cell to its last; it is committed without outputs."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "first-hour.ipynb"
MOST = 300.0  # seconds of processor time, on one thread: other work on the machine must not decide


def test_the_first_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    before = os.times()
    client.execute()  # raises where a cell does
    after = os.times()  # of the kernel, which has ended
    took = after.children_user + after.children_system - before.children_user - before.children_system
    assert 5 < took < MOST

    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 5
    table = shown[-1]["data"]["text/markdown"].splitlines()
    slopes = {tuple(row.split("|")[1:3]): float(row.split("|")[3].split()[0]) for row in table[2:]}
    assert len(slopes) == 8
    for (subject, _domain), slope in slopes.items():
        # The ager that was trained ages visibly, the copy not at all.
        least = 0.1 if "mixed" in subject else 0.01
        assert abs(slope) < 0.01 if subject == " copy " else slope > least, (subject, slope)
    assert (tmp_path / "first-hour" / "report" / "report.html").is_file()

"""docs/first-hour.ipynb is executed from its first cell to its last; it is committed without outputs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "first-hour.ipynb"


def test_the_first_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    # All of it, but for the length of the training.
    (first, *_) = (cell for cell in notebook.cells if cell.cell_type == "code")
    first.source, found = re.subn(r"(?m)^PICTURES = 8000 ", "PICTURES = 1600 ", first.source)
    assert found == 1
    client = NotebookClient(
        notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()  # raises where a cell does
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 5
    table = shown[-1]["data"]["text/markdown"].splitlines()
    slopes = {tuple(row.split("|")[1:3]): float(row.split("|")[3].split()[0]) for row in table[2:]}
    assert len(slopes) == 8
    for (subject, _domain), slope in slopes.items():
        assert abs(slope) < 0.01 if subject == " copy " else slope > 0.01
    assert (tmp_path / "first-hour" / "report" / "report.html").is_file()

"""The README's pictures are what `docs/pictures.py` draws."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[1] / "docs"
PICTURES = runpy.run_path(str(DOCS / "pictures.py"))["PICTURES"]


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_are_those_that_are_drawn(name: str) -> None:
    drawn, kept = np.asarray(PICTURES[name](), float), np.asarray(Image.open(DOCS / name), float)
    assert drawn.shape == kept.shape, "run `python docs/pictures.py` again"
    assert np.abs(drawn - kept).mean() < 1, "run `python docs/pictures.py` again"  # grey levels
    assert (DOCS / name).stat().st_size < 300_000
    assert f"docs/{name}" in (DOCS.parent / "README.md").read_text()

"""What tests of several rooms share: real pictures where they are, small twin sets, a small trained run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real faces, beside the repository and never in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the repository: real pictures are not committed")
    return folder


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.Popen[str]]:
    """Start the real command line in a process of its own: `command("age", "x.png", cwd=...)`."""

    def start(*words: str, cwd: Path, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "nenrin", *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start

"""What tests of several rooms share: real pictures where they are, small twin sets, a small trained run."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import browser

ROOT = Path(__file__).resolve().parents[1]


def pytest_sessionstart() -> None:
    """Where a browser is required, no test may do without."""
    browser.check()


# Started in the background of a script, Ctrl-C is ignored, and by every command that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real faces, beside the repository and never in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the repository: real pictures are not committed")
    return folder


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 150 pictures named as UTKFace's: age, gender and the five points are known."""
    folder = tmp_path_factory.mktemp("raw") / "crops"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(150):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        name = f"{index % 90}_{index % 2}_0_{index:09d}.jpg.chip.jpg"
        small.resize((64, 64), Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def tiny_set(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 32 px faces built from `crops`, every two as of one view. Read it, do not change it."""
    from nenrin.domains.build import build
    from nenrin.domains.faceset import FaceSet, SetWriter

    whole, path = tmp_path_factory.mktemp("sets") / "whole", tmp_path_factory.mktemp("sets") / "tiny"
    build([crops], whole, size=32, finder="nominal", workers=0)
    built = FaceSet.open(whole)
    with SetWriter(path, name="tiny", size=32, domains=built.meta.domains, build=built.meta.build) as writer:
        for index, face in enumerate(built.faces()):
            writer.add(dataclasses.replace(face, view=f"{index // 2}"))
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps on `tiny_set`: untrained, but whole. Read it, do not change it."""
    from nenrin.domains.faceset import FaceSet
    from nenrin.models.config import resolve
    from nenrin.models.train import train

    settings = ["size=32", "width=8", "batch=4", "pictures=8", "threads=1", "precision=32-true"]
    return train(resolve("mixed", None, settings), [FaceSet.open(tiny_set)], tmp_path_factory.mktemp("runs"))


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
            start_new_session=True,  # so that a signal can go to all of it, as Ctrl-C does
        )

    return start


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the checkout, as building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for room in ("scrapers", "domains", "models", "eval", "nenrin"):
        shutil.copytree(ROOT / room, copy / room, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, copy],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with this exit code, and return the one line it says."""

    from nenrin.cli import main

    def run(*words: str | Path, code: int) -> str:
        assert main([str(word) for word in words]) == code
        captured = capsys.readouterr()
        assert captured.err.startswith("nenrin: ")
        assert captured.err.count("\n") == 1, captured.err
        return captured.err

    return run

"""Two processes train as one with the doubled batch does, and go on as exactly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nenrin.domains.faceset import FaceSet
from nenrin.models.config import resolve
from nenrin.models.train import train

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "size=32",
    "width=0.125",
    "threads=1",
    "precision=32-true",
    "log_every=1",
    "pictures=160",
    "watch_every=10",
]


def in_two_processes(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`nenrin train` under torchrun."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    return subprocess.run(
        [*torchrun, "-m", "nenrin", "train", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=550,
    )


@pytest.fixture(scope="module")
def curves(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, float]]]:
    """The metrics of one process with 16 faces a step, and of two with 8 each."""
    folder = tmp_path_factory.mktemp("parallel")
    one = train(resolve("caae", None, [*SMALL, "batch=16"]), [FaceSet.open(tiny_set)], folder / "one")
    done = in_two_processes(folder, str(tiny_set), "--model", "caae", *SMALL, "batch=8", "-o", "two")
    assert done.returncode == 0, done.stderr
    (two,) = (folder / "two").iterdir()  # one run folder, not one for each process
    return [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, two)
    ]


def test_the_loss_curve_is_the_same(curves: list[list[dict[str, float]]]) -> None:
    one, two = curves
    assert [row["step"] for row in one] == [row["step"] for row in two] == list(range(1, 11))
    assert [row["pictures"] for row in two] == list(range(16, 161, 16))
    reconstruction, others = (
        np.array([[row[name] for row in rows] for rows in curves])
        for name in ("reconstruction", "picture_discriminator")
    )
    np.testing.assert_allclose(reconstruction[1], reconstruction[0], rtol=5e-4)
    # Batch normalisation sees each process's half of the batch, so that its nets differ a little.
    np.testing.assert_allclose(others[1], others[0], rtol=0.03)


@pytest.fixture(scope="module")
def mixed_run(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps in two processes, with checkpoints at 8 and 12."""
    folder = tmp_path_factory.mktemp("mixed")
    words = ["size=32", "width=8", "threads=1", "batch=4", "pictures=96", "log_every=1", "watch_every=0"]
    words += ["checkpoint_every=8", "precision=32-true"]
    done = in_two_processes(folder, str(tiny_set), "--model", "mixed", *words, "-o", "two")
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "two").iterdir()
    return run


def test_a_reader_learns_beside_an_ager_in_both(mixed_run: Path) -> None:
    """Every other step trains it: both processes must think so of the same steps."""
    rows = [json.loads(line) for line in (mixed_run / "metrics.jsonl").read_text().splitlines()]
    assert [("reader/age" in row) for row in rows] == [True, False] * 6


def test_both_go_on_exactly(mixed_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(mixed_run, tmp_path / "again"))
    shutil.rmtree(run / "checkpoints" / "0000012")
    done = in_two_processes(tmp_path, "--resume", str(run))
    assert done.returncode == 0, done.stderr
    for file in ("nets.safetensors", "training.safetensors"):
        ours, theirs = (folder / "checkpoints" / "0000012" / file for folder in (run, mixed_run))
        assert ours.read_bytes() == theirs.read_bytes()


def test_what_one_process_trains_is_not_begun_in_two(tiny_set: Path, tmp_path: Path) -> None:
    words = ["--model", "caae-change", "size=32", "width=0.125", "pictures=16", "-o", "two"]
    done = in_two_processes(tmp_path, str(tiny_set), *words)
    assert done.returncode != 0 and "caae-change is trained in one process" in done.stderr
    assert not (tmp_path / "two").exists()

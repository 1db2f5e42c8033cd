"""Who installs the wheel into an empty environment ages a face with it, far from any checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import nenrin
from nenrin.models.samples import to_tensor

ROOT = Path(__file__).resolve().parents[1]
PROBE = "packaging"  # small, without requirements: who cannot fetch it has no package index


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment into which the wheel was installed, with what it requires and no more.

    uv links the files of its cache, so that torch is not copied.
    """
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if uv is None:
        pytest.skip("no uv beside this Python: `make test` installs it")
    place = tmp_path_factory.mktemp("installed") / "environment"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place], check=True)
    into = [uv, "pip", "install", "--quiet", "--python", place, "--constraint", ROOT / "constraints.txt"]
    done = subprocess.run([*into, wheel], capture_output=True, text=True)
    if done.returncode:
        index = subprocess.run([*into, "--no-cache", "--dry-run", PROBE], capture_output=True, text=True)
        if index.returncode:
            pytest.skip(f"no package index answers: {index.stderr.strip().splitlines()[-1]}")
        pytest.fail(done.stderr)
    return place / ("Scripts" if os.name == "nt" else "bin")


def test_an_installed_wheel_ages_the_astronaut(installed: Path, tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()).save(tmp_path / "astronaut.png")  # type: ignore[no-untyped-call]
    here = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(program: str, *words: str) -> str:
        done = subprocess.run(
            [installed / program, *words], cwd=tmp_path, env=here, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("python", "-c", "import nenrin.domains.face as face; print(face.__file__)")
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert run("nenrin", "--version") == f"nenrin {nenrin.__version__}\n"

    run("nenrin", "age", "astronaut.png", "--to", "10,40,80")
    rows = json.loads((tmp_path / "out" / "ages.json").read_text())
    assert [(row["to"], row["file"]) for row in rows] == [
        (years, f"astronaut_to{years}.png") for years in (10, 40, 80)
    ]
    faces = np.stack([np.asarray(Image.open(tmp_path / "out" / row["file"])) for row in rows])
    assert (nenrin.load().model.estimate(to_tensor(faces)).age.diff() > 5).all()  # years
    left, top, right, bottom = rows[0]["box"]
    assert 140 < left < right < 320 and 0 < top < bottom < 200  # where her face is, in 512 pixels

"""The run folder, which explains itself:

runs/00017-mixed-both/{config.toml, environment.json, faces.txt, origins.txt, metrics.jsonl, samples/, ...}
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nenrin import __version__
from nenrin.ground import UsageError, write_text, write_toml
from nenrin.models.checkpoint import list_checkpoints, load_nets, read_state

LED_BY = ("start", "reader", "means", "pupil", "bare", "guide")  # settings that name other runs
ORIGINS = "origins.txt"  # in a run: ids of faces learned from indirectly; in an exported folder: all ids


class Run:
    """A training's folder: its settings, environment, faces and results."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.begun = False  # whether a step was trained here

    @classmethod
    def create(cls, runs: Path, *, name: str) -> Run:
        """Claim the next number under `runs`; trainings that start at the same time get different ones."""
        runs.mkdir(parents=True, exist_ok=True)
        numbers = [int(match[1]) for path in runs.iterdir() if (match := re.match(r"(\d{5})-", path.name))]
        number = max(numbers, default=-1) + 1
        while True:
            path = runs / f"{number:05d}-{name}"
            try:
                path.mkdir()
                break
            except FileExistsError:
                number += 1
        run = cls(path)
        run.checkpoints.mkdir()
        run.samples.mkdir()
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run. Raises `UsageError` if the folder is none."""
        if not (path / "config.toml").is_file():
            raise UsageError(f"{path} is no run folder: it has no config.toml")
        return cls(path)

    def describe(
        self, config: dict[str, Any], sets: list[str], faces: Iterable[str], origins: Iterable[str]
    ) -> None:
        """Write the resolved configuration, the environment and the ids of the faces trained on.

        `origins` are ids of faces that it learns from indirectly: see `seen`.
        """
        write_toml(self.path / "config.toml", config)
        write_text(self.path / "faces.txt", "".join(f"{face}\n" for face in faces))
        write_text(self.path / ORIGINS, "".join(f"{face}\n" for face in origins))
        environment = {
            "nenrin": __version__,
            "command": sys.argv,
            "sets": sets,
            "python": platform.python_version(),
            "torch": version("torch"),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        }
        write_text(self.path / "environment.json", json.dumps(environment, indent=1))

    def sets(self) -> list[str]:
        """The folders of the sets it trains on."""
        names: list[str] = json.loads((self.path / "environment.json").read_text(encoding="utf-8"))["sets"]
        return names

    def faces(self) -> list[str]:
        """The ids of the faces it trains on."""
        return (self.path / "faces.txt").read_text(encoding="utf-8").split()

    def seen(self) -> list[str]:
        """The ids of all faces that it may have learned from; none may judge or test it.

        Besides those trained on, these are the originals of made faces, and the faces seen by other runs
        whose nets it took over.
        """
        origins = self.path / ORIGINS
        return self.faces() + (origins.read_text(encoding="utf-8").split() if origins.is_file() else [])

    def latest(self) -> Path:
        """The newest whole checkpoint. Raises `UsageError` if there is none yet."""
        found = list_checkpoints(self.checkpoints)
        if not found:
            raise UsageError(f"{self.path} has no checkpoint yet: let it train longer")
        return found[-1]

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step goes."""
        return self.checkpoints / f"{step:07d}"

    def log(self, row: dict[str, float]) -> None:
        """Add a row to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def stop(self, why: str) -> None:
        """Write down, in stopped.txt, why the watchdog ended the training."""
        write_text(self.path / "stopped.txt", why + "\n")

    def rewind(self, step: int) -> None:
        """Drop the metrics after `step`, a last line that a kill left half written, and stopped.txt."""
        (self.path / "stopped.txt").unlink(missing_ok=True)
        file = self.path / "metrics.jsonl"
        if not file.exists():
            return
        kept = []
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except ValueError:
                break
        write_text(file, "".join(kept))


def named(value: str | Sequence[str]) -> list[Path]:
    """The runs that a setting of `LED_BY` names: none, one or several."""
    return [Path(path) for path in ([value] if isinstance(value, str) else value) if path]


def nets_of(path: Path) -> Path:
    """The folder of nets that `path` names: an exported folder, a checkpoint, or the newest of a run."""
    return path if (path / "state.json").is_file() else Run.open(path).latest()


def run_of(path: Path) -> Path:
    """The run that a checkpoint belongs to; for a run or an exported folder, the folder itself."""
    inside = (path / "state.json").is_file() and path.parent.name == "checkpoints"
    return path.parent.parent if inside else path


def seen_by(path: Path) -> list[str]:
    """`Run.seen` of a run, of one of its checkpoints, or of an exported folder, which lists it.

    Raises `UsageError` if nothing says what it learned from.
    """
    home = run_of(path)
    if (home / "state.json").is_file():
        if (home / ORIGINS).is_file():
            return (home / ORIGINS).read_text(encoding="utf-8").split()
    elif (home / "faces.txt").is_file():
        return Run.open(home).seen()
    else:
        Run.open(home)  # says so where it is none at all
    missing = ORIGINS if (home / "state.json").is_file() else "faces.txt"
    raise UsageError(
        f"{path} does not say which faces it learned from (no {missing}), so nobody can tell whom it never "
        "saw: give the run itself, or export it again"
    )


def open_nets(path: Path, nets: nn.ModuleDict, names: Sequence[str], domains: Sequence[str]) -> None:
    """Fill the named `nets` with those of another run or an exported folder.

    Raises `UsageError` if its nets or domains differ.
    """
    folder = nets_of(path)
    known = read_state(folder)["config"]["domains"]
    if list(known) != list(domains):
        raise UsageError(
            f"{path} knows {', '.join(known)}, the sets hold {', '.join(domains)}: "
            "its nets are of use for its own domains alone"
        )
    load_nets(folder, nets, only=names)

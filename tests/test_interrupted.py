"""Ctrl-C, `kill -9` and a full disk, on real processes: one clear line, and nothing already done is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import psutil
import pytest
import typer

from nenrin.cli import main
from nenrin.domains.twins import build_twins, sample_people

ROOT = Path(__file__).resolve().parents[1]
Start = Callable[..., "subprocess.Popen[str]"]
TRAINING = ("size=32", "width=8", "batch=4", "pictures=400", "threads=1", "precision=32-true")
# A disk of its own for one command, in a namespace of its own: no rights needed, gone when it ends.
SMALL_DISK = (
    'mount -t tmpfs -o size="$1" tmpfs disk && shift && if [ -d first ]; then cp -r first/. disk; fi && '
    '("$@"; echo $? > code); cp -r disk kept; exit "$(cat code)"'
)


def _wait_for(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    """Until the process has written a file that matches; it must not end before."""
    while not any(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def _stop(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send the signal to the whole group, as a terminal does; the exit code and standard error."""
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def _set_of(folder: Path) -> dict[str, bytes]:
    names = ("set.toml", "README.md", "faces-00000.parquet")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_build_goes_on(number: signal.Signals, command: Start, crops: Path, tmp_path: Path) -> None:
    words = ["build", str(crops), "-o", "set", "--size", "32", "--finder", "nominal"]
    # Ctrl-C reaches the workers too.
    process = command(*words, "--workers", "2" if number == signal.SIGINT else "0", cwd=tmp_path)
    _wait_for(process, tmp_path / "set", ".build/*.parquet")
    code, said = _stop(process, number)
    if number == signal.SIGINT:
        assert code == 130
        assert said == (
            "nenrin: interrupted: what was written is kept; the same command goes on from there\n"
        )
    assert not (tmp_path / "set" / "set.toml").exists()
    assert main([*words[:3], str(tmp_path / "set"), *words[4:], "--workers", "0"]) == 0
    assert main([*words[:3], str(tmp_path / "whole" / "set"), *words[4:], "--workers", "0"]) == 0
    assert _set_of(tmp_path / "set") == _set_of(tmp_path / "whole" / "set")


def test_workers_end_with_a_build_that_is_killed(command: Start, crops: Path, tmp_path: Path) -> None:
    words = ["build", str(crops), "--size", "32", "--finder", "nominal"]
    process = command(*words, "-o", "set", "--workers", "2", cwd=tmp_path)
    _wait_for(process, tmp_path / "set", ".build/*.parquet")
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.kill()  # it alone: nobody tells the workers
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    for out in ("set", "whole/set"):
        assert main([*words, "-o", str(tmp_path / out), "--workers", "0"]) == 0
    assert _set_of(tmp_path / "set") == _set_of(tmp_path / "whole" / "set")
    assert not list((tmp_path / "set").rglob(".*.part"))


EARLY = """
import os, signal, sys
import nenrin.__main__

class Press:
    def find_spec(self, name, *_):
        if name == "nenrin.commands.train":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Press())
nenrin.__main__.main()
"""


def test_ctrl_c_while_the_command_line_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", EARLY], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "nenrin: interrupted\n")


def test_ctrl_c_before_the_command_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(typer.core.TyperGroup, "invoke", press)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "nenrin: interrupted\n"


OFTEN = ("checkpoint_every=10", "log_every=1")


@pytest.fixture(scope="module")
def whole(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a training that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(["train", str(tiny_set), *TRAINING, *OFTEN, "-o", str(folder)]) == 0
    (run,) = folder.iterdir()
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_training_goes_on(
    number: signal.Signals, command: Start, tiny_set: Path, whole: Path, tmp_path: Path
) -> None:
    process = command("train", str(tiny_set), *TRAINING, *OFTEN, "-o", "runs", cwd=tmp_path)
    _wait_for(process, tmp_path, "runs/*/checkpoints/0000010/state.json")
    code, said = _stop(process, number)
    (run,) = (tmp_path / "runs").iterdir()
    saved = sorted(path.name for path in (run / "checkpoints").glob("[0-9]*"))
    if number == signal.SIGINT:
        assert code == 130
        *_, last = said.splitlines()
        assert last.startswith("nenrin: interrupted: stopped at step ")
        assert last.endswith(f"go on with --resume runs/{run.name}")
        assert f"stopped at step {int(saved[-1])};" in last
    assert int(saved[-1]) < 100
    assert main(["train", "--resume", str(run)]) == 0
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 101))
    # Bit for bit what an uninterrupted training ends with.
    for file in ("nets.safetensors", "training.safetensors"):
        ours, theirs = (folder / "checkpoints" / "0000100" / file for folder in (run, whole))
        assert ours.read_bytes() == theirs.read_bytes()


@pytest.fixture(scope="module")
def _namespaces() -> None:
    """Skip where this system gives nobody a namespace."""
    tried = subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True)
    if tried.returncode:
        pytest.skip("a small disk needs mount namespaces, which this system does not allow")


@pytest.mark.usefixtures("_namespaces")
class TestFullDisk:
    """Each command on a disk too small for what it writes."""

    def run(self, command: Start, size: str, *words: str, cwd: Path) -> str:
        """The one line that the command says; what it left is in `kept`."""
        (cwd / "disk").mkdir()
        prefix = ("unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh", size)
        process = command(*words, cwd=cwd, prefix=prefix)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 1, said
        assert said.startswith("nenrin: ")
        assert said.count("\n") == 1, said
        assert "space" in said, said
        return said

    def test_build(self, command: Start, crops: Path, tmp_path: Path) -> None:
        options = ["--size", "32", "--finder", "nominal", "--workers", "0"]
        words = ("build", str(crops), "-o", "disk/set", *options)
        self.run(command, "300k", *words, cwd=tmp_path)
        # What is there can be gone on from: on a larger disk the same command ends with the same set.
        kept = tmp_path / "kept" / "set"
        assert any(kept.glob(".build/*.parquet"))
        assert main(["build", str(crops), "-o", str(kept), *options]) == 0
        assert main(["build", str(crops), "-o", str(tmp_path / "whole" / "set"), *options]) == 0
        assert _set_of(kept) == _set_of(tmp_path / "whole" / "set")

    def test_stylizing(self, command: Start, tiny_set: Path, tmp_path: Path) -> None:
        node = onnx.helper.make_node("Neg", ["x"], ["y"])
        ends = [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 3, 32, 32])
            for name in "xy"
        ]
        model = onnx.helper.make_model(
            onnx.helper.make_graph([node], "net", ends[:1], ends[1:]),
            opset_imports=[onnx.helper.make_opsetid("", 17)],
            ir_version=8,
        )
        onnx.save(model, tmp_path / "net.onnx")
        options = ("--weights", str(tmp_path / "net.onnx"), "--workers", "0")
        self.run(command, "300k", "stylize", str(tiny_set), "-o", "disk/set", *options, cwd=tmp_path)
        kept = tmp_path / "kept" / "set"
        assert any(kept.glob(".build/*.parquet"))
        for out in (kept, tmp_path / "whole" / "set"):
            assert main(["stylize", str(tiny_set), "-o", str(out), *options]) == 0
        for name in ("set.toml", "README.md", "faces-00000.parquet"):
            assert (kept / name).read_bytes() == (tmp_path / "whole" / "set" / name).read_bytes()

    def test_packing(self, command: Start, tiny_set: Path, tmp_path: Path) -> None:
        # The array of faces is filled through a memory map: a full disk must not kill the process there.
        words = ("train", "disk/set", *TRAINING, "-o", "runs")
        (tmp_path / "first").mkdir()
        shutil.copytree(tiny_set, tmp_path / "first" / "set", ignore=shutil.ignore_patterns("arrays"))
        size = sum(path.stat().st_size for path in tiny_set.glob("*.*")) // 1000 + 100
        self.run(command, f"{size}k", *words, cwd=tmp_path)
        assert _set_of(tmp_path / "kept" / "set") == _set_of(tiny_set)
        assert not any((tmp_path / "kept" / "set").glob("arrays/*"))

    def test_training(self, command: Start, tiny_set: Path, whole: Path, tmp_path: Path) -> None:
        words = ("train", str(tiny_set), *TRAINING, "checkpoint_every=10", "-o", "disk/runs")
        files = (whole / "checkpoints" / "0000100").iterdir()
        room = 3 * sum(path.stat().st_size for path in files) // 2000  # for one checkpoint and a half
        self.run(command, f"{room}k", *words, cwd=tmp_path)
        states = list((tmp_path / "kept").glob("runs/*/checkpoints/[0-9]*/state.json"))
        assert [state.parent.name for state in states] == ["0000010"]
        assert json.loads(states[0].read_text())["config"]["width"] == 8  # whole

    def test_ageing(self, command: Start, tiny_run: Path, crops: Path, tmp_path: Path) -> None:
        picture = next(crops.iterdir())
        words = ("age", str(picture), "--face", "whole", "--to", "5,15,25", "--checkpoint", str(tiny_run))
        said = self.run(command, "8k", *words, "-o", "disk/out", cwd=tmp_path)
        assert said.endswith(": free some; the faces aged so far are kept; the same command starts again\n")


@pytest.mark.parametrize("out", ["folder", "ager.onnx"])
def test_an_export_larger_than_files_may_be(out: str, command: Start, tiny_run: Path, tmp_path: Path) -> None:
    # Python would write the byte code that it compiles, and cut it short in its own packages.
    small = ("sh", "-c", 'ulimit -f 8; export PYTHONDONTWRITEBYTECODE=1; exec "$@"', "sh")
    process = command("export", str(tiny_run), "-o", out, cwd=tmp_path, prefix=small)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert said.startswith("nenrin: no space left "), said
    assert said.endswith(": free some; no file was written; the same command starts again\n")


EVALUATION = """
import json, sys, time
from pathlib import Path
import torch
from nenrin.domains.faceset import FaceSet
from nenrin.eval.baselines import CopyAger
from nenrin.eval.suite import evaluate

class Slow(CopyAger):
    name = "slow"

    def __init__(self):
        super().__init__(32)
        self.model = torch.nn.Linear(2, 2)
        self.model.weight.data.fill_(1.0), self.model.bias.data.fill_(0.0)

    def transform(self, images, source, target):
        with open("asked.txt", "a") as log:
            log.write(f"{len(images)}\\n")
        time.sleep(float(sys.argv[3]))
        return (images + (target.age / 200).view(-1, 1, 1, 1)).clamp(-1, 1)

sets = [FaceSet.open(Path(sys.argv[1]))]
options = {"embedders": ("pixels",), "perceptual": "unweighted-mtcnn", "resamples": 100, "judge_epochs": 1}
evaluate([Slow()], sets, ["ages"], Path(sys.argv[2]), people=80, **options)
"""


def test_evaluation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it ages and started again: no face twice but those of the chunk it was at."""
    people = sample_people(300, seed=1)
    build_twins(tmp_path / "photo", tmp_path / "manga", people=people, ages_per_person=1, size=32, seed=1)
    for home in ("whole", "killed"):
        (tmp_path / home).mkdir()

    def asked(home: str) -> list[int]:
        return [int(line) for line in (tmp_path / home / "asked.txt").read_text().split()]

    def found(home: str) -> dict[str, Any]:
        metrics: dict[str, Any] = json.loads((tmp_path / home / "report" / "metrics.json").read_text())
        metrics["facts"].pop("made")
        return metrics

    def here(home: str) -> None:
        monkeypatch.chdir(tmp_path / home)
        monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path / "photo"), "report", "0"])
        exec(compile(EVALUATION, "evaluation", "exec"), {"__name__": "evaluation"})

    here("whole")
    assert len(asked("whole")) > 2  # several chunks
    killed = subprocess.Popen(
        [sys.executable, "-c", EVALUATION, str(tmp_path / "photo"), "report", "3"],
        cwd=tmp_path / "killed",
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _wait_for(killed, tmp_path / "killed", "cache/features/*.parts/*.npy")
    _stop(killed, signal.SIGKILL)
    done = len(list((tmp_path / "killed").glob("cache/features/*.parts/*.npy")))
    assert 0 < done < len(asked("whole"))
    assert not (tmp_path / "killed" / "report").exists()
    before = asked("killed")
    here("killed")
    assert asked("killed")[len(before) :] == asked("whole")[done:]
    assert found("killed") == found("whole")

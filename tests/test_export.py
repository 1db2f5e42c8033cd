"""`nenrin export`: onnxruntime ages as the ager does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from nenrin.cli import main
from nenrin.domains.faceset import FaceSet
from nenrin.ground import UsageError
from nenrin.models.ager import Ager
from nenrin.models.config import build, from_table, resolve
from nenrin.models.export import LABELS, Exported, compact, example, export
from nenrin.models.run import ORIGINS, Run, seen_by
from nenrin.models.train import train

SMALL: dict[str, dict[str, object]] = {
    "caae": {"model": "caae", "width": 0.125},
    "prototypes": {"model": "prototypes"},
    "mixed": {"model": "mixed", "width": 8},
    "as shipped": {"model": "mixed", "width": 8, "prototypes": 1.0, "twins": 1.0, "net_ages": False},
}


@pytest.mark.parametrize("name", SMALL)
def test_onnxruntime_agrees(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build(from_table({"size": 32, "domains": ["photo", "manga"], **SMALL[name]}))
    with torch.no_grad():
        for weight in model.parameters():  # a mixed ager begins by doing nothing
            weight.add_(torch.randn(weight.shape) * 0.02)
    for buffer in model.buffers():  # mean faces, which nobody fitted here
        if buffer.is_floating_point():
            buffer.uniform_(-0.2, 0.2)
    ager = Ager(model, name=name)
    export(ager, tmp_path / "ager.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "ager.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["domains"] == "photo,manga"
    made = []
    for years in (5.0, 70.0):
        inputs = example(32, years)
        with torch.no_grad():
            wanted = Exported(model)(*inputs).numpy()
        feed = {key: value.numpy() for key, value in zip(["face", *LABELS], inputs, strict=True)}
        made.append(session.run(None, feed)[0])
        np.testing.assert_allclose(made[-1], wanted, atol=1e-3)
    assert (made[0] != made[1]).any()  # it listens to the age


def test_a_small_folder_is_loaded_as_a_run_is(tiny_run: Path, tiny_set: Path, tmp_path: Path) -> None:
    whole = Ager.load(tiny_run)
    file = compact(whole, tmp_path / "small")
    small = Ager.load(tmp_path / "small")
    assert file.stat().st_size < 0.6 * (Run.open(tiny_run).latest() / "nets.safetensors").stat().st_size
    assert small.domains == whole.domains
    images = example(32)[0]
    condition = whole.estimate(images)
    asked = condition.replace(age=condition.age + 30)
    made = [ager.transform(images, condition, asked) for ager in (whole, small)]
    torch.testing.assert_close(made[0], made[1], atol=0.02, rtol=0)


def test_a_small_folder_says_what_it_learned_from(
    tiny_run: Path, tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = Run.open(tiny_run).latest()
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "small")]) == 0
    assert set(seen_by(tmp_path / "small")) == set(Run.open(tiny_run).seen()) == set(seen_by(checkpoint))
    settings = ["size=32", "width=8", "batch=4", "pictures=8", "threads=1", f"start={tmp_path / 'small'}"]
    sets = [FaceSet.open(tiny_set)]
    onwards = train(resolve("mixed", None, settings), sets, tmp_path)
    assert set(seen_by(onwards)) >= set(seen_by(tmp_path / "small"))
    (tmp_path / "small" / ORIGINS).write_text("0123456789abcdef\n")
    onwards = train(resolve("mixed", None, settings), sets, tmp_path)
    assert "0123456789abcdef" in seen_by(onwards)  # what it saw elsewhere is not forgotten
    (tmp_path / "small" / ORIGINS).unlink()
    with pytest.raises(
        UsageError, match=r"small does not say which faces it learned from \(no origins.txt\)"
    ):
        train(resolve("mixed", None, settings), sets, tmp_path)
    assert main(["export", str(tmp_path / "small"), "-o", str(tmp_path / "again")]) == 0
    assert "does not say which faces it learned from" in capsys.readouterr().err
    assert not (tmp_path / "again" / ORIGINS).exists()


def test_what_cannot_be_exported_says_so(tiny_set: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    words = ["size=32", "width=0.125", "batch=4", "pictures=8", "threads=1", "iterations=0"]
    run = train(resolve("age-cgan", None, words), [FaceSet.open(tiny_set)], tmp_path)
    said = fails("export", run, "-o", tmp_path / "x.onnx", code=2)
    assert "cannot be exported" in said
    assert not (tmp_path / "x.onnx").exists()


def test_mean_faces_of_another_make_are_told(tmp_path: Path) -> None:
    config = {"model": "mixed", "size": 32, "domains": ["photo"], "width": 8, "prototypes": 1.0}
    compact(Ager(build(from_table(config)), name="mixed"), tmp_path / "old")
    nets = tmp_path / "old" / "nets.safetensors"
    save_file({k: v for k, v in load_file(nets).items() if "registration" not in k}, nets)
    with pytest.raises(UsageError, match="train --model prototypes again"):
        Ager.load(tmp_path / "old")

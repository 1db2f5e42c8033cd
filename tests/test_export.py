"""`nenrin export`: onnxruntime ages as the ager does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from nenrin.domains.faceset import FaceSet
from nenrin.models.ager import Ager
from nenrin.models.config import build, from_table, resolve
from nenrin.models.export import LABELS, Exported, compact, example, export
from nenrin.models.run import Run
from nenrin.models.train import train

SMALL = {"caae": {"width": 0.125}, "prototypes": {}, "mixed": {"width": 8}}


@pytest.mark.parametrize("name", SMALL)
def test_onnxruntime_agrees(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build(from_table({"model": name, "size": 32, "domains": ["photo", "manga"], **SMALL[name]}))
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


def test_what_cannot_be_exported_says_so(tiny_set: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    words = ["size=32", "width=0.125", "batch=4", "pictures=8", "threads=1", "iterations=0"]
    run = train(resolve("age-cgan", None, words), [FaceSet.open(tiny_set)], tmp_path)
    said = fails("export", run, "-o", tmp_path / "x.onnx", code=2)
    assert "cannot be exported" in said
    assert not (tmp_path / "x.onnx").exists()

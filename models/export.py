"""Exports an ager as a small checkpoint, or as an ONNX file that runs without nenrin."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from nenrin.ground import NenrinError, UsageError, atomic_path, write_text
from nenrin.models import checkpoint
from nenrin.models.ager import Ager, merge
from nenrin.models.base import AgerModel
from nenrin.models.condition import Condition
from nenrin.models.config import TrainConfig
from nenrin.models.run import ORIGINS

OPSET = 18  # the first that can downsample a picture without aliasing
# Inputs beside the face: years, or an index; NaN and -1 leave the label to the ager's own estimate.
LABELS = ("to_age", "from_age", "domain", "glasses", "gender")


class Exported(nn.Module):
    """What `Ager.age` does to an aligned face, as tensors in and out."""

    def __init__(self, model: AgerModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, face: Tensor, to_age: Tensor, from_age: Tensor, domain: Tensor, glasses: Tensor, gender: Tensor
    ) -> Tensor:
        """A face (1, 3, S, S) in [-1, 1] and its labels (1,) to the same."""
        given = Condition(age=from_age, domain=domain, glasses=glasses, gender=gender)
        source = merge(self.model.estimate(face, domain), given)
        return self.model.transform(face, source, given.replace(age=to_age, domain=source.domain))


def compact(ager: Ager, folder: Path, seen: Iterable[str] | None = None) -> Path:
    """Write a checkpoint folder of half precision, and return the file of its weights.

    `seen` are the ids of all faces that it may have learned from (`run.seen_by`), or None if unknown. They
    are exported too, so that it can be scored on other faces.
    """
    config, nets = ager.model.finished()
    table = TrainConfig(model=ager.model.name, model_config=config).as_table()
    checkpoint.save_compact(folder, nets, {"config": table})
    (folder / ORIGINS).unlink(missing_ok=True)  # of what lay here before
    if seen is not None:
        write_text(folder / ORIGINS, "".join(f"{face}\n" for face in sorted(set(seen))))
    return folder / "nets.safetensors"


def export(ager: Ager, path: Path) -> Path:
    """Write the ONNX file and return it; it ages one face at a time, and its metadata names the domains.

    Raises `UsageError` for an ager that searches while it ages, `NenrinError` where the exporter is missing.
    """
    if not ager.model.exports:
        raise UsageError(f"{ager.name} cannot be exported: it searches for each face while it ages it")
    if importlib.util.find_spec("onnxscript") is None:
        raise NenrinError("exporting needs onnxscript: pip install nenrin[export]")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's, about its own parts
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            Exported(ager.model).eval(),
            example(ager.size),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["face", *LABELS],
            output_names=["aged"],
        )
    assert program is not None
    program.model.metadata_props.update(
        {"ager": ager.name, "domains": ",".join(ager.domains), "size": str(ager.size)}
    )
    with atomic_path(path) as part:
        program.save(part, external_data=False)
    return path


def example(size: int, to_age: float = 40.0) -> tuple[Tensor, ...]:
    """Inputs of the right shapes: noise as the face, with unknown labels."""
    face = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    unknown = [torch.tensor([-1]) for _ in range(3)]
    return face, torch.tensor([to_age]), torch.tensor([torch.nan]), *unknown

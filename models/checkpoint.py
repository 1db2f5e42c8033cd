"""Checkpoints: a folder of safetensors and JSON, never a pickle, that appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from nenrin.ground import NenrinError, UsageError, atomic_path, write_text

RandomState = dict[str, Tensor]  # "cpu", "cuda.0" ... -> the state of that device's generator


def save(
    folder: Path,
    nets: nn.ModuleDict,
    optimizers: dict[str, Optimizer],
    state: dict[str, Any],
    random: Sequence[RandomState] = (),
) -> None:
    """Write nets, optimizers, the random states of all processes, by default of this one, and `state` (step,
    configuration) as JSON."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        save_file(_plain(nets.state_dict()), part / "nets.safetensors")
        tensors, scalars = _flatten(optimizers)
        for rank, generators in enumerate(random or [random_state()]):
            tensors |= {_random(rank) + device: value for device, value in generators.items()}
        save_file(tensors, part / "training.safetensors")
        write_text(part / "state.json", json.dumps(state | {"optimizers": scalars}, indent=1))
        for file in part.iterdir():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def save_compact(folder: Path, nets: nn.ModuleDict, state: dict[str, Any]) -> None:
    """Write a checkpoint to pass on: weights in half precision, nothing to resume with."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half() for name, value in _plain(nets.state_dict()).items()}
    with atomic_path(folder / "nets.safetensors") as part:
        save_file(weights, part)
    write_text(folder / "state.json", json.dumps(state, indent=1) + "\n")


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints of a run."""
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)


def list_checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in a `checkpoints/` folder, oldest first."""
    return sorted(path.parent for path in folder.glob("[0-9]*/state.json"))


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON half of a checkpoint. `UsageError` if there is none, `NenrinError` if it is damaged."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{folder} is no checkpoint: it has no state.json") from None
    except ValueError:
        raise NenrinError(f"{folder}/state.json is damaged; use an earlier checkpoint") from None
    if not isinstance(state, dict) or "config" not in state:
        raise NenrinError(f"{folder}/state.json is damaged; use an earlier checkpoint")
    return state


def load_nets(folder: Path, nets: nn.ModuleDict, *, only: Sequence[str] | None = None) -> None:
    """Fill `nets`, or `only` some of them.

    `UsageError` if the checkpoint is of another architecture, `NenrinError` if it is damaged.
    """
    names = tuple(f"{name}." for name in (nets if only is None else only))
    saved = _read(folder / "nets.safetensors")
    if only is not None:
        saved = {name: value for name, value in saved.items() if name.startswith(names)}
    wanted = {name: value for name, value in nets.state_dict().items() if name.startswith(names)}
    strange = sorted(saved.keys() ^ wanted.keys())
    strange += [name for name in saved.keys() & wanted.keys() if saved[name].shape != wanted[name].shape]
    for part, what in (("means.registration", "mean faces"), ("reader.version", "a reader")):
        if any(name.startswith(part) for name in wanted.keys() - saved.keys()):
            raise UsageError(f"{folder} holds {what} of an older make: train --model prototypes again")
    if strange:
        raise UsageError(
            f"{folder} is of another architecture: {len(strange)} tensors differ, {strange[0]} first"
        )
    found = {name: value.to(wanted[name].dtype) for name, value in saved.items()}
    nets.load_state_dict(found, strict=only is None)


def random_state() -> RandomState:
    """The state of this process's generators."""
    devices = range(torch.cuda.device_count())
    return {"cpu": torch.get_rng_state()} | {f"cuda.{at}": torch.cuda.get_rng_state(at) for at in devices}


def load_training(folder: Path, optimizers: dict[str, Optimizer], rank: int = 0) -> bool:
    """Restore optimizers and the random state of a process as `save` stored them.

    Returns whether that state was there: older checkpoints hold the first process's alone.
    """
    tensors = _read(folder / "training.safetensors")
    scalars = read_state(folder)["optimizers"]
    for name, optimizer in optimizers.items():
        empty = optimizer.state_dict()
        states: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            owner, _, rest = key.partition("/")
            if owner == name:
                index, field = rest.split("/")
                states.setdefault(int(index), {})[field] = value
        groups = [group | rates for group, rates in zip(empty["param_groups"], scalars[name], strict=True)]
        optimizer.load_state_dict({"state": states, "param_groups": groups})
        _lay_out(optimizer)
    random = _random(rank)
    if random + "cpu" not in tensors:
        return False
    torch.set_rng_state(tensors[random + "cpu"])
    for at in range(torch.cuda.device_count()):
        if (device := f"{random}cuda.{at}") in tensors:
            torch.cuda.set_rng_state(tensors[device], at)
    return True


def _random(rank: int) -> str:
    """How the names of a process's random states begin."""
    return f"random.{rank}." if rank else "random."


def all_tensors(module: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers by name, with those that no checkpoint holds as they ship with the code."""
    return {**module.state_dict(), **dict(module.named_buffers())}


def _lay_out(optimizer: Optimizer) -> None:
    """Give moments the memory layout of their weights, which a fused step assumes."""
    for weight, fields in optimizer.state.items():
        for field, value in fields.items():
            if value.shape == weight.shape:
                fields[field] = torch.empty_like(weight).copy_(value)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise NenrinError(f"{path} is missing; use an earlier checkpoint") from None
    except (SafetensorError, ValueError) as error:
        raise NenrinError(f"{path} is damaged ({error}); use an earlier checkpoint") from None


def _flatten(optimizers: dict[str, Optimizer]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Optimizer states as `name/parameter/field` tensors, and the learning rates of their groups."""
    tensors, scalars = {}, {}
    for name, optimizer in optimizers.items():
        state = optimizer.state_dict()
        scalars[name] = [{"lr": group["lr"]} for group in state["param_groups"]]
        for index, fields in state["state"].items():
            for field, value in fields.items():
                tensors[f"{name}/{index}/{field}"] = torch.as_tensor(value)
    return _plain(tensors), scalars


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU and contiguous, as safetensors wants them."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}

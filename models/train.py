"""The one training loop, for every model."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from nenrin.domains.array import FaceArray, pack
from nenrin.domains.faceset import FaceSet
from nenrin.ground import NenrinError, UsageError, computes_bf16, seed_everything, track
from nenrin.models import checkpoint
from nenrin.models.config import TrainConfig, build, from_table
from nenrin.models.data import Batch, Sampler, conditions, load
from nenrin.models.run import Run
from nenrin.models.samples import write_grid, write_history

SAMPLE_FACES = 8


def train(config: TrainConfig, sets: Sequence[FaceSet], runs: Path) -> Path:
    """Train a fresh model on the `train` split of `sets`; returns the run folder, new under `runs`.

    Interrupted, it saves where it is and raises `KeyboardInterrupt`; `resume` goes on from there.
    """
    faces = pack(sets, size=config.model_config.size, splits=["train"])
    config.model_config.domains = faces.domains
    run = Run.create(runs, name="-".join(part for part in (config.model, config.label) if part))
    run.describe(config.as_table(), [str(s.path.resolve()) for s in sets], faces.ids)
    return _loop(config, faces, sets, run, start=None)


def resume(path: Path) -> Path:
    """Go on with a run from its newest checkpoint, exactly as it would have gone on."""
    run = Run.open(path)
    start = run.latest()
    config = from_table(checkpoint.read_state(start)["config"])
    sets = [FaceSet.open(Path(name)) for name in run.sets()]
    faces = pack(sets, size=config.model_config.size, splits=["train"])
    if run.faces() != faces.ids:
        raise UsageError(f"{path} was trained on other faces: its sets have changed since")
    return _loop(config, faces, sets, run, start=start)


def _loop(
    config: TrainConfig, faces: FaceArray, sets: Sequence[FaceSet], run: Run, start: Path | None
) -> Path:
    # Reproducibility, device and precision.
    if config.threads:
        torch.set_num_threads(config.threads)
    seed_everything(config.seed)
    fabric = Fabric(accelerator="auto", devices=1, precision=_precision(config))  # type: ignore[arg-type]

    # Model, optimizers, data.
    model = build(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = model.optimizers()
    step = 0
    if start is not None:
        checkpoint.load_nets(start, model.nets)
        step = int(checkpoint.read_state(start)["step"])
        run.rewind(step)
    for name, net in list(model.nets.items()):
        if name in optimizers:
            model.nets[name], optimizers[name] = fabric.setup(net, optimizers[name])
        else:
            model.nets[name] = net.to(fabric.device)
    model.train()
    sampler = Sampler(faces, batch=config.batch, seed=config.seed)
    shown = _shown(config, sets, faces, fabric.device)
    if start is not None:
        checkpoint.load_training(start, optimizers)  # last, as it sets the random state

    # Train.
    writer = SummaryWriter(str(run.path), purge_step=step)
    seen: dict[str, list[Tensor]] = {}
    began, began_step = time.perf_counter(), step
    with _interruptible() as interrupted, _prefetch(sampler, step) as batches, writer:
        for _ in track(range(step, config.steps), f"train {run.path.name}"):
            batch = next(batches).to(fabric.device)
            batch.images = batch.images.contiguous(memory_format=torch.channels_last)
            with fabric.autocast():
                losses = model.step(batch, optimizers, fabric.backward, step / config.steps)
            step += 1
            for name, value in losses.items():
                seen.setdefault(name, []).append(value)
            finished = step == config.steps or interrupted.is_set()

            # Log.
            if step % config.log_every == 0 or finished:
                row = {name: torch.stack(values).float().mean().item() for name, values in seen.items()}
                row["pictures_per_second"] = (
                    (step - began_step) * config.batch / (time.perf_counter() - began)
                )
                _check_finite(row, step, run)
                run.log({"step": step, "pictures": step * config.batch} | row)
                for name, scalar in row.items():
                    writer.add_scalar(name, scalar, step)
                seen = {}

            # Draw samples.
            if step % config.sample_every == 0 or finished:
                state = torch.get_rng_state()  # looking must not change what is trained
                write_grid(run.samples / f"{step:07d}.png", model, *shown)
                write_history(run.samples, len(shown[0]))
                torch.set_rng_state(state)

            # Save.
            if step % config.checkpoint_every == 0 or finished:
                state_row: dict[str, Any] = {"step": step, "config": config.as_table()}
                checkpoint.save(run.checkpoint(step), model.nets, optimizers, state_row)
                checkpoint.prune(run.checkpoints, config.keep_checkpoints)
            if interrupted.is_set():
                raise KeyboardInterrupt(f"stopped at step {step}; go on with --resume {run.path}")
    return run.path


def _precision(config: TrainConfig) -> str:
    """bf16 where the device computes in it, float32 elsewhere."""
    if config.precision != "auto":
        return config.precision
    fast = computes_bf16("cuda" if torch.cuda.is_available() else "cpu")
    return "bf16-mixed" if fast else "32-true"


def _shown(
    config: TrainConfig, sets: Sequence[FaceSet], faces: FaceArray, device: torch.device
) -> tuple[Any, Any]:
    """Faces for the sample grids, evenly from the domains: kept-back ones where the sets have any."""
    with suppress(UsageError):
        faces = pack(sets, size=config.model_config.size, splits=["val"])
    rng = np.random.default_rng(config.seed)
    each = max(SAMPLE_FACES // len(faces.domains), 1)
    rows = np.concatenate(
        [
            np.sort(rng.permutation(np.flatnonzero(faces.domain == domain))[:each])
            for domain in range(len(faces.domains))
        ]
    )
    images, _ = load(faces, rows, np.zeros(len(rows), bool))
    return images.to(device), conditions(faces, rows).to(device)


def _check_finite(row: dict[str, float], step: int, run: Run) -> None:
    strange = [name for name, value in row.items() if not np.isfinite(value)]
    if strange:
        healthy = checkpoint.list_checkpoints(run.checkpoints)
        last = healthy[-1] if healthy else "none was written"
        raise NenrinError(f"{strange[0]} is no longer finite at step {step}; last healthy checkpoint: {last}")


@contextmanager
def _prefetch(sampler: Sampler, step: int) -> Iterator[Iterator[Batch]]:
    """Batches from `step` on, the next one made while the current one is trained on."""

    def batches() -> Iterator[Batch]:
        coming, at = pool.submit(sampler.at, step), step
        while True:
            at += 1
            ready, coming = coming, pool.submit(sampler.at, at)
            yield ready.result()

    with ThreadPoolExecutor(1) as pool:
        yield batches()


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that a step is finished and saved; a second Ctrl-C stops at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    default = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, default)
        print("finishing this step and saving ...", file=sys.stderr)

    signal.signal(signal.SIGINT, stop)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, default)

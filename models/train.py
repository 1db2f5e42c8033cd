"""The one training loop, for every model."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from nenrin.domains.array import FaceArray, pack
from nenrin.domains.faceset import FaceSet
from nenrin.ground import NenrinError, UsageError, computes_bf16, seed_everything, track
from nenrin.models import checkpoint
from nenrin.models.base import FittedModel
from nenrin.models.condition import UNKNOWN
from nenrin.models.config import MODELS, TrainConfig, build, from_table
from nenrin.models.data import Batch, Sampler, conditions, load
from nenrin.models.parallel import World
from nenrin.models.run import LED_BY, Run, named, seen_by
from nenrin.models.samples import write_grid, write_history
from nenrin.models.watchdog import Fault, Watchdog

SAMPLE_FACES = 8


def train(config: TrainConfig, sets: Sequence[FaceSet], runs: Path) -> Path:
    """Train a fresh model on the `train` split of `sets`; returns the run folder, new under `runs`.

    Under `torchrun`, batches are larger by the number of processes, and each takes its part. If interrupted,
    it saves its state and raises `KeyboardInterrupt`; `resume` continues from there. Of a model that is
    fitted, not trained in steps, nothing is kept then.
    """
    world = World()
    if world.size > 1 and not MODELS[config.model][0].parallel:
        raise UsageError(f"{config.model} is trained in one process: leave torchrun out")
    faces = _pack(sets, config, world)
    config.model_config.domains = faces.domains
    name = "-".join(part for part in (config.model, config.label) if part)
    run = Run(world.share(Run.create(runs, name=name).path if world.first else runs))
    try:
        if world.first:
            where = [str(s.path.resolve()) for s in sets]
            run.describe(config.as_table(), where, faces.ids, _origins(config, faces, sets))
        if issubclass(MODELS[config.model][0], FittedModel):
            return _fit(config, faces, sets, run)
        return _loop(config, faces, sets, run, world, start=None)
    except BaseException:  # before the first step there is nothing worth keeping in the folder
        if world.first and not run.begun:
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def resume(path: Path) -> Path:
    """Continue a run from its newest checkpoint, exactly as if it had not stopped.

    Older checkpoints of several processes hold the first one's random state alone: the others draw anew.
    """
    world = World()
    run = Run.open(path)
    start = run.latest()
    state = checkpoint.read_state(start)
    config = from_table(state["config"])
    if issubclass(MODELS[config.model][0], FittedModel):
        return run.path  # its only checkpoint is its last
    processes = state.get("processes", world.size)  # older checkpoints do not say
    if processes != world.size:
        raise UsageError(
            f"{path} goes on with as many processes as it began with, {processes} and not {world.size}: "
            "other batches would make another run of it"
        )
    sets = [FaceSet.open(Path(name)) for name in run.sets()]
    faces = _pack(sets, config, world)
    if run.faces() != faces.ids:
        raise UsageError(f"{path} was trained on other faces: its sets have changed since")
    return _loop(config, faces, sets, run, world, start=start)


def _origins(config: TrainConfig, faces: FaceArray, sets: Sequence[FaceSet]) -> list[str]:
    """The faces learned from indirectly: see `Run.seen`."""
    ids = set(faces.ids)
    origins: set[str] = set()
    for each in sets:
        table = each.table(["id", "view"])
        views = zip(table["id"].to_pylist(), table["view"].to_pylist(), strict=True)
        origins |= {view for face, view in views if view is not None and face in ids}
    for key in LED_BY:
        for path in named(getattr(config.model_config, key, "")):
            origins |= set(seen_by(path))
    return sorted(origins - ids)


def _pack(sets: Sequence[FaceSet], config: TrainConfig, world: World) -> FaceArray:
    """The faces to train on; one process writes the array, the others map it."""
    if not world.first:
        world.wait()
    faces = pack(sets, size=config.model_config.size, splits=["train"])
    if world.first:
        world.wait()
    if MODELS[config.model][0].needs_pairs and (faces.view == UNKNOWN).all():
        raise UsageError(
            f"{config.model} learns from pairs of one view, and these sets have none: make some, with nenrin "
            "pairs RUN SET, where RUN is of --model guide, caae-change or mixed"
        )
    return faces


def _fit(config: TrainConfig, faces: FaceArray, sets: Sequence[FaceSet], run: Run) -> Path:
    seed_everything(config.seed)
    model = build(config)
    assert isinstance(model, FittedModel)
    began = time.perf_counter()
    try:
        row = model.fit(faces)
        run.log({"step": 1, "pictures": len(faces), "seconds": time.perf_counter() - began} | row)
        shown = _shown(config, sets, faces, torch.device("cpu"))
        write_grid(run.samples / f"{1:07d}.png", model, *shown)
        checkpoint.save(
            run.checkpoint(1), model.nets, {}, {"step": 1, "steps": 1, "config": config.as_table()}
        )
    except BaseException as error:  # a fit is not gone on with
        shutil.rmtree(run.path, ignore_errors=True)
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt("stopped before the fit was done; nothing is kept of it") from None
        raise
    return run.path


def _loop(
    config: TrainConfig,
    faces: FaceArray,
    sets: Sequence[FaceSet],
    run: Run,
    world: World,
    start: Path | None,
) -> Path:
    # Reproducibility, device and precision.
    if config.threads:
        torch.set_num_threads(config.threads)
    seed_everything(config.seed)
    # Fabric announces its precision on standard error; it is among the settings, where one can look it up.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator="auto",
        devices=[world.local_rank] if torch.cuda.is_available() else 1,
        precision=_precision(config),  # type: ignore[arg-type]
        plugins=LightningEnvironment(),  # several processes are `World`'s
    )

    # Model, optimizers, data.
    model = build(config)
    if start is None:
        model.begin()
    layout = torch.channels_last if model.channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)  # type: ignore[call-overload]
    optimizers = model.optimizers()
    batch_size = config.batch * world.size
    steps, step = max(config.pictures // batch_size, 1), 0
    if start is not None:
        checkpoint.load_nets(start, model.nets)
        step = int(checkpoint.read_state(start)["step"])
        if world.first:
            run.rewind(step)
    for optimizer in optimizers.values():
        world.average_gradients(optimizer)
    for name, net in list(model.nets.items()):
        if name in optimizers:
            model.nets[name], optimizers[name] = fabric.setup(net, optimizers[name])
        else:
            model.nets[name] = net.to(fabric.device)
    model.train()
    sampler = Sampler(faces, batch=batch_size, seed=config.seed)
    shown = _shown(config, sets, faces, fabric.device) if world.first else None
    watchdog = None
    if shown is not None and model.ages and config.watch_every and len(shown[0]) > 1:
        watchdog = Watchdog(*shown, optimizers, step or None)
    # Last, as it sets the random state.
    restored = start is not None and checkpoint.load_training(start, optimizers, world.rank)
    if not world.first and not restored:
        torch.manual_seed(config.seed + world.rank + step)  # else all processes would draw the same noise

    # Train.
    writer = SummaryWriter(str(run.path), purge_step=step) if world.first else None
    seen: dict[str, list[Tensor]] = {}
    began, began_step = time.perf_counter(), step
    with _interruptible() as interrupted, prefetch(sampler, step) as batches, writer or nullcontext():
        for _ in track(range(step, steps), f"train {run.path.name}"):
            batch = world.part_of(next(batches)).ready(fabric.device, layout)
            with fabric.autocast():
                losses = model.step(batch, optimizers, fabric.backward, step / steps)
            step += 1
            run.begun = True
            for name, value in losses.items():
                seen.setdefault(name, []).append(value)
            stop = world.any(interrupted.is_set())
            finished = step == steps or stop

            # Watch.
            row: dict[str, float] = {}
            if config.watch_every and step % config.watch_every == 0:
                end = None
                if watchdog is not None:
                    recent = _means(seen, last=config.watch_every)
                    look, fault = watchdog.look(model, optimizers, recent, step)
                    row |= look.scalars()
                    end = _explain(fault, step, run, watchdog.healthy_step) if fault else None
                if end := world.share(end):
                    if world.first:
                        run.stop(end)
                    raise NenrinError(end)

            # Log.
            if step % config.log_every == 0 or finished:
                names = list(seen)
                means = world.mean(torch.tensor(list(_means(seen).values())))
                row |= dict(zip(names, means.tolist(), strict=True))
                row["pictures_per_second"] = (step - began_step) * batch_size / (time.perf_counter() - began)
                seen = {}
                if writer is not None:
                    run.log({"step": step, "pictures": step * batch_size} | row)
                    for name, scalar in row.items():
                        writer.add_scalar(name, scalar, step)

            # Draw samples.
            if shown is not None and (step % config.sample_every == 0 or finished):
                state = torch.get_rng_state()  # looking must not change what is trained
                write_grid(run.samples / f"{step:07d}.png", model, *shown)
                write_history(run.samples, len(shown[0]))
                torch.set_rng_state(state)

            # Save.
            due = step % config.checkpoint_every == 0 or finished
            random = world.gather(checkpoint.random_state()) if due else []
            if world.first and due:
                state_row: dict[str, Any] = {
                    "step": step,
                    "steps": steps,
                    "processes": world.size,
                    "config": config.as_table(),
                }
                checkpoint.save(run.checkpoint(step), model.nets, optimizers, state_row, random)
                if watchdog is None or not watchdog.suspects:  # else the last healthy one may be the oldest
                    checkpoint.prune(run.checkpoints, config.keep_checkpoints)
            if stop:
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
    """Faces for the sample grids, evenly from the domains: held-out ones if the sets have any."""
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


def _means(seen: dict[str, list[Tensor]], last: int = 0) -> dict[str, float]:
    """The mean of each loss over its `last` values, or over all if `last` is 0."""
    return {name: torch.stack(values[-last:]).float().mean().item() for name, values in seen.items()}


def _explain(fault: Fault, step: int, run: Run, healthy: int | None) -> str:
    """The last line of a collapsed run: what is wrong, since when, and which checkpoint to go back to."""
    saved = checkpoint.list_checkpoints(run.checkpoints)
    last = max((path for path in saved if int(path.name) <= (healthy or -1)), default="none was written")
    return f"collapsed at step {step} ({fault.name}): {fault.explanation}; last healthy checkpoint: {last}"


@contextmanager
def prefetch(sampler: Sampler, step: int) -> Iterator[Iterator[Batch]]:
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

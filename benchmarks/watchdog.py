"""Eight ways to collapse, and three runs that do not: python benchmarks/watchdog.py [--size S] [--width W]

A small CAAE trains on drawn people until it is well. From its checkpoint it goes on eight times, each time
with one thing broken; the table says what the watchdog called it, after how many steps, and what watching
costs. Each fault is a real training that really collapses.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from nenrin.domains.face import Face
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.twins import build_twins, sample_people
from nenrin.ground import NenrinError, write_text
from nenrin.models.config import resolve
from nenrin.models.run import Run
from nenrin.models.train import resume, train

WELL = 400  # steps after which the run is broken
LIMIT = 500  # steps within which it must be noticed
Faces = Iterator[Face]
Tensors = dict[str, torch.Tensor]


def forget_ages(faces: Faces) -> Faces:
    """Nobody's age is known."""
    return (dataclasses.replace(face, age=None, age_source=None) for face in faces)


def kill_encoder(tensors: Tensors) -> None:
    """The units of a layer die: they answer -1 to everything, and ReLU lets nothing through."""
    tensors["encoder.body.4.weight"].zero_()
    tensors["encoder.body.4.bias"].fill_(-1)


def kill_discriminator(tensors: Tensors) -> None:
    """Likewise, and what follows answers "half and half" to everything."""
    tensors["picture_discriminator.rest.7.weight"].zero_()
    tensors["picture_discriminator.rest.7.bias"].fill_(-1)
    tensors["picture_discriminator.head.2.weight"].zero_()
    tensors["picture_discriminator.head.2.bias"].zero_()


def silence_age(tensors: Tensors) -> None:
    """The generator does not listen where the age is said: columns 50 to 99, after z."""
    tensors["generator.from_latent.weight"][:, 50:100] = 0


def silence_both(tensors: Tensors) -> None:
    """Neither the face nor the age reaches the generator."""
    kill_encoder(tensors)
    silence_age(tensors)


@dataclasses.dataclass(kw_only=True, slots=True)
class Case:
    """One thing broken, and what the watchdog should call it."""

    fault: str
    settings: dict[str, object] = dataclasses.field(default_factory=dict)
    rates: dict[str, float] = dataclasses.field(default_factory=dict)  # net -> learning rate
    nets: Callable[[Tensors], None] | None = None
    data: Callable[[Faces], Faces] | None = None

    def __str__(self) -> str:
        words = [f"{key}={value}" for key, value in self.settings.items()]
        words += [f"learning rate of {net} {rate:g}" for net, rate in self.rates.items()]
        words += [what.__name__.replace("_", " ") for what in (self.nets, self.data) if what is not None]
        return ", ".join(words)


NETS = ("encoder", "generator", "picture_discriminator", "latent_discriminator")
CASES = (
    Case(fault="learning rate", rates=dict.fromkeys(NETS, 0.1)),
    Case(fault="adversary too strong", settings={"picture_adversary": 30.0}),
    Case(fault="one colour", settings={"variation": 100.0}),
    Case(fault="ignored age", nets=silence_age, data=forget_ages),
    Case(fault="ignored input", nets=kill_encoder),
    Case(fault="dead discriminator", nets=kill_discriminator),
    Case(fault="not finite", settings={"precision": "bf16-mixed"}, rates=dict.fromkeys(NETS, 1e18)),
    Case(fault="all faces alike", nets=silence_both, data=forget_ages),
)


def break_run(run: Run, case: Case, folder: Path, *, steps: int) -> Run:
    """A copy of the run, to be gone on with from its newest checkpoint to `steps`, with one thing broken."""
    copy = folder / case.fault.replace(" ", "-") / "run"
    shutil.copytree(run.path, copy)
    broken = Run.open(copy)
    file = broken.latest() / "state.json"
    state = json.loads(file.read_text(encoding="utf-8"))
    state["config"] |= case.settings | {"pictures": steps * state["config"]["batch"]}
    for net, rate in case.rates.items():
        state["optimizers"][net] = [{"lr": rate}]
    write_text(file, json.dumps(state))
    if case.nets is not None:
        file = broken.latest() / "nets.safetensors"
        tensors = load_file(file)
        case.nets(tensors)
        save_file(tensors, file)
    if case.data is not None:
        (path,) = run.sets()
        whole = FaceSet.open(Path(path))
        meta = whole.meta
        with SetWriter(copy.parent / "set", name="broken", size=meta.size, domains=meta.domains) as writer:
            for face in case.data(whole.faces()):
                writer.add(face)
        file = copy / "environment.json"
        write_text(file, json.dumps(json.loads(file.read_text()) | {"sets": [str(copy.parent / "set")]}))
    return broken


def main() -> None:
    """Print one line for each run: what was broken, what the watchdog said, after how many steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--only", nargs="*", help="faults to provoke, by name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    common = [f"size={options.size}", "batch=8", "log_every=50", "checkpoint_every=100", "sample_every=10000"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        people = sample_people(options.people, seed=0)
        sets = build_twins(
            folder / "photo",
            folder / "manga",
            people=people,
            ages_per_person=6,
            size=options.size,
            seed=0,
            workers=0,
        )[:1]
        small = [*common, f"width={options.width}"]
        began = time.perf_counter()
        well = Run.open(train(resolve("caae", None, [*small, f"pictures={WELL * 8}"]), sets, folder / "runs"))
        print(
            f"the run that is broken below: {WELL} steps in {time.perf_counter() - began:.0f} s", flush=True
        )
        for case in CASES:
            if options.only and case.fault not in options.only:
                continue
            run = break_run(well, case, folder, steps=WELL + LIMIT)
            try:
                resume(run.path)
                said = "nothing"
            except NenrinError as error:
                said = str(error)
            last = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1])
            found = re.search(r"at step (\d+) \((.*?)\)", said)
            right = found is not None and found[2] == case.fault and said.endswith(f"{WELL:07d}")
            steps = int(found[1]) - WELL if found else LIMIT
            print(
                f"{'ok  ' if right else 'MISS'} {case.fault} [{case}]: after {steps} steps: {said}",
                flush=True,
            )
            if not right:
                print({key: round(value, 4) for key, value in last.items()}, flush=True)
        if options.only and "healthy" not in options.only:
            return
        means = train(resolve("prototypes", None, [f"size={options.size}", "views=0"]), sets, folder / "runs")
        first = f"prototypes=1.6 means={means}".split()
        for model, words in (
            ("caae", [*small, "weighting=code"]),
            ("caae", [*small, "weighting=paper"]),
            ("mixed", [*common, "width=8"]),
            ("mixed", [*common, "width=8", *first, "net_ages=true"]),
            ("mixed", [*common, "width=8", *first, "net_ages=false"]),
        ):
            run = Run.open(
                train(resolve(model, None, [*words, f"pictures={(WELL + LIMIT) * 8}"]), sets, folder / "runs")
            )
            rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
            least = {
                key: round(min(row[key] for row in rows[3:]), 3)
                for key in ("watch/contrast", "watch/entropy", "watch/spread", "watch/response")
            }
            print(
                f"ok   healthy {model} {words[-1]}: {WELL + LIMIT} steps, no alarm; least {least}", flush=True
            )


if __name__ == "__main__":
    main()

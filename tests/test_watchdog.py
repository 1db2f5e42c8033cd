"""The watchdog: trainings that really collapse are stopped and explained; a healthy one is left alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from benchmarks.watchdog import CASES, Case, break_run
from nenrin.domains.twins import build_twins, sample_people
from nenrin.ground import NenrinError
from nenrin.models.condition import Condition
from nenrin.models.config import build, resolve
from nenrin.models.run import Run
from nenrin.models.train import resume, train
from nenrin.models.watchdog import STILL, Watchdog

WELL, LIMIT = 160, 100  # steps
SMALL = ["size=32", "width=0.0625", "batch=4", "threads=1", "precision=32-true", "learning_rate=1e-3"]


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small CAAE that has learned what faces are, watched all along, and no alarm."""
    folder = tmp_path_factory.mktemp("watchdog")
    sets = build_twins(
        folder / "photo",
        folder / "manga",
        people=sample_people(24, seed=0),
        ages_per_person=4,
        size=32,
        seed=0,
        workers=0,
    )
    often = ["watch_every=10", "log_every=10", f"checkpoint_every={WELL // 2}", f"pictures={WELL * 4}"]
    return Run.open(train(resolve("caae", None, [*SMALL, *often]), sets[:1], folder / "runs"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_a_collapse_is_stopped_and_explained(case: Case, well: Run, tmp_path: Path) -> None:
    broken = break_run(well, case, tmp_path, steps=WELL + LIMIT)
    with pytest.raises(NenrinError) as stopped:
        resume(broken.path)
    said = str(stopped.value)
    found = re.fullmatch(r"collapsed at step (\d+) \((.*?)\): .*; last healthy checkpoint: (.*)", said)
    assert found is not None, said
    assert found[2] == case.fault, said
    assert Path(found[3]) == broken.checkpoint(WELL)


def test_a_healthy_run_shows_what_was_seen(well: Run) -> None:
    rows = [json.loads(line) for line in (well.path / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == WELL
    assert rows[-1]["watch/spread"] > 0.2
    assert rows[-1]["watch/error"] < rows[0]["watch/error"]


def test_a_fault_that_passes_is_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(resolve("caae", None, SMALL))
    optimizers = model.optimizers()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    source = Condition.of(4, domains=("photo",), age=30)
    dog = Watchdog(images, source, optimizers, healthy_step=5)
    # An untrained CAAE answers grey to everything: that is a fault, but one look is not enough.
    _, fault = dog.look(model, optimizers, {"reconstruction": 0.5}, 10)
    assert fault is None
    assert dog.suspects
    assert dog.healthy_step == 5
    monkeypatch.setattr(model, "preview", lambda faces, *_: faces * torch.rand(1))
    assert dog.look(model, optimizers, {"reconstruction": 0.5}, 20)[1] is None
    assert not dog.suspects
    assert dog.healthy_step == 20


def test_a_lost_number_is_an_alarm_at_once() -> None:
    model = build(resolve("caae", None, SMALL))
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    dog = Watchdog(images, Condition.of(4, domains=("photo",), age=30), model.optimizers())
    state = torch.get_rng_state()
    _, fault = dog.look(model, model.optimizers(), {"reconstruction": float("nan")}, 10)
    assert fault is not None
    assert "reconstruction is no longer a finite number" in fault.explanation
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


def test_an_ager_that_begins_by_doing_nothing_is_given_time() -> None:
    """A mixed ager leaves faces alone at first: no alarm, until it should have begun to age them."""
    model = build(resolve("mixed", None, ["size=32", "width=8"]))
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    dog = Watchdog(images, Condition.of(4, domains=("photo",), age=30, glasses="none"), model.optimizers())
    early = [dog.look(model, model.optimizers(), {}, step)[1] for step in range(100, 1100, 100)]
    assert early == [None] * 10
    late = [dog.look(model, model.optimizers(), {}, step)[1] for step in range(STILL, STILL + 500, 100)]
    assert late[-1] is not None
    assert late[-1].name == "ignored age"


def test_a_net_that_changes_glasses_alone_is_watched_too() -> None:
    model = build(resolve("mixed", None, ["size=32", "width=8", "prototypes=1.0", "net_ages=false"]))
    with torch.no_grad():
        model.nets["average"].net.head[2].bias.fill_(9)  # type: ignore[union-attr, operator, index]
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    known = Condition.of(4, domains=("photo",), age=30, glasses="none", gender="male")
    dog = Watchdog(images, known, model.optimizers(), healthy_step=5)
    faults = [dog.look(model, model.optimizers(), {}, step)[1] for step in (10, 20, 30)]
    assert faults[-1] is not None
    assert faults[-1].name == "one colour"

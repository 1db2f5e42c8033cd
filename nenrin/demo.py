"""The whole story on fictional people: draw, build, train, age, score."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from nenrin.domains.face import GLASSES
from nenrin.domains.faceset import FaceSet
from nenrin.domains.twins import build_twins, draw, sample_people, sample_views
from nenrin.eval.suite import evaluate
from nenrin.ground import UsageError, write_text
from nenrin.models.ager import Ager
from nenrin.models.config import resolve
from nenrin.models.run import Run
from nenrin.models.train import train
from nenrin.pictures import draw_strip, write_picture

SIZE = 64  # pixels: what two cores can train in minutes
PEOPLE = 600
AGES_EACH = 8
SHORT = ("batch=8",)  # a short training needs many steps
ASKED = (5.0, 15.0, 30.0, 50.0, 75.0)  # years
UNSEEN_SEED = 1_000_003  # added to the demo's seed, for people whom no training drew
_MARK = ".nenrin-demo"  # marks a folder that may be emptied


def demo(out: Path, *, minutes: float, seed: int) -> Path:
    """Write sets, a run, strips and a report into `out`, and return the report.

    `minutes` bounds the training. A folder of an earlier demo is replaced, any other refused unless empty.
    """
    _claim(out)

    _say(1, f"drawing {PEOPLE} people at {AGES_EACH} ages, as photographs and as manga")
    people = sample_people(PEOPLE, seed=seed)
    sets = build_twins(
        out / "sets" / "photo",
        out / "sets" / "manga",
        people=people,
        ages_per_person=AGES_EACH,
        size=SIZE,
        seed=seed,
    )

    _say(2, f"training the mixed ager on both for {minutes:g} minutes")
    settings = [f"size={SIZE}", f"seed={seed}", "label=demo", *SHORT]
    pictures = max(int(minutes * 60 * _speed(settings, sets)), 1)
    config = resolve("mixed", None, [*settings, f"pictures={pictures}"])
    run = train(config, sets, out / "runs")

    _say(3, "ageing people it has not seen")
    ager = Ager.load(run)
    for name, picture, face in _unseen(seed):
        for strip in ager.age(picture, ASKED, face=face):
            captions = ["input", *(f"{age:g}" for age in strip.outputs)]
            row = draw_strip([strip.input, *strip.outputs.values()], captions)
            write_picture(row, out / "faces" / f"{name}_strip.png")

    _say(4, "scoring it: is the age right, is it still the same person, how near is the truth?")
    evaluate(
        [ager],
        sets,
        ["canon", "twins", "ages"],
        out / "report",
        people=32,
        judge_epochs=6,
        seed=seed,
        trained_on={ager.name: Run.open(run).seen()},
        cache=out / "cache",
        command="nenrin demo",
    )
    return out / "report" / "report.html"


def _claim(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        if not (out / _MARK).is_file():
            raise UsageError(f"{out} is not empty and not of an earlier demo: name another folder with -o")
        shutil.rmtree(out)
    write_text(out / _MARK, "nenrin demo may empty this folder\n")


def _say(step: int, what: str) -> None:
    print(f"{step}/4 {what}", file=sys.stderr)


def _speed(settings: list[str], sets: tuple[FaceSet, FaceSet]) -> float:
    """This machine's training speed in pictures a second, measured on a throwaway training."""
    with tempfile.TemporaryDirectory() as folder:
        short = resolve("mixed", None, [*settings, "pictures=320", "log_every=10"])
        run = train(short, sets, Path(folder))
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return float(rows[-1]["pictures_per_second"])


def _unseen(seed: int) -> list[tuple[str, Image.Image, str]]:
    """(name, picture, value of `face` for `Ager.age`): four new people in each domain, and the astronaut."""
    people = sample_people(4, seed=seed + UNSEEN_SEED)
    views = sample_views(4, seed=seed + UNSEEN_SEED)
    glasses = np.array([GLASSES.index("none"), GLASSES.index("clear")] * 2)
    ages = np.array([8, 20, 35, 60])
    shown = []
    for domain in ("photo", "manga"):
        drawn = draw(people, ages, domain=domain, glasses=glasses, views=views, size=SIZE)
        shown += [(f"{domain}-{i}", Image.fromarray(face), "whole") for i, face in enumerate(drawn.images, 1)]
    return [*shown, ("astronaut", Image.fromarray(data.astronaut()), "find")]  # type: ignore[no-untyped-call]

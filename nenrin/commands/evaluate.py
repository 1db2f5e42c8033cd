"""`nenrin eval`: score runs on people they never saw."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson
from nenrin.commands.rows import tell
from nenrin.commands.words import choose_many
from nenrin.ground import UsageError, waiting

if TYPE_CHECKING:
    from nenrin.models.run import Run


def evaluate(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Run folders, or checkpoints in them.", autocompletion=complete.runs
        ),
    ],
    sets: Annotated[
        list[Path], typer.Option("--set", help="A set to score on; repeatable.", autocompletion=complete.sets)
    ],
    protocol: Annotated[
        str,
        typer.Option(
            help="all, or canon, ages, glasses ...", autocompletion=complete.several(*complete.PROTOCOLS)
        ),
    ] = "ages,twins",
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the report.")] = Path("reports/eval"),
    embedder: Annotated[
        list[str] | None,
        typer.Option(
            help="pixels, facenet, FILE.onnx ...", autocompletion=complete.words(*complete.EMBEDDERS)
        ),
    ] = None,
    perceptual: Annotated[
        str,
        typer.Option(
            help="auto, lpips-alex, lpips-vgg ...",
            show_default=False,
            autocompletion=complete.words(*complete.PERCEPTUALS),
        ),
    ] = "auto",
    features: Annotated[
        str,
        typer.Option(
            help="Of KID: auto, inception, clip.",
            show_default=False,
            autocompletion=complete.words(*complete.FEATURES),
        ),
    ] = "auto",
    pictures: Annotated[Path | None, typer.Option(help="Of characters, for canon.")] = None,
    manifest: Annotated[list[Path] | None, typer.Option(help="Your own characters (TOML).")] = None,
    people: Annotated[int, typer.Option(min=2, help="How many people of each domain.")] = 160,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score agers on people they never saw.

    Each score stands beside its floor and ceiling. Writes report.html, metrics.json, scores.csv.

    Example: nenrin eval runs/00001-mixed --set data/sets/photo --protocol ages,longitudinal -o reports/first
    """
    from nenrin.domains.faceset import FaceSet
    from nenrin.eval.bench import CanonOptions
    from nenrin.eval.suite import ALL, PROTOCOLS
    from nenrin.eval.suite import evaluate as score

    asked = choose_many(protocol, [*PROTOCOLS, ALL], "--protocol")
    if not asked:
        raise UsageError(f"--protocol names no question; known: {', '.join(PROTOCOLS)}, {ALL}")
    faces = [FaceSet.open(path) for path in sets]

    from nenrin.models.ager import Ager
    from nenrin.models.run import Run

    usable, notes = _usable(runs)
    with waiting("opening the agers"):
        agers = [Ager.load(path) for path in usable]
    homes = {a.name: Run.open(_home(path)) for a, path in zip(agers, usable, strict=True)}
    evaluation = score(
        agers,
        faces,
        asked,
        out,
        embedders=embedder or (),
        perceptual=perceptual,
        features=features,
        canon=CanonOptions(pictures=pictures, manifests=manifest or ()),
        people=people,
        seed=seed,
        trained_on={name: run.seen() for name, run in homes.items()},
        seeds=_seeds(homes),
        notes=notes,
        command=shlex.join(["nenrin", *sys.argv[1:]]),
    )
    for note in [*evaluation.notes, *(note for result in evaluation.results for note in result.notes)]:
        print(f"nenrin: {note}", file=sys.stderr)
    tell(as_json, evaluation.rows(), f"The report: {out / 'report.html'}")


def _home(path: Path) -> Path:
    """The run that a run folder or a checkpoint folder belongs to."""
    inside = (path / "state.json").is_file() and path.parent.name == "checkpoints"
    return path.parent.parent if inside else path


def _usable(runs: list[Path]) -> tuple[list[Path], list[str]]:
    """The runs that have a checkpoint, and a line for each that has none yet or is still training.

    Where none has one, the first of them says so itself when it is loaded.
    """
    from nenrin.models import checkpoint
    from nenrin.models.run import Run

    usable, notes = [], []
    for path in runs:
        if path != _home(path):
            usable.append(path)
            continue
        try:
            state = checkpoint.read_state(Run.open(path).latest())
        except UsageError as error:
            if len(runs) == 1 or not (path / "config.toml").is_file():
                raise
            notes.append(f"left out: {error}")
            continue
        usable.append(path)
        step = int(state["step"])
        steps = int(state.get("steps", step))  # older checkpoints do not say
        if step < steps:
            notes.append(
                f"{path.name} is scored at step {step:,} of {steps:,}: it has not trained to its end"
            )
    if not usable:
        raise UsageError("no run has a checkpoint yet: let them train longer")
    return usable, notes


def _seeds(runs: dict[str, Run]) -> dict[str, str]:
    """Names for the trainings that were given with several seeds: run -> what they share."""
    from nenrin.ground import read_toml

    keys = {}
    for name, run in runs.items():
        config = read_toml(run.path / "config.toml")
        config.pop("seed", None)
        shared = "-".join(str(config[key]) for key in ("model", "label") if config.get(key))
        keys[name] = (repr(sorted(config.items())), shared or name)
    often = Counter(keys.values())
    return {name: key[1] for name, key in keys.items() if often[key] > 1}

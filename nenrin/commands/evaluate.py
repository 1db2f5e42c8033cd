"""`nenrin eval`: score runs on people they never saw."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson, Finder
from nenrin.commands.rows import tell
from nenrin.commands.words import choose_many
from nenrin.ground import NenrinError, UsageError, waiting

if TYPE_CHECKING:
    from nenrin.models.ager import Ager


def evaluate(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run folders, checkpoints in them, exported folders.",
            autocompletion=complete.runs,
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
            help="pixels, mtcnn, facenet, FILE.onnx ...", autocompletion=complete.words(*complete.EMBEDDERS)
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
    finder: Finder = "auto",
    people: Annotated[int, typer.Option(min=2, help="How many people of each domain.")] = 160,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score agers on people they never saw.

    Each score stands beside its floor and ceiling. Writes report.html, metrics.json, scores.csv.

    Example: nenrin eval runs/00001-mixed --set data/sets/photo --protocol ages,longitudinal -o reports/first
    """
    from nenrin.domains.faceset import FaceSet
    from nenrin.domains.finders import check_finder
    from nenrin.eval.bench import CanonOptions
    from nenrin.eval.suite import ALL, PROTOCOLS
    from nenrin.eval.suite import evaluate as score

    asked = choose_many(protocol, [*PROTOCOLS, ALL], "--protocol")
    if not asked:
        raise UsageError(f"--protocol names no question; known: {', '.join(PROTOCOLS)}, {ALL}")
    check_finder(finder)
    faces = [FaceSet.open(path) for path in sets]

    from nenrin.models.run import seen_by

    with waiting("opening the agers"):
        usable, notes = _usable(runs)
    homes = {ager.name: path for ager, path in usable}
    evaluation = score(
        [ager for ager, _ in usable],
        faces,
        asked,
        out,
        embedders=embedder or (),
        perceptual=perceptual,
        features=features,
        canon=CanonOptions(pictures=pictures, manifests=manifest or (), finder=finder),
        people=people,
        seed=seed,
        trained_on={name: seen_by(path) for name, path in homes.items()},
        seeds=_seeds(homes),
        notes=notes,
        command=shlex.join(["nenrin", *sys.argv[1:]]),
    )
    for note in [*evaluation.notes, *(note for result in evaluation.results for note in result.notes)]:
        print(f"nenrin: {note}", file=sys.stderr)
    tell(as_json, evaluation.rows(), f"The report: {out / 'report.html'}")


def _usable(runs: list[Path]) -> tuple[list[tuple[Ager, Path]], list[str]]:
    """The runs that can be scored, and a line for each other one or that is still training.

    Left out is what has no checkpoint yet or a damaged one, or does not say what it learned from; alone,
    that is an error.
    """
    from nenrin.models import checkpoint
    from nenrin.models.ager import Ager
    from nenrin.models.run import nets_of, run_of, seen_by

    usable, notes = [], []
    for path in runs:
        try:
            state = checkpoint.read_state(nets_of(path))
            seen_by(path)
            ager = Ager.load(path)
        except NenrinError as error:
            known = (path / "config.toml").is_file() or (path / "state.json").is_file()
            if len(runs) == 1 or not known:  # a slip of the pen is not passed over
                raise
            notes.append(f"left out: {error}")
            continue
        usable.append((ager, path))
        if path != run_of(path):  # a checkpoint that was named is wanted as it is, beside others of its run
            ager.name = f"{ager.name}@{int(path.name)}"
            continue
        step = int(state.get("step", 0))  # an exported folder does not say
        steps = int(state.get("steps", step))  # older checkpoints do not say
        if step < steps:
            notes.append(
                f"{path.name} is scored at step {step:,} of {steps:,}: it has not trained to its end"
            )
    if not usable:
        raise UsageError(f"none of these runs can be scored: {'; '.join(notes)}")
    return usable, notes


def _seeds(runs: dict[str, Path]) -> dict[str, str]:
    """Names for the trainings that were given with several seeds: run -> what they share."""
    from nenrin.models.run import run_of

    alike: dict[tuple[str, str], list[str]] = {}
    for name, path in runs.items():
        if (run_of(path) / "config.toml").is_file():  # an exported folder forgets its seed
            alike.setdefault(_nets(path), []).append(name)
    shared: dict[str, str] = {}
    for names in alike.values():
        if len(names) > 1:
            recipe = _recipe(run_of(runs[names[0]]))
            word = "-".join(str(recipe[key]) for key in ("model", "label") if recipe.get(key))
            shared |= dict.fromkeys(names, names[0] if word in shared.values() else word)
    return shared


def _recipe(run: Path) -> dict[str, Any]:
    """All that a training was told but its seed, also of the runs that it started from or was led by."""
    from nenrin.ground import read_toml
    from nenrin.models.run import LED_BY, Run, named

    recipe = read_toml(run / "config.toml")
    recipe.pop("seed", None)
    recipe["sets"] = Run.open(run).sets()
    for key in LED_BY:
        if key in recipe:
            recipe[key] = [_nets(other) for other in named(recipe[key])]
    return recipe


def _nets(path: Path) -> tuple[str, str]:
    """The recipe of the nets' run and, of a checkpoint that is named, its step; of exported ones the path."""
    from nenrin.models.run import run_of

    run = run_of(path)
    if not (run / "config.toml").is_file():
        return str(path), ""
    return repr(sorted(_recipe(run).items())), path.name if path != run else ""

"""`nenrin eval`: score runs on people they never saw."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from nenrin.commands.words import choose_many
from nenrin.ground import UsageError


def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders, or checkpoints in them.")],
    sets: Annotated[list[Path], typer.Option("--set", help="A set to score on; give it more than once.")],
    protocol: Annotated[str, typer.Option(help="Questions: ages, longitudinal, twins.")] = "ages,twins",
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the report.")] = Path("reports/eval"),
    embedder: Annotated[
        list[str] | None, typer.Option(help="twins, pixels, facenet or FILE.onnx; more than once.")
    ] = None,
    perceptual: Annotated[str, typer.Option(help="auto, lpips-alex, unweighted-mtcnn ...")] = "auto",
    people: Annotated[int, typer.Option(min=2, help="How many people of each domain.")] = 160,
    seed: Annotated[int, typer.Option(help="Of the bootstrap and of every draw.")] = 0,
) -> None:
    """Score agers on people they never saw.

    Each score stands beside its floor and ceiling, with an interval. Writes report.html and metrics.json.

    Example: nenrin eval runs/00001-mixed --set data/sets/photo --protocol ages,longitudinal -o reports/first
    """
    from nenrin.domains.faceset import FaceSet
    from nenrin.eval.suite import PROTOCOLS
    from nenrin.eval.suite import evaluate as score

    asked = choose_many(protocol, PROTOCOLS, "--protocol")
    if not asked:
        raise UsageError(f"--protocol names no question; known: {', '.join(PROTOCOLS)}")
    faces = [FaceSet.open(path) for path in sets]

    from nenrin.models.ager import Ager
    from nenrin.models.run import Run

    agers = [Ager.load(path) for path in runs]
    homes = [path.parent.parent if (path / "state.json").is_file() else path for path in runs]
    evaluation = score(
        agers,
        faces,
        asked,
        out,
        embedders=embedder or (),
        perceptual=perceptual,
        people=people,
        seed=seed,
        trained_on={ager.name: Run.open(home).faces() for ager, home in zip(agers, homes, strict=True)},
        command=shlex.join(["nenrin", *sys.argv[1:]]),
    )
    for result in evaluation.results:
        for note in result.notes:
            print(f"nenrin: {note}", file=sys.stderr)
    typer.echo(f"The report: {out / 'report.html'}")

"""`nenrin eval`: score runs on people they never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders or checkpoints.")],
    sets: Annotated[list[Path], typer.Option("--set", help="A set to score on; give it more than once.")],
    protocol: Annotated[str, typer.Option(help="Which questions, separated by commas.")] = "ages",
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the report.")] = Path("reports/eval"),
    seed: Annotated[int, typer.Option(help="Of the bootstrap and of every draw.")] = 0,
) -> None:
    """Score agers on people they never saw.

    Each score stands beside its floor and ceiling, with an interval. Writes report.html and metrics.json.

    Example: nenrin eval runs/00001-mixed --set data/sets/photo --protocol ages,longitudinal -o reports/first
    """

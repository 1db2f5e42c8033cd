"""`nenrin train`: sets in, a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson
from nenrin.commands.rows import tell
from nenrin.commands.words import check_once, split_overrides
from nenrin.ground import UsageError


def train(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SET|key=value", help="Sets, and settings of the run.", autocompletion=complete.sets
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="mixed if not said; caae, caae-change, age-cgan, prototypes, guide.",
            autocompletion=complete.words(*complete.MODELS),
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Settings in a TOML file.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where run folders go.")] = Path("runs"),
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with this run, exactly, on its sets.", autocompletion=complete.runs),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print every setting and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train an ager on one or more sets.

    Writes a run folder with the settings, samples, metrics and checkpoints.

    Example: nenrin train data/sets/photo data/sets/manga --model prototypes size=64 -o runs
    """
    sets, settings = split_overrides(words or ())
    check_once(sets)
    if resume is not None:
        if sets or settings or model or config:
            raise UsageError("--resume goes on exactly as the run began: give no set and no setting with it")
        from nenrin.models.train import resume as go_on

        run = go_on(resume)
        tell(as_json, [{"run": str(run)}], f"The run: {run}")
        return

    from nenrin.models.config import resolve

    resolved = resolve(model, config, settings)
    if dry_run:
        import tomli_w

        tell(as_json, [resolved.as_table()], tomli_w.dumps(resolved.as_table()).rstrip())
        return
    if not sets:
        raise UsageError("no set to train on: name at least one, as in nenrin train sets/photo --model caae")

    from nenrin.domains.faceset import FaceSet
    from nenrin.models.train import train as start

    run = start(resolved, [FaceSet.open(path) for path in sets], out)
    tell(as_json, [{"run": str(run)}], f"The run: {run}")

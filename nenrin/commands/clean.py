"""`nenrin clean`: which faces of a set a person should look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson
from nenrin.commands.rows import tell
from nenrin.commands.words import check_once, split_overrides
from nenrin.ground import UsageError, counted

if TYPE_CHECKING:
    from nenrin.domains.clean import Embed


def clean(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SET...",
            help="Sets, and limits of checks as in blurred=1e-4.",
            autocompletion=complete.sets,
        ),
    ],
    review: Annotated[float, typer.Option(help="Share of the faces to show a person, worst first.")] = 0.02,
    drop: Annotated[float, typer.Option(help="Leave out unasked what scores below this.")] = 1e-6,
    again: Annotated[bool, typer.Option("--again", help="Compute all scores anew.")] = False,
    embedder: Annotated[
        str | None, typer.Option(help="FILE.onnx of a face embedder, to judge labels by as well.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score every face, and mark those that a person should look at.

    Scores, verdicts and reasons go into the set. Minutes the first time; with other thresholds, seconds.
    CHECK=LIMIT shows all that score below a limit, 0 switches a check off. Clean a project's sets together.

    Example: nenrin clean data/sets/photo data/sets/manga --review 0.02 wrong_gender=0
    """
    sets, settings = split_overrides(words)
    check_once(sets)
    limits = dict(_limit(word) for word in settings)

    from nenrin.domains.checks.verdicts import Thresholds
    from nenrin.domains.clean import clean as clean_sets

    thresholds = Thresholds(review=review, drop=drop, limits=limits)
    embed = None if embedder is None else embedding(embedder)
    report = clean_sets(sets, thresholds=thresholds, again=again, embed=embed)
    kept, shown, dropped = (report.verdicts[verdict] for verdict in ("keep", "review", "drop"))
    row = {
        "sets": [str(path) for path in sets],
        "faces": report.faces,
        "keep": kept,
        "review": shown,
        "drop": dropped,
        "reasons": dict(report.reasons.most_common()),
    }
    faces = counted(report.faces, "face")
    said = f"{faces}: {kept} kept, {shown} to look at, {dropped} left out unless you keep them"
    tell(
        as_json,
        [row],
        said if report.computed else f"{said} (scores as computed before)",
        *(f"  {count:6d}  {reason}" for reason, count in report.reasons.most_common()),
        *(f"Look at them with: nenrin review {path}" for path in sets),
    )


def embedding(spec: str) -> Embed:
    """What `nenrin.domains.clean` asks an embedder by, from a word or file as `nenrin eval` takes it."""
    import numpy as np
    import torch

    from nenrin.eval.identity import embedder

    net = embedder(spec)
    return lambda pixels: net.embed(
        torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    ).numpy()


def _limit(word: str) -> tuple[str, float]:
    name, _, text = word.partition("=")
    try:
        return name, float(text)
    except ValueError:
        raise UsageError(f"a limit is a check and a share, as in blurred=1e-4; not {word!r}") from None

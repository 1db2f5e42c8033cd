"""`nenrin build`: raw pictures in, a set of aligned, labelled, split faces out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections import Counter


def build(
    raw: Annotated[
        list[str], typer.Argument(metavar="RAW", help="Folders of pictures; KIND:FOLDER names the layout.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The set to write.")],
    domain: Annotated[str | None, typer.Option(help="What they show: photo ...")] = None,
    size: Annotated[int, typer.Option(min=16, help="Pixels of a face's side.")] = 256,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 uses none but this one.")] = 2,
    finder: Annotated[
        str, typer.Option(help="auto, nenrin, mtcnn, FILE, or nominal: crops as they are.")
    ] = "auto",
    split: Annotated[str | None, typer.Option(help="Put all faces into it: train, val, judge, test.")] = None,
    splits_from: Annotated[Path | None, typer.Option(help="Keep people where this set has them.")] = None,
    points_from: Annotated[Path | None, typer.Option(help="Points of the same pictures, undrawn.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take this many pictures, at random.")] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Work on a Ray cluster: HOST:PORT, auto, local.")
    ] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Score them too: nenrin clean.")] = False,
) -> None:
    """Make a set of faces out of raw pictures.

    Faces are found, aligned, cleaned, labelled and split; what is set aside stays in the set with its reason.

    Example: nenrin build raw/utkface raw/fgnet -o data/sets/photo --workers 2
    """
    from nenrin.domains.build import build as build_set

    report = build_set(
        raw,
        out,
        domain=domain,
        size=size,
        workers=workers,
        finder=finder,
        split=split,
        splits_from=splits_from,
        points_from=points_from,
        limit=limit,
        ray=ray,
    )
    typer.echo(f"{report.kept} faces in {report.faces.path}")
    if clean:
        from nenrin.domains.clean import clean as clean_sets

        verdicts = clean_sets([out]).verdicts
        typer.echo(f"{verdicts.total() - verdicts['keep']} of them to look at: nenrin review {out}")
    _list("set aside, with the reason in each row", report.dropped)
    _list("pictures that could not be read, named in rejects.csv", report.unreadable)


def _list(title: str, reasons: Counter[str]) -> None:
    if reasons:
        typer.echo(f"{reasons.total()} {title}:")
        for reason, count in reasons.most_common():
            typer.echo(f"  {count:6d}  {reason}")

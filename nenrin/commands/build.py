"""`nenrin build`: raw pictures in, a set of aligned, labelled, split faces out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson
from nenrin.commands.rows import tell
from nenrin.ground import counted

if TYPE_CHECKING:
    from collections import Counter


def build(
    raw: Annotated[list[str], typer.Argument(metavar="RAW", help="Folders; KIND:FOLDER names the layout.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The set to write.")],
    domain: Annotated[
        str | None, typer.Option(help="What they show: photo ...", autocompletion=complete.domains)
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="Pixels of a face's side.")] = 256,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 uses none but this one.")] = 2,
    finder: Annotated[
        str,
        typer.Option(
            help="auto, nenrin, mtcnn, FILE, or nominal: as cut.", autocompletion=complete.build_finders
        ),
    ] = "auto",
    split: Annotated[
        str | None,
        typer.Option(help="Put all into it: train, val, judge, test.", autocompletion=complete.splits),
    ] = None,
    splits_from: Annotated[
        Path | None, typer.Option(help="Keep people where it has them.", autocompletion=complete.sets)
    ] = None,
    points_from: Annotated[
        Path | None, typer.Option(help="Points of the same pictures, undrawn.", autocompletion=complete.sets)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take this many pictures, at random.")] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Work on a Ray cluster: HOST:PORT, auto, local.")
    ] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Score them too: nenrin clean.")] = False,
    as_json: AsJson = False,
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
    row = {
        "set": str(report.faces.path),
        "layouts": report.layouts,
        "faces": report.kept,
        "set_aside": dict(report.dropped.most_common()),
        "unreadable": dict(report.unreadable.most_common()),
    }
    read_as = ", ".join(dict.fromkeys(report.layouts))
    lines = [f"{counted(report.kept, 'face')} in {report.faces.path}, read as {read_as}"]
    if clean:
        from nenrin.domains.clean import clean as clean_sets

        verdicts = clean_sets([out]).verdicts
        row["to_look_at"] = verdicts.total() - verdicts["keep"]
        lines.append(f"{row['to_look_at']} of them to look at: nenrin review {out}")
    lines += _listed("face", "set aside, with the reason in each row", report.dropped)
    lines += _listed("picture", "that could not be read, named in rejects.csv", report.unreadable)
    tell(as_json, [row], *lines)


def _listed(noun: str, title: str, reasons: Counter[str]) -> list[str]:
    if not reasons:
        return []
    return [
        f"{counted(reasons.total(), noun)} {title}:",
        *(f"  {n:6d}  {reason}" for reason, n in reasons.most_common()),
    ]

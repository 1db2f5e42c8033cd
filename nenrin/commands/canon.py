"""`nenrin canon`: the characters who are known at two ages, and procedural ones in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nenrin.commands.words import choose
from nenrin.ground import UsageError

ACTIONS = ("list", "draw")


def canon(
    action: Annotated[str, typer.Argument(help="list: who is known; draw: procedural characters.")],
    pictures: Annotated[Path | None, typer.Option(help="list: say what is missing in this folder.")] = None,
    manifest: Annotated[
        list[Path] | None, typer.Option(help="list: your own characters (TOML); more than once.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="draw: the folder to write.")] = None,
    count: Annotated[int, typer.Option(min=1, help="draw: how many characters.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="draw: decides who they are.")] = 0,
) -> None:
    """The characters of the protocol canon.

    No pictures come with nenrin: put yours into DIR/PAIR/from and DIR/PAIR/to, and score with
    nenrin eval RUN --set SET --protocol canon --pictures DIR.

    Example: nenrin canon list --pictures data/canon
    """
    if choose(action, ACTIONS, "ACTION") == "draw":
        from nenrin.eval.canon_twins import draw_characters

        if out is None:
            raise UsageError("nenrin canon draw needs a folder to write: -o DIR")
        made = draw_characters(out, count, seed=seed)
        typer.echo(f"{count} characters: --pictures {out} --manifest {made}")
        return
    from nenrin.eval.characters import read_manifests, shipped
    from nenrin.eval.portraits import count_pictures

    pairs = read_manifests(manifest or shipped())
    for pair in pairs:
        typer.echo(
            f"{pair.name:20} {pair.series} ({pair.since}): {pair.start.character}, {pair.start.age:g} -> "
            f"{pair.goal.character}, {pair.goal.age:g}{f'; {pair.note}' if pair.note else ''}"
        )
        if pictures is not None:
            young, old = count_pictures(pictures, pair)
            typer.echo(f"{'':20} {young} pictures in {pair.name}/from, {old} in {pair.name}/to")
    typer.echo(f"{len(pairs)} pairs of {len({pair.series for pair in pairs})} works")

"""`nenrin canon`: the characters who are known at two ages, and procedural ones in their place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nenrin.commands.scrape import polite_client
from nenrin.commands.words import choose
from nenrin.ground import NenrinError, UsageError, suggest

if TYPE_CHECKING:
    from nenrin.eval.characters import Pair

ACTIONS = ("list", "fetch", "draw")
FEW = 5  # pictures of a query: a character needs few, and servers are spared


def canon(
    action: Annotated[
        str,
        typer.Argument(
            help="list: who is known; fetch: look for their pictures; draw: procedural characters."
        ),
    ],
    pictures: Annotated[
        Path | None, typer.Option(help="list: say what is missing in this folder; fetch: put them there.")
    ] = None,
    manifest: Annotated[
        list[Path] | None, typer.Option(help="list, fetch: your own characters (TOML); more than once.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PAIR", help="list, fetch: this pair alone; more than once.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="draw: the folder to write.")] = None,
    count: Annotated[int, typer.Option(min=1, help="draw: how many characters.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="draw: decides who they are.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="fetch: pictures of each query at most.")] = FEW,
    contact: Annotated[
        str | None,
        typer.Option(envvar="NENRIN_CONTACT", help="fetch: your address, told to every server."),
    ] = None,
    interval: Annotated[float | None, typer.Option(min=0, help="fetch: as in nenrin scrape.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="fetch: as in nenrin scrape.")
    ] = None,
) -> None:
    """The characters of the protocol canon.

    No pictures come with nenrin: fetch them, or put yours into DIR/PAIR/from and DIR/PAIR/to, and score with
    nenrin eval RUN --set SET --protocol canon --pictures DIR.

    Example: nenrin canon fetch --pictures data/canon --only conan-shinichi
    """
    if choose(action, ACTIONS, "ACTION") == "draw":
        from nenrin.eval.canon_twins import draw_characters

        if out is None:
            raise UsageError("nenrin canon draw needs a folder to write: -o DIR")
        made = draw_characters(out, count, seed=seed)
        typer.echo(f"{count} characters: --pictures {out} --manifest {made}")
        return
    pairs = _pairs(manifest, only)
    if action == "fetch":
        if pictures is None:
            raise UsageError("nenrin canon fetch needs a folder to write: --pictures DIR")
        _fetch(pairs, pictures, limit, contact, interval, allow or [])
    else:
        _list(pairs, pictures)


def _pairs(manifest: list[Path] | None, only: list[str] | None) -> list[Pair]:
    from nenrin.eval.characters import read_manifests, shipped

    pairs = read_manifests(manifest or shipped())
    names = [pair.name for pair in pairs]
    for name in only or ():
        if name not in names:
            raise UsageError(f"unknown pair {name!r}; {suggest(name, names)}")
    return [pair for pair in pairs if not only or pair.name in only]


def _list(pairs: list[Pair], pictures: Path | None) -> None:
    for pair in pairs:
        typer.echo(
            f"{pair.name:20} {pair.series} ({pair.since}): {pair.start.character}, {pair.start.age:g} -> "
            f"{pair.goal.character}, {pair.goal.age:g}{f'; {pair.note}' if pair.note else ''}"
        )
        if pictures is not None:
            typer.echo(f"{'':20} {_counted(pictures, pair)}")
    typer.echo(f"{len(pairs)} pairs of {len({pair.series for pair in pairs})} works")


def _counted(pictures: Path, pair: Pair) -> str:
    from nenrin.eval.portraits import count_pictures

    young, old = count_pictures(pictures, pair)
    return f"{young} pictures in {pair.name}/from, {old} in {pair.name}/to"


def _fetch(
    pairs: list[Pair],
    pictures: Path,
    limit: int,
    contact: str | None,
    interval: float | None,
    allow: list[str],
) -> None:
    from nenrin.eval.fetching import fetch_pictures
    from nenrin.eval.portraits import count_pictures

    for one in fetch_pictures(
        pairs, pictures, lambda source: polite_client(source, contact, interval, allow), limit=limit
    ):
        what = f"{one.pair.name}/{one.side}: {one.placed} new from {one.query.source} ({one.query.query})"
        typer.echo(f"{what}{': ' if one.problem else ''}{one.problem}")
    for pair in pairs:
        for side, who in (("from", pair.start), ("to", pair.goal)):
            if who.reference and not who.find:
                typer.echo(f"{pair.name}/{side}: no source shows this age alone; put your own pictures there")
    for pair in pairs:
        typer.echo(_counted(pictures, pair))
    if not any(sum(count_pictures(pictures, pair)) for pair in pairs):
        raise NenrinError(f"no picture could be fetched into {pictures}")
    typer.echo("Look through them, and remove what shows somebody else: it stays away.")

"""`nenrin canon`: the characters who are known at two ages, and procedural ones in their place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson
from nenrin.commands.rows import tell
from nenrin.commands.scrape import polite_client
from nenrin.commands.words import choose
from nenrin.ground import NenrinError, UsageError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from nenrin.eval.characters import Pair
    from nenrin.scrapers.client import Client
    from nenrin.scrapers.source import Source

ACTIONS = ("list", "fetch", "draw")
FEW = 5  # pictures of a query: a character needs few, and servers are spared


def canon(
    action: Annotated[
        str,
        typer.Argument(
            help="list who is known, fetch their pictures, or draw others.",
            autocompletion=complete.words(*ACTIONS),
        ),
    ],
    pictures: Annotated[
        Path | None, typer.Option(help="list: say what is missing in this folder; fetch: put them there.")
    ] = None,
    manifest: Annotated[
        list[Path] | None, typer.Option(help="list, fetch: your own characters (TOML).")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PAIR",
            help="list, fetch: this pair alone; repeatable.",
            autocompletion=complete.characters,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="draw: the folder to write.")] = None,
    count: Annotated[int, typer.Option(min=1, help="draw: how many characters.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="draw: decides who they are.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="fetch: pictures of each query.")] = FEW,
    contact: Annotated[
        str | None,
        typer.Option(envvar="NENRIN_CONTACT", help="fetch: your address, told to every server."),
    ] = None,
    interval: Annotated[float | None, typer.Option(min=0, help="fetch: as in nenrin scrape.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="fetch: as in nenrin scrape.")
    ] = None,
    as_json: AsJson = False,
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
        row = {"characters": count, "pictures": str(out), "manifest": str(made)}
        tell(as_json, [row], f"{count} characters: --pictures {out} --manifest {made}")
        return
    pairs = _pairs(manifest, only)
    if action == "fetch":
        if pictures is None:
            raise UsageError("nenrin canon fetch needs a folder to write: --pictures DIR")

        def polite(source: Source) -> Client:
            return polite_client(source, contact, interval, allow or [])

        _fetch(pairs, pictures, limit, polite, as_json)
    else:
        if pictures is not None and not pictures.is_dir():
            raise UsageError(
                f"{pictures} is no folder: --pictures takes the folder that holds the pairs' pictures"
            )
        _list(pairs, pictures, as_json)


def _pairs(manifest: list[Path] | None, only: list[str] | None) -> list[Pair]:
    from nenrin.eval.characters import read_manifests, shipped

    pairs = read_manifests(manifest or shipped())
    names = [pair.name for pair in pairs]
    for name in only or ():
        if name not in names:
            raise UsageError(f"unknown pair {name!r}; {suggest(name, names)}")
    return [pair for pair in pairs if not only or pair.name in only]


def _list(pairs: list[Pair], pictures: Path | None, as_json: bool) -> None:
    lines, rows = [], []
    for pair in pairs:
        lines.append(
            f"{pair.name:20} {pair.series} ({pair.since}): {pair.start.character}, {pair.start.age:g} -> "
            f"{pair.goal.character}, {pair.goal.age:g}{f'; {pair.note}' if pair.note else ''}"
        )
        row: dict[str, Any] = {"pair": pair.name, "series": pair.series, "since": pair.since}
        for side, who in (("from", pair.start), ("to", pair.goal)):
            row[side] = {"character": who.character, "age": who.age, "glasses": who.glasses}
        if pictures is not None:
            lines.append(f"{'':20} {_counted(pictures, pair)}")
            row["from"]["pictures"], row["to"]["pictures"] = _count(pictures, pair)
        rows.append(row)
    lines.append(f"{len(pairs)} pairs of {len({pair.series for pair in pairs})} works")
    tell(as_json, rows, *lines)


def _count(pictures: Path, pair: Pair) -> tuple[int, int]:
    from nenrin.eval.portraits import count_pictures

    return count_pictures(pictures, pair)


def _counted(pictures: Path, pair: Pair) -> str:
    young, old = _count(pictures, pair)
    return f"{young} pictures in {pair.name}/from, {old} in {pair.name}/to"


def _fetch(
    pairs: list[Pair], pictures: Path, limit: int, polite: Callable[[Source], Client], as_json: bool
) -> None:
    from nenrin.eval.fetching import fetch_pictures

    rows = []
    for one in fetch_pictures(pairs, pictures, polite, limit=limit):
        row = {"pair": one.pair.name, "side": one.side, "source": one.query.source, "query": one.query.query}
        rows.append({**row, "new": one.placed, "problem": one.problem or None})
        if not as_json:  # as it happens: this takes minutes
            what = f"{one.pair.name}/{one.side}: {one.placed} new from {one.query.source} ({one.query.query})"
            typer.echo(f"{what}{': ' if one.problem else ''}{one.problem}")
    left = [
        f"{pair.name}/{side}: no source shows this age alone; put your own pictures there"
        for pair in pairs
        for side, who in (("from", pair.start), ("to", pair.goal))
        if who.reference and not who.find
    ]
    tell(as_json, rows, *left, *(_counted(pictures, pair) for pair in pairs))
    if not any(sum(_count(pictures, pair)) for pair in pairs):
        raise NenrinError(f"no picture could be fetched into {pictures}")
    if not as_json:
        typer.echo("Look through them, and remove what shows somebody else: it stays away.")

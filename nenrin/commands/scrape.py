"""`nenrin scrape`: raw pictures from a source, with their labels and where they came from."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson
from nenrin.commands.rows import tell
from nenrin.ground import NenrinError, UsageError, counted

if TYPE_CHECKING:
    from nenrin.scrapers.client import Client
    from nenrin.scrapers.scrape import Report
    from nenrin.scrapers.source import Source


def scrape(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE", help="Where from; --list tells of each.", autocompletion=complete.sources
        ),
    ] = None,
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="What to look for there.")] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Options of the source.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The folder to write.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures at most.")] = None,
    contact: Annotated[
        str | None,
        typer.Option(envvar="NENRIN_CONTACT", help="Your e-mail or web address, told to every server."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Write a recipe there; without SOURCE: fetch what it names.")
    ] = None,
    faces: Annotated[
        Path | None,
        typer.Option(metavar="SET", help="Put its crops into the recipe.", autocompletion=complete.sets),
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Look for what is new, changed or failed.")
    ] = False,
    interval: Annotated[
        float | None, typer.Option(min=0, help="Seconds between two requests, where no more are asked for.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="A server of your own network that may be asked."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Tell of each source.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch raw pictures, with their labels, authors and licences.

    Asked politely, and nothing twice: interrupted, the same command goes on. nenrin build takes the folder.

    Example: nenrin scrape commons "Category:Portrait paintings of women" -o data/raw/women --limit 500

    Example: nenrin scrape wikidata "Leonardo da Vinci" -o data/raw/leonardo

    Example: nenrin scrape --recipe women.toml -o data/raw/women
    """
    if listing:
        _list_sources(as_json)
        return
    if out is None:
        raise UsageError("name the folder to write, as in -o data/raw/women")

    from nenrin.scrapers import recipe as recipes
    from nenrin.scrapers.scrape import keys_of
    from nenrin.scrapers.scrape import scrape as run
    from nenrin.scrapers.sources import source_named

    if source is None:
        if recipe is None:
            raise UsageError("name a source (--list tells of each), or a recipe with --recipe")
        chosen, query = recipes.source_of(recipe)
    else:
        chosen = source_named(source)
        if query is None:
            raise UsageError(f"say what to look for: {chosen.query}, as in {chosen.example}")
        if recipe is not None and not chosen.web:
            raise UsageError("pictures that are here have no addresses: a recipe cannot name them")
    if faces is not None and (recipe is None or source is None):
        raise UsageError("--faces needs a source and a recipe to write: --recipe FILE.toml")
    options = _options(settings or ())
    report = run(
        chosen,
        query,
        out,
        client=polite_client(chosen, contact, interval, allow or []),
        options=options,
        keys=keys_of(chosen),
        limit=limit,
        refresh=refresh,
    )
    _report(report, out, limit or chosen.limit, as_json)
    if not report.pictures and not report.unreachable:
        where = "look at the query in the source's own search"
        if not chosen.web:
            why = f" (left out: {', '.join(report.failed)})" if report.failed else ""
            where = f"no pictures are in {query}{why}"
        raise NenrinError(f"nothing was found: {where}")
    if source is not None and recipe is not None:
        count = recipes.write(out, recipe, faces=None if faces is None else _crops(faces))
        if not as_json:
            typer.echo(f"{count} of them named in {recipe}")


def polite_client(source: Source, contact: str | None, interval: float | None, allow: list[str]) -> Client:
    """A client that keeps the source's pace; `UsageError` where it could not say whom to write to."""
    from nenrin.scrapers.client import Client
    from nenrin.scrapers.pace import Pace

    if source.web and not contact:
        raise UsageError(
            "servers want to know whom to write to: --contact you@example.org, or set NENRIN_CONTACT"
        )
    if contact and not (contact.isascii() and contact.isprintable() and ("@" in contact or "://" in contact)):
        raise UsageError(f"{contact!r} is no e-mail or web address where somebody can be reached")
    hosts = {host: max(least, interval or 0.0) for host, least in source.intervals.items()}
    pace = Pace(1.0 if interval is None else interval, hosts)
    return Client(contact=contact, pace=pace, allowed=allow)


def _options(settings: list[str] | tuple[str, ...]) -> dict[str, str]:
    pairs = [setting.partition("=") for setting in settings]
    for setting, (_, equals, _) in zip(settings, pairs, strict=True):
        if not equals:
            raise UsageError(f"options are name=value, not {setting!r}; a QUERY of several words is quoted")
    return {name: value for name, _, value in pairs}


def _crops(path: Path) -> dict[tuple[str, str], list[Any]]:
    """The points of a set's good faces, by the picture they are in."""
    from nenrin.domains.faceset import FaceSet

    crops: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in FaceSet.open(path).table(["source", "source_id", "points", "verdict"]).to_pylist():
        if row["verdict"] == "keep" and row["points"] is not None:
            name, _, number = row["source_id"].rpartition("#")
            picture = name if name and number.isdigit() else row["source_id"]
            crops[row["source"], picture].append([[round(v, 2) for v in point] for point in row["points"]])
    return crops


def _report(report: Report, out: Path, limit: int | None, as_json: bool) -> None:
    row = {
        "folder": str(out),
        "pictures": report.pictures,
        "new": report.fetched,
        "same": report.same,
        "left_out": dict(report.failed.most_common()),
        "unreachable": report.unreachable,
        "complete": report.complete,
    }
    new = f", {report.fetched} of them new" if report.fetched != report.pictures else ""
    lines = [f"{counted(report.pictures, 'picture')} in {out}{new}"]
    if report.same:
        lines.append(f"{report.same} more {'is' if report.same == 1 else 'are'} the same as one of them")
    if report.failed:
        lines.append(f"{report.failed.total()} left out:")
        lines += [f"  {count:6d}  {reason}" for reason, count in report.failed.most_common()]
    if report.unreachable:
        lines.append(f"{report.unreachable} could not be reached: the same command tries them again")
    if not report.complete and limit is not None and report.pictures >= limit:
        lines.append("There are more: raise --limit for them")
    tell(as_json, [row], *lines)


def _list_sources(as_json: bool) -> None:
    from nenrin.scrapers.source import COMMON
    from nenrin.scrapers.sources import SOURCES

    lines, rows = [], []
    for source in SOURCES.values():
        options = {**source.options, **COMMON}
        lines += [
            f"{source.name}: {source.summary}",
            f"    nenrin scrape {source.name} {source.example} -o data/raw/{source.name}",
            f"    QUERY: {source.query}",
        ]
        for name, option in options.items():
            default = f" ({option.default})" if option.default else ""
            lines.append(f"    {name}=...: {option.help}{default}")
        if source.keys:
            lines.append(f"    your key: {', '.join(source.keys)} in the environment. {source.advice}")
        row = {"source": source.name, "summary": source.summary, "query": source.query}
        told = {name: option.help for name, option in options.items()}
        rows.append({**row, "example": source.example, "options": told, "keys": list(source.keys)})
    tell(as_json, rows, *lines)

"""The interface of a source: its declaration, and the pages of items that it yields, pictures with labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nenrin.ground import NenrinError, UsageError, suggest
from nenrin.scrapers.client import Client


@dataclasses.dataclass(kw_only=True, slots=True)
class Item:
    """One picture of a source. Whatever the source does not say is None: nothing is guessed."""

    source_id: str  # unique within the source
    url: str  # a web address, or for `local` a file and a place in it
    source: str = ""  # the source's name; `scrape` fills it in
    page: str | None = None  # a page about it for people to read
    title: str | None = None
    author: str | None = None
    licence: str | None = None
    date: str | None = None  # when the picture was made, as the source writes it
    tags: list[str] = dataclasses.field(default_factory=list)
    sha256: str | None = None  # of the file, if known beforehand; any other file is refused
    domain: str | None = None
    age: float | None = None  # years
    age_source: str | None = None
    gender: str | None = None
    glasses: str | None = None  # "worn" if the source does not say which kind
    attributes: dict[str, bool] = dataclasses.field(default_factory=dict)
    identity: str | None = None
    faces: list[Any] = dataclasses.field(default_factory=list)  # each five points [x, y] in pixels
    fault: str | None = None  # why it is not fetched, with the kind before a colon: "is rated otherwise: ..."

    def known(self) -> dict[str, Any]:
        """The known fields; unknown ones are left out."""
        values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: value for name, value in values if value not in (None, [], {})}


@dataclasses.dataclass(kw_only=True, slots=True)
class Page:
    """Some items, and the cursor of the next page; None ends the listing."""

    items: list[Item]
    cursor: str | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """A setting of a source, given as `name=value`."""

    default: str
    help: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """A query to a source."""

    client: Client
    query: str
    options: Mapping[str, str]  # all that the source declares, complete
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)  # the user's, by environment variable


Pages = Callable[[Search, str | None], Iterator[Page]]  # from a cursor, or from the start if None
Fetch = Callable[[Search, Item, Path], str]  # write the item's bytes to the path, return their SHA-256


def fetch_picture(search: Search, item: Item, path: Path) -> str:
    """Fetch an address that came from the source's own API."""
    return search.client.download(item.url, path).sha256


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A source: what it is, how to query it, and how often."""

    name: str
    summary: str  # one line for --help
    query: str  # what QUERY is
    example: str  # a QUERY
    pages: Pages
    fetch: Fetch = fetch_picture
    options: Mapping[str, Option] = dataclasses.field(default_factory=dict)
    keys: tuple[str, ...] = ()  # environment variables that hold the user's key
    advice: str = ""  # where to get a key, and what to do when refused
    # Seconds between two requests, by host: as documented by the service, or slower.
    intervals: Mapping[str, float] = dataclasses.field(default_factory=dict)
    limit: int | None = None  # pictures by default (--limit overrides it), if the terms forbid collecting
    web: bool = True  # False: nothing is sent anywhere


def listing(source: Source, search: Search, cursor: str | None) -> Iterator[Page]:
    """The pages of a source from a cursor on. Each source must cope with missing fields; a response of the
    wrong shape raises `NenrinError` here, for all sources."""
    pages = source.pages(search, cursor)
    while True:
        try:
            page = next(pages, None)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, NenrinError):
                raise
            what = f"{type(error).__name__}: {error}"
            raise NenrinError(
                f"{source.name} answered in an unknown shape ({what}): has it changed?"
            ) from error
        if page is None:
            return
        if page.cursor == cursor:
            page.cursor = None  # a server that ignores the cursor would loop for ever
        cursor = page.cursor
        yield page
        if cursor is None:
            return


COMMON = {"domain": Option(default="", help="what the pictures show, where the source cannot tell")}


def resolve(source: Source, words: Mapping[str, str]) -> dict[str, str]:
    """All options of a source: those given, else the defaults. `UsageError` for an unknown one."""
    known = {**source.options, **COMMON}
    for name in words:
        if name not in known:
            raise UsageError(f"{source.name} has no option {name!r}; {suggest(name, known)}")
    return {name: words.get(name, option.default) for name, option in known.items()}

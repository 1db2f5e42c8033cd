"""What a source declares about itself, and what it yields: pages of items, each a picture and its labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nenrin.ground import NenrinError, UsageError, suggest
from nenrin.scrapers.client import Client


@dataclasses.dataclass(kw_only=True, slots=True)
class Item:
    """One picture that a source tells of. What it does not say is None: nothing is guessed."""

    source_id: str  # unique within the source
    url: str  # where the bytes are: a web address, or for `local` a file and a place in it
    source: str = ""  # the source's name; `scrape` fills it in
    page: str | None = None  # where a person reads about it
    title: str | None = None
    author: str | None = None
    licence: str | None = None
    date: str | None = None  # when the picture was made, as the source writes it
    tags: list[str] = dataclasses.field(default_factory=list)
    sha256: str | None = None  # of the file, where it is known beforehand; another file is refused
    domain: str | None = None
    age: float | None = None  # years
    age_source: str | None = None
    gender: str | None = None
    glasses: str | None = None  # "worn": there are some, the source does not say which
    attributes: dict[str, bool] = dataclasses.field(default_factory=dict)
    identity: str | None = None
    faces: list[Any] = dataclasses.field(default_factory=list)  # each five points [x, y] in pixels
    fault: str | None = None  # why it is not fetched, the kind before a colon: "is rated otherwise: explicit"

    def known(self) -> dict[str, Any]:
        """What is known; what is not is left out."""
        values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: value for name, value in values if value not in (None, [], {})}


@dataclasses.dataclass(kw_only=True, slots=True)
class Page:
    """Some items, and where the listing goes on; a cursor of None ends it."""

    items: list[Item]
    cursor: str | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """A setting of a source, given as `name=value`."""

    default: str
    help: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What is asked of a source."""

    client: Client
    query: str
    options: Mapping[str, str]  # all that the source declares, complete
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)  # the user's, by environment variable


Pages = Callable[[Search, str | None], Iterator[Page]]  # from a cursor; None begins
Fetch = Callable[[Search, Item, Path], str]  # write the item's bytes to the path, return their SHA-256


def fetch_picture(search: Search, item: Item, path: Path) -> str:
    """Fetch an address that the source's own interface has handed out."""
    return search.client.download(item.url, path).sha256


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A source: what it is, how it is asked, what it may be asked for and how often."""

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
    limit: int | None = None  # pictures unless --limit says otherwise, where the terms forbid collecting
    web: bool = True  # False: nothing is sent anywhere


def listing(source: Source, search: Search, cursor: str | None) -> Iterator[Page]:
    """The pages of a source from a cursor on. What an interface leaves out its source must bear; an answer of
    another shape raises `NenrinError` here, for all of them."""
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
            page.cursor = None  # a server that does not understand the cursor would go round for ever
        cursor = page.cursor
        yield page
        if cursor is None:
            return


COMMON = {"domain": Option(default="", help="what the pictures show, where the source cannot tell")}


def resolve(source: Source, words: Mapping[str, str]) -> dict[str, str]:
    """All options of a source, those given over the defaults. `UsageError` for an unknown one."""
    known = {**source.options, **COMMON}
    for name in words:
        if name not in known:
            raise UsageError(f"{source.name} has no option {name!r}; {suggest(name, known)}")
    return {name: words.get(name, option.default) for name, option in known.items()}

"""A scrape: list what a source has, fetch each picture once, keep the record. It resumes after any stop."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from nenrin.ground import UsageError, track
from nenrin.scrapers.archive import Archive, Row
from nenrin.scrapers.client import Client
from nenrin.scrapers.errors import Refused, TooMany, Unreachable, Unusable
from nenrin.scrapers.picture import suffix_of
from nenrin.scrapers.source import Page, Search, Source, listing, resolve

FOLDER = "pictures"
_PATIENCE = 5  # addresses in a row that cannot be reached before the network is taken to be down


@dataclasses.dataclass(kw_only=True, slots=True)
class Report:
    """What a folder holds after a scrape."""

    pictures: int  # each counted once
    fetched: int  # of them in this run
    same: int  # items with the same picture as another one
    failed: Counter[str]  # items that can never be fetched, by reason
    unreachable: int  # items to try again
    complete: bool  # the source has no more


def scrape(
    source: Source,
    query: str,
    out: Path,
    *,
    client: Client,
    options: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    limit: int | None = None,
    refresh: bool = False,
) -> Report:
    """Fetch the pictures of `query` into the folder `out`, until it holds at most `limit` in all.

    The same call continues where it was stopped, and fetches nothing twice; `refresh` starts the listing
    again, to find what is new or has changed. Raises `UsageError` for a wrong call, `Refused` if the source
    refuses, `Unreachable` if nothing answers; what was fetched is kept.
    """
    chosen = resolve(source, options or {})
    search = Search(client=client, query=query, options=chosen, keys=keys or {})
    limit = source.limit if limit is None else limit
    with Archive.writing(Path(out), {"source": source.name, "query": query, **chosen}) as archive:
        if refresh:
            archive.restart()
        job = _Job(source, search, archive)
        before = archive.count()
        for _ in track(job.run(before, limit), f"fetching from {source.name}", limit):
            pass
        return Report(
            pictures=job.pictures,
            fetched=job.pictures - before,
            same=archive.states()["done"] - job.pictures,
            failed=archive.failures(),
            unreachable=len(job.unreachable),
            complete=bool(archive.asked("listed")),
        )


class _Job:
    """One run over a folder."""

    def __init__(self, source: Source, search: Search, archive: Archive) -> None:
        self._source = source
        self._search = search
        self._archive = archive
        self._folder = archive.folder / FOLDER
        self.pictures = 0
        self.unreachable: set[int] = set()  # numbers of items

    def run(self, before: int, limit: int | None) -> Iterator[int]:
        """Yield for each picture, first for those that are there already, to count them."""
        for self.pictures in range(1, before + 1):
            yield self.pictures
        self._folder.mkdir(exist_ok=True)
        in_a_row = 0
        try:
            rows = self._wanted()
            while (limit is None or self.pictures < limit) and (row := next(rows, None)) is not None:
                self.unreachable.discard(row.number)  # an item that has changed is tried twice
                try:
                    new = self._fetch(row)
                except Unusable as error:  # somebody answered, so the network is up
                    in_a_row = 0
                    self._archive.fail(row.number, error.what)
                except Unreachable as error:
                    self.unreachable.add(row.number)
                    in_a_row += 1
                    if in_a_row == _PATIENCE:
                        raise Unreachable(f"{error}, and so the {_PATIENCE - 1} before it") from None
                except TooMany:
                    raise
                except Refused as error:
                    self._archive.fail(row.number, f"is refused: {error}")
                    raise
                else:
                    in_a_row = 0
                    if new:
                        self.pictures += 1
                        yield self.pictures
        except (Refused, Unreachable) as error:
            kept = f"{self.pictures} pictures are kept, and the same command goes on"
            advice = f". {self._source.advice}" if isinstance(error, Refused) and self._source.advice else ""
            raise type(error)(f"{error}; {kept}{advice}") from None

    def _wanted(self) -> Iterator[Row]:
        """The recorded items not yet fetched, then those of further pages of the listing."""
        number = 0
        pages = None
        while True:
            row = self._archive.wanted(number)
            if row is not None:
                number = row.number
                yield row
            elif self._archive.asked("listed"):
                return
            else:
                pages = pages or listing(self._source, self._search, self._archive.asked("cursor"))
                page = next(pages, Page(items=[], cursor=None))
                for item in page.items:
                    item.source = item.source or self._source.name
                    item.domain = item.domain or self._search.options["domain"] or None
                for known in self._archive.add(page):
                    # Later ones come up by themselves.
                    if known <= number and (row := self._archive.wanted(known - 1)) is not None:
                        yield row

    def _fetch(self, row: Row) -> bool:
        """Fetch one picture into place and record it. True if it is new."""
        same = self._archive.fetched(row.item.url)
        if same is not None and row.item.sha256 in (None, same.sha256):
            assert same.file and same.sha256 and same.retrieved, "it is done"
            return self._archive.finish(
                row.number, file=same.file, sha256=same.sha256, retrieved=same.retrieved
            )
        part = self._folder / ".part"
        try:
            sha256 = self._source.fetch(self._search, row.item, part)
            if row.item.sha256 not in (None, sha256):
                raise Unusable(f"has changed: its SHA-256 is {sha256}")
            suffix = suffix_of(part)
            file = self._folder / sha256[:2] / f"{sha256[:16]}{suffix}"
            file.parent.mkdir(exist_ok=True)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
        return self._archive.finish(
            row.number,
            file=file.relative_to(self._archive.folder).as_posix(),
            sha256=sha256,
            retrieved=datetime.now(UTC),
        )


def keys_of(source: Source) -> dict[str, str]:
    """The user's key for a source, from the environment; `UsageError` if it is missing."""
    keys = {name: os.environ.get(name, "") for name in source.keys}
    missing = [name for name, value in keys.items() if not value]
    if missing:
        raise UsageError(
            f"{source.name} wants your own key: set {' and '.join(missing)} in the environment. "
            f"{source.advice}"
        )
    return keys

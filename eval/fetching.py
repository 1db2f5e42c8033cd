"""Fetches pictures of the canon's characters from the sources that the manifests name.

Each query has its own scrape below `DIR/fetched/`, with the provenance of every picture. The pictures are
also placed in `DIR/PAIR/from` or `to`, where the protocol looks. Those that a person removes there are not
placed again.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nenrin.eval.characters import Pair, Query
from nenrin.ground import NenrinError, atomic_path, write_text
from nenrin.scrapers.archive import NAME, Archive
from nenrin.scrapers.client import Client
from nenrin.scrapers.scrape import keys_of, scrape
from nenrin.scrapers.source import Source
from nenrin.scrapers.sources import source_named

FETCHED = "fetched"
_PLACED = "placed.txt"  # in a scrape's folder: the pictures that were put into the folder of their pair


@dataclasses.dataclass(kw_only=True, slots=True, frozen=True)
class Fetched:
    """The result of one query of a manifest."""

    pair: Pair
    side: str  # "from" or "to"
    query: Query
    placed: int  # pictures that are new in the pair's folder
    problem: str = ""  # why there are no more


def fetch_pictures(
    pairs: Sequence[Pair], folder: Path, client_of: Callable[[Source], Client], *, limit: int
) -> Iterator[Fetched]:
    """Ask every query of these pairs for up to `limit` pictures and put them where the protocol looks.

    A smaller limit of a query's own is respected.

    If a source refuses, does not answer or needs a missing key, that is a `problem`, and the others are asked
    all the same. After any interruption, the same call continues.
    """
    for pair in pairs:
        for side, who in (("from", pair.start), ("to", pair.goal)):
            for number, query in enumerate(who.find):
                raw = folder / FETCHED / pair.name / f"{side}-{number}-{query.source}"
                problem = ""
                try:
                    source = source_named(query.source)
                    scrape(
                        source,
                        query.query,
                        raw,
                        client=client_of(source),
                        options=query.options,
                        keys=keys_of(source),
                        limit=min(limit, query.limit or limit),
                    )
                except NenrinError as error:
                    problem = str(error)
                placed = _place(raw, folder / pair.name / side, query.source)
                yield Fetched(pair=pair, side=side, query=query, placed=placed, problem=problem)


def _place(raw: Path, goal: Path, source: str) -> int:
    """Place a scrape's new pictures in `goal`, and return how many."""
    if not (raw / NAME).exists():
        return 0
    note = raw / _PLACED
    before = set(note.read_text().split()) if note.exists() else set()
    with Archive.reading(raw) as archive:
        files = [raw / str(row.file) for row in archive.pictures()]
    new = {f"{source}-{file.name}": file for file in files if f"{source}-{file.name}" not in before}
    goal.mkdir(parents=True, exist_ok=True)
    for name, file in new.items():
        with atomic_path(goal / name) as part:
            try:
                os.link(file, part)
            except OSError:  # another file system, or one without links
                shutil.copyfile(file, part)
    write_text(note, "\n".join(sorted(before | set(new))) + "\n")
    return len(new)

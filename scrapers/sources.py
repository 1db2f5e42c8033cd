"""All sources by name."""

from __future__ import annotations

from nenrin.ground import UsageError, suggest
from nenrin.scrapers import anilist, commons, danbooru, gelbooru, local, wikidata
from nenrin.scrapers.source import Source

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        commons.SOURCE,
        wikidata.SOURCE,
        local.SOURCE,
        danbooru.SOURCE,
        danbooru.SAFE,
        gelbooru.SOURCE,
        anilist.SOURCE,
    )
}


def source_named(name: str) -> Source:
    """A source by its name; `UsageError` for any other word."""
    if name == "manga109":
        raise UsageError(
            "manga109 is given out by its makers alone: ask at manga109.org, unpack it, "
            "then nenrin build manga109:FOLDER"
        )
    if name not in SOURCES:
        raise UsageError(f"unknown source {name!r}; {suggest(name, SOURCES)}")
    return SOURCES[name]

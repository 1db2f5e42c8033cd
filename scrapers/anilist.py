"""AniList: the characters of a title, with age, gender and portrait. Fields as https://docs.anilist.co.

Its terms forbid collecting in mass: a scrape takes one title, and a hundred characters unless told otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from nenrin.ground import NenrinError, UsageError, suggest
from nenrin.scrapers.source import Item, Option, Page, Search, Source

_PER_PAGE = 25  # the most of a title's characters that one answer holds
_WHAT = ("title", "character")
_CHARACTER = "id name { full native } age gender image { large } siteUrl"
_TITLE = f"""query ($search: String, $page: Int) {{ Page(perPage: 1) {{
    media(search: $search, sort: SEARCH_MATCH) {{
        characters(page: $page, perPage: {_PER_PAGE}, sort: [ROLE, RELEVANCE, ID]) {{
            pageInfo {{ hasNextPage }} nodes {{ {_CHARACTER} }} }} }} }} }}"""
_NAME = f"""query ($search: String, $page: Int) {{ Page(page: $page, perPage: {_PER_PAGE}) {{
    pageInfo {{ hasNextPage }} characters(search: $search, sort: SEARCH_MATCH) {{ {_CHARACTER} }} }} }}"""
_WIDEST = 2  # years between the ends of a range of ages that still is an age


def pages(search: Search, cursor: str | None) -> Iterator[Page]:
    """Characters, the main ones first; the cursor is the number of the page."""
    what, number = search.options["what"], int(cursor or 1)
    if what not in _WHAT:
        raise UsageError(f"unknown what {what!r}; {suggest(what, _WHAT)}")
    query = _TITLE if what == "title" else _NAME
    while True:
        body = {"query": query, "variables": {"search": search.query, "page": number}}
        answer = search.client.json(search.options["base"], body=body)
        if errors := answer.get("errors"):
            raise NenrinError(f"anilist says: {errors[0]['message']}")
        page = answer["data"]["Page"]
        if what == "title":
            if not page["media"]:
                raise UsageError(f"anilist knows no title {search.query!r}")
            page = page["media"][0]["characters"]
        characters = page["nodes" if what == "title" else "characters"]
        more = page["pageInfo"]["hasNextPage"]
        number += 1
        yield Page(
            items=[_item(character) for character in characters if character and character.get("id")],
            cursor=str(number) if more else None,
        )
        if not more:
            return


def age_of(text: str | None) -> float | None:
    """Years from AniList's text: "17", or the middle of "16-17". None for words, and for wider ranges."""
    match = re.fullmatch(r"\s*(\d{1,3})(?:\s*[-–~]\s*(\d{1,3}))?\s*", text or "")
    if match is None:
        return None
    low, high = int(match[1]), int(match[2] or match[1])
    return (low + high) / 2 if 0 <= high - low <= _WIDEST and high <= 122 else None


def _item(character: dict[str, Any]) -> Item:
    url = (character.get("image") or {}).get("large") or ""
    names = character.get("name") or {}
    age = age_of(character.get("age"))
    gender = str(character.get("gender") or "").lower()
    return Item(
        source_id=str(character["id"]),
        url=url,
        page=character.get("siteUrl"),
        title=names.get("full") or names.get("native"),
        tags=[f"age: {character['age']}"] if character.get("age") else [],
        domain="manga",
        age=age,
        age_source=None if age is None else "canon",
        gender=gender if gender in ("female", "male") else None,
        identity=f"anilist/{character['id']}",
        fault=None if url and not url.endswith("/default.jpg") else "has no portrait",
    )


SOURCE = Source(
    name="anilist",
    summary="characters of a title, with age, gender and portrait",
    query="a title, or a name with what=character",
    example='"Detective Conan"',
    pages=pages,
    options={
        "what": Option(default="title", help="what QUERY names: title or character"),
        "base": Option(default="https://graphql.anilist.co", help="another server of the same interface"),
    },
    advice="Its terms: https://docs.anilist.co/guide/terms-of-use.",
    # Documented are 90 a minute, served are 30; the headers do not say so.
    intervals={"graphql.anilist.co": 2.1, "s4.anilist.co": 0.5},
    limit=100,
)

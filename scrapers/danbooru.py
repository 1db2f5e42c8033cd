"""Danbooru, and its safe mirror on the same engine. Fields as https://danbooru.donmai.us/wiki_pages/help:api."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nenrin.ground import UsageError, suggest
from nenrin.scrapers.source import Item, Option, Page, Search, Source
from nenrin.scrapers.tags import RATINGS, fault, label

_PER_PAGE = 200  # the most the interface gives
_PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "avif"})
_SIZES = ("large", "original")


def pages(search: Search, cursor: str | None) -> Iterator[Page]:
    """Posts from the newest on; the cursor is the last one's number."""
    base, allowed = search.options["base"].rstrip("/"), ratings(search)
    if (size := search.options["size"]) not in _SIZES:
        raise UsageError(f"unknown size {size!r}; {suggest(size, _SIZES)}")
    # `rating:` does not count among the two tags that a free account may search for.
    tags = f"{search.query} rating:{','.join(rating[0] for rating in allowed)}"
    auth = (search.keys["DANBOORU_LOGIN"], search.keys["DANBOORU_API_KEY"])
    while True:
        params = {"tags": tags, "limit": _PER_PAGE, **({"page": f"b{cursor}"} if cursor else {})}
        posts = search.client.json(f"{base}/posts.json", params, auth=auth)
        posts = [post for post in posts if post.get("id")]
        cursor = str(min(post["id"] for post in posts)) if posts else None
        yield Page(items=[_item(post, base, size, allowed) for post in posts], cursor=cursor)
        if cursor is None:
            return


def ratings(search: Search) -> tuple[str, ...]:
    """The requested ratings."""
    allowed = tuple(word.strip() for word in search.options["rating"].split(",") if word.strip())
    for word in allowed:
        if word not in RATINGS:
            raise UsageError(f"unknown rating {word!r}; {suggest(word, RATINGS)}")
    return allowed


def _item(post: dict[str, Any], base: str, size: str, allowed: tuple[str, ...]) -> Item:
    general, characters, artists, media = (
        str(post.get(f"tag_string_{kind}") or "").split()
        for kind in ("general", "character", "artist", "meta")
    )
    letters = {rating[0]: rating for rating in RATINGS}
    kind = str(post.get("file_ext") or "")
    url = (post.get("large_file_url") if size == "large" else None) or post.get("file_url") or ""
    item = Item(
        source_id=str(post["id"]),
        url=url,
        page=f"{base}/posts/{post['id']}",
        author=" ".join(artists) or None,
        date=post.get("created_at"),
        tags=str(post.get("tag_string") or "").split(),
        fault=fault(general, letters.get(str(post.get("rating")), ""), allowed),
    )
    if not url or post.get("is_banned") or post.get("is_deleted"):
        item.fault = item.fault or "is not given out"
    elif kind and kind not in _PICTURES:
        item.fault = item.fault or f"is no picture: {kind}"
    label(item, [*general, *media], characters)
    return item


def _source(name: str, host: str, summary: str) -> Source:
    return Source(
        name=name,
        summary=summary,
        query="tags, as in its own search box",
        example='"solo glasses"',
        pages=pages,
        options={
            "rating": Option(default="general", help="of " + ", ".join(RATINGS)),
            "size": Option(default="large", help="large (850 pixels wide) or original"),
            "base": Option(default=f"https://{host}", help="another server of the same engine"),
        },
        keys=("DANBOORU_LOGIN", "DANBOORU_API_KEY"),
        advice=f"A key: https://{host}/profile, API keys; its owner may forbid programs at any time.",
        # Ten reads a second are allowed.
        intervals={host: 0.5, "cdn.donmai.us": 0.25},
    )


SOURCE = _source("danbooru", "danbooru.donmai.us", "drawings by tag, with your own key")
SAFE = _source("safebooru", "safebooru.donmai.us", "Danbooru's mirror of the safe part, with the same key")

"""Gelbooru. Fields as its `howto:api` describes them; kinds of tags come from a second call."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from typing import Any

from nenrin.scrapers.danbooru import ratings
from nenrin.scrapers.source import Item, Option, Page, Search, Source
from nenrin.scrapers.tags import RATINGS, fault, label

_PER_PAGE = 100  # the most the interface gives, of posts and of tags
_ARTIST, _SERIES, _CHARACTER = 1, 3, 4  # kinds of tags
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif")


def pages(search: Search, cursor: str | None) -> Iterator[Page]:
    """Posts from the newest on; the cursor is the last one's number (pages stop at 20,000 posts)."""
    base, allowed = search.options["base"].rstrip("/"), ratings(search)
    without = " ".join(f"-rating:{rating}" for rating in RATINGS if rating not in allowed)
    kinds: dict[str, int] = {}
    while True:
        before = f"id:<{cursor}" if cursor else ""
        tags = " ".join(f"{search.query} {without} sort:id:desc {before}".split())
        answer = _ask(search, base, "post", tags=tags, limit=_PER_PAGE)
        posts = [post for post in _rows(answer, "post") if post.get("id")]
        _learn(search, base, kinds, (word for post in posts for word in _words(post)))
        items = [_item(post, base, kinds, allowed) for post in posts]
        cursor = str(min(int(post["id"]) for post in posts)) if posts else None
        yield Page(items=items, cursor=cursor)
        if cursor is None:
            return


def _ask(search: Search, base: str, what: str, **params: Any) -> Any:
    keys = {"user_id": search.keys["GELBOORU_USER_ID"], "api_key": search.keys["GELBOORU_API_KEY"]}
    common = {"page": "dapi", "s": what, "q": "index", "json": 1}
    return search.client.json(f"{base}/index.php", {**common, **params, **keys})


def _rows(answer: Any, name: str) -> list[dict[str, Any]]:
    """The rows of a response, which omits the name if there are none, and the list if there is only one."""
    rows = answer.get(name) or []
    return rows if isinstance(rows, list) else [rows]


def _learn(search: Search, base: str, kinds: dict[str, int], words: Iterable[str]) -> None:
    """Look up the kinds of the tags that are new."""
    new = sorted(set(words) - kinds.keys())
    for start in range(0, len(new), _PER_PAGE):
        names = new[start : start + _PER_PAGE]
        kinds.update(dict.fromkeys(names, 0))
        for row in _rows(_ask(search, base, "tag", names=" ".join(names), limit=_PER_PAGE), "tag"):
            kinds[html.unescape(str(row.get("name")))] = int(row.get("type") or 0)


def _words(post: dict[str, Any]) -> list[str]:
    return html.unescape(str(post.get("tags") or "")).split()


def _item(post: dict[str, Any], base: str, kinds: dict[str, int], allowed: tuple[str, ...]) -> Item:
    words = _words(post)
    named = {_ARTIST, _SERIES, _CHARACTER}
    url = post.get("sample_url") or post.get("file_url") or ""
    item = Item(
        source_id=str(post["id"]),
        url=url,
        page=f"{base}/index.php?page=post&s=view&id={post['id']}",
        author=" ".join(word for word in words if kinds.get(word) == _ARTIST) or None,
        date=post.get("created_at"),
        tags=words,
        fault=fault(words, str(post.get("rating") or ""), allowed),
    )
    if not url:
        item.fault = item.fault or "is not given out"
    elif not url.lower().endswith(_PICTURES):
        item.fault = item.fault or f"is no picture: {url.rpartition('.')[2]}"
    general = [word for word in words if kinds.get(word) not in named]
    label(item, general, [word for word in words if kinds.get(word) == _CHARACTER])
    return item


SOURCE = Source(
    name="gelbooru",
    summary="drawings by tag, with your own key",
    query="tags, as in its own search box",
    example='"solo glasses"',
    pages=pages,
    options={
        "rating": Option(default="general", help="of " + ", ".join(RATINGS)),
        "base": Option(default="https://gelbooru.com", help="another server of the same engine"),
    },
    keys=("GELBOORU_USER_ID", "GELBOORU_API_KEY"),
    advice="A key: https://gelbooru.com, My Account, Options, API Access Credentials.",
    # No rate is documented.
    intervals={"gelbooru.com": 1.0, **{f"img{n}.gelbooru.com": 0.5 for n in range(1, 6)}},
)

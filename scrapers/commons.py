"""Wikimedia Commons, by category or search, by default freely licensed pictures only.

Fields as https://www.mediawiki.org/wiki/API:Imageinfo and https://commons.wikimedia.org/wiki/Commons:API.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from nenrin.ground import NenrinError, UsageError, suggest
from nenrin.scrapers.client import Client
from nenrin.scrapers.source import Item, Option, Page, Search, Source

_PER_PAGE = 50  # the most files that one request may be about
_LICENCES = ("free", "any")
_BUSY = ("maxlag", "ratelimited", "readonly")
_PATIENCE = 5  # attempts while the servers are busy
_WAIT = 5.0  # seconds between them, as Manual:Maxlag_parameter advises
_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff", "image/bmp")
_FREE = re.compile(
    r"cc[- ]?0|cc[- ]zero|pd\b.*|public domain|cc-pd.*|cc[- ]by(?:[- ]sa)?(?:[- ]\d.*)?|gfdl.*|fal.*"
    r"|free art license.*|attribution|copyrighted free use|no restrictions|ogl.*|godl.*|kogl type 1",
    re.IGNORECASE,
)
_METADATA = "LicenseShortName|License|NonFree|Artist|DateTimeOriginal|Categories|Restrictions"


def pages(search: Search, cursor: str | None) -> Iterator[Page]:
    """The files of a category, or those a search finds; the cursor is the API's own."""
    check(search)
    if search.query.lower().startswith("category:"):
        what = {
            "generator": "categorymembers",
            "gcmtitle": search.query,
            "gcmtype": "file",
            "gcmlimit": _PER_PAGE,
        }
    else:
        text = f"{search.query} filetype:bitmap"
        what = {"generator": "search", "gsrsearch": text, "gsrnamespace": 6, "gsrlimit": _PER_PAGE}
    more = json.loads(cursor) if cursor else {}
    while True:
        answer = ask(search.client, search.options["base"], {**what, **_imageinfo(search), **more})
        more = answer.get("continue") or {}
        yield Page(items=list(_items(answer, search)), cursor=json.dumps(more) if more else None)
        if not more:
            return


def describe(search: Search, titles: Sequence[str]) -> dict[str, Item]:
    """Files by their titles ("File:Mona Lisa.jpg"), at most 50; those that are missing are left out."""
    params = {"titles": "|".join(titles), **_imageinfo(search)}
    answer = ask(search.client, search.options["commons"], params)
    written = {each["to"]: each["from"] for each in answer.get("query", {}).get("normalized") or []}
    return {written.get(item.source_id, item.source_id): item for item in _items(answer, search)}


def ask(client: Client, base: str, params: dict[str, Any]) -> Any:
    """One request to a MediaWiki API, repeated while its servers lag (`maxlag`)."""
    error: dict[str, Any] = {}
    for _ in range(_PATIENCE):
        common = {"action": "query", "format": "json", "formatversion": 2, "maxlag": 5}
        answer = client.json(base, {**common, **params})
        error = answer.get("error") or {}
        if not error:
            return answer
        if error.get("code") not in _BUSY:
            break
        client.pace.hold(urlsplit(base).hostname or "", _WAIT)
    raise NenrinError(f"{base} says: {error.get('info') or error.get('code')}")


def check(search: Search) -> None:
    """Raises `UsageError` for an invalid option."""
    licence, width = search.options["licence"], search.options["width"]
    if licence not in _LICENCES:
        raise UsageError(f"unknown licence {licence!r}; {suggest(licence, _LICENCES)}")
    if not width.isdigit():
        raise UsageError(f"width is a number of pixels, not {width!r}")


def _imageinfo(search: Search) -> dict[str, Any]:
    return {
        "prop": "imageinfo",
        "iiprop": "url|size|mime|extmetadata",
        "iiurlwidth": search.options["width"],
        "iiextmetadatafilter": _METADATA,
        "iiextmetadatalanguage": "en",
    }


def _items(answer: dict[str, Any], search: Search) -> Iterator[Item]:
    for page in (answer.get("query") or {}).get("pages") or []:
        # Files without information yet come with it later in the listing.
        if page.get("title") and (page.get("imageinfo") or page.get("missing")):
            yield _item(page["title"], (page.get("imageinfo") or [{}])[0], search)


def _item(title: str, info: dict[str, Any], search: Search) -> Item:
    known = {
        name: _text(entry.get("value"))
        for name, entry in (info.get("extmetadata") or {}).items()
        if isinstance(entry, dict)
    }
    licence = known.get("LicenseShortName") or known.get("License") or None
    item = Item(
        source_id=title,
        # Pictures that are not wider than requested come without a thumbnail.
        url=info.get("thumburl") or info.get("url") or "",
        page=info.get("descriptionurl"),
        title=title.removeprefix("File:").rpartition(".")[0],
        author=known.get("Artist") or None,
        licence=licence,
        date=known.get("DateTimeOriginal") or None,
        tags=[word for word in known.get("Categories", "").split("|") if word],
    )
    if not item.url:
        item.fault = "is not given out"
    elif info.get("mime") not in _PICTURES:
        item.fault = f"is no picture: {info.get('mime')}"
    elif search.options["licence"] == "free" and not is_free(known):
        item.fault = f"is not freely licensed: {licence or 'no licence stated'}"
    return item


def is_free(known: dict[str, str]) -> bool:
    """Whether the licence on a file's page lets anybody use it for anything, with credit."""
    if known.get("NonFree", "").lower() in ("1", "true"):
        return False
    words = [word for name in ("License", "LicenseShortName") if (word := known.get(name, "").strip())]
    return any(_FREE.fullmatch(word) for word in words) and not any(
        re.search(r"\b(nc|nd|noncommercial|noderivs)\b", word, re.IGNORECASE) for word in words
    )


def _text(value: Any) -> str:
    """HTML as the text that a person reads."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", str(value or ""))).split())


COMMONS = "https://commons.wikimedia.org/w/api.php"
OPTIONS = {
    "licence": Option(default="free", help="free, or any"),
    "width": Option(default="1280", help="pixels; wider pictures are fetched as Commons scales them"),
}
INTERVALS = {"commons.wikimedia.org": 1.0, "upload.wikimedia.org": 0.25}  # in series, as its etiquette asks
ADVICE = "Its rules: https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy."
SOURCE = Source(
    name="commons",
    summary="Wikimedia Commons, freely licensed pictures alone",
    query='"Category:...", or what to search for (deepcat:"..." finds the categories below one too)',
    example='"Category:Portrait paintings of women"',
    pages=pages,
    options={**OPTIONS, "base": Option(default=COMMONS, help="another MediaWiki")},
    advice=ADVICE,
    intervals=INTERVALS,
)

"""Labels from the tags of an image board, for pictures with one face. Danbooru and Gelbooru share their tags.

Tags describe a whole picture. They are only a person's labels if they say that it shows a single person.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from nenrin.scrapers.source import Item

RATINGS = ("general", "sensitive", "questionable", "explicit")
_DOMAINS = {  # everything else is manga
    "photo_(medium)": "photo",
    "painting_(medium)": "painting",
    "oil_painting_(medium)": "painting",
    "realistic": "cartoon",  # drawn, in lifelike proportions
}
_CHILDREN = frozenset({"baby", "toddler", "child", "aged_down", "age_regression"})
_NEVER = frozenset({"loli", "shota"})
_COUNTERS = re.compile(r"(?:\d\+?|multiple_)(?:girls?|boys?|others?)")
_GENDERS = {"1girl": "female", "1boy": "male"}
# One character, several faces.
_SEVERAL = frozenset({"multiple_views", "dual_persona", "time_paradox", "age_progression", "reference_sheet"})
_NOT_WORN = frozenset(
    {
        "eyewear_hang",
        "eyewear_on_head",
        "eyewear_on_headwear",
        "eyewear_removed",
        "holding_eyewear",
        "no_eyewear",
        "unworn_eyewear",
    }
)
_WELL_TAGGED = 15  # with at least so many tags, glasses that are not mentioned are not worn


def label(item: Item, tags: Collection[str], characters: Sequence[str]) -> None:
    """Write the labels that the tags give into the item; `tags` are the general ones and the media.

    All of them are kept as attributes, as are hints at an age (`child`, `old_man`, `aged_up` ...). These do
    not say how many years, so they set no age.
    """
    words = set(tags)
    item.domain = next((domain for tag, domain in _DOMAINS.items() if tag in words), "manga")
    counters = {word for word in words if _COUNTERS.fullmatch(word)}
    alone = ("solo" in words or len(counters) == 1 <= len(counters & {"1girl", "1boy", "1other"})) and not (
        words & _SEVERAL or len(characters) > 1
    )
    if not alone:
        return
    item.attributes = dict.fromkeys(sorted(words), True)
    item.gender = next((gender for tag, gender in _GENDERS.items() if tag in words), None)
    item.glasses = _glasses(words)
    if len(characters) == 1 and not characters[0].endswith("_(cosplay)"):
        item.identity = f"character/{characters[0]}"


def fault(tags: Collection[str], rating: str, allowed: Collection[str]) -> str | None:
    """Why a picture of this rating and these tags is not fetched; None if it may be."""
    words = set(tags)
    if words & _NEVER or (words & _CHILDREN and rating in RATINGS[2:]):
        return "is never fetched: sexualised children"
    if rating not in allowed:
        return f"is rated otherwise: {rating or 'not rated'}"
    return None


def _glasses(words: Collection[str]) -> str | None:
    worn = [word for word in words if word.endswith(("glasses", "_eyewear")) and word not in _NOT_WORN]
    if set(words) & _NOT_WORN:
        return "none"
    if "sunglasses" in words:
        return "dark"
    if worn:
        return "clear"
    return "none" if len(words) >= _WELL_TAGGED else None

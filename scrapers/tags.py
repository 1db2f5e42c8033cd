"""What the tags of an image board say of the one face in a picture. Danbooru and Gelbooru share their words.

Tags describe a whole picture. Only where they say that it shows one person are they that person's labels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from nenrin.scrapers.source import Item

RATINGS = ("general", "sensitive", "questionable", "explicit")
_DOMAINS = {  # the rest is manga
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
_NOT_WORN = frozenset({"eyewear_on_head", "eyewear_removed", "holding_eyewear", "unworn_eyewear"})
_WELL_TAGGED = 15  # from so many tags on, glasses that are not mentioned are not there


def label(item: Item, tags: Collection[str], characters: Sequence[str]) -> None:
    """Write the labels that the tags give into the item; `tags` are the general ones and the media.

    All of them are kept as attributes, and so the hints at an age (`child`, `old_man`, `aged_up` ...): they
    do not say how many years, and no number is made of them.
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
    """Why a picture of this rating and these tags is not fetched; None if nothing speaks against it."""
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

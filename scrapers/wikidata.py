"""Wikidata: dated portraits. The sitter's birth (P569) and the picture's date (P571) give an age.

The picture itself (P18) is on Commons, with its licence. Pictures of several people get no age, as nobody
knows who is how old; nor do portraits made after the sitter's death, as they show no real age.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from urllib.parse import unquote, urlsplit

from nenrin.ground import UsageError
from nenrin.scrapers import commons
from nenrin.scrapers.source import Item, Option, Page, Search, Source

_PER_PAGE = 50  # works: as many as the files in one request to Commons
_YEAR = 9  # Wikibase's precision of a date that is known to the year; 10 the month, 11 the day
_OLDEST = 110.0
_SPREAD = 5.0  # years: several dates of one work within this range still give a date
_KINDS = {
    "Q3305213": "painting",
    "Q18761202": "painting",  # watercolour
    "Q93184": "cartoon",  # drawing
    "Q11060274": "cartoon",  # print
    "Q125191": "photo",
}
_GENDERS = {"Q6581072": "female", "Q6581097": "male"}
_QUERY = """SELECT ?work ?workLabel ?image ?kind ?sitter ?sitterLabel ?sex ?death
       ?birth ?birthPrecision ?made ?madePrecision WHERE {
  { SELECT DISTINCT ?work WHERE {
      VALUES ?about { wd:%(about)s }
      { ?work wdt:P170 ?about } UNION { ?work wdt:P180 ?about } UNION { ?work wdt:P195 ?about }
      VALUES ?form { %(kinds)s }
      ?work wdt:P31 ?form ; wdt:P18 [] ; wdt:P571 [] ; wdt:P180 / wdt:P31 wd:Q5 .
  } ORDER BY ?work LIMIT %(limit)d OFFSET %(offset)d }
  ?work wdt:P31 ?kind ; wdt:P18 ?image ; wdt:P180 ?sitter .
  ?sitter wdt:P31 wd:Q5 .
  OPTIONAL { ?work p:P571 [ a wikibase:BestRank ;
      psv:P571 [ wikibase:timeValue ?made ; wikibase:timePrecision ?madePrecision ] ] }
  OPTIONAL { ?sitter p:P569 [ a wikibase:BestRank ;
      psv:P569 [ wikibase:timeValue ?birth ; wikibase:timePrecision ?birthPrecision ] ] }
  OPTIONAL { ?sitter wdt:P570 ?death }
  OPTIONAL { ?sitter wdt:P21 ?sex }
  SERVICE wikibase:label { bd:serviceParam wikibase:language "en,mul,fr,de,ja". }
}"""
Row = Mapping[str, str]


def pages(search: Search, cursor: str | None) -> Iterator[Page]:
    """Works by, of, or in the collection of the item that the query names; the cursor counts them."""
    commons.check(search)
    about, offset = _entity(search), int(cursor or 0)
    while True:
        kinds = " ".join(f"wd:{kind}" for kind in _KINDS)
        query = _QUERY % {"about": about, "kinds": kinds, "limit": _PER_PAGE, "offset": offset}
        answer = search.client.json(search.options["base"], {"query": query, "format": "json"})
        works: dict[str, list[Row]] = defaultdict(list)
        for binding in answer["results"]["bindings"]:
            row = {name: entry["value"] for name, entry in binding.items()}
            works[_name(row["work"])].append(row)
        offset += _PER_PAGE
        more = len(works) >= _PER_PAGE
        yield Page(items=_items(search, works), cursor=str(offset) if more else None)
        if not more:
            return


def _entity(search: Search) -> str:
    """The item that the query names, by number or in words."""
    if re.fullmatch(r"Q\d+", search.query):
        return search.query
    params = {
        "action": "wbsearchentities",
        "search": search.query,
        "language": "en",
        "type": "item",
        "limit": 1,
    }
    found = commons.ask(search.client, search.options["wiki"], params).get("search") or []
    if not found or not found[0].get("id"):
        raise UsageError(f"wikidata knows no creator, sitter or collection called {search.query!r}")
    return str(found[0]["id"])


def _items(search: Search, works: Mapping[str, Sequence[Row]]) -> list[Item]:
    titles = {work: _title(rows[0].get("image", "")) for work, rows in works.items()}
    files = commons.describe(search, sorted(set(titles.values()))) if titles else {}
    items = []
    for work, rows in works.items():
        file = files.get(titles[work]) or Item(source_id=work, url="", fault="is not given out")
        # Two works may share one file, but each has labels of its own.
        item = dataclasses.replace(file, source_id=work, tags=list(file.tags))
        item.title = rows[0].get("workLabel") or item.title
        _label(item, rows)
        items.append(item)
    return items


def _label(item: Item, rows: Sequence[Row]) -> None:
    """The sitter and the sitter's age, or why there is none."""
    kinds = {_name(row.get("kind", "")) for row in rows}
    item.domain = next((domain for kind, domain in _KINDS.items() if kind in kinds), None)
    sitters = {row["sitter"] for row in rows if row.get("sitter")}
    if len(sitters) != 1:
        item.fault = item.fault or f"shows several people: {len(sitters)}"
        return
    item.identity = f"wikidata/{_name(sitters.pop())}"
    item.tags.append(f"sitter: {rows[0].get('sitterLabel', '')}")
    genders = {_GENDERS.get(_name(row.get("sex", ""))) for row in rows}
    item.gender = genders.pop() if len(genders) == 1 else None
    made, births, deaths = (_moments(rows, name) for name in ("made", "birth", "death"))
    if not made or not births or max(made) - min(made) > _SPREAD or max(births) - min(births) > _SPREAD:
        item.fault = item.fault or "is not dated to the year: picture or sitter"
        return
    when, birth = (min(made) + max(made)) / 2, (min(births) + max(births)) / 2
    item.date = f"{int(when)}"
    if deaths and int(when) > int(max(deaths)):
        item.fault = item.fault or "was made after the sitter's death"
    elif not 0 <= when - birth <= _OLDEST:
        item.fault = item.fault or f"has an impossible age: {when - birth:.0f}"
    else:
        item.age, item.age_source = round(when - birth, 1), "dated"


def _moments(rows: Sequence[Row], name: str) -> list[float]:
    dates = (moment(row.get(name), row.get(f"{name}Precision", "11")) for row in rows)
    return [when for when in dates if when is not None]


def moment(value: str | None, precision: str | None) -> float | None:
    """A Wikibase date as a fractional year, the middle of the span it leaves open; None if that is longer
    than a year, or before our era."""
    match = re.match(r"\+?(\d{4})-(\d\d)-(\d\d)", value or "")
    level = int(precision or 0)
    if match is None or level < _YEAR:
        return None
    year, month, day = (int(part) for part in match.groups())
    if level == _YEAR or not month:
        return year + 0.5
    try:
        when = date(year, month, day if level > _YEAR + 1 and day else 15)
    except ValueError:
        return year + 0.5
    return year + (when.timetuple().tm_yday - 1) / 365.25


def _name(address: str) -> str:
    return address.rpartition("/")[2]


def _title(address: str) -> str:
    """The title on Commons of the file at a `Special:FilePath` address."""
    return f"File:{unquote(urlsplit(address).path.rpartition('/')[2]).replace('_', ' ')}"


SOURCE = Source(
    name="wikidata",
    summary="portraits with the sitter's age, by creator, sitter or collection",
    query="a creator, a sitter or a collection: a name, or a number such as Q762",
    example='"Leonardo da Vinci"',
    pages=pages,
    options={
        **commons.OPTIONS,
        "base": Option(default="https://query.wikidata.org/sparql", help="another query service"),
        "wiki": Option(default="https://www.wikidata.org/w/api.php", help="where names are looked up"),
        "commons": Option(default=commons.COMMONS, help="where the pictures lie"),
    },
    advice=commons.ADVICE,
    intervals={**commons.INTERVALS, "query.wikidata.org": 2.0, "www.wikidata.org": 1.0},
)

"""Manifests of characters who are drawn at two ages: who, how old, with which glasses, and where to look.

A manifest is a TOML file about one work (`eval/canon/*.toml`; no picture comes with it):

    series = "Detective Conan"
    by = "Gosho Aoyama"
    since = 1994
    domain = "manga"

    [[pair]]
    name = "conan-shinichi"     # of its folder of pictures
    gender = "male"             # may be left out, as may note
    note = "..."

    [pair.from]
    character = "Conan Edogawa"
    age = 7
    glasses = "clear"           # none, clear or dark
    find = [
        { source = "danbooru", query = "edogawa_conan solo" },
        { source = "anilist", query = "Conan Edogawa", limit = 1, options = { what = "character" } },
    ]                           # limit (pictures) and options (of the source) may be left out

    [pair.to]                   # as from; with reference = false it is shown and not scored
    ...

A side lists only queries that find the character at that age alone. If there are none, `find` is left out,
and users add pictures themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from nenrin.domains.face import GENDERS, GLASSES
from nenrin.ground import UsageError, read_toml, suggest

OLDEST = 120  # years


@dataclasses.dataclass(kw_only=True, slots=True, frozen=True)
class Query:
    """Where pictures can be had: a source of `nenrin scrape`, and what to ask it."""

    source: str
    query: str
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)  # of the source
    limit: int | None = None  # pictures at most, if only the source's first answers are right


@dataclasses.dataclass(kw_only=True, slots=True, frozen=True)
class Side:
    """A character at one age."""

    character: str
    age: float  # years
    glasses: str
    find: tuple[Query, ...] = ()
    reference: bool = True  # False: no picture of this age exists


@dataclasses.dataclass(kw_only=True, slots=True, frozen=True)
class Pair:
    """One character at two ages."""

    name: str
    series: str
    since: int
    domain: str
    gender: str | None
    start: Side
    goal: Side
    note: str = ""


def shipped() -> list[Path]:
    """The manifests that come with nenrin."""
    folder = Path(str(resources.files("nenrin.eval"))) / "canon"
    return sorted(folder.glob("*.toml"))


def read_manifests(paths: Sequence[Path]) -> list[Pair]:
    """All pairs of these manifests. `UsageError` for a wrong one, or for two pairs of one name."""
    pairs = [pair for path in paths for pair in read_manifest(path)]
    names = [pair.name for pair in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two pairs are called {min(twice)!r}: their pictures would share a folder")
    return pairs


def read_manifest(path: Path) -> list[Pair]:
    """The pairs of one manifest. `UsageError` names the file, the key and the nearest known one."""
    table = _Table(path, read_toml(path), "")
    table.only("series", "by", "since", "domain", "pair")
    series, domain = table.text("series"), table.text("domain")
    since = int(table.number("since", 3000))
    pairs = table.values.get("pair")
    if not isinstance(pairs, list) or not pairs:
        raise UsageError(f"{path} names no [[pair]]")
    return [
        _pair(_Table(path, values, f"pair {i}: "), series, since, domain) for i, values in enumerate(pairs, 1)
    ]


def _pair(table: _Table, series: str, since: int, domain: str) -> Pair:
    table.only("name", "gender", "note", "from", "to")
    name = table.text("name")
    if Path(name).name != name or name.startswith("."):
        raise UsageError(f"{table.path}: {table.at}name {name!r} cannot be the name of a folder")
    return Pair(
        name=name,
        series=series,
        since=since,
        domain=domain,
        gender=table.word("gender", GENDERS) if "gender" in table.values else None,
        start=_side(table.inner("from")),
        goal=_side(table.inner("to")),
        note=table.text("note") if "note" in table.values else "",
    )


def _side(table: _Table) -> Side:
    table.only("character", "age", "glasses", "find", "reference")
    found = []
    for values in table.values.get("find", []):
        query = _Table(table.path, values, f"{table.at}find: ")
        query.only("source", "query", "options", "limit")
        options = query.inner("options") if "options" in query.values else None
        found.append(
            Query(
                source=query.text("source"),
                query=query.text("query"),
                options={key: options.text(key) for key in options.values} if options else {},
                limit=query.count("limit") if "limit" in query.values else None,
            )
        )
    return Side(
        character=table.text("character"),
        age=table.number("age", OLDEST),
        glasses=table.word("glasses", GLASSES),
        find=tuple(found),
        reference=bool(table.values.get("reference", True)),
    )


class _Table:
    """A table of a manifest, whose errors say where they are."""

    def __init__(self, path: Path, values: Any, at: str) -> None:
        if not isinstance(values, dict):
            raise UsageError(f"{path}: {at.rstrip(': ')} is no table")
        self.path, self.values, self.at = path, values, at

    def only(self, *known: str) -> None:
        for key in self.values:
            if key not in known:
                raise UsageError(f"{self.path}: {self.at}unknown key {key!r}; {suggest(key, known)}")

    def inner(self, key: str) -> _Table:
        return _Table(self.path, self._value(key), f"{self.at}{key}: ")

    def text(self, key: str) -> str:
        value = self._value(key)
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{self.path}: {self.at}{key} must be a text, not {value!r}")
        return value

    def number(self, key: str, most: float) -> float:
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise UsageError(
                f"{self.path}: {self.at}{key} must be a number from 0 to {most:g}, not {value!r}"
            )
        return float(value)

    def count(self, key: str) -> int:
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{self.path}: {self.at}{key} must be a whole number from 1 on, not {value!r}")
        return value

    def word(self, key: str, known: Collection[str]) -> str:
        value = self.text(key)
        if value not in known:
            raise UsageError(f"{self.path}: {self.at}unknown {key} {value!r}; {suggest(value, known)}")
        return value

    def _value(self, key: str) -> Any:
        if key not in self.values:
            raise UsageError(f"{self.path}: {self.at}{key} is missing")
        return self.values[key]

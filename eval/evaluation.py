"""The results of an evaluation, in the form of the report, metrics.json and scores.csv."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from typing import Any

from nenrin.eval.paired import Comparison
from nenrin.eval.results import Result
from nenrin.eval.stats import Estimate

SCHEMA_VERSION = 3
COLUMNS = (
    "protocol",
    "domain",
    "case",
    "subject",
    "role",
    "metric",
    "backend",
    "value",
    "low",
    "high",
    "n",
    "identities",
    "better",
    "percent",
)


@dataclasses.dataclass(kw_only=True, slots=True)
class Evaluation:
    """The results of an evaluation, and the facts needed to reproduce it."""

    results: list[Result]
    comparisons: list[Comparison]
    notes: list[str]
    facts: dict[str, Any]  # command, seed, sets, backends, software, time

    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json.

        `schema` (int); `facts` as above; `notes` (list of text); `scores`: a list of flat rows with
        `protocol`, `domain`, `case`, `subject`, `role` (ager, floor, ceiling, embedder), `metric`, `backend`,
        `value`, `low` and `high` (the 95% interval), `n` (pictures or pairs), `identities` (persons
        resampled), `better` (1 higher, -1 lower, 0 neither) and `percent` (the value is a fraction). In
        `canon`, the numbers of all characters are followed by those of each, whose `case` is "NAME: TITLE".
        `curves`: judged age, mean `y` and quartiles `low` and `high`, at the asked ages `x`. `confusions`:
        `counts` of asked (or true) against judged `words`. `comparisons`: ager `a` less ager `b` on the same
        faces, with `difference` and its interval, `effect` (Cohen's d over persons), `p` (sign flips,
        corrected by Holm within the protocol) and which is `better`. An undefined number is null.
        """
        return {
            "schema": SCHEMA_VERSION,
            "facts": self.facts,
            "notes": self.notes + [note for result in self.results for note in result.notes],
            "scores": self.rows(),
            "curves": [_plain(curve) for result in self.results for curve in result.curves],
            "confusions": [_plain(one) for result in self.results for one in result.confusions],
            "comparisons": [
                _without(one, "difference") | _renamed(one.difference, "difference")
                for one in self.comparisons
            ],
        }

    def rows(self) -> list[dict[str, Any]]:
        """One flat row a score, with `COLUMNS`."""
        rows = (
            _plain(score) | {"better": score.better, "percent": score.percent} | _plain(score.estimate)
            for result in self.results
            for score in (*result.scores, *result.details)
        )
        return [{name: row[name] for name in COLUMNS} for row in rows]

    def json(self) -> str:
        """metrics.json."""
        return json.dumps(self.metrics(), indent=1, allow_nan=False)

    def csv(self) -> str:
        """scores.csv: the scores of metrics.json, a header and a row each; an undefined number is empty."""
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return table.getvalue()


def _renamed(estimate: Estimate, name: str) -> dict[str, Any]:
    return {name if k == "value" else k: v for k, v in _plain(estimate).items()}


def _without(item: Any, *names: str) -> dict[str, Any]:
    return {k: v for k, v in _plain(item).items() if k not in names}


def _plain(item: Any) -> dict[str, Any]:
    """A dataclass as JSON can hold it: NaN and infinity become null."""

    def clean(value: Any) -> Any:
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        return [clean(v) for v in value] if isinstance(value, list) else value

    return {f.name: clean(getattr(item, f.name)) for f in dataclasses.fields(item)}

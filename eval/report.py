"""The report: one HTML file that carries its pictures, plots and tables, and needs nothing else."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from nenrin.eval import plots
from nenrin.eval.protocols.ages import RANK, SAME
from nenrin.eval.protocols.base import Result, Score, Strip
from nenrin.eval.subjects import Pixels
from nenrin.eval.suite import Evaluation
from nenrin.eval.verdict import verdict
from nenrin.ground import write_text

PICTURE = 128  # px at most in the report
QUALITY = 80  # of WebP
ORDER = {"ceiling": 0, "ager": 1, "floor": 2}


@dataclasses.dataclass(kw_only=True, slots=True)
class Cell:
    """One number of a table, as text."""

    value: str
    interval: str
    count: str  # empty where the column says it
    best: bool = False


@dataclasses.dataclass(kw_only=True, slots=True)
class Column:
    """A metric by one backend."""

    metric: str
    backend: str
    arrow: str
    count: str  # n and persons, where all rows share them


@dataclasses.dataclass(kw_only=True, slots=True)
class Row:
    """One subject's numbers."""

    subject: str
    role: str
    cells: list[Cell | None]


@dataclasses.dataclass(kw_only=True, slots=True)
class Table:
    """All scores of one protocol in one domain and case."""

    title: str
    columns: list[Column]
    rows: list[Row]


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Render the evaluation into one HTML file."""
    environment = Environment(
        loader=PackageLoader("nenrin.eval", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    headline, sentences = verdict(evaluation.results)
    series = _series(evaluation.results)
    html = environment.get_template("report.html.j2").render(
        headline=headline,
        sentences=sentences,
        evaluation=evaluation,
        series=list(series.values()),
        plots={r.protocol: _plots(r, series) for r in evaluation.results},
        tables={r.protocol: tables(r.scores) for r in evaluation.results},
        grouped={r.protocol: _grouped(r.strips) for r in evaluation.results},
        picture=data_uri,
    )
    write_text(path, html)


def data_uri(pixels: Pixels) -> str:
    """A picture, (H, W, 3) uint8, as a WebP data URI of at most `PICTURE` px."""
    picture = Image.fromarray(pixels)
    if picture.width > PICTURE:
        picture = picture.resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _series(results: Sequence[Result]) -> dict[str, plots.Series]:
    """One look for each ager and floor, the same in all plots."""
    found = {s.subject: s.role for r in results for s in r.scores if s.role != "ceiling"}
    agers = [name for name, role in found.items() if role == "ager"]
    floors = [name for name, role in found.items() if role == "floor"]
    return {
        name: plots.Series(name=name, role=found[name], index=i)
        for names in (agers, floors)
        for i, name in enumerate(names)
    }


def _plots(result: Result, series: dict[str, plots.Series]) -> list[tuple[str, list[Markup]]]:
    """For each domain its plots."""
    shown = []
    for domain in dict.fromkeys(s.domain for s in result.scores):
        pictures = []
        curves = [c for c in result.curves if c.domain == domain]
        if curves:
            first = [c for c in curves if c.backend == curves[0].backend]
            pictures.append(plots.asked_judged(domain, first, series))
        here = [s for s in result.scores if s.domain == domain and s.role != "ceiling"]
        age, same = _by_subject(here, RANK), _by_subject(here, SAME)
        points = [(name, age[name].estimate, same[name].estimate) for name in age if name in same]
        if points:
            pictures.append(plots.plane(domain, points, series))
        if pictures:
            shown.append((domain, pictures))
    return shown


def _by_subject(scores: Sequence[Score], metric: str) -> dict[str, Score]:
    """The first backend's score of each subject."""
    found: dict[str, Score] = {}
    for score in scores:
        if score.metric == metric:
            found.setdefault(score.subject, score)
    return found


def _grouped(strips: Sequence[Strip]) -> dict[str, dict[str, list[Strip]]]:
    """Domain -> "seeded" and "worst" -> strips."""
    groups: dict[str, dict[str, list[Strip]]] = {}
    for strip in strips:
        sides = groups.setdefault(strip.domain, {"seeded": [], "worst": []})
        sides["worst" if strip.worst else "seeded"].append(strip)
    return groups


def tables(scores: Sequence[Score]) -> list[Table]:
    """Pivot scores: one table a domain and case, ceilings above agers above floors."""
    made = []
    for domain, case in dict.fromkeys((s.domain, s.case) for s in scores):
        here = [s for s in scores if (s.domain, s.case) == (domain, case)]
        keys = list(dict.fromkeys((s.metric, s.backend) for s in here))
        subjects = sorted(dict.fromkeys((s.role, s.subject) for s in here), key=lambda p: ORDER[p[0]])
        found = {(s.metric, s.backend, s.subject): s for s in here}
        columns, by_column = [], []
        for metric, backend in keys:
            column = [found.get((metric, backend, name)) for _, name in subjects]
            described, cells = _column(metric, backend, column)
            columns.append(described)
            by_column.append(cells)
        rows = [
            Row(subject=name, role=role, cells=[cells[i] for cells in by_column])
            for i, (role, name) in enumerate(subjects)
        ]
        made.append(Table(title=", ".join(filter(None, (domain, case))), columns=columns, rows=rows))
    return made


def _column(metric: str, backend: str, scores: Sequence[Score | None]) -> tuple[Column, list[Cell | None]]:
    known = [s for s in scores if s is not None]
    counts = [_count(s) for s in known]
    shared = max(set(counts), key=counts.count)  # the n of most rows stands in the head
    better = known[0].better
    agers = [better * s.estimate.value for s in known if s.role == "ager" and s.estimate.defined]
    best = max(agers) if better and len(agers) > 1 else math.inf
    cells = [
        None
        if score is None
        else _cell(
            score,
            count="" if _count(score) == shared else _count(score),
            best=score.role == "ager" and better * score.estimate.value == best,
        )
        for score in scores
    ]
    arrow = {1: "↑", -1: "↓", 0: ""}[better]
    return Column(metric=metric, backend=backend, arrow=arrow, count=shared), cells


def _count(score: Score) -> str:
    estimate = score.estimate
    people = "person" if estimate.identities == 1 else "persons"
    return f"n {estimate.n:,}, {estimate.identities:,} {people}"


def _cell(score: Score, *, count: str, best: bool) -> Cell | None:
    estimate = score.estimate
    if not estimate.n:
        return None
    if not estimate.defined:
        return Cell(value="undefined", interval="the ceiling does not beat the copy", count=count)
    if score.percent:
        value, interval = f"{estimate.value:.0%}", f"{100 * estimate.low:.0f} to {100 * estimate.high:.0f}"
    else:
        digits = 1 if abs(estimate.value) >= 10 else 2
        value, low, high = (f"{v:.{digits}f}" for v in (estimate.value, estimate.low, estimate.high))
        interval = f"{low} to {high}"
    return Cell(value=value.replace("-", "−"), interval=interval.replace("-", "−"), count=count, best=best)

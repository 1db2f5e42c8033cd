"""The report: one HTML file that carries its pictures, plots and tables, and needs nothing else."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from nenrin.eval import plots
from nenrin.eval.baselines import CopyAger, MeanFaceAger
from nenrin.eval.identity import PixelEmbedder
from nenrin.eval.perceptual import UnweightedMTCNN
from nenrin.eval.protocols.ages import RANK, SAME
from nenrin.eval.protocols.base import Result, Score, Strip
from nenrin.eval.subjects import Pixels
from nenrin.eval.suite import Evaluation
from nenrin.eval.twin_embedder import PEOPLE, TwinEmbedder
from nenrin.eval.verdict import minus, verdict
from nenrin.ground import write_text

PICTURE = 128  # px at most in the report
QUALITY = 80  # of WebP
FLOORS = {
    CopyAger.name: "the input, unchanged",
    MeanFaceAger.name: "the average face of the asked age, nobody in particular",
}
BACKENDS = {
    TwinEmbedder.name: f"a small network that learned {PEOPLE} procedural people and never saw a real face",
    PixelEmbedder.name: "16 x 16 grey pixels of the face: a floor that knows no persons",
    UnweightedMTCNN.name: "the LPIPS formula without its weights on a face finder's network: it orders agers "
    "within one report and is not LPIPS",
}
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
class Group:
    """The rows of one case."""

    title: str
    rows: list[Row]


@dataclasses.dataclass(kw_only=True, slots=True)
class Table:
    """All scores of one protocol in one domain."""

    title: str
    columns: list[Column]
    groups: list[Group]


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
        floors=FLOORS,
        backends=BACKENDS,
        judges=list(dict.fromkeys(c.backend for r in evaluation.results for c in r.curves)),
    )
    write_text(path, html)


def data_uri(pixels: Pixels) -> str:
    """A picture, (H, W, 3) uint8, as a WebP data URI of at most `PICTURE` px.

    Small ones are enlarged here by a whole factor: browsers enlarge bilinearly, which looks like blur of the
    ager's.
    """
    picture = Image.fromarray(pixels)
    side = min(PICTURE, picture.width * max(PICTURE // picture.width, 1))
    if picture.width != side:
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
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


def _plots(result: Result, series: dict[str, plots.Series]) -> list[tuple[str, list[tuple[Markup, str]]]]:
    """For each domain its plots, with a caption each."""
    shown = []
    for domain in dict.fromkeys(s.domain for s in result.scores):
        pictures: list[tuple[Markup, str]] = []
        curves = [c for c in result.curves if c.domain == domain]
        if curves:
            first = [c for c in curves if c.backend == curves[0].backend]
            caption = (
                f"Asked age and the mean of what {curves[0].backend} judged. Bars span the middle half of "
                "the faces; on the dashed line the age is the one that was asked for."
            )
            pictures.append((plots.asked_judged(domain, first, series), caption))
        here = [s for s in result.scores if s.domain == domain and s.role != "ceiling"]
        age, same = _by_subject(here, RANK), _by_subject(here, SAME)
        points = [(name, age[name].estimate, same[name].estimate) for name in age if name in same]
        if points:
            judge, embedder = age[points[0][0]].backend, same[points[0][0]].backend
            caption = (
                f"To the right it ages ({judge}), upwards it stays the person ({embedder}): an ager belongs "
                "into the tinted corner. Crosses are 95% intervals."
            )
            pictures.append((plots.plane(domain, points, series), caption))
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
    """Pivot scores: a table a domain, in it a group a case, in it ceilings above agers above floors."""
    made = []
    for domain in dict.fromkeys(s.domain for s in scores):
        here = [s for s in scores if s.domain == domain]
        columns = {
            (metric, backend): _column([s for s in here if (s.metric, s.backend) == (metric, backend)])
            for metric, backend in dict.fromkeys((s.metric, s.backend) for s in here)
        }
        groups = [
            Group(title=case, rows=_rows([s for s in here if s.case == case], columns))
            for case in dict.fromkeys(s.case for s in here)
        ]
        made.append(Table(title=domain, columns=list(columns.values()), groups=groups))
    return made


def _rows(scores: Sequence[Score], columns: Mapping[tuple[str, str], Column]) -> list[Row]:
    subjects = sorted(dict.fromkeys((s.role, s.subject) for s in scores), key=lambda p: ORDER[p[0]])
    found = {(s.subject, (s.metric, s.backend)): s for s in scores}
    best = {key: _best([s for s in scores if (s.metric, s.backend) == key]) for key in columns}
    return [
        Row(
            subject=name,
            role=role,
            cells=[
                _cell(score, column, best=score is best[key]) if (score := found.get((name, key))) else None
                for key, column in columns.items()
            ],
        )
        for role, name in subjects
    ]


def _best(scores: Sequence[Score]) -> Score | None:
    """The best of several agers, where more or less is better."""
    agers = [s for s in scores if s.role == "ager" and s.estimate.defined and s.better]
    return max(agers, key=lambda s: s.better * s.estimate.value) if len(agers) > 1 else None


def _column(scores: Sequence[Score]) -> Column:
    counts = [_count(s) for s in scores]
    return Column(
        metric=scores[0].metric,
        backend=scores[0].backend,
        arrow={1: "↑", -1: "↓", 0: ""}[scores[0].better],
        count=max(dict.fromkeys(counts), key=counts.count),  # the n of most rows stands in the head
    )


def _count(score: Score) -> str:
    estimate = score.estimate
    people = "person" if estimate.identities == 1 else "persons"
    return f"n {estimate.n:,}, {estimate.identities:,} {people}"


def _cell(score: Score, column: Column, *, best: bool) -> Cell | None:
    estimate = score.estimate
    if not estimate.n:
        return None
    count = "" if _count(score) == column.count else _count(score)
    if not estimate.defined:
        return Cell(value="undefined", interval="the ceiling does not beat the copy", count=count)

    def said(value: float) -> str:
        if score.percent:
            return f"{100 * value:.0f}"
        return f"{value:.{1 if abs(estimate.value) >= 10 else 2}f}"

    value, interval = said(estimate.value), f"{said(estimate.low)} to {said(estimate.high)}"
    if math.isnan(estimate.low):
        interval = "no interval: the ceiling hardly beats the copy"
    return Cell(value=minus(value + "%" * score.percent), interval=minus(interval), count=count, best=best)

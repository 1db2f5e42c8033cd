"""The report: one self-contained HTML file with its pictures, plots and tables."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from nenrin.eval import metrics, plots
from nenrin.eval.baselines import CopyAger, MeanFaceAger
from nenrin.eval.confusion_plot import confusion
from nenrin.eval.evaluation import Evaluation
from nenrin.eval.identity import MTCNNEmbedder, PixelEmbedder
from nenrin.eval.ladder_plot import ladder
from nenrin.eval.perceptual import UnweightedMTCNN
from nenrin.eval.protocols.ladder import Ladder
from nenrin.eval.results import Confusion, Result, Score, Strip
from nenrin.eval.subjects import Pixels
from nenrin.eval.tables import tables
from nenrin.eval.twin_embedder import PEOPLE, TwinEmbedder
from nenrin.eval.verdict import verdict
from nenrin.eval.wording import minus, number
from nenrin.ground import write_text

PICTURE = 128  # px at most in the report
SMALLER = (PICTURE, 96, 64, 48)  # tried in turn if the file would be larger than `LIMIT`
LIMIT = 14_000_000  # bytes
QUALITY = 80  # of WebP
SENTENCES = 5  # shown below the headline; the others open on a click
FLOORS = {
    CopyAger.name: "the input, unchanged",
    MeanFaceAger.name: "the average face of the asked age, nobody in particular",
}
BACKENDS = {
    MTCNNEmbedder.name: "a face finder's network: it knows where eyes are, and nobody",
    TwinEmbedder.name: f"a small network that learned {PEOPLE} procedural people and never saw a real face",
    PixelEmbedder.name: "16 x 16 grey pixels of the face: a floor that knows no persons",
    UnweightedMTCNN.name: "the LPIPS formula without its weights on a face finder's network: it orders agers "
    "within one report and is not LPIPS",
}
Plots = list[tuple[str, list[tuple[Markup, str]]]]  # for each heading its pictures, with a caption each


def write_report(evaluation: Evaluation, path: Path, limit: int = LIMIT) -> None:
    """Render the evaluation into one HTML file, with smaller pictures if it would exceed `limit` bytes."""
    html = ""
    for side in SMALLER:
        html = _render(evaluation, side)
        if len(html.encode()) <= limit:
            break
    write_text(path, html)


def _render(evaluation: Evaluation, side: int) -> str:
    environment = Environment(
        loader=PackageLoader("nenrin.eval", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    headline, sentences = verdict(evaluation.results)
    series = _series(evaluation.results)
    return environment.get_template("report.html.j2").render(
        headline=headline,
        sentences=sentences,
        evaluation=evaluation,
        series=list(series.values()),
        plots={r.protocol: _plots(r, series) for r in evaluation.results},
        tables={r.protocol: tables(r.scores) for r in evaluation.results},
        details={r.protocol: tables(_by_first(r.details)) for r in evaluation.results},
        grouped={r.protocol: _grouped(r.strips) for r in evaluation.results},
        comparisons={
            r.protocol: [c for c in evaluation.comparisons if c.protocol == r.protocol]
            for r in evaluation.results
        },
        picture=partial(data_uri, most=side),
        number=number,
        minus=minus,
        floors=FLOORS,
        backends=BACKENDS,
        FIRST=SENTENCES,
        judges=list(dict.fromkeys(c.backend for r in evaluation.results for c in r.curves)),
    )


def data_uri(pixels: Pixels, most: int = PICTURE) -> str:
    """A picture, (H, W, 3) uint8, as a WebP data URI of at most `most` px.

    Small ones are enlarged here by a whole factor, because browsers enlarge bilinearly, which looks as if the
    ager blurred.
    """
    picture = Image.fromarray(pixels)
    side = min(most, picture.width * max(most // picture.width, 1))
    if picture.width != side:
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _series(results: Sequence[Result]) -> dict[str, plots.Series]:
    """A colour, marker and dash for each ager and floor, the same in all plots."""
    found = {s.subject: s.role for r in results for s in r.scores if s.sample is not None}
    agers = [name for name, role in found.items() if role == "ager"]
    floors = [name for name in FLOORS if found.get(name) == "floor"]
    return {
        name: plots.Series(name=name, role=found[name], index=i)
        for names in (agers, floors)
        for i, name in enumerate(names)
    }


def _plots(result: Result, series: dict[str, plots.Series]) -> Plots:
    """The pictures of a protocol, by heading."""
    if result.protocol == Ladder.name:
        return _ladders(result, series)
    shown: Plots = []
    for domain in dict.fromkeys(s.domain for s in result.scores):
        pictures = [*_curves(result, domain, series), *_planes(result, domain, series)]
        pictures += [
            (confusion(one), f"{one.subject}, judged by {one.backend}: {_asked(one.role)} in the rows.")
            for one in _first_confusions(result, domain)
        ]
        if pictures:
            shown.append((domain, pictures))
    return shown


def _asked(role: str) -> str:
    return "what they truly wear" if role == "ceiling" else "what was asked"


def _first_confusions(result: Result, domain: str) -> list[Confusion]:
    """By the first judge of the domain."""
    here = [c for c in result.confusions if c.domain == domain]
    return [c for c in here if c.backend == here[0].backend]


def _curves(result: Result, domain: str, series: dict[str, plots.Series]) -> list[tuple[Markup, str]]:
    curves = [c for c in result.curves if c.domain == domain]
    if not curves:
        return []
    caption = (
        f"Asked age and the mean of what {curves[0].backend} judged. Bars span the middle half of "
        "the faces; on the dashed line the age is the one that was asked for."
    )
    first = [c for c in curves if c.backend == curves[0].backend]
    return [(plots.asked_judged(domain, first, series), caption)]


def _planes(result: Result, domain: str, series: dict[str, plots.Series]) -> list[tuple[Markup, str]]:
    here = [s for s in result.scores if s.domain == domain and not s.case and s.subject in series]
    age, same = _by_subject(here, metrics.RANK), _by_subject(here, metrics.SAME)
    points = [(name, age[name].estimate, same[name].estimate) for name in age if name in same]
    if not points:
        return []
    judge, embedder = age[points[0][0]].backend, same[points[0][0]].backend
    caption = (
        f"To the right it ages ({judge}), upwards it stays the person ({embedder}): an ager belongs "
        "into the tinted corner. Crosses are 95% intervals."
    )
    return [(plots.plane(domain, points, series), caption)]


def _ladders(result: Result, series: dict[str, plots.Series]) -> Plots:
    """A ladder for each metric that can be read without knowing its unit."""
    told = (metrics.RANK, metrics.KEPT, metrics.OWN_DOMAIN, metrics.SLOPE)
    shown = [m for m in told if _drawn(result, m)]
    caption = "The steps from domain to domain stand above, in each ager's colour. Bars are 95% intervals."
    pictures = [(ladder(m, result.scores, series), caption) for m in shown]
    return [("", pictures)] if pictures else []


def _drawn(result: Result, metric: str) -> bool:
    return any(s.metric == metric and s.estimate.defined and not s.case for s in result.scores)


def _by_subject(scores: Sequence[Score], metric: str) -> dict[str, Score]:
    """The first backend's score of each subject."""
    found: dict[str, Score] = {}
    for score in scores:
        if score.metric == metric:
            found.setdefault(score.subject, score)
    return found


def _by_first(scores: Sequence[Score]) -> list[Score]:
    """The scores by the first backend of each metric; the others are in metrics.json."""
    first = {s.metric: s.backend for s in reversed(scores)}
    return [s for s in scores if s.backend == first[s.metric]]


def _grouped(strips: Sequence[Strip]) -> dict[str, dict[str, list[Strip]]]:
    """Domain -> "seeded" and "worst" -> strips."""
    groups: dict[str, dict[str, list[Strip]]] = {}
    for strip in strips:
        sides = groups.setdefault(strip.domain, {"seeded": [], "worst": []})
        sides["worst" if strip.worst else "seeded"].append(strip)
    return groups

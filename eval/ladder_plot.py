"""The ladder as a picture: each subject's mean with its interval, rung by rung, and the steps between."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from markupsafe import Markup

from nenrin.eval.plots import Axes, Series
from nenrin.eval.protocols.ladder import STEP
from nenrin.eval.results import Score
from nenrin.eval.wording import minus

_NEAR = 12  # px: least distance between labels, so that they do not overlap


def ladder(metric: str, scores: Sequence[Score], series: dict[str, Series]) -> Markup:
    """One metric over the domains in order, with the steps written beside their lines."""
    rungs = list(dict.fromkeys(s.domain for s in scores))
    means = [s for s in scores if not s.case and s.metric == metric and s.estimate.defined]
    steps = {(s.subject, s.domain): s for s in scores if s.case and s.metric == metric}
    values = [
        v for s in means for v in (s.estimate.low, s.estimate.high, s.estimate.value) if math.isfinite(v)
    ]
    low, high = min(0.0, *values), max(1.0, *values) * 1.18  # room for the steps
    said = "; ".join(f"{s.subject} {s.domain} {s.estimate.value:.2f}" for s in means)
    axes = Axes((-0.35, len(rungs) - 0.65), (low, high), f"ladder, {metric}", said)
    axes.values(_ticks(low, high), metric.partition(",")[0])
    axes.words(rungs)
    subjects = [s for s in dict.fromkeys(s.subject for s in means) if s in series]
    for place, subject in enumerate(subjects):
        look = series[subject]
        shift = 0.05 * (place - (len(subjects) - 1) / 2)
        mine = {s.domain: s.estimate for s in means if s.subject == subject}
        points = [(rungs.index(d) + shift, e) for d, e in mine.items()]
        for (x0, a), (x1, b) in itertools.pairwise(points):
            style = f'stroke="{look.colour}" stroke-width="2" stroke-dasharray="{look.dash}"'
            axes.line((x0, a.value), (x1, b.value), style)
        for x, estimate in points:
            if math.isfinite(estimate.low):
                axes.line((x, estimate.low), (x, estimate.high), f'stroke="{look.colour}" stroke-width="2"')
            axes.parts.append(look.marker(*axes.at(x, estimate.value)))
    _write_steps(axes, rungs, steps, [s for s in subjects if series[s].role == "ager"], series)
    return axes.done()


def _write_steps(
    axes: Axes,
    rungs: Sequence[str],
    steps: dict[tuple[str, str], Score],
    agers: Sequence[str],
    series: dict[str, Series],
) -> None:
    """Each ager's step, in its colour, one above the other between the rungs."""
    for i, domain in enumerate(rungs[1:]):
        _, top = axes.at(0, axes.top)
        for line, subject in enumerate(s for s in agers if (s, domain) in steps):
            estimate = steps[subject, domain].estimate
            assert steps[subject, domain].case == STEP.format(rungs[i])
            if estimate.defined:
                x, _ = axes.at(i + 0.5, 0)
                text = Markup(
                    '<text class="name" x="{:.1f}" y="{:.1f}" text-anchor="middle" style="fill:{}">{}</text>'
                )
                label = minus(f"{estimate.value:+.2f}")
                axes.parts.append(text.format(x, top + 11 + _NEAR * line, series[subject].colour, label))


def _ticks(low: float, high: float) -> list[float]:
    """About five round values between the ends."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= 6)
    first = math.ceil(low / step)
    return [round(step * i, 6) for i in range(first, math.floor(high / step) + 1)]

"""A run's metrics as small plots, one for each quantity."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from nenrin.eval.plots import Axes

POINTS = 240  # of a curve, at most: more are not seen
WATCHED = "watch/"
_LEFT_OUT = ("step", "pictures", "seconds", "pictures_per_second")


def curves(rows: Sequence[dict[str, float]], *, watched: bool) -> list[tuple[str, Markup]]:
    """(name, plot) of each quantity over the pictures trained on: the watchdog's, or all others."""
    names = dict.fromkeys(name for row in rows for name in row if name not in _LEFT_OUT)
    shown = [name for name in names if name.startswith(WATCHED) == watched]
    drawn = ((name, _curve(name, rows)) for name in shown)
    return [(name, plot) for name, plot in drawn if plot is not None]


def _curve(name: str, rows: Sequence[dict[str, float]]) -> Markup | None:
    points = [(row["pictures"], row[name]) for row in rows if name in row and "pictures" in row]
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if len(points) < 2:
        return None
    points = [*points[:: math.ceil(len(points) / POINTS)], points[-1]]
    low, high = min(y for _, y in points), max(y for _, y in points)
    edge = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    last = points[-1]
    axes = Axes(
        (0, last[0]), (low - edge, high + edge), name, f"{points[0][1]:.3g} at first, {last[1]:.3g} last"
    )
    axes.ticks((0, last[0] / 2, last[0]), (low, (low + high) / 2, high), "pictures", "", lambda v: f"{v:.2g}")
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (axes.at(*point) for point in points))
    axes.parts.append(Markup('<polyline class="curve" points="{}"/>').format(path))
    return axes.done()

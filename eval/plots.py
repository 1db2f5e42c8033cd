"""The report's plots as inline SVG: no script, no font, readable in print and by a screen reader.

Series are told apart by colour (Okabe and Ito's palette, through CSS variables), marker and dash.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from nenrin.eval.results import Curve
from nenrin.eval.stats import Estimate
from nenrin.eval.subjects import Role

WIDTH, HEIGHT = 330, 290
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 42
MARKERS = "osd^vx"

_CORNERS: dict[str, list[tuple[float, float]]] = {
    "s": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "d": [(0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)],
    "^": [(0, -1.3), (1.3, 1), (-1.3, 1)],
    "v": [(0, 1.3), (1.3, -1), (-1.3, -1)],
    "x": [(-1.3, -0.4), (0, -1.3), (1.3, -0.4), (0.8, 1.1), (-0.8, 1.1)],
}


@dataclasses.dataclass(kw_only=True, slots=True)
class Series:
    """How one subject looks in every plot of the report."""

    name: str
    role: Role
    index: int  # of its colour and marker

    @property
    def colour(self) -> str:
        """A CSS colour."""
        return f"var(--s{self.index % 6})" if self.role == "ager" else "var(--muted)"

    @property
    def dash(self) -> str:
        """Its stroke-dasharray."""
        return "none" if self.role == "ager" else ("2 4" if self.index % 2 else "7 4")

    def marker(self, x: float, y: float, size: float = 4.2) -> Markup:
        """Its mark at a point."""
        kind = MARKERS[self.index % len(MARKERS)] if self.role == "ager" else "o"
        style = f'fill="{self.colour}" stroke="var(--paper)" stroke-width="1"'
        if kind == "o":
            return Markup(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" {style}/>')
        corners = _CORNERS[kind]
        points = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners)
        return Markup(f'<polygon points="{points}" {style}/>')

    def swatch(self) -> Markup:
        """A line and a mark for the legend."""
        line = (
            f'<line x1="1" y1="7" x2="27" y2="7" stroke="{self.colour}" stroke-width="2" '
            f'stroke-dasharray="{self.dash}"/>'
        )
        return Markup(
            f'<svg class="swatch" width="28" height="14" aria-hidden="true">{line}{self.marker(14, 7)}</svg>'
        )


class Axes:
    """A frame that maps data to coordinates of the picture, and collects what is drawn."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], title: str, description: str) -> None:
        self._x, self._y = x, y
        self.top = y[1]
        self.parts = [
            Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
                WIDTH, HEIGHT, f"{title}: {description}"
            )
        ]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Data to picture."""
        (x0, x1), (y0, y1) = self._x, self._y
        return (
            LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM),
        )

    def line(self, a: tuple[float, float], b: tuple[float, float], style: str) -> None:
        """A line between two points of the data."""
        (ax, ay), (bx, by) = self.at(*a), self.at(*b)
        self.parts.append(Markup(f'<line x1="{ax:.1f}" y1="{ay:.1f}" x2="{bx:.1f}" y2="{by:.1f}" {style}/>'))

    def ticks(
        self, x: Sequence[float], y: Sequence[float], x_text: str, y_text: str, show: Callable[[float], str]
    ) -> None:
        """Grid, numbers and names of both axes."""
        for value in x:
            self.line((value, self._y[0]), (value, self._y[1]), 'class="grid"')
            px, py = self.at(value, self._y[0])
            self._text(px, py + 15, f"{value:g}")
        self._text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_text, "axis")
        self.values(y, y_text, show)

    def values(self, y: Sequence[float], text: str, show: Callable[[float], str] = "{:g}".format) -> None:
        """Grid, numbers and name of the vertical axis."""
        for value in y:
            self.line((self._x[0], value), (self._x[1], value), 'class="grid"')
            px, py = self.at(self._x[0], value)
            self._text(px - 6, py + 4, show(value), anchor="end")
        self.parts.append(
            Markup(
                '<text class="axis" transform="translate(11 {:.1f}) rotate(-90)" '
                'text-anchor="middle">{}</text>'
            ).format((TOP + HEIGHT - BOTTOM) / 2, text)
        )

    def words(self, names: Sequence[str]) -> None:
        """Names under the places 0, 1, ... of the horizontal axis."""
        for i, name in enumerate(names):
            px, py = self.at(i, self._y[0])
            self._text(px, py + 17, name, "axis")

    def _text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> None:
        self.parts.append(
            Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
                kind, x, y, anchor, words
            )
        )

    def done(self) -> Markup:
        """The picture."""
        return Markup("\n").join([*self.parts, Markup("</svg>")])


def asked_judged(domain: str, curves: Sequence[Curve], series: dict[str, Series]) -> Markup:
    """Asked age against mean judged age, the ideal dashed; bars span the middle half of the faces."""
    axes = Axes((0, 80), (0, 80), f"asked and judged age, {domain}", "; ".join(map(_say, curves)))
    ticks = range(0, 81, 20)
    axes.ticks(ticks, ticks, "asked age (years)", "judged age (years)", lambda v: f"{v:g}")
    axes.line((0, 0), (80, 80), 'class="ideal"')
    agers = [c for c in curves if c.role == "ager"]
    for curve in sorted(curves, key=lambda c: c.role == "ager"):  # agers lie on top
        look = series[curve.subject]
        points = [axes.at(x, min(max(y, 0), 80)) for x, y in zip(curve.x, curve.y, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        axes.parts.append(
            Markup(
                f'<polyline points="{path}" fill="none" stroke="{look.colour}" stroke-width="2" '
                f'stroke-dasharray="{look.dash}"/>'
            )
        )
        shift = 0.9 * (agers.index(curve) - (len(agers) - 1) / 2) if curve in agers else 0
        for x, low, high in zip(curve.x, curve.low, curve.high, strict=True):
            if curve in agers:
                axes.line(
                    (x + shift, min(max(low, 0), 80)),
                    (x + shift, min(max(high, 0), 80)),
                    f'stroke="{look.colour}" stroke-width="2" opacity="0.45"',
                )
        axes.parts += [look.marker(x, y) for x, y in points]
    return axes.done()


def plane(domain: str, points: Sequence[tuple[str, Estimate, Estimate]], series: dict[str, Series]) -> Markup:
    """Does it age (rank correlation, x) and is it still the same person (fraction, y)? With intervals."""
    said = "; ".join(f"{name}: {a.value:.2f}, {b.value:.0%}" for name, a, b in points)
    axes = Axes((-0.25, 1.05), (-0.05, 1.05), f"age against identity, {domain}", said)
    (x0, y1), (x1, y0) = axes.at(0.75, 0.75), axes.at(1.05, 1.05)
    axes.parts.append(
        Markup(f'<rect class="goal" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"/>')
    )
    axes.ticks(
        (0, 0.25, 0.5, 0.75, 1),
        (0, 0.25, 0.5, 0.75, 1),
        "follows the asked age (rank correlation)",
        "taken for the same person",
        lambda v: f"{v:.0%}",
    )
    labels: list[tuple[float, float]] = []
    for name, age, same in sorted(points, key=lambda point: point[2].value):  # upwards
        look = series[name]
        style = f'stroke="{look.colour}" stroke-width="2" opacity="0.6"'
        if math.isfinite(age.low) and math.isfinite(same.low):
            axes.line((max(age.low, -0.25), same.value), (age.high, same.value), style)
            axes.line((age.value, same.low), (age.value, same.high), style)
        x, y = axes.at(max(age.value, -0.25), same.value)
        axes.parts.append(look.marker(x, y, 5.2))
        anchor, dx = ("end", -9) if age.value > 0.55 else ("start", 9)
        place = y + (14 if same.value > 0.93 else -8)
        reach = 7 * len(name) + 20  # pixels that a label may span
        while any(abs(place - other) < 13 and abs(x - at) < reach for at, other in labels):
            place -= 2  # above those below it
        labels.append((x, place))
        axes.parts.append(
            Markup('<text class="name" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
                x + dx, place, anchor, name
            )
        )
    return axes.done()


def _say(curve: Curve) -> str:
    pairs = ", ".join(f"{x:.0f} becomes {y:.0f}" for x, y in zip(curve.x, curve.y, strict=True))
    return f"{curve.subject}: {pairs}"

"""A confusion as a small table drawn in shades: rows are what was asked, columns what was judged."""

from __future__ import annotations

from markupsafe import Markup

from nenrin.eval.results import Confusion

_CELL, _LEFT, _TOP = 54, 62, 34


def confusion(one: Confusion) -> Markup:
    """Percentages of each row, with the counts below them; the ringed diagonal is what is right."""
    size = len(one.words)
    width, height = _LEFT + size * _CELL + 4, _TOP + size * _CELL + 4
    said = "; ".join(
        f"{word}: " + ", ".join(f"{count} {to}" for count, to in zip(row, one.words, strict=True))
        for word, row in zip(one.words, one.counts, strict=True)
    )
    parts = [
        Markup('<svg class="confusion" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            width, height, f"asked and judged glasses, {one.subject}: {said}"
        ),
        _text(_LEFT + size * _CELL / 2, 11, "judged", "axis"),
    ]
    for j, word in enumerate(one.words):
        parts.append(_text(_LEFT + (j + 0.5) * _CELL, 27, word))
    for i, (word, row) in enumerate(zip(one.words, one.counts, strict=True)):
        y = _TOP + i * _CELL
        parts.append(_text(_LEFT - 8, y + _CELL / 2 + 4, word, anchor="end"))
        for j, count in enumerate(row):
            x, share = _LEFT + j * _CELL, count / max(sum(row), 1)
            colour = "var(--s0)" if i == j else "var(--bad)"
            ring = ' stroke="var(--ring)" stroke-width="2"' if i == j else ""
            parts.append(
                Markup(
                    f'<rect x="{x + 1.5}" y="{y + 1.5}" width="{_CELL - 3}" height="{_CELL - 3}" rx="4" '
                    f'fill="{colour}" fill-opacity="{0.04 + 0.66 * share:.3f}"{ring}/>'
                )
            )
            parts.append(_text(x + _CELL / 2, y + _CELL / 2 + 2, f"{share:.0%}" if sum(row) else "–", "name"))
            parts.append(_text(x + _CELL / 2, y + _CELL / 2 + 15, f"{count:,}"))
    return Markup("\n").join([*parts, Markup("</svg>")])


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, words
    )

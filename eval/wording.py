"""Formats numbers for the report."""

from __future__ import annotations

import math
import re

from nenrin.eval.stats import Estimate


def number(estimate: Estimate, *, percent: bool = False) -> str:
    """A value with its interval: "0.81 [0.78, 0.84]", "92% [88, 95]"; a dash where undefined."""
    if not estimate.defined:
        return "–"
    value, low, high = (
        f"{100 * v:.0f}" if percent else f"{v:.2f}" for v in (estimate.value, estimate.low, estimate.high)
    )
    interval = "no interval" if math.isnan(estimate.low) else f"{low}, {high}"
    return minus(f"{value}{'%' * percent} [{interval}]")


def minus(text: str) -> str:
    """Hyphens before digits as minus signs; a zero has none."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", re.sub(r"(?<!\w)-(?=0(\.0+)?(?![\d.]))", "", text))

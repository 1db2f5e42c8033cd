"""`nenrin doctor`: what is installed, which weights and devices there are, and what is missing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nenrin.commands.options import AsJson, Finder
from nenrin.commands.rows import tell
from nenrin.ground import NenrinError, waiting

if TYPE_CHECKING:
    from nenrin.doctor import Finding


def doctor(
    finder: Finder = "auto",
    as_json: AsJson = False,
) -> None:
    """Say what is installed, and what is missing.

    Weights and devices too; finds and ages a face. Exit code 0 unless something is missing that nenrin needs.

    Example: nenrin doctor
    """
    from nenrin.domains.finders import check_finder

    check_finder(finder)
    with waiting("finding and ageing a face"):
        from nenrin.doctor import examine

        findings = examine(Path.cwd(), finder=finder)
    tell(as_json, [finding.as_row() for finding in findings], *_lines(findings))
    bad = [finding.name for finding in findings if finding.state == "bad"]
    if bad:
        raise NenrinError(f"needed, and missing or broken: {', '.join(bad)}")
    if not as_json:
        typer.echo("All that is needed is there; what has a - is for some commands alone.")


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each, under the name of its part."""
    for part, found in itertools.groupby(findings, key=lambda finding: finding.part):
        yield part
        for finding in found:
            state = {"ok": " ", "absent": "-", "bad": "!"}[finding.state]
            yield f" {state} {finding.name:<24} {finding.said}"

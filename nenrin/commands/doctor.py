"""`nenrin doctor`: what is installed, which weights and devices there are, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nenrin.ground import NenrinError, waiting


def doctor(
    finder: Annotated[str, typer.Option(help="auto, nenrin, mtcnn, or a FILE (.onnx, .xml).")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Say what is installed, and what is missing.

    Weights and devices too; finds and ages a face. Exit code 0 unless something is missing that nenrin needs.

    Example: nenrin doctor
    """
    with waiting("finding and ageing a face"):
        from nenrin.doctor import examine

        findings = examine(Path.cwd(), finder=finder)
    if as_json:
        typer.echo(json.dumps([finding.as_row() for finding in findings], indent=1))
    else:
        part = ""
        for finding in findings:
            if finding.part != part:
                part = finding.part
                typer.echo(part)
            state = {"ok": " ", "absent": "-", "bad": "!"}[finding.state]
            typer.echo(f" {state} {finding.name:<24} {finding.said}")
    bad = [finding.name for finding in findings if finding.state == "bad"]
    if bad:
        raise NenrinError(f"needed, and missing or broken: {', '.join(bad)}")
    if not as_json:
        typer.echo("All that is needed is there; what has a - is for some commands alone.")

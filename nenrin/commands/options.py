"""Options that several commands have, with what the shell completes behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nenrin.commands import complete

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Checkpoint = Annotated[
    Path | None,
    typer.Option(help="A run folder; else the shipped weights.", autocompletion=complete.runs),
]
Finder = Annotated[
    str,
    typer.Option(help="auto, nenrin, mtcnn, or a FILE (.onnx, .xml).", autocompletion=complete.finders),
]

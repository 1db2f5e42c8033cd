"""`nenrin stylize`: the drawn counterpart of a set of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def stylize(
    photos: Annotated[Path, typer.Argument(metavar="SET", help="A set of photographs.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The drawn set to write.")],
) -> None:
    """Make the drawn counterpart of a set of photographs.

    Labels, identities and splits are carried over.

    Example: nenrin stylize data/sets/photo -o data/sets/drawn --weights cartoon.tflite
    """

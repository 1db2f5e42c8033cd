"""`nenrin stylize`: the drawn counterpart of a set of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson
from nenrin.commands.rows import tell
from nenrin.commands.words import choose, parse_range
from nenrin.ground import counted


def stylize(
    photos: Annotated[
        Path, typer.Argument(metavar="SET", help="A set of photographs.", autocompletion=complete.sets)
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The drawn set to write.")],
    weights: Annotated[
        str, typer.Option(help="The net that draws: a .tflite or .onnx file, an address, or a known name.")
    ] = "whitebox",
    sha256: Annotated[str | None, typer.Option(help="Its checksum; an address needs one.")] = None,
    channels: Annotated[
        str | None,
        typer.Option(help="rgb or bgr, if it is not known.", autocompletion=complete.words("rgb", "bgr")),
    ] = None,
    range_: Annotated[
        str | None, typer.Option("--range", metavar="BLACK,WHITE", help="Its values: -1,1 or 0,1 or 0,255.")
    ] = None,
    side: Annotated[int | None, typer.Option(min=16, help="Pixels, if it takes any; the set's.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the net, for the data card.")] = None,
    domain: Annotated[
        str, typer.Option(help="What the drawings are.", autocompletion=complete.domains)
    ] = "cartoon",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 uses none but this one.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Make the drawn counterpart of a set of photographs.

    Labels, identities, splits, points and masks are carried over, row for row.

    Example: nenrin stylize data/sets/photo -o data/sets/drawn
    """
    if channels is not None:
        choose(channels, ("rgb", "bgr"), "--channels")
    value_range = None if range_ is None else parse_range(range_)

    from nenrin.domains.stylize import stylize as stylize_set

    faces = stylize_set(
        photos,
        out,
        weights=weights,
        sha256=sha256,
        channels=channels,
        value_range=value_range,
        side=side,
        licence=licence,
        domain=domain,
        workers=workers,
    )
    row = {"set": str(faces.path), "faces": len(faces)}
    tell(as_json, [row], f"{counted(len(faces), 'face')} drawn, in {faces.path}")

"""`nenrin export`: a run as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a checkpoint in it.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.")] = Path("ager.onnx"),
) -> None:
    """Write an ager as an ONNX file, for use without nenrin.

    It takes an aligned face in [-1, 1] (face), years (to_age, from_age) and indices (domain, glasses,
    gender), NaN and -1 where unknown, and gives the face aged. The file names its domains.

    Example: nenrin export runs/00000-caae -o caae.onnx
    """
    import nenrin
    from nenrin.models.export import export as write

    ager = nenrin.load(run)
    write(ager, out)
    typer.echo(f"{out}: {ager.size} px, domains {', '.join(ager.domains)}, {out.stat().st_size / 1e6:.1f} MB")

"""`nenrin export`: a run to pass on, as one ONNX file or as a small folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson
from nenrin.commands.rows import tell
from nenrin.ground import UsageError, waiting


def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run folder, or a checkpoint in it.", autocompletion=complete.runs
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="A .onnx file, or a folder.")] = Path("ager.onnx"),
    as_json: AsJson = False,
) -> None:
    """Write an ager as an ONNX file, or as a small folder.

    The file is for use without nenrin. It takes an aligned face in [-1, 1] (face), years (to_age, from_age)
    and indices (domain, glasses, gender), NaN and -1 where unknown, and gives the face aged; it names its
    domains. The folder holds the weights in half precision, for use with nenrin: --checkpoint takes it. It
    lists the ids of the faces it learned from, so that nenrin eval can score it on others.

    Example: nenrin export runs/00000-caae -o caae.onnx
    """
    if out.suffix != ".onnx" and out.suffix[1:].isalpha():  # ager-0.1 is a folder, ager.pt a mistake
        raise UsageError(f"-o {out}: an ager becomes a file that ends in .onnx, or a folder")

    with waiting("writing the ager"):
        import nenrin
        from nenrin.models.export import compact
        from nenrin.models.export import export as write
        from nenrin.models.run import seen_by

        ager, seen, note = nenrin.load(run), None, ""
        if out.suffix != ".onnx":
            try:
                seen = seen_by(run)
            except UsageError as error:  # it can still be used, only not scored
                note = str(error)
        file = write(ager, out) if out.suffix == ".onnx" else compact(ager, out, seen)
    if note:
        typer.echo(f"nenrin: {note}", err=True)
    count = file.stat().st_size
    row = {"file": str(file), "bytes": count, "size": ager.size, "domains": list(ager.domains)}
    said = f"{file}: {ager.size} px, domains {', '.join(ager.domains)}, {count / 1e6:.1f} MB"
    tell(as_json, [row], said)

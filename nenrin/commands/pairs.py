"""`nenrin pairs`: make pairs of pictures that differ in age and glasses alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson
from nenrin.commands.rows import tell
from nenrin.commands.words import check_once
from nenrin.ground import counted


def pairs(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The ager that makes them.", autocompletion=complete.runs)
    ],
    sets: Annotated[
        list[Path],
        typer.Argument(metavar="SET...", help="Sets whose faces it ages.", autocompletion=complete.sets),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The set to write.")],
    each: Annotated[int, typer.Option(min=1, help="Made faces for each face.")] = 1,
    limit: Annotated[int, typer.Option(min=0, help="Faces of each set, drawn at random; 0 takes all.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Draws ages, strengths and glasses.")] = 0,
    glasses: Annotated[
        bool, typer.Option("--glasses", help="Change no age: put glasses of all kinds on bare faces.")
    ] = False,
    cut: Annotated[
        bool, typer.Option("--cut", help="Take every second pair from those who wear some, as RUN sees them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the pairs of faces that the mixed ager learns from.

    Each face of the training split, and beside it what RUN makes of it, marked as made.
    With --glasses, each face that wears none, and beside it the same with glasses on.

    Example: nenrin pairs models/weights/mixed data/sets/photo data/sets/drawn --glasses -o data/sets/pairs
    """
    check_once(sets)

    from nenrin.domains.faceset import FaceSet
    from nenrin.models.ager import Ager
    from nenrin.models.pairs import make_pairs

    faces = make_pairs(
        Ager.load(run),
        [FaceSet.open(path) for path in sets],
        out,
        each=each,
        limit=limit,
        seed=seed,
        glasses=glasses,
        cut=cut,
    )
    made = each + glasses
    row = {"set": str(faces.path), "faces": len(faces)}
    tell(as_json, [row], f"{counted(len(faces), 'face')}, {made} of {made + 1} made, in {faces.path}")

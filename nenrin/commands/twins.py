"""`nenrin twins`: draw people who never were, at any age, in two domains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nenrin.commands.options import AsJson
from nenrin.commands.rows import tell


def twins(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Two sets are written: OUT-photo and OUT-manga.")
    ] = Path("data/sets/twins"),
    people: Annotated[int, typer.Option(min=1, help="How many people.")] = 1000,
    ages: Annotated[int, typer.Option(min=1, help="At how many ages each.")] = 6,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Pixels of a face's side.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Decides who they are.")] = 0,
    free: Annotated[
        bool, typer.Option("--free", help="Characters with hair of any colour, manga in many manners.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 uses none but this one.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Draw people as photographs and as manga, at known ages.

    Two sets of the same people, with exact ages, points, glasses and identities.

    Example: nenrin twins --people 500 --ages 8 -o data/sets/twins
    """
    from nenrin.domains.twins import build_twins, sample_people
    from nenrin.ground import UsageError, counted

    if not out.name:
        raise UsageError(f"-o {out} has no name to put -photo and -manga behind: try -o {out / 'twins'}")
    photo, manga = build_twins(
        out.with_name(f"{out.name}-photo"),
        out.with_name(f"{out.name}-manga"),
        people=sample_people(people, seed=seed),
        ages_per_person=ages,
        size=size,
        seed=seed,
        workers=workers,
        free=free,
    )
    rows = [{"set": str(faces.path), "faces": len(faces)} for faces in (photo, manga)]
    tell(as_json, rows, f"{counted(len(photo), 'face')} in {photo.path}, {len(manga)} in {manga.path}")

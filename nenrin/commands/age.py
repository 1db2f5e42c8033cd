"""`nenrin age`: pictures in, aged faces out."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nenrin.commands import complete
from nenrin.commands.options import AsJson, Checkpoint, Finder
from nenrin.commands.outputs import kept_rows, pictures_to_age
from nenrin.commands.rows import pixels, tell, write_rows
from nenrin.commands.words import Names, check_age, choose, parse_ages
from nenrin.commands.writing import Rows, Writing
from nenrin.ground import NenrinError, UsageError, counted, track, waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from nenrin.models.ager import Ager, Strip

KINDS = ("keep", "none", "clear", "dark")  # of glasses, to be asked for
TAKEN = ("find", "whole")  # for a face
LEAST, LARGEST = 16, 2048  # pixels of a face to write


def age(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE", help="Pictures, or folders of them.")],
    to: Annotated[str, typer.Option(help="The ages to make, in years.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")] = Path("out"),
    glasses: Annotated[
        str, typer.Option(help="keep, none, clear or dark.", autocompletion=complete.words(*KINDS))
    ] = "keep",
    domain: Annotated[
        str,
        typer.Option(
            help="auto, or what the picture is: photo, manga ...", autocompletion=complete.domains_or_auto
        ),
    ] = "auto",
    checkpoint: Checkpoint = None,
    face: Annotated[
        str,
        typer.Option(
            help="find the faces, or take the whole picture as one.", autocompletion=complete.words(*TAKEN)
        ),
    ] = "find",
    finder: Finder = "auto",
    gender: Annotated[
        str | None,
        typer.Option(
            help="female or male, if not to be guessed.", autocompletion=complete.words("female", "male")
        ),
    ] = None,
    from_: Annotated[
        float | None, typer.Option("--from", help="The age it shows, in years, if not to be guessed.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Pixels of the faces written; else as the ager sees them."),
    ] = None,
    paste: Annotated[bool, typer.Option("--paste", help="Also put the faces back into the picture.")] = False,
    as_json: AsJson = False,
) -> None:
    """Age every face of some pictures.

    Writes STEM_input.png, STEM_to15.png ..., STEM_strip.png (STEM_f2_... for a second face) and ages.json.

    Example: nenrin age conan.png --from 7 --to 17,40 --glasses none --size 256 -o out
    """
    ages = parse_ages(to)
    choose(glasses, KINDS, "--glasses")
    choose(face, TAKEN, "--face")
    if gender is not None:
        choose(gender, ("female", "male"), "--gender")
    if size is not None and not LEAST <= size <= LARGEST:
        raise UsageError(f"--size is pixels from {LEAST} to {LARGEST}")
    if from_ is not None:
        check_age(from_, "--from")
    files = pictures_to_age(pictures, out, ages, paste=paste)

    import nenrin
    from nenrin.domains.find import open_picture
    from nenrin.domains.finders import open_finder

    # A single one that is bad is told before the seconds that the nets take to load.
    first = open_picture(files[0]) if len(files) == 1 else None
    with waiting("opening the ager"):
        ager = nenrin.load(checkpoint, finder=None if face == "whole" else open_finder(finder))
    if domain != "auto":
        choose(domain, ager.domains, "--domain")
    names, writing, failed = Names(), Writing(), list[NenrinError]()
    try:
        outcomes = ager.age_all(
            files if first is None else [first],
            ages,
            glasses=glasses,
            domain=domain,
            gender=gender,
            from_age=from_,
            face=face,
            size=size,
        )
        for file, one in zip(files, track(outcomes, "ageing", len(files)), strict=True):
            if one.error is not None:
                error = _named(one.error, file)
                if len(files) == 1:
                    raise error
                failed.append(error)
                print(f"nenrin: {error}", file=sys.stderr)
                continue
            assert one.picture is not None
            stems = names.take(file.stem, len(one.strips))
            faces = len(one.strips) * (len(ages) + 1)
            job = writing.add(
                faces * (size or ager.size) ** 2,
                functools.partial(_write, out, file, one.strips, stems, glasses),
            )
            if paste:
                _write_pasted(ager, out / stems[0], one.picture, one.strips, job.result())
        writing.finish()
    finally:
        # Ctrl-C too: the faces written so far keep their rows.
        writing.stop()
        if writing.rows:
            write_rows(out / "ages.json", [*kept_rows(out, writing.rows), *writing.rows])
    count = len({(row["input"], row["face"]) for row in writing.rows})
    tell(as_json, writing.rows, f"{counted(count, 'face')} aged, in {out}")
    if failed:
        raise NenrinError(f"{len(failed)} of {len(files)} pictures could not be aged (named above)")


def _named(error: NenrinError, file: Path) -> NenrinError:
    """The error that names its file, and a way to age a picture without a face."""
    from nenrin.domains.find import NoFaceError

    said = f"{error}: --face whole" if isinstance(error, NoFaceError) else str(error)
    return NenrinError(said if str(file) in said else f"{file}: {said}")


def _write(out: Path, file: Path, strips: Sequence[Strip], stems: Sequence[str], glasses: str) -> Rows:
    """Write one picture's faces; the rows of `ages.json`, one for each aged face written."""
    from nenrin.pictures import draw_strip, write_picture

    rows = []
    for number, (stem, strip) in enumerate(zip(stems, strips, strict=True), start=1):
        write_picture(strip.input, out / f"{stem}_input.png")
        for years, aged in strip.outputs.items():
            write_picture(aged, out / f"{stem}_to{years:g}.png")
            rows.append(
                {
                    "input": str(file),
                    "face": number,
                    "box": None if strip.found is None else pixels(strip.found.box),
                    "points": None if strip.found is None else pixels(strip.found.points),
                    "domain": strip.domain,
                    "gender": strip.gender,
                    "from": strip.from_age,
                    "to": years,
                    "glasses": glasses,
                    "file": f"{stem}_to{years:g}.png",
                    "pasted": None,
                    "seconds": strip.seconds,
                }
            )
        captions = ["input", *(f"{years:g}" for years in strip.outputs)]
        write_picture(draw_strip([strip.input, *strip.outputs.values()], captions), out / f"{stem}_strip.png")
    return rows


def _write_pasted(ager: Ager, stem: Path, picture: Image.Image, strips: Sequence[Strip], rows: Rows) -> None:
    """STEM_to15_pasted.png ...: the whole picture, each of its faces aged in its place; named in `rows`."""
    from nenrin.pictures import write_picture

    ages = list(strips[0].outputs)
    for years, whole in zip(ages, ager.pasted(picture, strips, ages), strict=True):
        name = f"{stem.name}_to{years:g}_pasted.png"
        write_picture(whole, stem.with_name(name))
        for row in rows:
            if row["to"] == years:
                row["pasted"] = name

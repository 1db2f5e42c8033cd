"""`nenrin find`: which faces there are, drawn over the pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nenrin.commands.options import AsJson, Finder
from nenrin.commands.rows import pixels, tell, write_rows
from nenrin.commands.words import Names, list_pictures
from nenrin.ground import NenrinError, counted, track, waiting


def find(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE", help="Pictures, or folders of them.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")] = Path("out"),
    finder: Finder = "auto",
    as_json: AsJson = False,
) -> None:
    """Draw the faces found over their pictures.

    Writes STEM_faces.png, with a box, a number and five points for each face, and found.json.

    Example: nenrin find group.jpg portraits/ -o out
    """
    files = list_pictures(pictures)

    from nenrin.domains.find import open_picture
    from nenrin.domains.finders import open_finder
    from nenrin.domains.overlay import mark_faces
    from nenrin.pictures import write_picture

    with waiting("opening the finder"):
        eyes = open_finder(finder)
    names, rows, failed = Names(), list[dict[str, Any]](), 0
    try:
        for file in track(files, "finding", len(files)):
            try:
                picture = open_picture(file)
            except NenrinError as error:
                if len(files) == 1:
                    raise
                failed += 1
                print(f"nenrin: {error}", file=sys.stderr)
                continue
            (found,) = eyes.find([picture])
            marked = mark_faces(picture, [f.box for f in found], [f.points for f in found])
            (name,) = names.take(file.stem, 1)
            write_picture(marked, out / f"{name}_faces.png")
            rows.append(
                {
                    "file": str(file),
                    "size": list(picture.size),
                    "faces": [
                        {
                            "box": pixels(face.box),
                            "points": pixels(face.points),
                            "score": round(face.score, 4),
                            "domain": face.domain,
                        }
                        for face in found
                    ],
                }
            )
    finally:
        # Ctrl-C too: the pictures marked so far keep their rows.
        if rows:
            write_rows(out / "found.json", rows)
    count = sum(len(row["faces"]) for row in rows)
    said = f"{counted(count, 'face')} in {counted(len(rows), 'picture')}, drawn in {out}"
    tell(as_json, rows, said)
    if failed:
        raise NenrinError(f"{failed} of {len(files)} pictures could not be read (named above)")

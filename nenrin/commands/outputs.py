"""The files that `nenrin age` writes, where they would meet the pictures that it reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from nenrin.commands.words import list_pictures
from nenrin.ground import UsageError


def pictures_to_age(paths: Sequence[Path], out: Path, ages: Sequence[float], *, paste: bool) -> list[Path]:
    """As `list_pictures`, without what an earlier call wrote into `out`, unless it is named itself.

    Raises `UsageError` if no picture is left, or if one might be overwritten.
    """
    own, named = _written_before(out), set(paths)
    listed = list_pictures(paths)
    files = [file for file in listed if file in named or file.resolve() not in own]
    if not files:
        raise UsageError(f"{listed[0].parent} holds no pictures but those that nenrin made")
    _refuse_to_overwrite(files, out, ages, paste=paste)
    return files


def _written_before(out: Path) -> set[Path]:
    """The pictures that `ages.json` of the folder `out` tells of; none if there is no such file."""
    names: set[str] = set()
    try:
        for row in json.loads((out / "ages.json").read_text(encoding="utf-8")):
            stem, _, _ = row["file"].rpartition("_to")
            names |= {row["file"], row.get("pasted") or row["file"], f"{stem}_input.png", f"{stem}_strip.png"}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return set()  # somebody else's file
    return {out.resolve() / name for name in names}


def _refuse_to_overwrite(files: Sequence[Path], out: Path, ages: Sequence[float], *, paste: bool) -> None:
    """`UsageError` if a file to be written may be one of the pictures.

    How many faces these hold is not known yet, so that all names that `Names` could give out are refused.
    """
    folder = out.resolve()
    years = "|".join(re.escape(f"{age:g}") for age in ages)
    ending = re.compile(rf"_(input|strip|to({years}){'(_pasted)?' if paste else ''})\.png$")
    stems = {file.stem.casefold() for file in files}
    for file in files:
        for place in (file.resolve(), file.parent.resolve() / file.name):  # what a link leads to, and itself
            # Without case, as `Names`: some file systems do not tell X.png from x.png.
            whole = place.name.casefold()
            name = ending.sub("", whole)
            if place.parent != folder or name == whole:
                continue
            picture = re.sub(r"_f\d+$", "", name)
            if stems & {name, picture, re.sub(r"-\d+$", "", name), re.sub(r"-\d+$", "", picture)}:
                raise UsageError(f"{file} is a picture to age and would be overwritten: write elsewhere (-o)")

"""The files that `nenrin age` writes, where they would meet the pictures that it reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nenrin.commands.words import list_pictures
from nenrin.commands.writing import Rows
from nenrin.ground import UsageError


def pictures_to_age(paths: Sequence[Path], out: Path, ages: Sequence[float], *, paste: bool) -> list[Path]:
    """As `list_pictures`, without what an earlier call wrote into `out`, unless it is named itself.

    Raises `UsageError` if no picture is left, if one might be overwritten, or if `out` holds an `ages.json`
    that is not ours.
    """
    own, named = _written_before(out), set(paths)
    listed = list_pictures(paths)
    files = [file for file in listed if file in named or file.resolve() not in own]
    if not files:
        raise UsageError(f"{listed[0].parent} holds no pictures but those that nenrin made")
    _refuse_to_overwrite(files, out, ages, paste=paste)
    return files


def kept_rows(out: Path, rows: Rows) -> Rows:
    """The rows of earlier calls in `ages.json` whose files are still there and are not among those of `rows`.

    Raises `UsageError` as `pictures_to_age` does.
    """
    again = {row["file"] for row in rows}
    return [row for row in _rows_of(out) if row["file"] not in again and (out / row["file"]).exists()]


def _rows_of(out: Path) -> Rows:
    """The rows of `ages.json` in the folder `out`; none if there is no such file."""
    file = out / "ages.json"
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError):
        rows = None
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise UsageError(
            f"{file} is damaged, or is none that nenrin age wrote, and would be overwritten: move it away, "
            "or write elsewhere (-o)"
        )
    return rows


def _is_row(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("file"), str):
        return False
    return isinstance(value.get("pasted"), str | None)


def _written_before(out: Path) -> set[Path]:
    """The pictures that earlier calls wrote into the folder `out`."""
    names: set[str] = set()
    for row in _rows_of(out):
        stem, _, _ = row["file"].rpartition("_to")
        # A pasted picture stays when its face is made anew without.
        pasted = row.get("pasted") or row["file"].removesuffix(".png") + "_pasted.png"
        names |= {row["file"], pasted, f"{stem}_input.png", f"{stem}_strip.png"}
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

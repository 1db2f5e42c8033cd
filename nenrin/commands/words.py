"""What people type, read into values: lists of ages, pictures and folders of pictures."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from pathlib import Path

from nenrin.ground import UsageError, suggest

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff")
OLDEST = 120.0  # years


def parse_ages(text: str) -> list[float]:
    """ "5,15,25" -> [5.0, 15.0, 25.0], each age once, in the order given. `UsageError` for anything else."""
    try:
        ages = [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise UsageError(f"--to takes years separated by commas, as in --to 5,15,25; not {text!r}") from None
    if not ages:
        raise UsageError(f"--to takes ages from 0 to {OLDEST:g}, not nothing")
    ages = list(dict.fromkeys(check_age(age, "--to") for age in ages))
    if len({f"{age:g}" for age in ages}) < len(ages):  # as in the names of files
        raise UsageError(f"--to takes ages that differ in their first six digits; not {text!r}")
    return ages


def check_age(age: float, option: str) -> float:
    """The same age in years, if anybody can have it; else `UsageError`."""
    if not 0 <= age <= OLDEST:
        raise UsageError(f"{option} takes ages from 0 to {OLDEST:g}, not {age:g}")
    return age + 0.0  # which makes -0.0 0.0


def parse_range(text: str) -> tuple[float, float]:
    """ "-1,1" -> (-1, 1). `UsageError` for anything but two rising numbers."""
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise UsageError(f"--range takes the values of black and white, as in --range=-1,1; not {text!r}")
    return low, high


def list_pictures(paths: Sequence[Path]) -> list[Path]:
    """Each file as it is, each folder as the pictures in it, sorted.

    A named file that is missing is left in: whoever opens it reports it, and goes on with the others.
    `UsageError` for a folder without pictures.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise UsageError(f"{path} holds no pictures ({', '.join(SUFFIXES)})")
            found += inside
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def choose(word: str, known: Collection[str], option: str) -> str:
    """`word` if it is one of `known`, else `UsageError` with the nearest."""
    if word not in known:
        raise UsageError(f"{option} {word!r} is unknown; {suggest(word, known)}")
    return word


def choose_many(text: str, known: Collection[str], option: str) -> list[str]:
    """ "twins,ages" -> ["twins", "ages"], each one of `known`."""
    return [choose(word.strip(), known, option) for word in text.split(",") if word.strip()]


def split_overrides(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Set folders and `key=value` settings, which the command line takes mixed."""
    settings = [word for word in words if "=" in word and not Path(word).exists()]
    return [Path(word) for word in words if word not in settings], settings


def check_once(sets: Sequence[Path]) -> None:
    """Raise `UsageError` for a set that is named twice: each of its faces would count twice."""
    seen: set[Path] = set()
    for path in sets:
        if path.resolve() in seen:
            raise UsageError(f"{path} is named twice: name each set once")
        seen.add(path.resolve())


class Names:
    """Output names: `x`, `x_f2` for its second face; another picture called x becomes `x-2`."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, stem: str, faces: int) -> list[str]:
        """Names for the faces of one picture, none of them given out before."""
        for number in itertools.count(1):
            base = stem if number == 1 else f"{stem}-{number}"
            names = [base, *(f"{base}_f{face}" for face in range(2, faces + 1))]
            # Compared without case: some file systems do not tell X.png from x.png.
            folded = {name.casefold() for name in names}
            if not folded & self._taken:
                self._taken |= folded
                return names
        raise AssertionError("counting never ends")

"""What the shell offers at a Tab: words that an option takes, and the sets and runs that are near.

A Tab must be answered at once, so nothing here imports a net: words whose home does are written down again,
and a test compares them with it. Where nothing is offered, the shell offers files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

Offer = Callable[[str], list[str]]

MODELS = ("mixed", "caae", "caae-change", "age-cgan", "prototypes", "guide")
PROTOCOLS = (
    "canon",
    "longitudinal",
    "twins",
    "ages",
    "glasses",
    "unseen",
    "ladder",
    "quality",
    "audit",
    "all",
)
EMBEDDERS = ("pixels", "facenet", "twins")
PERCEPTUALS = ("auto", "lpips-alex", "lpips-vgg", "lpips-squeeze", "unweighted-mtcnn")
FEATURES = ("auto", "inception", "clip", "dinov2", "nenrin-faces-192")
_DEEP = 4  # folders below what was typed
_MOST = 20_000  # entries looked at: a folder of raw pictures must not hold up the shell


def words(*known: str) -> Offer:
    """One of these."""

    def offer(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return offer


def several(*known: str) -> Offer:
    """Some of these with commas between: what stands before the last comma stays."""

    def offer(incomplete: str) -> list[str]:
        before, comma, begun = incomplete.rpartition(",")
        rest = [word for word in known if word.startswith(begun) and word not in before.split(",")]
        return [f"{before}{comma}{word}" for word in rest]

    return offer


def finders(incomplete: str) -> list[str]:
    """The finders with names."""
    from nenrin.domains.finders import FINDERS

    return words(*FINDERS)(incomplete)


def build_finders(incomplete: str) -> list[str]:
    """Those, and what only a build knows."""
    from nenrin.domains.finders import NOMINAL

    return finders(incomplete) + words(NOMINAL)(incomplete)


def domains(incomplete: str) -> list[str]:
    """What a picture may be; a set may have other words of its own."""
    from nenrin.domains.face import DOMAINS

    return words(*DOMAINS)(incomplete)


def domains_or_auto(incomplete: str) -> list[str]:
    """Those, and to have it read off the picture."""
    return words("auto")(incomplete) + domains(incomplete)


def splits(incomplete: str) -> list[str]:
    """The splits of a set."""
    from nenrin.domains.face import SPLITS

    return words(*SPLITS)(incomplete)


def sources(incomplete: str) -> list[str]:
    """Where pictures come from."""
    from nenrin.scrapers.sources import SOURCES

    return words(*SOURCES)(incomplete)


def characters(incomplete: str) -> list[str]:
    """The pairs that come with nenrin."""
    from nenrin.eval.characters import read_manifests, shipped

    return words(*(pair.name for pair in read_manifests(shipped())))(incomplete)


def sets(incomplete: str) -> list[str]:
    """Sets of faces on the way that was begun."""
    return _folders("set.toml", incomplete)


def runs(incomplete: str) -> list[str]:
    """Runs on the way that was begun."""
    return _folders("config.toml", incomplete)


def _folders(holds: str, incomplete: str) -> list[str]:
    """The folders that hold a file of that name, in and below those whose path begins as typed."""
    typed, slash, name = incomplete.rpartition("/")
    return sorted(_below(typed + slash, name, holds, _DEEP, iter(range(_MOST))))


def _below(place: str, name: str, holds: str, deep: int, budget: Iterator[int]) -> Iterator[str]:
    """Those under `place`, "" or with a slash at its end; hidden folders and links are left out."""
    try:
        with os.scandir(place or ".") as entries:
            # The budget first: what it has counted is looked at.
            inside = [
                entry.name
                for _, entry in zip(budget, entries, strict=False)
                if entry.name.startswith(name)
                and entry.name[0] != "."
                and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:  # not there, or not ours to read
        return
    for each in inside:
        if Path(place, each, holds).is_file():
            yield f"{place}{each}"
        elif deep > 1:
            yield from _below(f"{place}{each}/", "", holds, deep - 1, budget)

"""Which split a face belongs to: decided by its person, the same on every machine and in every order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from nenrin.domains.face import SPLITS, Split
from nenrin.ground import UsageError, suggest

# `judge` trains the judges of the evaluation; no ager ever sees it.
SHARES: dict[Split, float] = {"train": 0.65, "val": 0.05, "test": 0.10, "judge": 0.20}


def split_of(group: str) -> Split:
    """The split of an identity, or of a group of near-duplicates, by a hash of its name."""
    position = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) / 2**64
    for split, share in SHARES.items():
        position -= share
        if position < 0:
            return split
    return "judge"  # rounding


def parse_split(word: str) -> Split:
    """A split by its name; `UsageError` for any other word."""
    for split in SPLITS:
        if split == word:
            return split
    raise UsageError(f"unknown split {word!r}; {suggest(word, SPLITS)}")


def groups_of(keys: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Group the faces that must stay together, and name each group by its alphabetically first key.

    `keys` holds each face's identity (or its own name if it has none); faces with the same key form a group.
    `pairs` are indices of near-duplicates, whose groups are merged.
    """
    parent = {key: key for key in keys}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = key = parent[parent[key]]
        return key

    for a, b in pairs:
        first, second = sorted((root(keys[a]), root(keys[b])))
        parent[second] = first
    return [root(key) for key in keys]


def assign_splits(
    keys: Sequence[str], pairs: Iterable[tuple[int, int]], inherited: Mapping[str, Split]
) -> list[Split]:
    """A split for each face: that of its identity in another set if it has one, else its group's.

    A group that holds inherited identities follows the first of them, so that near-duplicates stay together.
    """
    groups = groups_of(keys, pairs)
    by_group: dict[str, Split] = {}
    for key, group in sorted(zip(keys, groups, strict=True)):
        if key in inherited:
            by_group.setdefault(group, inherited[key])
    return [
        inherited.get(key) or by_group.get(group) or split_of(group)
        for key, group in zip(keys, groups, strict=True)
    ]

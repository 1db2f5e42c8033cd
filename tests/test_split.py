"""Splits: by person, the same everywhere, near-duplicates together."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from nenrin.domains.duplicates import HASH_BYTES, difference_hash, near_duplicates
from nenrin.domains.split import SHARES, assign_splits, groups_of, parse_split, split_of
from nenrin.ground import UsageError


def test_shares_are_met() -> None:
    counts = Counter(split_of(f"person/{i}") for i in range(20_000))
    assert {split: round(counts[split] / 20_000, 2) for split in SHARES} == SHARES


def test_a_split_is_a_fixed_function_of_the_name() -> None:
    # 0xc79a / 0x10000 is 0.78: after train and val (0.70), before judge (0.80).
    assert hashlib.sha256(b"fgnet/015").hexdigest().startswith("c79a")
    assert split_of("fgnet/015") == "test"


def test_near_duplicates_stay_together_through_chains() -> None:
    keys = [f"utkface/{i}" for i in range(200)]
    chain = [(i, i + 1) for i in range(0, 198, 3)] + [(i + 1, i + 2) for i in range(0, 198, 3)]
    splits = assign_splits(keys, chain, {})
    assert all(splits[i] == splits[i + 1] == splits[i + 2] for i in range(0, 198, 3))
    assert len(set(groups_of(keys, chain))) == 200 - len(chain)


def test_inherited_splits_win_and_carry_their_near_duplicates() -> None:
    ours = split_of("b")
    other = next(split for split in SHARES if split != ours)
    assert assign_splits(["a", "b", "c"], [(1, 2)], {"c": other}) == [split_of("a"), other, other]


def test_unknown_split_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="did you mean 'judge'"):
        parse_split("jugde")


def test_near_duplicates_are_pictures_seen_twice() -> None:
    rng = np.random.default_rng(1)
    pictures = [
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).resize(
            (128, 128), Image.Resampling.BICUBIC
        )
        for _ in range(300)
    ]
    pictures.append(ImageEnhance.Brightness(pictures[7]).enhance(1.1))
    pictures.append(pictures[30].resize((60, 60)).resize((128, 128)))
    hashes = b"".join(difference_hash(np.asarray(picture)) for picture in pictures)
    pairs = near_duplicates(np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES))
    assert sorted(pairs) == [(7, 300), (30, 301)]


def test_what_lies_outside_the_picture_makes_no_duplicates() -> None:
    rng = np.random.default_rng(2)
    faces = np.full((100, 128, 128, 3), 128, dtype=np.uint8)
    for face in faces:
        small = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8))
        face[38:112, 28:100] = np.asarray(small.resize((72, 74), Image.Resampling.BICUBIC))
    hashes = b"".join(difference_hash(face) for face in faces)
    assert not list(near_duplicates(np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES)))

"""The report's first sentence: kind only where the numbers are, and silent where there are none."""

from __future__ import annotations

import dataclasses
import math

import pytest

from nenrin.eval.metrics import GAIN, PERCEPTUAL_RECOVERY, RANK, SAME, SLOPE, TRUE_RANK
from nenrin.eval.protocols.canon import CHARACTERS
from nenrin.eval.results import Result, Score
from nenrin.eval.stats import Estimate
from nenrin.eval.verdict import verdict
from nenrin.eval.wording import minus, number


def _score(metric: str, value: float, subject: str = "ager", domain: str = "photo", **more: str) -> Score:
    estimate = Estimate(value=value, low=value - 0.02, high=value + 0.02, n=9, identities=9)
    known = {"protocol": "ages", "backend": "judge", "case": "", **more}
    return Score(domain=domain, subject=subject, role="ager", metric=metric, estimate=estimate, **known)  # type: ignore[arg-type]


def _verdict(*scores: Score) -> tuple[str, list[str]]:
    return verdict([Result(protocol="any", question="", method="", scores=list(scores))])


@pytest.mark.parametrize(
    ("rank", "slope", "same", "words"),
    [
        (0.9, 0.8, 0.9, "ager ages faces and keeps the person."),
        (0.9, 0.8, 0.4, "ager ages faces but loses the person."),
        (0.5, 0.8, 0.9, "ager keeps the person but does not follow the age everywhere."),
        # In the right order, but all of them about forty: that is not ageing.
        (0.9, 0.15, 0.9, "ager keeps the person but does not follow the age everywhere."),
        (0.9, 0.15, 0.1, "ager neither follows the age nor keeps the person everywhere."),
        (0.9, 0.8, None, "ager ages faces; whether the person is kept could not be measured."),
        (None, None, 0.9, "ager keeps the person; whether it ages could not be measured."),
        (None, None, None, "Nothing could be measured."),
    ],
)
def test_headline(rank: float | None, slope: float | None, same: float | None, words: str) -> None:
    values = {RANK: rank, SLOPE: slope, SAME: same}
    scores = [_score(metric, value) for metric, value in values.items() if value is not None]
    assert _verdict(*scores, _score(GAIN, 0.0))[0] == words


def test_weakest_domain_decides() -> None:
    good = [_score(metric, 0.9, domain=d) for d in ("photo", "manga") for metric in (RANK, SLOPE, SAME)]
    assert _verdict(*good)[0] == "ager ages faces and keeps the person."
    headline, sentences = _verdict(*good[:-1], _score(SAME, 0.2, domain="manga"))
    assert headline == "ager ages faces but loses the person."
    assert "In manga, " in sentences[1]
    assert "20% [18, 22] are still taken for the same person" in sentences[1]


def test_best_of_several_is_the_one_without_a_weakness() -> None:
    balanced = [_score(metric, 0.8, "balanced") for metric in (RANK, SLOPE, SAME)]
    still = [_score(RANK, 0.9, "still"), _score(SLOPE, 0.1, "still"), _score(SAME, 1.0, "still")]
    assert _verdict(*still, *balanced)[0] == "The best of 2, balanced, ages faces and keeps the person."


def test_other_protocols_speak_where_no_age_was_read() -> None:
    gain = [
        _score(GAIN, value, protocol="longitudinal", case=case)
        for case, value in (("up", 0.1), ("down", -0.1))
    ]
    assert _verdict(*gain)[0].startswith("ager brings people closer to their true face in 1 of 2 cases")
    twins = _score(PERCEPTUAL_RECOVERY, -0.3, protocol="twins", case="growing older, same view")
    headline, more = _verdict(twins)
    assert headline.startswith(
        "Where the truth is known exactly, ager goes −30% [−32, −28] (photo, growing older)"
    )
    assert more == []


@pytest.mark.parametrize(
    ("gain", "words"), [(0.1, "closer to"), (-0.1, "further from"), (0.0, "no closer to")]
)
def test_characters_come_first(gain: float, words: str) -> None:
    canon = {"protocol": "canon", "domain": "manga", "case": CHARACTERS, "backend": "embedder"}
    ages = [_score(metric, 0.9) for metric in (RANK, SLOPE, SAME)]
    ranks = [
        _score(TRUE_RANK, 34.0, **canon),
        dataclasses.replace(_score(TRUE_RANK, 40.0, "copy", **canon), role="floor"),
    ]
    headline, more = _verdict(*ages, _score(GAIN, gain, **canon), *ranks)
    assert headline.startswith(f"Aged by ager, 9 characters in manga are {words} their official other selves")
    assert "in similarity by embedder" in headline
    assert more[0] == (
        "Among 100 strangers the true face ranks 34.00 [33.98, 34.02] on average, 40.00 [39.98, 40.02] for "
        "the face left alone; chance would give 51."
    )
    assert more[1] == "ager ages faces and keeps the person."


def test_numbers() -> None:
    estimate = Estimate(value=-0.004, low=-1.25, high=0.5, n=1, identities=1)
    assert number(estimate) == "0.00 [−1.25, 0.50]"
    assert number(estimate, percent=True) == "0% [−125, 50]"
    assert number(Estimate(value=0.5, low=math.nan, high=math.nan, n=1, identities=1)) == "0.50 [no interval]"
    assert number(Estimate.undefined()) == "–"
    assert minus("-0.0 to -0.05, -0, caae-short, 00-1") == "0.0 to −0.05, 0, caae-short, 00-1"

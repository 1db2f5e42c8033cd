"""The report's first sentence: kind only where the numbers are, and silent where there are none."""

from __future__ import annotations

import dataclasses
import math

import pytest

from nenrin.eval.metrics import (
    AGE_ERROR,
    AS_ASKED,
    AUC,
    GAIN,
    KID,
    PERCEPTUAL_RECOVERY,
    RANK,
    SAME,
    SLOPE,
    TRUE_RANK,
)
from nenrin.eval.protocols.canon import AS_IF, CHARACTERS
from nenrin.eval.protocols.unseen import GAP, NEW
from nenrin.eval.results import Result, Score
from nenrin.eval.stats import Estimate
from nenrin.eval.verdict import verdict
from nenrin.eval.wording import minus, number


def _score(metric: str, value: float, subject: str = "ager", domain: str = "photo", **more: str) -> Score:
    estimate = Estimate(value=value, low=value - 0.02, high=value + 0.02, n=9, identities=9)
    known = {"protocol": "ages", "backend": "judge", "case": "", **more}
    return Score(domain=domain, subject=subject, role="ager", metric=metric, estimate=estimate, **known)  # type: ignore[arg-type]


def _floor(metric: str, value: float, **more: str) -> Score:
    return dataclasses.replace(_score(metric, value, "copy", **more), role="floor")


def _verdict(*scores: Score) -> tuple[str, list[str]]:
    return verdict([Result(protocol="any", question="", method="", scores=list(scores))])


@pytest.mark.parametrize(
    ("rank", "slope", "same", "words"),
    [
        (0.9, 0.8, 0.9, "ager ages faces and keeps the person: "),
        (0.9, 0.8, 0.4, "ager ages faces but loses the person: "),
        (0.5, 0.8, 0.9, "ager keeps the person but does not follow the age everywhere: "),
        # In the right order, but all of them about forty: that is not ageing.
        (0.9, 0.15, 0.9, "ager keeps the person but does not follow the age everywhere: "),
        (0.9, 0.15, 0.1, "ager neither follows the age nor keeps the person everywhere: "),
        (0.9, 0.8, None, "ager ages faces; whether the person is kept could not be measured: "),
        (None, None, 0.9, "ager keeps the person; whether it ages could not be measured: "),
    ],
)
def test_headline(rank: float | None, slope: float | None, same: float | None, words: str) -> None:
    values = {RANK: rank, SLOPE: slope, SAME: same}
    headline, _ = _verdict(*(_score(metric, value) for metric, value in values.items() if value is not None))
    assert headline.startswith(words)
    judged = slope and (
        f"judged to be {slope:.2f} [{slope - 0.02:.2f}, {slope + 0.02:.2f}] years older for each year asked "
        "in photo, where a face left alone gives 0"
    )
    kept = same and (
        f"{same:.0%} [{same - 0.02:.0%}, {same + 0.02:.0%}] taken for the same person in photo, where "
        "strangers give 1%"
    ).replace("%,", ",").replace("%]", "]")
    assert headline.removeprefix(words) == ", and ".join(part for part in (judged, kept) if part) + "."


def test_nothing_measured_is_said_of_nothing_alone() -> None:
    assert _verdict() == ("Nothing could be measured.", [])
    undefined = dataclasses.replace(_score(GAIN, 0.1), estimate=Estimate.undefined())
    assert _verdict(undefined) == ("Nothing could be measured.", [])


def test_weakest_domain_decides() -> None:
    good = [_score(metric, 0.9, domain=d) for d in ("photo", "manga") for metric in (RANK, SLOPE, SAME)]
    assert _verdict(*good)[0].startswith("ager ages faces and keeps the person: at its weakest, ")
    headline, sentences = _verdict(*good[:-1], _score(SAME, 0.2, domain="manga"))
    assert headline.startswith("ager ages faces but loses the person: ")
    assert "20% [18, 22] taken for the same person in manga" in headline
    assert "In manga, " in sentences[1]
    assert "20% [18, 22] are still taken for the same person" in sentences[1]


def test_best_of_several_is_the_one_without_a_weakness() -> None:
    balanced = [_score(metric, 0.8, "balanced") for metric in (RANK, SLOPE, SAME)]
    still = [_score(RANK, 0.9, "still"), _score(SLOPE, 0.1, "still"), _score(SAME, 1.0, "still")]
    assert _verdict(*still, *balanced)[0].startswith(
        "balanced (the best of 2) ages faces and keeps the person"
    )


def test_other_protocols_speak_where_no_age_was_read() -> None:
    gain = [
        _score(GAIN, value, protocol="longitudinal", case=case)
        for case, value in (("up", 0.1), ("down", -0.1))
    ]
    assert _verdict(*gain) == (
        "ager brings people closer to their true face in 1 of 2 cases: identity gain 0.10 [0.08, 0.12] in "
        "photo, up, by judge, where leaving them alone gives 0.",
        [],
    )
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
        _floor(TRUE_RANK, 40.0, **canon),
    ]
    headline, more = _verdict(*ages, _score(GAIN, gain, **canon), *ranks)
    assert headline.startswith(f"Aged by ager, 9 characters in manga are {words} their official other selves")
    interval = number(_score(GAIN, gain).estimate)
    assert headline.endswith(f"{interval} in similarity by embedder, where leaving them alone gives 0.")
    assert more[0] == (
        "Among 100 strangers the true face ranks 34.00 [33.98, 34.02] on average, 40.00 [39.98, 40.02] for "
        "the face left alone; chance would give 51."
    )
    assert more[1].startswith("ager ages faces and keeps the person: ")


def test_the_first_character_is_named() -> None:
    conan = {"protocol": "canon", "domain": "manga", "case": "conan-shinichi: Conan, 7 → Shinichi, 17"}
    other = {"protocol": "canon", "domain": "manga", "case": "guts: Guts, 12 → Guts, 24"}
    details = [
        *(_score(GAIN, value, name, **conan) for name, value in (("a", 0.02), ("b", 0.05))),
        *(_score(TRUE_RANK, value, name, **conan) for name, value in (("a", 20.0), ("b", 12.0))),
        _floor(TRUE_RANK, 30.0, **conan),
        _score(GAIN, 0.9, "a", **other),
    ]
    details.reverse()  # wherever it stands
    result = Result(protocol="canon", question="", method="", scores=[], details=details)
    headline, _ = verdict([result])
    assert headline == (
        "Conan, 7 → Shinichi, 17: aged by b (the best of 2), 0.05 closer to the official pictures in "
        "similarity than left alone, and among 100 strangers the true face ranks 12, 30 for the face left "
        "alone; one character has no interval."
    )


def test_what_was_not_pooled_over_seeds_is_still_said() -> None:
    place = {"protocol": "twins", "case": "growing older, same view"}
    scores = [
        _score(PERCEPTUAL_RECOVERY, 0.2, "run-1", **place),
        *(_score(metric, 0.9, "run-1") for metric in (RANK, SLOPE, SAME)),
        *(
            dataclasses.replace(_score(metric, 0.8, "run (2 seeds)"), members=("run-1", "run-2"))
            for metric in (RANK, SLOPE, SAME)
        ),
    ]
    headline, more = _verdict(*scores)
    assert headline.startswith("run (2 seeds) ages faces and keeps the person: ")
    assert any("run-1 goes 20%" in sentence for sentence in more)


def test_without_characters_people_of_the_sets_stand_for_them() -> None:
    # Rows of a report on FG-NET: canon, unseen, ladder, quality and audit, without ages or longitudinal.
    photo = {"domain": "photo", "backend": "mobilefacenet"}
    canon = {"protocol": "canon", "case": AS_IF, **photo}
    unseen = {"protocol": "unseen", "backend": "CNN"}
    scores = [
        _score(GAIN, -0.12, "caae", **canon),
        _score(GAIN, 0.03, "mixed", **canon),
        _score(TRUE_RANK, 52.6, "caae", **canon),
        _score(TRUE_RANK, 6.2, "mixed", **canon),
        _floor(GAIN, 0.0, **canon),
        _floor(TRUE_RANK, 19.5, **canon),
        _score(AGE_ERROR, 17.0, "mixed", case=NEW, **unseen),
        _score(AGE_ERROR, 0.75, "mixed", case=GAP, **unseen),
        *(_score(metric, 0.9, "mixed", protocol="ladder") for metric in (RANK, SLOPE, SAME)),
        _score(KID, 80.0, "mixed", protocol="quality", backend="net"),
        _floor(KID, -1.9, protocol="quality", backend="net"),
        dataclasses.replace(_score(AUC, 0.92, "mobilefacenet", protocol="audit"), role="embedder"),
    ]
    assert _verdict(*scores) == (
        "Aged by mixed (the best of 2), 9 people in photo, as if they were characters, are closer to their "
        "true older selves than left alone: 0.03 [0.01, 0.05] in similarity by mobilefacenet, where leaving "
        "them alone gives 0.",
        [
            "Among 100 strangers the true face ranks 6.20 [6.18, 6.22] on average, 19.50 [19.48, 19.52] for "
            "the face left alone; chance would give 51.",
            "mixed ages faces and keeps the person: judged to be 0.90 [0.88, 0.92] years older for each year "
            "asked in photo, where a face left alone gives 0, and 90% [88, 92] taken for the same person in "
            "photo, where strangers give 1%.",
            "In photo, the judged age follows the asked one with a rank correlation of 0.90 [0.88, 0.92], by "
            "0.90 [0.88, 0.92] years for each year asked, and 90% [88, 92] are still taken for the same "
            "person.",
            "By people it never saw in photo, mixed errs 17.00 [16.98, 17.02] years (CNN), 0.75 [0.73, 0.77] "
            "more than by those it was trained on, where no loss gives 0.",
            "As a crowd, the outputs of mixed are 80.00 [79.98, 80.02] from real faces in photo (KID × 1000, "
            "net), −1.90 [−1.92, −1.88] for the face left alone.",
        ],
    )


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (
            [
                _score(AS_ASKED, 0.9, protocol="glasses", case="put on"),
                _floor(AS_ASKED, 0.4, protocol="glasses", case="put on"),
            ],
            "ager: glasses as asked 90% [88, 92] in photo, put on, by judge, 40% [38, 42] for the face left "
            "alone.",
        ),
        (
            [
                _score(KID, 8.0, "near", protocol="quality"),
                _score(KID, 80.0, "far", protocol="quality"),
                _floor(KID, 1.0, protocol="quality"),
            ],
            "As a crowd, the outputs of near (the best of 2) are 8.00 [7.98, 8.02] from real faces in photo "
            "(KID × 1000, judge), 1.00 [0.98, 1.02] for the face left alone.",
        ),
        (
            [
                dataclasses.replace(_score(AUC, 0.9, "net", protocol="audit", case="manga"), role="embedder"),
                dataclasses.replace(_score(AUC, 0.6, "pixels", protocol="audit", case="manga"), role="floor"),
            ],
            "No ager was scored; net (the best of 2) tells people apart with a verification AUC of 0.90 "
            "[0.88, 0.92] (manga), where chance gives 0.50.",
        ),
    ],
)
def test_each_question_can_stand_alone(scores: list[Score], words: str) -> None:
    assert _verdict(*scores)[0] == words


def test_numbers() -> None:
    estimate = Estimate(value=-0.004, low=-1.25, high=0.5, n=1, identities=1)
    assert number(estimate) == "0.00 [−1.25, 0.50]"
    assert number(estimate, percent=True) == "0% [−125, 50]"
    assert number(Estimate(value=0.5, low=math.nan, high=math.nan, n=1, identities=1)) == "0.50 [no interval]"
    assert number(Estimate.undefined()) == "–"
    assert minus("-0.0 to -0.05, -0, caae-short, 00-1") == "0.0 to −0.05, 0, caae-short, 00-1"

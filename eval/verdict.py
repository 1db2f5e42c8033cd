"""The report's first sentences: the findings in words, with the numbers behind them.

The headline uses what was measured, in the order of users' questions: characters, or people of the sets in
their place, true later faces, ages, and only then the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from nenrin.eval import findings
from nenrin.eval.metrics import RANK, SAME, SLOPE
from nenrin.eval.protocols.ages import Ages
from nenrin.eval.protocols.canon import AS_IF, CHARACTERS
from nenrin.eval.protocols.ladder import Ladder
from nenrin.eval.protocols.unseen import NEW, Unseen
from nenrin.eval.results import Result, Score
from nenrin.eval.verification import FAR
from nenrin.eval.wording import number

WELL = 0.75  # rank correlation, and fraction taken for the same person, from which the wording is positive
MOVES = 0.5  # judged years for each asked one: with less, faces are in the right order but hardly differ
ASKERS = ((Ages.name, ""), (Ladder.name, ""), (Unseen.name, NEW))  # protocol and case that ask for ages


def verdict(results: Sequence[Result]) -> tuple[str, list[str]]:
    """A headline, and the sentences that qualify it."""
    every = [score for result in results for score in result.scores]
    pooled = {(name, score.place) for score in every for name in score.members}
    scores = [score for score in every if (score.subject, score.place) not in pooled]
    details = [score for result in results for score in result.details]
    told = [
        *findings.canon(scores, CHARACTERS),
        *findings.first_character(details),
        *findings.canon(scores, AS_IF),
        *findings.longitudinal(scores),
        *_ages(scores),
        *findings.twins(scores),
        *findings.unseen(scores),
        *findings.quality(scores),
    ]
    headline, *rest = (
        told or findings.anything(scores) or findings.embedders(scores) or ["Nothing could be measured."]
    )
    return headline, rest


def _ages(scores: Sequence[Score]) -> list[str]:
    """Does the judged age follow the asked age, and is the person kept? The best ager, then its domains."""
    ages = _asked(scores)
    agers = list(dict.fromkeys(s.subject for s in ages))
    best = max(agers, key=lambda name: _merit(ages, name), default="")
    mine = [s for s in ages if s.subject == best]
    follows, moves, kept = (_weakest(mine, metric) for metric in (RANK, SLOPE, SAME))
    ages_well = None
    if follows is not None and moves is not None:
        ages_well = follows.estimate.value >= WELL and moves.estimate.value >= MOVES
    how = _HOW.get((ages_well, None if kept is None else kept.estimate.value >= WELL))
    if how is None:
        return []
    carried = []
    if moves is not None:
        carried.append(
            f"judged to be {number(moves.estimate)} years older for each year asked in {moves.domain}, where "
            "a face left alone gives 0"
        )
    if kept is not None:
        carried.append(
            f"{number(kept.estimate, percent=True)} taken for the same person in {kept.domain}, where "
            f"strangers give {FAR:.0%}"
        )
    weakest = "at its weakest, " if len({s.domain for s in mine}) > 1 else ""
    return [
        f"{findings.named(ages, best)} {how}: {weakest}{', and '.join(carried)}.",
        *_by_domain(mine),
    ]


_HOW = {  # (follows the age, keeps the person), None where that could not be measured
    (True, True): "ages faces and keeps the person",
    (True, False): "ages faces but loses the person",
    (False, True): "keeps the person but does not follow the age everywhere",
    (False, False): "neither follows the age nor keeps the person everywhere",
    (True, None): "ages faces; whether the person is kept could not be measured",
    (False, None): "does not follow the age everywhere; whether the person is kept could not be measured",
    (None, True): "keeps the person; whether it ages could not be measured",
    (None, False): "loses the person; whether it ages could not be measured",
}


def _asked(scores: Sequence[Score]) -> list[Score]:
    """The agers' scores in the first protocol that asks for ages, by the first judge and embedder."""
    for asker in ASKERS:
        found: list[Score] = []
        first: dict[tuple[str, str], str] = {}
        for s in scores:
            answers = (s.protocol, s.case) == asker and s.role == "ager" and s.estimate.defined
            if answers and first.setdefault((s.domain, s.metric), s.backend) == s.backend:
                found.append(s)
        if any(s.metric in (RANK, SAME) for s in found):
            return found
    return []


def _weakest(scores: Sequence[Score], metric: str) -> Score | None:
    """The score of the domain where it is lowest."""
    return min((s for s in scores if s.metric == metric), key=lambda s: s.estimate.value, default=None)


def _by_domain(scores: Sequence[Score]) -> list[str]:
    """One sentence a domain, with its intervals."""
    sentences = []
    for domain in dict.fromkeys(s.domain for s in scores):
        here = {s.metric: s.estimate for s in scores if s.domain == domain}
        parts = []
        if RANK in here:
            parts.append(
                f"the judged age follows the asked one with a rank correlation of {number(here[RANK])}, "
                f"by {number(here[SLOPE])} years for each year asked"
            )
        if SAME in here:
            parts.append(f"{number(here[SAME], percent=True)} are still taken for the same person")
        if parts:
            sentences.append(f"In {domain}, {', and '.join(parts)}.")
    return sentences


def _merit(ages: Sequence[Score], name: str) -> float:
    """An ager's merit: the worst of its scores, in its worst domain."""
    virtues = (RANK, SLOPE, SAME)
    return min((s.estimate.value for s in ages if s.subject == name and s.metric in virtues), default=-1)

"""The report's first sentence: what was found, in words, with the numbers that carry it."""

from __future__ import annotations

from collections.abc import Sequence

from nenrin.eval.cast import STRANGERS
from nenrin.eval.metrics import GAIN, PERCEPTUAL_RECOVERY, RANK, SAME, SLOPE, TRUE_RANK
from nenrin.eval.protocols.canon import CHANCE, CHARACTERS, Canon
from nenrin.eval.protocols.twins import SAME_VIEW
from nenrin.eval.results import Result, Score
from nenrin.eval.wording import number

WELL = 0.75  # rank correlation, and share taken for the same person, from which words are kind
MOVES = 0.5  # judged years for each asked one: less is the right order of hardly different faces


def verdict(results: Sequence[Result]) -> tuple[str, list[str]]:
    """A headline, and the sentences that qualify it."""
    every = [score for result in results for score in result.scores]
    pooled = {name for score in every for name in score.members}
    scores = [score for score in every if score.subject not in pooled]
    agers = list(dict.fromkeys(s.subject for s in scores if s.role == "ager"))
    if not agers:
        return "Nothing could be measured.", []
    ages = _first_backend([s for s in scores if s.protocol == "ages" and s.estimate.defined])
    best = max(agers, key=lambda name: _merit(ages, name))
    told = [t for name in agers for t in (_closer(scores, name), _recovered(scores, name)) if t]
    famous, ranks = _became(scores)
    mine = [s for s in ages if s.subject == best and s.role == "ager"]
    follows, moves = _weakest(mine, RANK), _weakest(mine, SLOPE)
    kept = _weakest(mine, SAME)
    ages_well = None if follows is None or moves is None else follows >= WELL and moves >= MOVES
    how = _HOW.get((ages_well, None if kept is None else kept >= WELL))
    among = f"The best of {len(agers)}, {best}," if len(agers) > 1 else best
    about = [] if how is None else [f"{among} {how}.", *_by_domain(mine)]
    headline, *rest = [*famous, *about, *told] or ["Nothing could be measured."]
    return headline, [*ranks, *rest]


def _became(scores: Sequence[Score]) -> tuple[list[str], list[str]]:
    """Do young characters become the official older ones? A sentence of the best ager, and its rank."""
    mine = [s for s in scores if s.protocol == Canon.name and s.case == CHARACTERS]
    gains = [s for s in mine if s.metric == GAIN and s.role == "ager" and s.estimate.defined]
    if not gains:
        return [], []
    first = [s for s in gains if s.place == gains[0].place]
    best = max(first, key=lambda s: s.estimate.value)
    gain = best.estimate
    nearer = "closer to" if gain.low > 0 else ("further from" if gain.high < 0 else "no closer to")
    said = (
        f"Aged by {best.subject}, {gain.identities} characters in {best.domain} are {nearer} their "
        f"official other selves than left alone: {number(gain)} in similarity by {best.backend}."
    )
    ranks = {s.subject: s.estimate for s in mine if s.metric == TRUE_RANK and s.backend == best.backend}
    if best.subject not in ranks:
        return [said], []
    alone = f", {number(ranks['copy'])} for the face left alone" if "copy" in ranks else ""
    among = (
        f"Among {STRANGERS} strangers the true face ranks {number(ranks[best.subject])} on average{alone}; "
        f"chance would give {CHANCE:.0f}."
    )
    return [said], [among]


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


def _weakest(scores: Sequence[Score], metric: str) -> float | None:
    """The value in the domain where it is lowest."""
    return min((s.estimate.value for s in scores if s.metric == metric), default=None)


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


def _first_backend(scores: Sequence[Score]) -> list[Score]:
    """For each metric the scores of the first judge or embedder of its domain alone."""
    first: dict[tuple[str, str], str] = {}
    for s in scores:
        if s.role == "ager":
            first.setdefault((s.domain, s.metric), s.backend)
    return [s for s in scores if first.get((s.domain, s.metric)) == s.backend]


def _merit(ages: Sequence[Score], name: str) -> float:
    """An ager is as good as the weakest of its virtues, in its weakest domain."""
    virtues = (RANK, SLOPE, SAME)
    return min((s.estimate.value for s in ages if s.subject == name and s.metric in virtues), default=-1)


def _closer(scores: Sequence[Score], name: str) -> str:
    """Does it bring persons of the sets closer to their true faces?"""
    mine = [s for s in scores if s.protocol == "longitudinal" and s.subject == name and s.metric == GAIN]
    if not mine:
        return ""
    mine = [s for s in mine if s.backend == mine[0].backend]
    up = [s for s in mine if s.estimate.low > 0]
    down = [s for s in mine if s.estimate.high < 0]
    first = mine[0]
    told = f"identity gain {number(first.estimate)} in {first.domain}, {first.case}, {first.backend}"
    if len(up) == len(mine):
        return f"{name} brings people closer to their true face in every case measured ({told})."
    if up:
        return f"{name} brings people closer to their true face in {len(up)} of {len(mine)} cases ({told})."
    if len(down) == len(mine):
        return f"{name} leads people away from their true face: leaving them alone is better ({told})."
    return f"{name} does not bring people closer to their true face than leaving them alone ({told})."


def _recovered(scores: Sequence[Score], name: str) -> str:
    """How far does it go where the truth is a known picture?"""
    mine = [
        s
        for s in scores
        if s.protocol == "twins"
        and s.subject == name
        and s.metric == PERCEPTUAL_RECOVERY
        and s.case.endswith(SAME_VIEW)
        and s.estimate.defined
    ]
    if not mine:
        return ""
    low, high = (of(mine, key=lambda s: s.estimate.value) for of in (min, max))
    told = f"{number(high.estimate, percent=True)} ({high.domain}, {high.case.removesuffix(SAME_VIEW)})"
    if low is not high:
        rest = f"{number(low.estimate, percent=True)} ({low.domain}, {low.case.removesuffix(SAME_VIEW)})"
        told = f"between {rest} and {told}"
    return (
        f"Where the truth is known exactly, {name} goes {told} of the way to it by {high.backend}; 0 is a "
        "face left alone, below 0 is away from the truth."
    )

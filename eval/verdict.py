"""The report's first sentence: what was found, in words, with the numbers that carry it."""

from __future__ import annotations

from collections.abc import Sequence

from nenrin.eval.protocols.ages import RANK, SAME
from nenrin.eval.protocols.base import Result, Score
from nenrin.eval.protocols.towards import GAIN
from nenrin.eval.stats import Estimate


def number(estimate: Estimate, *, percent: bool = False) -> str:
    """A value with its interval: "0.81 [0.78, 0.84]", "92% [88, 95]"; a dash where undefined."""
    if not estimate.defined:
        return "–"
    if percent:
        return f"{estimate.value:.0%} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def verdict(results: Sequence[Result]) -> tuple[str, list[str]]:
    """A headline, and the sentences that qualify it."""
    scores = [score for result in results for score in result.scores]
    agers = list(dict.fromkeys(s.subject for s in scores if s.role == "ager"))
    if not agers:
        return "Nothing could be measured.", []
    ages = _first_backend([s for s in scores if s.protocol == "ages"])
    best = max(agers, key=lambda name: _merit(ages, name))
    closer = [_closer(scores, name) for name in agers]
    if not any(s.role == "ager" for s in ages):
        return closer[0] or "Nothing could be measured.", [c for c in closer[1:] if c]
    parts = []
    for domain in dict.fromkeys(s.domain for s in ages):
        here = {s.metric: s for s in ages if s.domain == domain and s.subject == best}
        rank, same = here.get(RANK), here.get(SAME)
        if rank is not None:
            words = f"in {domain} the judged age follows the asked one at {number(rank.estimate)}"
            if same is not None:
                words += f" and {number(same.estimate, percent=True)} are still taken for the same person"
            parts.append(words)
    mine = [s for s in ages if s.subject == best]
    ranks = [s.estimate.value for s in mine if s.metric == RANK]
    sames = [s.estimate.value for s in mine if s.metric == SAME]
    ages_well, keeps = min(ranks, default=0) >= 0.75, min(sames, default=0) >= 0.75
    how = {
        (True, True): "ages faces and keeps the person",
        (True, False): "ages faces but loses the person",
        (False, True): "keeps the person but hardly ages",
        (False, False): "neither follows the age nor keeps the person everywhere",
    }[ages_well, keeps]
    among = f"The best of {len(agers)}, {best}," if len(agers) > 1 else best
    return f"{among} {how}.", [
        "; ".join(parts)[:1].upper() + "; ".join(parts)[1:] + ".",
        *filter(None, closer),
    ]


def _first_backend(scores: Sequence[Score]) -> list[Score]:
    """For each metric the scores of the first judge or embedder of its domain alone."""
    first: dict[tuple[str, str], str] = {}
    for s in scores:
        if s.role == "ager":
            first.setdefault((s.domain, s.metric), s.backend)
    return [s for s in scores if first.get((s.domain, s.metric)) == s.backend]


def _merit(ages: Sequence[Score], name: str) -> float:
    """An ager is as good as the weaker of its two virtues, in its weakest domain."""
    return min((s.estimate.value for s in ages if s.subject == name and s.metric in (RANK, SAME)), default=-1)


def _closer(scores: Sequence[Score], name: str) -> str:
    """Does it bring real people closer to their true faces?"""
    mine = [s for s in scores if s.protocol == "longitudinal" and s.subject == name and s.metric == GAIN]
    if not mine:
        return ""
    backend = mine[0].backend
    mine = [s for s in mine if s.backend == backend]
    up = [s for s in mine if s.estimate.low > 0]
    down = [s for s in mine if s.estimate.high < 0]
    first = mine[0]
    told = f"identity gain {number(first.estimate)} in {first.domain}, {first.case}, {backend}"
    if len(up) == len(mine):
        return f"{name} brings real people closer to their true face in every case measured ({told})."
    if up:
        return (
            f"{name} brings real people closer to their true face in {len(up)} of {len(mine)} cases ({told})."
        )
    if len(down) == len(mine):
        return f"{name} leads real people away from their true face: leaving them alone is better ({told})."
    return f"{name} does not bring real people closer to their true face than leaving them alone ({told})."

"""The answers to each question in sentences: the best ager's number, its interval, and that of no ageing."""

from __future__ import annotations

from collections.abc import Sequence

from nenrin.eval import metrics
from nenrin.eval.baselines import CopyAger
from nenrin.eval.cast import STRANGERS
from nenrin.eval.protocols.audit import Audit
from nenrin.eval.protocols.canon import AS_IF, CHANCE, CHARACTERS, Canon
from nenrin.eval.protocols.longitudinal import Longitudinal
from nenrin.eval.protocols.quality import Quality
from nenrin.eval.protocols.twins import SAME_VIEW, Twins
from nenrin.eval.protocols.unseen import GAP, NEW, Unseen
from nenrin.eval.results import Score
from nenrin.eval.wording import number

STUDENTS = "conan-shinichi: "  # the pair that everything began with
_WHO = {  # by case of canon: who is aged, and towards what
    CHARACTERS: ("{} characters in {}", "official other selves"),
    AS_IF: ("{} people in {}, as if they were characters,", "true older selves"),
}


def best_of(scores: Sequence[Score], metric: str) -> list[Score]:
    """The best ager's score of a metric in each domain and case, by the first judge or embedder there."""
    found: dict[tuple[str, str, str], list[Score]] = {}
    for s in scores:
        if s.metric == metric and s.role == "ager" and s.estimate.defined:
            found.setdefault((s.protocol, s.domain, s.case), []).append(s)
    sign = metrics.better(metric) or 1
    return [
        max((s for s in group if s.backend == group[0].backend), key=lambda s: sign * s.estimate.value)
        for group in found.values()
    ]


def named(scores: Sequence[Score], name: str) -> str:
    """The ager's name, and out of how many it is the best."""
    agers = {s.subject for s in scores if s.role == "ager"} - {m for s in scores for m in s.members}
    return f"{name} (the best of {len(agers)})" if len(agers) > 1 else name


def alone(scores: Sequence[Score], score: Score) -> str:
    """The unchanged face's score in the same place: ", 0.31 [0.28, 0.34] for the face left alone"."""
    for s in scores:
        if s.place == score.place and s.subject == CopyAger.name and s.estimate.defined:
            return f", {number(s.estimate, percent=s.percent)} for the face left alone"
    return ""


def canon(scores: Sequence[Score], case: str) -> list[str]:
    """Do young characters become the official older ones? A gain and a rank for each domain."""
    mine = [s for s in scores if s.protocol == Canon.name and s.case == case]
    who, selves = _WHO[case]
    sentences = []
    for best in best_of(mine, metrics.GAIN):
        gain, aged = best.estimate, who.format(best.estimate.identities, best.domain)
        nearer = "closer to" if gain.low > 0 else ("further from" if gain.high < 0 else "no closer to")
        sentences.append(
            f"Aged by {named(mine, best.subject)}, {aged} are {nearer} their {selves} than left alone: "
            f"{number(gain)} in similarity by {best.backend}, where leaving them alone gives 0."
        )
        for rank in mine:
            place = (rank.domain, rank.metric, rank.backend, rank.subject)
            if place == (best.domain, metrics.TRUE_RANK, best.backend, best.subject):
                sentences.append(
                    f"Among {STRANGERS} strangers the true face ranks {number(rank.estimate)} on average"
                    f"{alone(mine, rank)}; chance would give {CHANCE:.0f}."
                )
    return sentences


def first_character(details: Sequence[Score]) -> list[str]:
    """The result for Conan, else for the first character, by the ager that brings it closest."""
    gains = [s for s in details if s.metric == metrics.GAIN and s.role == "ager" and s.estimate.defined]
    if not gains:
        return []
    case = next((s.case for s in gains if s.case.startswith(STUDENTS)), gains[0].case)
    gains = [s for s in gains if (s.case, s.backend) == (case, gains[0].backend)]
    best = max(gains, key=lambda s: s.estimate.value)
    gain, title = best.estimate.value, best.case.partition(": ")[2]
    ranks = {
        s.subject: s.estimate.value
        for s in details
        if (s.metric, s.case, s.backend) == (metrics.TRUE_RANK, best.case, best.backend)
    }
    ranked = ""
    if best.subject in ranks and CopyAger.name in ranks:
        ranked = (
            f", and among {STRANGERS} strangers the true face ranks {ranks[best.subject]:.0f}, "
            f"{ranks[CopyAger.name]:.0f} for the face left alone"
        )
    way = "closer to" if gain > 0 else "further from"
    return [
        f"{title}: aged by {named(gains, best.subject)}, {abs(gain):.2f} {way} the official pictures in "
        f"similarity than left alone{ranked}; one character has no interval."
    ]


def longitudinal(scores: Sequence[Score]) -> list[str]:
    """Does it bring persons of the sets closer to their true faces? A sentence for each, the best first."""
    gains = [
        s
        for s in scores
        if (s.protocol, s.metric, s.role) == (Longitudinal.name, metrics.GAIN, "ager") and s.estimate.defined
    ]
    gains = [s for s in gains if s.backend == gains[0].backend]
    by_ager: dict[str, list[Score]] = {}
    for s in gains:
        by_ager.setdefault(s.subject, []).append(s)
    ordered = sorted(by_ager, key=lambda name: by_ager[name][0].estimate.value, reverse=True)
    return [_closer(name, by_ager[name]) for name in ordered]


def _closer(name: str, gains: Sequence[Score]) -> str:
    up = [s for s in gains if s.estimate.low > 0]
    shown = (up or gains)[0]
    if len(up) == len(gains):
        said = "brings people closer to their true face in every case measured"
    elif up:
        said = f"brings people closer to their true face in {len(up)} of {len(gains)} cases"
    elif all(s.estimate.high < 0 for s in gains):
        said = "leads people away from their true face, leaving them alone is better"
    else:
        said = "does not bring people closer to their true face than leaving them alone"
    return (
        f"{name} {said}: identity gain {number(shown.estimate)} in {shown.domain}, {shown.case}, by "
        f"{shown.backend}, where leaving them alone gives 0."
    )


def twins(scores: Sequence[Score]) -> list[str]:
    """How far does it go where the truth is a known picture? A sentence for each ager."""
    by_ager: dict[str, list[Score]] = {}
    for s in scores:
        asked = (s.protocol, s.metric, s.role) == (Twins.name, metrics.PERCEPTUAL_RECOVERY, "ager")
        if asked and s.case.endswith(SAME_VIEW) and s.estimate.defined:
            by_ager.setdefault(s.subject, []).append(s)
    return [_recovered(name, mine) for name, mine in by_ager.items()]


def _recovered(name: str, scores: Sequence[Score]) -> str:
    low, high = (of(scores, key=lambda s: s.estimate.value) for of in (min, max))
    told, least = (
        f"{number(s.estimate, percent=True)} ({s.domain}, {s.case.removesuffix(SAME_VIEW)})"
        for s in (high, low)
    )
    if low is not high:
        told = f"between {least} and {told}"
    return (
        f"Where the truth is known exactly, {name} goes {told} of the way to it by {high.backend}; 0 is a "
        "face left alone, below 0 is away from the truth."
    )


def unseen(scores: Sequence[Score]) -> list[str]:
    """What the ager that is best on unseen people loses on them, a sentence for each domain."""
    mine = [s for s in scores if s.protocol == Unseen.name and s.metric == metrics.AGE_ERROR]
    return [
        f"By people it never saw in {best.domain}, {named(mine, best.subject)} errs {number(best.estimate)} "
        f"years ({best.backend}), {number(lost.estimate)} more than by those it was trained on, where no "
        "loss gives 0."
        for best in best_of([s for s in mine if s.case == NEW], metrics.AGE_ERROR)
        for lost in mine
        if (lost.case, lost.domain, lost.subject) == (GAP, best.domain, best.subject)
    ]


def quality(scores: Sequence[Score]) -> list[str]:
    """How far the distribution of outputs is from real faces, a sentence for each domain."""
    mine = [s for s in scores if s.protocol == Quality.name]
    return [
        f"As a crowd, the outputs of {named(mine, s.subject)} are {number(s.estimate)} from real faces in "
        f"{s.domain} ({metrics.KID}, {s.backend}){alone(mine, s)}."
        for s in best_of(mine, metrics.KID)
    ]


def anything(scores: Sequence[Score]) -> list[str]:
    """The first number of an ager, whatever it is."""
    for s in scores:
        if s.role == "ager" and s.estimate.defined:
            (best,) = best_of([o for o in scores if o.place == s.place], s.metric)
            value = number(best.estimate, percent=best.percent)
            case = f", {best.case}" if best.case else ""
            return [
                f"{named(scores, best.subject)}: {best.metric} {value} in {best.domain}{case}, by "
                f"{best.backend}{alone(scores, best)}."
            ]
    return []


def embedders(scores: Sequence[Score]) -> list[str]:
    """Which embedder tells people apart best in the first place audited."""
    known = [s for s in scores if (s.protocol, s.metric) == (Audit.name, metrics.AUC) and s.estimate.defined]
    here = [s for s in known if s.place == known[0].place]
    if not here:
        return []
    best = max(here, key=lambda s: s.estimate.value)
    return [
        f"No ager was scored; {best.subject} (the best of {len(here)}) tells people apart with a "
        f"{metrics.AUC} of {number(best.estimate)} ({best.case}), where chance gives 0.50."
    ]

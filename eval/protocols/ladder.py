"""`ladder`: photograph, painting, cartoon, manga: how much is lost at each step away from photographs?"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.face import DOMAINS
from nenrin.eval import stats
from nenrin.eval.bench import Bench, Sheet
from nenrin.eval.metrics import AGE_ERROR, AGE_RATIO, KEPT, OWN_DOMAIN, RANK, SAME, SIMILARITY, SLOPE
from nenrin.eval.protocols.asked import (
    REAL,
    Ground,
    ask,
    ceilings,
    measures,
    people_of,
    survey,
    unproven,
    write_slopes,
)
from nenrin.eval.results import Result, Who
from nenrin.eval.stats import Estimate
from nenrin.ground import NenrinError

SHOWN = (RANK, SLOPE, KEPT, OWN_DOMAIN, SIMILARITY, SAME, AGE_ERROR, AGE_RATIO)
STEP = "step from {}"


@dataclasses.dataclass(kw_only=True, slots=True)
class _Rung:
    """One subject's rows in one domain, by metric; grouped by picture, which a drawing shares."""

    values: dict[str, tuple[str, NDArray[np.floating], NDArray[np.str_]]]  # metric -> backend, values, groups


class Ladder:
    """The questions of ages in every domain, and the difference of each domain to the one before."""

    name = "ladder"
    question = "How much is lost at each step away from photographs?"

    def run(self, bench: Bench) -> Result:
        """See `EvalProtocol.run`."""
        rungs = sorted(bench.domains(), key=_height)
        result = Result(
            protocol=self.name,
            question=self.question,
            method=(
                f"The questions of ages, domain by domain in the order {' → '.join(rungs)}. A step is the "
                "mean in a domain less that in the one before it, judged by the judge that learned from all "
                "domains, and by the first embedder. People who are in both domains (a photograph and its "
                "own drawing) come first, and count as paired. The step of the real faces is the judge's "
                "own: an ager that loses no more than that lost nothing. Faces whose age nobody knows, such "
                "as most manga ones, are asked too: what needs no true age is measured on them, which is the "
                "rank of the judged ages, whether the person is kept (against strangers of the domain) and "
                "whether the face is still of its domain."
            ),
        )
        if len(rungs) < 2:
            raise NenrinError(
                "the ladder needs test faces of two domains: give a drawn set beside photographs"
            )
        below: tuple[str, dict[Who, _Rung]] | None = None
        for domain in rungs:
            ground = survey(bench, domain)
            here = _rung(bench, ground)
            _write(bench, result, domain, here, below)
            write_slopes(bench, Sheet(bench, result, domain), ground, ground.judges[:1])
            below = domain, here
            result.notes += unproven(bench, domain)
            faces = bench.of_domain(domain)
            if not np.isfinite(faces.age).any():
                result.notes.append(
                    f"{domain}: no true age is known, so there is no age error and no span of years; the "
                    "person counts as kept at all ages asked"
                )
            if len(np.unique(faces.person)) == len(faces):
                result.notes.append(
                    f"{domain}: nobody is known to have two pictures, so real faces set no ceiling for the "
                    "same person"
                )
        return result


def _height(domain: str) -> tuple[int, str]:
    return (DOMAINS.index(domain) if domain in DOMAINS else len(DOMAINS)), domain


def _rung(bench: Bench, ground: Ground) -> dict[Who, _Rung]:
    """The rows of all subjects in one domain."""
    people = people_of(bench, ground.domain)
    found: dict[Who, _Rung] = {}
    for contender in bench.contenders:
        rung = found[contender.who] = _Rung(values={})
        for one in measures(ground, ask(bench, contender, people, ground)):
            if one.metric in SHOWN:
                row = (one.backend, one.values, people.picture[one.rows])
                rung.values.setdefault(one.metric, row)  # the first judge and embedder
    found[REAL] = rung = _Rung(values={})
    for one, persons in ceilings(bench, ground):
        if one.metric in SHOWN:
            rung.values.setdefault(one.metric, (one.backend, one.values, persons[one.rows]))
    return found


def _write(
    bench: Bench,
    result: Result,
    domain: str,
    here: dict[Who, _Rung],
    below: tuple[str, dict[Who, _Rung]] | None,
) -> None:
    sheet = Sheet(bench, result, domain)
    for who, rung in here.items():
        for metric, (backend, values, groups) in rung.values.items():
            sheet.mean(who, metric, backend, values, groups)
    if below is None:
        return
    name, lower = below
    sheet = Sheet(bench, result, domain, STEP.format(name))
    for who, rung in here.items():
        for metric, (backend, values, groups) in rung.values.items():
            before = lower[who].values.get(metric)
            if before is not None and before[0] == backend:  # two judges cannot be subtracted
                step = _step(bench, before[1:], (values, groups))
                sheet.put(who, metric, backend, step)


def _step(
    bench: Bench,
    before: tuple[NDArray[np.floating], NDArray[np.str_]],
    after: tuple[NDArray[np.floating], NDArray[np.str_]],
) -> Estimate:
    return stats.difference(*before, *after, seed=bench.seed, resamples=bench.resamples)

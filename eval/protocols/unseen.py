"""`unseen`: does an ager do as well on people it never saw as on those it was trained on?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray
from nenrin.eval import stats
from nenrin.eval.bench import Bench, Contender, Sheet
from nenrin.eval.metrics import AGE_ERROR, RANK, SAME, SIMILARITY, SLOPE
from nenrin.eval.protocols.asked import (
    REAL,
    Ground,
    Measure,
    ask,
    ceilings,
    choose,
    measures,
    people_of,
    survey,
    write_slopes,
)
from nenrin.eval.results import Result
from nenrin.eval.subjects import Batch
from nenrin.ground import NenrinError

SEEN, NEW = "faces it was trained on", "people it never saw"
FOREIGN, GAP = "sources it never saw", "lost on people it never saw"
SHOWN = (AGE_ERROR, RANK, SLOPE, SAME, SIMILARITY)
LEAST = 12  # people in a group


class Unseen:
    """The same questions on training faces and on test faces, and the difference."""

    name = "unseen"
    question = "Does it do as well by people it never saw as by those it was trained on?"

    def run(self, bench: Bench) -> Result:
        """See `EvalProtocol.run`."""
        result = Result(
            protocol=self.name,
            question=self.question,
            method=(
                "Each ager is put the questions of ages on faces that it was trained on itself, on people "
                "that it never saw, and, where a set has them, on people from sources of which it saw "
                "nothing at all. Judges and thresholds are the same throughout; no judge saw either kind. "
                "What is lost is the mean on new people less that on trained ones. The ceiling is the real "
                "faces themselves, those of the first ager's training beside the new ones: what the judge "
                "loses between them is its own. The floors have no "
                "training and are put to the first ager's faces: what they lose is a difference between the "
                "faces and not between having seen them or not. A domain in which an ager had no training "
                "faces is not here but in the ladder."
            ),
        )
        pool = bench.gather()
        agers = [c for c in bench.contenders if c.role == "ager" and c.name in bench.trained_on]
        if pool is None or not agers:
            raise NenrinError("which faces the agers were trained on is not known")
        trained = {c.name: frozenset(bench.trained_on[c.name]) for c in agers}
        floors = [c for c in bench.contenders if c.role == "floor"]
        for domain in bench.domains():
            ground, new = survey(bench, domain), people_of(bench, domain)
            ids = trained[agers[0].name]
            if len(_seen(pool, domain, ids, bench)) >= min(LEAST, bench.people):
                _ceilings(bench, result, ground, _faces_of(pool, domain, ids, bench))
            for contender in (*agers, *floors):
                ids = trained.get(contender.name, trained[agers[0].name])
                seen = _seen(pool, domain, ids, bench)
                if len(seen) < min(LEAST, bench.people):
                    if contender.role == "ager":
                        held = f"{len(seen)} faces that {contender.name} was trained on"
                        result.notes.append(f"{domain}: {held}, {LEAST} are needed")
                    continue
                foreign = _foreign(bench, pool, domain, ids)
                _answer(bench, result, ground, contender, seen, new, foreign)
        if not result.scores:
            raise NenrinError("these sets hold none of the faces that the agers were trained on")
        return result


def _seen(pool: FaceArray, domain: str, ids: frozenset[str], bench: Bench) -> Batch:
    """Up to `bench.people` people of the domain whom the ager was trained on."""
    faces = _faces_of(pool, domain, ids, bench)
    return faces.take(choose(faces, bench.people, bench.seed))


def _faces_of(pool: FaceArray, domain: str, ids: frozenset[str], bench: Bench) -> Batch:
    """Some of the faces that the ager was trained on: of known age, and others where those are too few."""
    code = pool.domains.index(domain)
    rows = np.flatnonzero((pool.domain == code) & np.isin(pool.ids, list(ids)))
    ageless = np.isnan(pool.age[rows])
    rng, most = np.random.default_rng(bench.seed), 4 * bench.people
    some = rng.permutation(rows[~ageless])[:most]
    if _persons(pool, rows[~ageless]) < bench.people:
        some = np.concatenate([some, rng.permutation(rows[ageless])[:most]])
    return Batch.of(pool.select(np.sort(some)))


def _persons(pool: FaceArray, rows: NDArray[np.intp]) -> int:
    """How many people they are; whoever has no name is one."""
    names = pool.identity[rows]
    return len(np.unique(names[names >= 0])) + int((names < 0).sum())


def _ceilings(bench: Bench, result: Result, ground: Ground, seen: Batch) -> None:
    """The scores of real faces, trained on and new, and the difference between them."""
    found: list[dict[tuple[str, str], tuple[Measure, NDArray[np.str_]]]] = []
    for case, here in ((SEEN, survey(bench, ground.domain, seen)), (NEW, ground)):
        sheet = Sheet(bench, result, ground.domain, case)
        mine: dict[tuple[str, str], tuple[Measure, NDArray[np.str_]]] = {}
        for one, persons in ceilings(bench, here):
            first = one.metric not in {metric for metric, _ in mine}
            if one.metric in SHOWN and first and len(one.values):
                sheet.mean(REAL, one.metric, one.backend, one.values, persons[one.rows])
                mine[one.metric, one.backend] = one, persons[one.rows]
        write_slopes(bench, sheet, here, here.judges[:1])
        found.append(mine)
    sheet = Sheet(bench, result, ground.domain, GAP)
    for key, (after, new_persons) in found[1].items():
        if key in found[0]:
            before, old_persons = found[0][key]
            drawn = {"seed": bench.seed, "resamples": bench.resamples}
            lost = stats.difference(before.values, old_persons, after.values, new_persons, **drawn)
            sheet.put(REAL, *key, lost)


def _foreign(bench: Bench, pool: FaceArray, domain: str, ids: frozenset[str]) -> Batch | None:
    """Test people of sources from which the ager saw no face in any domain."""
    sources = set(pool.source[np.isin(pool.ids, list(ids))].tolist())
    real = bench.of_domain(domain)
    real = real.take(~np.isin(real.source, list(sources)))
    return real.take(choose(real, bench.people, bench.seed)) if len(real) >= LEAST else None


def _answer(
    bench: Bench,
    result: Result,
    ground: Ground,
    contender: Contender,
    seen: Batch,
    new: Batch,
    foreign: Batch | None,
) -> None:
    groups = {SEEN: seen, NEW: new} | ({FOREIGN: foreign} if foreign is not None else {})
    found: dict[str, dict[tuple[str, str], tuple[Measure, NDArray[np.str_]]]] = {}
    for case, people in groups.items():
        sheet = Sheet(bench, result, ground.domain, case)
        for one in _shown(ground, contender, people, bench):
            persons = people.person[one.rows]
            sheet.mean(contender.who, one.metric, one.backend, one.values, persons)
            found.setdefault(case, {})[one.metric, one.backend] = one, persons
    sheet = Sheet(bench, result, ground.domain, GAP)
    for key, (after, after_persons) in found[NEW].items():
        before, before_persons = found[SEEN].get(key, (None, None))
        if before is not None and before_persons is not None:
            lost = stats.difference(
                before.values,
                before_persons,
                after.values,
                after_persons,
                seed=bench.seed,
                resamples=bench.resamples,
            )
            sheet.put(contender.who, *key, lost)


def _shown(ground: Ground, contender: Contender, people: Batch, bench: Bench) -> Iterator[Measure]:
    """The measures of `SHOWN`, by the first judge and the first embedder alone."""
    done: set[str] = set()
    for one in measures(ground, ask(bench, contender, people, ground)):
        if one.metric in SHOWN and one.metric not in done:
            done.add(one.metric)
            yield one

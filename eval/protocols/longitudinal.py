"""`longitudinal`: does the face come closer to what the person really looked like at that age?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nenrin.eval.bench import Bench
from nenrin.eval.protocols.towards import Task, compare, outputs_of, strip
from nenrin.eval.results import Result
from nenrin.eval.subjects import Batch
from nenrin.ground import NenrinError

GAP = 10  # years at least between input and reference
NEAR = 5  # years at most between the reference and the second picture
PAIRS = 4  # at most of one person in one direction
CASES = {"growing older": 1, "growing younger": -1}


class Longitudinal:
    """Persons photographed (or drawn) at several ages, such as those of FG-NET."""

    name = "longitudinal"
    question = "Does ageing bring a face closer to what the person really looked like?"

    def run(self, bench: Bench) -> Result:
        """See `EvalProtocol.run`."""
        result = Result(
            protocol=self.name,
            question=self.question,
            method=(
                f"A picture of a person is aged to the age of another, at least {GAP} years away, and "
                f"compared with it. The ceiling is a third picture of the person, within {NEAR} years of the "
                "second. Gain is the rise in similarity over leaving the input alone; recovery is that gain "
                "as a share of the ceiling's: 0 does nothing, 1 is as good as a real picture, below 0 is "
                f"worse than doing nothing. At most {PAIRS} pairs of a person in each direction, drawn by "
                "the seed."
            ),
        )
        found = False
        for domain in bench.domains():
            faces = bench.faces.take((bench.faces.domain == domain) & np.isfinite(bench.faces.age))
            for case, direction in CASES.items():
                rows = _pairs(faces, direction, bench.people, bench.seed)
                if not len(rows):
                    continue
                found = True
                task = Task(
                    domain=domain,
                    case=case,
                    inputs=faces.take(rows[:, 0]),
                    references=faces.take(rows[:, 1]),
                    seconds=faces.take(rows[:, 2]),
                )
                outputs = outputs_of(bench, task)
                compare(bench, result, task, outputs)
                strip(bench, result, task, outputs, "the true face")
        if not found:
            raise NenrinError(
                f"no test person has three pictures of known age, two of them {GAP} years from the third: "
                "add a set such as FG-NET"
            )
        return result


def _pairs(faces: Batch, direction: int, people: int, seed: int) -> NDArray[np.intp]:
    """(N, 3) rows of input, reference and second picture of up to `people` persons, drawn by the seed."""
    rng = np.random.default_rng(seed)
    chosen = []
    for name in np.unique(faces.person):
        rows = np.flatnonzero(faces.person == name)
        age = faces.age[rows]
        triples = []
        for i in range(len(rows)):
            for j in np.flatnonzero(direction * (age - age[i]) >= GAP):
                off = np.abs(age - age[j])
                off[[i, j]] = np.inf
                k = int(off.argmin())
                if off[k] <= NEAR:
                    triples.append((rows[i], rows[j], rows[k]))
        picks = rng.permutation(len(triples))[:PAIRS]
        if len(picks):
            chosen.append(np.array(triples, dtype=np.intp)[picks])
    if not chosen:
        return np.zeros((0, 3), dtype=np.intp)
    return np.concatenate([chosen[i] for i in rng.permutation(len(chosen))[:people]])

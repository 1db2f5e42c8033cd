"""`twins`: the same question where the truth is exact, on procedural people."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.face import GLASSES
from nenrin.domains.twins.drawing import draw
from nenrin.domains.twins.people import sample_people, sample_views
from nenrin.eval.bench import Bench
from nenrin.eval.protocols.towards import Task, compare, outputs_of, strip
from nenrin.eval.results import Result
from nenrin.eval.subjects import Batch

PEOPLE = 64  # at most, in each domain and direction
DOMAINS: tuple[Literal["photo", "manga"], ...] = ("photo", "manga")
YOUNG, OLD = (5, 18), (40, 78)  # years between which the two ages are drawn
SAME_VIEW = ", same view"  # ends the name of a case
SEED = 7_310_000  # added to the report's seed, so that no training draws these people


class Twins:
    """New procedural people, drawn young and old: the input, the truth, and both again in other views."""

    name = "twins"
    question = "Where the truth is known exactly, is it reached?"

    def run(self, bench: Bench) -> Result:
        """See `EvalProtocol.run`."""
        result = Result(
            protocol=self.name,
            question=self.question,
            method=(
                f"Procedural people that no training drew, at {YOUNG[0]} to {YOUNG[1]} and at {OLD[0]} to "
                f"{OLD[1]} years; not real people. In the same view, the truth is the very picture that a "
                "perfect ager would return, and recovery is the share of the difference that was removed. "
                "In another view, the truth has another pose, light and expression, and so has the ceiling: "
                "that is what real pictures of a person offer. Recovery: 0 does nothing, 1 is as good as the "
                "ceiling, below 0 is worse than doing nothing."
            ),
        )
        for domain in DOMAINS:
            for case, older in (("growing older", True), ("growing younger", False)):
                same, other = _tasks(domain, case, older, min(bench.people, PEOPLE), bench)
                outputs = outputs_of(bench, same)
                compare(bench, result, same, outputs)
                compare(bench, result, other, outputs)
                shown = dataclasses.replace(same, case=case, seconds=other.seconds)
                strip(bench, result, shown, outputs, "the truth")
        return result


def _tasks(
    domain: Literal["photo", "manga"], case: str, older: bool, count: int, bench: Bench
) -> tuple[Task, Task]:
    seed = bench.seed + SEED + (0 if older else 1)
    rng = np.random.default_rng(seed)
    people = sample_people(count, seed=seed)
    young, old = (rng.uniform(*span, count).astype(np.float32) for span in (YOUNG, OLD))
    start, end = (young, old) if older else (old, young)
    glasses = rng.choice(len(GLASSES), size=count, p=(0.7, 0.2, 0.1))
    views = [sample_views(count, seed=seed + 10 * (i + 1)) for i in range(3)]

    def drawn(age: NDArray[np.float32], view: int) -> Batch:
        pixels = draw(people, age, domain=domain, glasses=glasses, views=views[view], size=bench.size).images
        return Batch.drawn(
            pixels,
            age=age,
            domain=domain,
            glasses=glasses,
            gender=people.gender,
            person=[f"twin/{seed}/{i}" for i in range(count)],
        )

    inputs, truth, reference, second = drawn(start, 0), drawn(end, 0), drawn(end, 1), drawn(end, 2)
    return (
        Task(
            domain=domain,
            case=f"{case}{SAME_VIEW}",
            inputs=inputs,
            references=truth,
            seconds=truth,
            ceiling="the truth itself",
        ),
        Task(
            domain=domain, case=f"{case}, another view", inputs=inputs, references=reference, seconds=second
        ),
    )

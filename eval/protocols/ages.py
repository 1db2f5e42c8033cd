"""`ages`: is the age the one that was asked for, and is it still the same person?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nenrin.eval import verification
from nenrin.eval.bench import Bench, Contender, Floats, Sheet
from nenrin.eval.protocols.asked import (
    ASKED,
    Answer,
    Ground,
    ask,
    measures,
    people_of,
    survey,
    unproven,
    write_ceilings,
)
from nenrin.eval.results import Curve, Result, Strip, StripRow
from nenrin.ground import NenrinError


class Ages:
    """Asks for `ASKED` of one picture of each person, in every domain of the test split."""

    name = "ages"
    question = "Is the age the one that was asked for, and is it still the same person?"

    def run(self, bench: Bench) -> Result:
        """See `EvalProtocol.run`."""
        result = Result(
            protocol=self.name,
            question=self.question,
            method=(
                f"One face of each person is asked to be {', '.join(map(str, ASKED))} years old. Judges that "
                "no ager trained with, and that learned from faces no ager saw, read the age of the outcome; "
                "their own error and bias on real test faces stand above. Rank correlation and the judged "
                "years for each year asked (1 is right, 0 ignores the age) are taken within each person, "
                "then averaged. A face counts as the same person when its similarity to the input reaches "
                "the value that only 1% of pairs of real strangers of the domain reach; only outputs within "
                f"{verification.YEARS} years of the true age are asked. An output shares pose and light with "
                "its input, which two real pictures of a person do not: here an ager can pass the ceiling."
            ),
        )
        if not bench.domains():
            raise NenrinError("the sets have no test faces of a known domain")
        for domain in bench.domains():
            _answer(bench, result, domain)
        return result


def _answer(bench: Bench, result: Result, domain: str) -> None:
    ground, people = survey(bench, domain), people_of(bench, domain)
    sheet = Sheet(bench, result, domain)
    result.notes += unproven(bench, domain)
    write_ceilings(bench, sheet, ground)
    answers = {}
    for contender in bench.contenders:
        answer = answers[contender.name] = ask(bench, contender, people, ground)
        for one in measures(ground, answer):
            sheet.mean(contender.who, one.metric, one.backend, one.values, people.person[one.rows])
        result.curves += [_curve(contender, domain, judge, years) for judge, years in answer.judged.items()]
    _strips(bench, result, ground, answers)


def _curve(contender: Contender, domain: str, judge: str, judged: Floats) -> Curve:
    low, high = np.percentile(judged, [25, 75], axis=0)
    return Curve(
        protocol=Ages.name,
        domain=domain,
        subject=contender.name,
        role=contender.role,
        backend=judge,
        x=[float(a) for a in ASKED],
        y=judged.mean(0).tolist(),
        low=low.tolist(),
        high=high.tolist(),
    )


def _strips(bench: Bench, result: Result, ground: Ground, answers: dict[str, Answer]) -> None:
    """The first `shown` people drawn by the seed, then each ager's worst face in age and in identity."""
    agers = [c.name for c in bench.contenders if c.role == "ager"]
    # The copy is the input, and the mean face is the same for everybody, so neither is repeated.
    first = [c.name for c in bench.contenders if c.name != "copy"]
    people = next(iter(answers.values())).people
    for i in range(min(bench.shown, len(people))):
        if names := agers if i else first:
            result.strips.append(_strip(ground, i, {name: answers[name] for name in names}))
    for name in agers:
        answer = answers[name]
        for judged in list(answer.judged.values())[:1]:
            off = np.abs(judged - np.array(ASKED)).mean(1)
            title = f"age most wrong: {off.max():.0f} years off on average"
            result.strips.append(_strip(ground, int(off.argmax()), {name: answer}, title))
        for alike in list(answer.similarity.values())[:1]:
            mean = alike.mean(1)
            title = f"least the same person: mean similarity {mean.min():.2f}"
            result.strips.append(_strip(ground, int(mean.argmin()), {name: answer}, title))


def _strip(ground: Ground, i: int, answers: dict[str, Answer], worst: str = "") -> Strip:
    people = next(iter(answers.values())).people
    known = "age unknown" if np.isnan(people.age[i]) else f"{people.age[i]:.0f} years"
    rows = []
    for name, answer in answers.items():
        pictures = answer.outputs.reshape(-1, len(ASKED), *answer.outputs.shape[1:])[i]
        years: Iterable[float] = next((judged[i] for judged in answer.judged.values()), [])
        captions = [f"judged {y:.0f}" for y in years] or [""] * len(ASKED)
        rows.append(StripRow(label=name, pictures=[people.pixels[i], *pictures], captions=[known, *captions]))
    return Strip(
        protocol=Ages.name,
        domain=ground.domain,
        title=worst,
        columns=["input", *map(str, ASKED)],
        rows=rows,
        worst=bool(worst),
    )

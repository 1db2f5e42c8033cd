"""`ages`: is the age the one that was asked for, and is it still the same person?"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nenrin.eval import stats, verification
from nenrin.eval.identity import Embedder
from nenrin.eval.judges import Judge
from nenrin.eval.protocols.base import Bench, Contender, Curve, Result, Score, Strip, StripRow
from nenrin.eval.stats import Estimate
from nenrin.eval.subjects import Batch, Pixels
from nenrin.ground import NenrinError

ASKED = (5, 15, 25, 45, 65, 75)  # years
AGE_ERROR = "age error (years)"
AGE_RATIO = "age error / judge's own error"
RANK = "rank correlation, asked and judged age"
SLOPE = "judged years for each year asked"
SAME = f"taken for the same person, up to {verification.YEARS} years apart"
SIMILARITY = "similarity to the input"
AUC = "verification AUC"
REAL = "real faces"
Floats = NDArray[np.floating]


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
                "their own error on real test faces is the ceiling. Rank correlation and the judged years "
                "for each year asked (1 is right, 0 ignores the age) are taken within each person, then "
                "averaged. A face counts as the same person when its similarity to the input "
                "reaches the value that only 1% of pairs of real strangers of the domain reach; only outputs "
                f"within {verification.YEARS} years of the true age are asked. An output shares pose and "
                "light with its input, which two real pictures of a person do not: here an ager can pass "
                "the ceiling."
            ),
        )
        if not bench.domains():
            raise NenrinError("the sets have no test faces of a known domain")
        for domain in bench.domains():
            _Domain(bench, result, domain).run()
        return result


class _Domain:
    """One domain's share of the protocol."""

    def __init__(self, bench: Bench, result: Result, domain: str) -> None:
        self.bench, self.result, self.domain = bench, result, domain
        self.real = bench.faces.take(bench.faces.domain == domain)
        self.people = self.real.take(_one_each(self.real, bench.people, bench.seed))
        self.judges = bench.panel.of(domain)
        self.own_error: dict[str, float] = {}  # by judge
        self.thresholds: dict[str, float] = {}  # by embedder

    def run(self) -> None:
        if not self.judges:
            self.result.notes.append(f"{self.domain}: no judge could be trained, so no age is read")
        for judge in self.judges:
            self._judge_itself(judge)
        for embedder in self.bench.embedders:
            self._embedder_itself(embedder.name, self.bench.embed(embedder, self.real.pixels))
        outputs = {c.name: self._aged(c) for c in self.bench.contenders}
        judged: dict[str, Floats] = {}
        for contender in self.bench.contenders:
            for judge in self.judges:
                years = self.bench.judged(judge, outputs[contender.name]).reshape(-1, len(ASKED))
                judged.setdefault(contender.name, years)
                self._age(contender, judge, years)
            for embedder in self.bench.embedders:
                self._identity(contender, embedder.name, self._similarity(embedder, outputs[contender.name]))
        self._strips(outputs, judged)

    def _aged(self, contender: Contender) -> Pixels:
        """(P * A, H, H, 3), a person's ages next to each other."""
        repeated = self.people.take(np.repeat(np.arange(len(self.people)), len(ASKED)))
        return self.bench.aged(contender, repeated, np.tile(np.array(ASKED, np.float32), len(self.people)))

    def _score(self, contender: Contender | None, metric: str, backend: str, estimate: Estimate) -> None:
        self.result.scores.append(
            Score(
                protocol=self.result.protocol,
                domain=self.domain,
                subject=contender.name if contender else REAL,
                role=contender.role if contender else "ceiling",
                metric=metric,
                backend=backend,
                estimate=estimate,
                better={AGE_ERROR: -1, AGE_RATIO: -1, SLOPE: 0}.get(metric, 1),
                percent=metric == SAME,
            )
        )

    def _judge_itself(self, judge: Judge) -> None:
        known = self.real.take(np.isfinite(self.real.age))
        if not len(known):
            self.result.notes.append(
                f"{self.domain}: no test face has an age, so {judge.name} is unproven here"
            )
            return
        years = self.bench.judged(judge, known.pixels)
        error = self.bench.mean(np.abs(years - known.age), known.person)
        self.own_error[judge.name] = error.value
        self._score(None, AGE_ERROR, judge.name, error)
        names, counts = np.unique(known.person, return_counts=True)
        several = [np.flatnonzero(known.person == name) for name in names[counts >= 4]]
        rho = [stats.spearman(known.age[rows], years[rows]) for rows in several]
        self._score(None, RANK, judge.name, self.bench.mean(rho, np.arange(len(rho))))

    def _embedder_itself(self, name: str, vectors: NDArray[np.float32]) -> None:
        checked = verification.verify(
            vectors, self.real, seed=self.bench.seed, resamples=self.bench.resamples
        )
        self._score(None, AUC, name, checked.auc)
        self._score(None, SAME, name, checked.accepted)
        self.thresholds[name] = checked.threshold

    def _age(self, contender: Contender, judge: Judge, judged: Floats) -> None:
        person = self.people.person
        off = np.abs(judged - np.array(ASKED))
        error = self.bench.mean(off.ravel(), np.repeat(person, len(ASKED)))
        self._score(contender, AGE_ERROR, judge.name, error)
        if own := self.own_error.get(judge.name):
            ratio = dataclasses.replace(
                error, value=error.value / own, low=error.low / own, high=error.high / own
            )
            self._score(contender, AGE_RATIO, judge.name, ratio)
        rho = stats.within_person_spearman(np.array(ASKED), judged)
        self._score(contender, RANK, judge.name, self.bench.mean(rho, person))
        asked = np.array(ASKED) - np.mean(ASKED)
        slope = judged @ asked / (asked @ asked)  # least squares within each person
        self._score(contender, SLOPE, judge.name, self.bench.mean(slope, person))
        low, high = np.percentile(judged, [25, 75], axis=0)
        self.result.curves.append(
            Curve(
                protocol=self.result.protocol,
                domain=self.domain,
                subject=contender.name,
                role=contender.role,
                backend=judge.name,
                x=[float(a) for a in ASKED],
                y=judged.mean(0).tolist(),
                low=low.tolist(),
                high=high.tolist(),
            )
        )

    def _identity(self, contender: Contender, embedder: str, similarity: Floats) -> None:
        person = np.repeat(self.people.person, len(ASKED))
        self._score(contender, SIMILARITY, embedder, self.bench.mean(similarity.ravel(), person))
        gap = np.abs(np.array(ASKED) - self.people.age[:, None])
        near = (gap <= verification.YEARS).ravel()
        threshold = self.thresholds[embedder]
        if not near.any() or np.isnan(threshold):
            return
        same = (similarity.ravel() >= threshold)[near]
        self._score(contender, SAME, embedder, self.bench.mean(same, person[near]))

    def _strips(self, outputs: dict[str, Pixels], judged: dict[str, Floats]) -> None:
        """The first `shown` people of the seed, then each ager's worst face in age and in identity."""
        bench = self.bench
        for i in range(min(bench.shown, len(self.people))):
            # The mean face is the same for everybody: once is enough.
            names = [c.name for c in bench.contenders if c.name != "copy" and (not i or c.role == "ager")]
            self._strip(i, names, outputs, judged)
        for contender in bench.contenders:
            if contender.role != "ager":
                continue
            if contender.name in judged:
                off = np.abs(judged[contender.name] - np.array(ASKED)).mean(1)
                title = f"age most wrong: {off.max():.0f} years off on average"
                self._strip(int(off.argmax()), [contender.name], outputs, judged, title)
            if bench.embedders:
                similarity = self._similarity(bench.embedders[0], outputs[contender.name]).mean(1)
                title = f"least the same person: mean similarity {similarity.min():.2f}"
                self._strip(int(similarity.argmin()), [contender.name], outputs, judged, title)

    def _similarity(self, embedder: Embedder, pixels: Pixels) -> Floats:
        inputs, outputs = (self.bench.embed(embedder, p) for p in (self.people.pixels, pixels))
        outputs = outputs.reshape(len(inputs), len(ASKED), -1).astype(np.float64)
        similarity: Floats = np.einsum("pd,pad->pa", inputs.astype(np.float64), outputs)
        return similarity

    def _strip(
        self,
        i: int,
        names: list[str],
        outputs: dict[str, Pixels],
        judged: dict[str, Floats],
        worst: str = "",
    ) -> None:
        age = self.people.age[i]
        known = "age unknown" if np.isnan(age) else f"{age:.0f} years"
        rows = []
        for name in names:
            pictures = outputs[name].reshape(-1, len(ASKED), *outputs[name].shape[1:])[i]
            captions = [f"judged {y:.0f}" for y in judged[name][i]] if name in judged else [""] * len(ASKED)
            rows.append(
                StripRow(label=name, pictures=[self.people.pixels[i], *pictures], captions=[known, *captions])
            )
        self.result.strips.append(
            Strip(
                protocol=self.result.protocol,
                domain=self.domain,
                title=worst,
                columns=["input", *map(str, ASKED)],
                rows=rows,
                worst=bool(worst),
            )
        )


def _one_each(faces: Batch, count: int, seed: int) -> NDArray[np.intp]:
    """Up to `count` rows, of known age where there are any, no person twice, drawn by the seed."""
    rows = np.flatnonzero(np.isfinite(faces.age))
    rows = rows if len(rows) else np.arange(len(faces))
    rows = np.random.default_rng(seed).permutation(rows)
    _, first = np.unique(faces.person[rows], return_index=True)
    return rows[np.sort(first)][:count]

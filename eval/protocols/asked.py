"""Shared by protocols that ask one face for several ages: which faces, and how the results are measured."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nenrin.eval import metrics, stats, verification
from nenrin.eval.bench import Bench, Contender, Floats, Sheet
from nenrin.eval.identity import Embedder
from nenrin.eval.judges import Judge
from nenrin.eval.labels import LabelJudge
from nenrin.eval.results import Who
from nenrin.eval.subjects import Batch, Pixels
from nenrin.eval.verification import Verification

ASKED = (5, 15, 25, 45, 65, 75)  # years
REAL = Who("real faces", "ceiling")
SEVERAL = 4  # pictures of known age that a person needs for a rank correlation


@dataclasses.dataclass(kw_only=True, slots=True)
class Ground:
    """One domain: its real faces, their judges, and the accuracy of judges and embedders on them."""

    domain: str
    real: Batch
    judges: list[Judge]
    own_error: dict[str, float]  # by judge: years
    verified: dict[str, Verification]  # by embedder
    gender: LabelJudge | None
    looks: LabelJudge | None  # the judge of domains


@dataclasses.dataclass(kw_only=True, slots=True)
class Answer:
    """One contender's outputs for P people asked for `ASKED`, and how they were judged."""

    people: Batch
    outputs: Pixels  # (P * A, H, H, 3), a person's ages next to each other
    judged: dict[str, Floats]  # by judge: (P, A) years
    similarity: dict[str, Floats]  # by embedder: (P, A)
    gender: NDArray[np.int64] | None  # (P, A) as judged
    own: NDArray[np.float64] | None  # (P, A) 1 if judged to be of its own domain, else 0


@dataclasses.dataclass(kw_only=True, slots=True)
class Measure:
    """One number of each of N rows, by one judge or embedder."""

    metric: str
    backend: str
    values: Floats  # (N,)
    rows: NDArray[np.intp]  # (N,) indices into the people asked


def survey(bench: Bench, domain: str, real: Batch | None = None) -> Ground:
    """Judges and embedders of a domain, measured on its real test faces, or on other `real` ones."""
    real, judges = bench.of_domain(domain) if real is None else real, bench.panel.of(domain)
    looks = bench.labels.across("domain")
    known = real.take(np.isfinite(real.age))
    errors = {j.name: np.abs(bench.judged(j, known.pixels) - known.age) for j in judges}
    return Ground(
        domain=domain,
        real=real,
        judges=judges,
        own_error={name: bench.mean(e, known.person).value for name, e in errors.items() if len(e)},
        verified={
            e.name: verification.verify(
                bench.embed(e, real.pixels), real, seed=bench.seed, resamples=bench.resamples
            )
            for e in bench.embedders
        },
        gender=bench.labels.across("gender"),
        looks=looks if looks is not None and domain in looks.words else None,
    )


def unproven(bench: Bench, domain: str) -> list[str]:
    """Notes for the reader on the judges of age in this domain."""
    judges = bench.panel.of(domain)
    if not judges:
        return [f"{domain}: no judge could be trained, so no age is read"]
    if np.isfinite(bench.of_domain(domain).age).any():
        return []
    return [f"{domain}: no test face has an age, so {judge.name} is unproven here" for judge in judges]


def choose(faces: Batch, count: int, seed: int, *, shared: Collection[str] = ()) -> NDArray[np.intp]:
    """Up to `count` rows, no person twice, drawn by the seed and the pictures' names.

    Known ages come first, and among them pictures whose name is in `shared` (they are in several domains), so
    that domains are compared on the same people.
    """
    ageless = np.isnan(faces.age)
    later = [picture not in shared for picture in faces.picture]
    lots = [hashlib.sha256(f"{seed} {picture}".encode()).digest() for picture in faces.picture]
    order = sorted(range(len(faces)), key=lambda i: (ageless[i], later[i], lots[i]))
    rows = np.array(order, dtype=np.intp)
    _, first = np.unique(faces.person[rows], return_index=True)
    return rows[np.sort(first)][:count]


def people_of(bench: Bench, domain: str) -> Batch:
    """The people asked in this domain: the same faces in every protocol, so that each is aged only once."""
    others = {
        picture
        for picture, other in zip(bench.faces.picture, bench.faces.domain, strict=True)
        if other != domain
    }
    real = bench.of_domain(domain)
    return real.take(choose(real, bench.people, bench.seed, shared=others))


def ask(bench: Bench, contender: Contender, people: Batch, ground: Ground) -> Answer:
    """Ask every face for all of `ASKED`, and judge the results."""
    rows = np.repeat(np.arange(len(people)), len(ASKED))
    outputs = bench.aged(contender, people, np.tile(np.array(ASKED, np.float32), len(people)), rows=rows)
    gender = None if ground.gender is None else bench.labelled(ground.gender, outputs).argmax(1)
    own = _own_domain(bench, ground, outputs)
    return Answer(
        people=people,
        outputs=outputs,
        judged={j.name: bench.judged(j, outputs).reshape(-1, len(ASKED)) for j in ground.judges},
        similarity={e.name: similarity(bench, e, people, outputs) for e in bench.embedders},
        gender=None if gender is None else gender.reshape(-1, len(ASKED)),
        own=None if own is None else own.reshape(-1, len(ASKED)),
    )


def _own_domain(bench: Bench, ground: Ground, pixels: Pixels) -> NDArray[np.float64] | None:
    """1 if a face (N, H, H, 3) is judged to be of the domain, else 0; None if there is no judge."""
    if ground.looks is None:
        return None
    judged = bench.labelled(ground.looks, pixels).argmax(1)
    own: NDArray[np.float64] = (judged == ground.looks.words.index(ground.domain)).astype(np.float64)
    return own


def similarity(bench: Bench, embedder: Embedder, people: Batch, outputs: Pixels) -> Floats:
    """Similarity of each output to its input, (P, A)."""
    inputs, made = (bench.embed(embedder, p).astype(np.float64) for p in (people.pixels, outputs))
    alike: Floats = np.einsum("pd,pad->pa", inputs, made.reshape(len(inputs), len(ASKED), -1))
    return alike


def measures(ground: Ground, answer: Answer) -> Iterator[Measure]:
    """All measures of an answer, judge by judge and embedder by embedder."""
    asked, count = np.array(ASKED, dtype=np.float64), len(answer.people)
    people = np.arange(count)
    outputs = np.repeat(people, len(ASKED))
    for name, judged in answer.judged.items():
        off = np.abs(judged - asked).ravel()
        yield Measure(metric=metrics.AGE_ERROR, backend=name, values=off, rows=outputs)
        if own := ground.own_error.get(name):
            yield Measure(metric=metrics.AGE_RATIO, backend=name, values=off / own, rows=outputs)
        rho = stats.within_person_spearman(asked, judged)
        yield Measure(metric=metrics.RANK, backend=name, values=rho, rows=people)
        centred = asked - asked.mean()  # least squares within each person
        slope = judged @ centred / (centred @ centred)
        yield Measure(metric=metrics.SLOPE, backend=name, values=slope, rows=people)
    near = (np.abs(asked - answer.people.age[:, None]) <= verification.YEARS).ravel()
    for name, alike in answer.similarity.items():
        yield Measure(metric=metrics.SIMILARITY, backend=name, values=alike.ravel(), rows=outputs)
        threshold = ground.verified[name].threshold
        if not np.isnan(threshold):
            same = (alike.ravel() >= threshold).astype(np.float64)
            if near.any():
                yield Measure(metric=metrics.SAME, backend=name, values=same[near], rows=outputs[near])
            yield Measure(metric=metrics.KEPT, backend=name, values=same, rows=outputs)
    if ground.looks is not None and answer.own is not None:
        kept, judge = answer.own.ravel(), ground.looks.name
        yield Measure(metric=metrics.OWN_DOMAIN, backend=judge, values=kept, rows=outputs)
    known = np.repeat(answer.people.gender >= 0, len(ASKED))
    if ground.gender is not None and answer.gender is not None and known.any():
        kept = (answer.gender == answer.people.gender[:, None]).ravel()[known].astype(np.float64)
        yield Measure(
            metric=metrics.GENDER_KEPT, backend=ground.gender.name, values=kept, rows=outputs[known]
        )


def ceilings(bench: Bench, ground: Ground) -> Iterator[tuple[Measure, NDArray[np.str_]]]:
    """The scores of real faces of the domain, with the rows' persons: no ager can be asked for more."""
    known = ground.real.take(np.isfinite(ground.real.age))
    names, counts = np.unique(known.person, return_counts=True)
    several = [np.flatnonzero(known.person == name) for name in names[counts >= SEVERAL]]
    for judge in ground.judges if len(known) else ():
        years = bench.judged(judge, known.pixels)
        every = np.arange(len(known))
        off = np.abs(years - known.age)
        yield Measure(metric=metrics.AGE_ERROR, backend=judge.name, values=off, rows=every), known.person
        if own := ground.own_error.get(judge.name):
            yield (
                Measure(metric=metrics.AGE_RATIO, backend=judge.name, values=off / own, rows=every),
                known.person,
            )
        bias = (years - known.age).astype(np.float64)
        yield Measure(metric=metrics.AGE_BIAS, backend=judge.name, values=bias, rows=every), known.person
        rho = np.array([stats.spearman(known.age[rows], years[rows]) for rows in several])
        people = np.array([rows[0] for rows in several], dtype=np.intp)
        yield Measure(metric=metrics.RANK, backend=judge.name, values=rho, rows=people), known.person
    for name, checked in ground.verified.items():
        pairs = np.arange(len(checked.every))
        near, persons = pairs[checked.near], checked.persons
        for metric, values, rows in (
            (metrics.SIMILARITY, checked.alike, near),
            (metrics.SAME, checked.every, near),
            (metrics.KEPT, checked.every, pairs),
        ):
            yield Measure(metric=metric, backend=name, values=values[rows], rows=rows), persons
    own_domain = _own_domain(bench, ground, ground.real.pixels) if len(ground.real) else None
    if ground.looks is not None and own_domain is not None:
        faces = np.arange(len(ground.real))
        yield (
            Measure(metric=metrics.OWN_DOMAIN, backend=ground.looks.name, values=own_domain, rows=faces),
            ground.real.person,
        )
    told = ground.real.take(ground.real.gender >= 0)
    if ground.gender is not None and len(told):
        right = bench.labelled(ground.gender, told.pixels).argmax(1) == told.gender
        measure = Measure(
            metric=metrics.GENDER_KEPT,
            backend=ground.gender.name,
            values=right.astype(np.float64),
            rows=np.arange(len(told)),
        )
        yield measure, told.person


def write_ceilings(bench: Bench, sheet: Sheet, ground: Ground) -> None:
    """Write the ceilings of a domain to a sheet, and each embedder's AUC there."""
    for measure, persons in ceilings(bench, ground):
        sheet.mean(REAL, measure.metric, measure.backend, measure.values, persons[measure.rows])
    write_slopes(bench, sheet, ground, ground.judges)
    told = ground.real.take(ground.real.gender >= 0)
    if ground.gender is not None and len(told):
        write_calibration(bench, sheet, ground.gender, told, told.gender)
    for name, checked in ground.verified.items():
        sheet.put(REAL, metrics.AUC, name, checked.auc)


def write_slopes(bench: Bench, sheet: Sheet, ground: Ground, judges: Sequence[Judge]) -> None:
    """Write to a sheet the judged years for each true year of real faces."""
    known, drawn = (
        ground.real.take(np.isfinite(ground.real.age)),
        {"seed": bench.seed, "resamples": bench.resamples},
    )
    for judge in judges if len(known) else ():
        years = bench.judged(judge, known.pixels)
        sheet.put(REAL, metrics.SLOPE, judge.name, stats.slope(known.age, years, known.person, **drawn))


def write_calibration(
    bench: Bench, sheet: Sheet, judge: LabelJudge, faces: Batch, truth: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Write to a sheet how well the judge is calibrated on real faces; returns where it is right."""
    p = bench.labelled(judge, faces.pixels)
    right: NDArray[np.float64] = (p.argmax(1) == truth).astype(np.float64)
    error = stats.calibration_error(p.max(1), right, faces.person, seed=bench.seed, resamples=bench.resamples)
    sheet.put(REAL, metrics.CALIBRATION, judge.name, error)
    return right

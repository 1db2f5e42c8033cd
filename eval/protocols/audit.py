"""`audit`: which identity distance still works on drawings?"""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray
from nenrin.domains.face import GLASSES
from nenrin.domains.twins.drawing import draw
from nenrin.domains.twins.people import sample_people, sample_views
from nenrin.eval import metrics, verification
from nenrin.eval.bench import Bench, Sheet
from nenrin.eval.identity import PixelEmbedder
from nenrin.eval.results import Result, Who
from nenrin.eval.subjects import Batch
from nenrin.eval.verification import Verification

FACES = 3000  # at most in one domain
TWINS, AGES = 60, 6  # procedural people, and the ages of each
SPAN = (4, 80)  # years
SEED = (
    8_440_000  # added to the report's, so that neither a training nor the twins' embedder drew these people
)
TABLE = "embedders"


class Audit:
    """Pairs of faces of one person against pairs of strangers, by every embedder, in every domain."""

    name = "audit"
    question = "Which embedder still knows a person, in which domain?"

    def run(self, bench: Bench) -> Result:
        """See `EvalProtocol.run`."""
        result = Result(
            protocol=self.name,
            question=self.question,
            method=(
                "Real faces alone, of every split: no embedder learned from them, so all are new to it. "
                "Pairs of one person are put against pairs of strangers. AUC is the chance that a pair of "
                "one person is the more similar; the equal error rate is where as many strangers pass as "
                "persons are refused; the last columns are the share of persons that pass where 1% of "
                f"strangers do, over all years and up to {verification.YEARS} years apart. A face of one "
                "domain against one of another never is a photograph against its own drawing. Pixels are the "
                "floor: they know no persons. Twins are procedural and no measure of real people."
            ),
        )
        domains = {d: faces for d, faces in _known(bench).items() if _repeated(faces)}
        named = {**domains, **{f"twins, {d}": _twins(d, bench) for d in ("photo", "manga")}}
        for domain, faces in named.items():
            _check(bench, result, domain, faces, faces)
        twins = tuple(d for d in named if d.startswith("twins, "))
        for first, second in (*itertools.combinations(domains, 2), twins):
            _check(bench, result, f"{first} against {second}", named[first], named[second])
        missing = [d for d in bench.domains() if d not in domains]
        result.notes += [
            f"{d}: nobody is known to have two pictures, so no person can be told" for d in missing
        ]
        return result


def _known(bench: Bench) -> dict[str, Batch]:
    """By domain: the faces whose person is named, at most `FACES`, whole persons drawn by the seed."""
    pool = bench.gather()
    if pool is None:
        return {}
    return {
        domain: Batch.of(pool.select(rows))
        for i, domain in enumerate(pool.domains)
        if len(rows := _rows(pool, (pool.domain == i) & (pool.identity >= 0), bench.seed))
    }


def _rows(pool: FaceArray, wanted: NDArray[np.bool_], seed: int) -> NDArray[np.intp]:
    rows = np.flatnonzero(wanted)
    _, member, counts = np.unique(pool.identity[rows], return_inverse=True, return_counts=True)
    rows, member = rows[counts[member] > 1], member[counts[member] > 1]
    order = np.random.default_rng(seed).permutation(len(counts))
    taken = order[np.cumsum(np.where(counts > 1, counts, 0)[order]) <= FACES]
    return rows[np.isin(member, taken)]


def _repeated(faces: Batch) -> bool:
    return len(np.unique(faces.person)) > 1


def _twins(domain: Literal["photo", "manga"], bench: Bench) -> Batch:
    seed = bench.seed + SEED
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(TWINS), AGES)
    count = len(person)
    ages, glasses = rng.uniform(*SPAN, count), rng.choice(len(GLASSES), size=count, p=(0.7, 0.2, 0.1))
    views = sample_views(count, seed=seed + (domain == "manga"))
    people = sample_people(TWINS, seed=seed)[person]
    pixels = draw(people, ages, domain=domain, glasses=glasses, views=views, size=bench.size).images
    names = [f"twin/{seed}/{i}" for i in person]
    faces = Batch.drawn(pixels, age=ages, domain=domain, person=names)
    faces.picture = np.array([f"{name}/{age:.2f}" for name, age in zip(names, ages, strict=True)])
    return faces


def _check(bench: Bench, result: Result, domain: str, a: Batch, b: Batch) -> None:
    sheet = Sheet(bench, result, TABLE, domain)
    others = [embedder for embedder in bench.embedders if embedder.name != PixelEmbedder.name]
    for embedder in (*others, PixelEmbedder()):  # the floor, whichever were named
        first, second = (bench.embed(embedder, faces.pixels) for faces in (a, b))
        drawn = {"seed": bench.seed, "resamples": bench.resamples}
        checked: Verification = (
            verification.verify(first, a, **drawn)
            if a is b
            else verification.verify_across(first, a, second, b, **drawn)
        )
        who = Who(embedder.name, "floor" if embedder.name == PixelEmbedder.name else "embedder")
        sheet.put(who, metrics.AUC, "pairs", checked.auc)
        sheet.put(who, metrics.EER, "pairs", checked.eer)
        sheet.put(who, metrics.TAR, "pairs", checked.tar)
        sheet.put(who, metrics.SAME, "pairs", checked.accepted)

"""`audit`: which identity distance still works on drawings?"""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nenrin.domains.array import FaceArray
from nenrin.domains.face import GLASSES
from nenrin.domains.twins.drawing import draw
from nenrin.domains.twins.people import sample_people, sample_views
from nenrin.eval import metrics, verification
from nenrin.eval.bench import Bench, Sheet
from nenrin.eval.identity import Embedder, PixelEmbedder
from nenrin.eval.label_panel import FaceFeatures
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
                "Real faces alone, of every split: no embedder learned from them, so all are new to it; but "
                "our own feature net, which learned from the judge split, is asked about the others alone. "
                "Pairs of one person are put against pairs of strangers. AUC is the chance that a pair of "
                "one person is the more similar; the equal error rate is where as many strangers pass as "
                "persons are refused; the last columns are the share of persons that pass where 1% of "
                f"strangers do, over all years and up to {verification.YEARS} years apart. A face of one "
                "domain against one of another never is a photograph against its own drawing. Pixels are the "
                "floor: they know no persons. Twins are procedural and no measure of real people."
            ),
        )
        features = bench.labels.features()
        learned = None if features is None else _LearnedFeatures(features)
        domains = {d: faces for d, faces in _known(bench).items() if _repeated(faces)}
        named = {**domains, **{f"twins, {d}": _twins(d, bench) for d in ("photo", "manga")}}
        unlearned = {} if learned is None else _known(bench, without="judge")
        unlearned |= {d: faces for d, faces in named.items() if d not in domains}
        twins = tuple(d for d in named if d.startswith("twins, "))
        shared = [p for p in itertools.combinations(domains, 2) if _share(*(domains[d] for d in p))]
        for first, second in (*((d, d) for d in named), *shared, twins):
            table = first if first == second else f"{first} against {second}"
            others = [e for e in bench.embedders if e.name != PixelEmbedder.name]
            for embedder in (*others, PixelEmbedder()):  # always with the floor
                _check(bench, result, table, embedder, named[first], named[second])
            if learned is not None and first in unlearned and second in unlearned:
                _check(bench, result, table, learned, unlearned[first], unlearned[second])
        missing = [d for d in bench.domains() if d not in domains]
        result.notes += [
            f"{d}: nobody is known to have two pictures, so no person can be told" for d in missing
        ]
        return result


class _LearnedFeatures:
    """Our own feature net, with which `quality` compares distributions, as an embedder."""

    def __init__(self, net: FaceFeatures) -> None:
        self._net, self.name, self.key = net, net.name, f"{net.key} embedded"

    def embed(self, images: Tensor) -> Tensor:
        """See `Embedder.embed`."""
        return F.normalize(self._net.extract(images), dim=1)


def _known(bench: Bench, without: str = "") -> dict[str, Batch]:
    """By domain: the faces of named persons, at most `FACES`, whole persons drawn by the seed.

    Faces of the split `without` are left out.
    """
    pool = bench.gather()
    if pool is None:
        return {}
    named = (pool.identity >= 0) & (pool.split != without)
    return {
        domain: Batch.of(pool.select(rows))
        for i, domain in enumerate(pool.domains)
        if len(rows := _rows(pool, (pool.domain == i) & named, bench.seed))
    }


def _rows(pool: FaceArray, wanted: NDArray[np.bool_], seed: int) -> NDArray[np.intp]:
    rows = np.flatnonzero(wanted)
    _, member, counts = np.unique(pool.identity[rows], return_inverse=True, return_counts=True)
    rows, member = rows[counts[member] > 1], member[counts[member] > 1]
    order = np.random.default_rng(seed).permutation(len(counts))
    taken = order[np.cumsum(np.where(counts > 1, counts, 0)[order]) <= FACES]
    return rows[np.isin(member, taken)]


def _share(a: Batch, b: Batch) -> bool:
    """Whether anybody is in both."""
    return len(np.intersect1d(a.person, b.person)) > 0


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


def _check(bench: Bench, result: Result, domain: str, embedder: Embedder, a: Batch, b: Batch) -> None:
    sheet = Sheet(bench, result, TABLE, domain)
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
    if checked.near.any():
        sheet.put(who, metrics.SAME, "pairs", checked.accepted)

"""`quality`: do the outputs look like faces of their domain, sharp, and different from each other?"""

from __future__ import annotations

import numpy as np

from nenrin.eval import distributions, metrics, stats
from nenrin.eval.bench import Bench, Floats, Sheet
from nenrin.eval.distributions import FeatureNet
from nenrin.eval.nets import crop
from nenrin.eval.protocols.asked import REAL, choose, write_calibration
from nenrin.eval.results import Result, Who
from nenrin.eval.subjects import Batch, Pixels
from nenrin.ground import NenrinError

FACES = 4  # times as many faces as in other protocols, as distributions need numbers
LEAST = 20  # faces in each half
PREFERRED = 2000  # pictures below which FID should not be used
AGES = (5.0, 75.0)  # years, the range of requests if the ages of a domain are unknown
PIXELS = 16  # px: side of the pictures whose diversity is measured
MIDDLE = (0.22, 0.30, 0.56)  # part of the aligned face where every source has pixels


class Quality:
    """Half of the test faces are aged to the ages of the other half, and both compared as distributions."""

    name = "quality"
    question = "Do the outputs look like faces of their domain, sharp, and different from each other?"

    def run(self, bench: Bench) -> Result:
        """See `EvalProtocol.run`."""
        net, note, missing = None, None, ""
        try:
            net, note = distributions.feature_net(bench.distribution_features, bench.labels)
        except NenrinError as error:
            missing = f"FID and KID were not measured: {error}"
        features = f"{net.name} (pictures brought to {net.resize})" if net else "no features"
        result = Result(
            protocol=self.name,
            question=self.question,
            method=(
                "The test people of a domain are parted in two. Each face of the first half is asked to take "
                "the age of one of the second, so that both crowds are equally old, and KID and FID compare "
                f"the crowds by {features}. The first half as it is, real faces all, is the ceiling; so is "
                "the copy. KID is unbiased and is what to read here: FID is biased upwards below "
                f"{PREFERRED:,} pictures. Its interval comes from leaving out a twentieth of the persons at "
                "a time, as a bootstrap, which draws faces twice, would bias it more. Sharpness is the mean "
                "absolute Laplacian of the outputs over that of their inputs; the difference between people "
                f"is the root mean square distance of two outputs at {PIXELS} px over that of their inputs: "
                "it tends to 0 where an ager shows everybody the same face."
            ),
            notes=[text for text in (note, missing) if text],
        )
        for domain in bench.domains():
            _answer(bench, result, domain, net)
        if not result.scores:
            raise NenrinError("; ".join(result.notes) or "the sets have no test faces of a known domain")
        return result


def _answer(bench: Bench, result: Result, domain: str, net: FeatureNet | None) -> None:
    faces = bench.of_domain(domain)
    faces = faces.take(choose(faces, 2 * FACES * bench.people, bench.seed))
    half = len(faces) // 2
    if half < LEAST:
        result.notes.append(f"{domain}: {len(faces)} test people, {2 * LEAST} are needed")
        return
    inputs, others = faces.take(slice(0, 2 * half, 2)), faces.take(slice(1, 2 * half, 2))
    spread = np.random.default_rng(bench.seed).uniform(*AGES, half)
    asked = np.where(np.isfinite(others.age), others.age, spread)
    sheet = Sheet(bench, result, domain)
    for judge in bench.labels.of("domain", domain):
        if domain in judge.words:
            truth = np.full(len(inputs), judge.words.index(domain))
            write_calibration(bench, sheet, judge, inputs, truth)
    _score(bench, sheet, REAL, inputs.pixels, inputs, others, net)
    for contender in bench.contenders:
        _score(bench, sheet, contender.who, bench.aged(contender, inputs, asked), inputs, others, net)


def _score(
    bench: Bench,
    sheet: Sheet,
    who: Who,
    outputs: Pixels,
    inputs: Batch,
    others: Batch,
    net: FeatureNet | None,
) -> None:
    drawn = {"seed": bench.seed, "resamples": bench.resamples}
    if net is not None:
        made, real = (
            bench.store.get(net.key, net.extract, p, net.name).astype(np.float64)
            for p in (outputs, others.pixels)
        )
        kid = distributions.kid(made, inputs.person, real, others.person, **drawn)
        sheet.put(who, metrics.KID, net.name, stats.scaled(kid, 1000))
        fid = distributions.fid_between(made, inputs.person, real, others.person, seed=bench.seed)
        sheet.put(who, metrics.FID, net.name, fid)
    if who != REAL:
        sharp, before = (_sharpness(bench, p) for p in (outputs, inputs.pixels))
        sheet.put(who, metrics.SHARPNESS, "Laplacian", stats.ratio(sharp, before, inputs.person, **drawn))
        small, small_before = (_small(bench, p) for p in (outputs, inputs.pixels))
        different = distributions.diversity(small, small_before, inputs.person, **drawn)
        sheet.put(who, metrics.DIVERSITY, f"pixels at {PIXELS} px", different)
    for judge in bench.labels.of("domain", sheet.domain):
        if sheet.domain in judge.words:
            own = bench.labelled(judge, outputs).argmax(1) == judge.words.index(sheet.domain)
            sheet.mean(who, metrics.OWN_DOMAIN, judge.name, own, inputs.person)


def _sharpness(bench: Bench, pixels: Pixels) -> Floats:
    return bench.store.get(
        f"sharpness {MIDDLE}",
        lambda x: distributions.sharpness(crop(x, MIDDLE, round(MIDDLE[2] * x.shape[-1]))),
        pixels,
    )


def _small(bench: Bench, pixels: Pixels) -> Floats:
    return bench.store.get(f"small {PIXELS}", lambda x: crop(x, MIDDLE, PIXELS).flatten(1), pixels)

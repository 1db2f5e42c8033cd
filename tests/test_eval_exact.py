"""Exact against references: torch-fidelity, scikit-learn, scipy, and sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import linalg
from scipy import stats as scipy_stats
from sklearn.metrics import roc_curve
from torch_fidelity import metric_fid, metric_kid

from nenrin.eval import distributions, matching, paired, stats
from nenrin.eval.results import Sample, Score

RNG = np.random.default_rng(0)


def _features(n: int, shift: float = 0.0) -> np.ndarray:
    mixing = np.random.default_rng(1).normal(size=(24, 24)) / 5
    return RNG.normal(size=(n, 24)) @ mixing + shift


def _persons(n: int, prefix: str = "p") -> np.ndarray:
    return np.array([f"{prefix}{i:03d}" for i in range(n)])


def test_fid_is_torch_fidelitys_and_the_formula() -> None:
    a, b = _features(200), _features(150, 0.3)
    ours = distributions.fid(a.astype(np.float32), b.astype(np.float32))
    theirs = metric_fid.fid_statistics_to_metric(
        *(metric_fid.fid_features_to_statistics(torch.from_numpy(x.astype(np.float32))) for x in (a, b)),
        verbose=False,
    )[metric_fid.KEY_METRIC_FID]
    assert ours == pytest.approx(theirs, rel=1e-6)
    sa, sb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(sa @ sb).real
    formula = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sa + sb - 2 * root)
    assert ours == pytest.approx(formula, rel=1e-4)  # features were rounded to float32
    assert distributions.fid(a, a) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("n", "m"), [(30, 50), (300, 20), (300, 400)])
def test_fast_frechet_is_torch_fidelitys(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    mix = rng.normal(size=(24, 24))
    a, b = rng.normal(size=(n, 24)) @ mix, 0.2 + rng.normal(size=(m, 24)) @ mix
    assert distributions.frechet(a, b) == pytest.approx(distributions.fid(a, b), rel=1e-6)


def test_fid_interval_is_as_wide_as_other_faces_make_it() -> None:
    """The jackknife's reach against what FID truly varies by from crowd to crowd."""
    rng = np.random.default_rng(3)
    groups, found, reach = np.repeat(np.arange(100), 2), [], []
    for _ in range(40):
        a, b = (rng.normal(size=(100, 6)).repeat(2, 0) + 0.3 * rng.normal(size=(200, 6)) for _ in range(2))
        one = distributions.fid_between(a, groups, b + 0.5, groups, seed=0)
        assert one.value == pytest.approx(distributions.frechet(a, b + 0.5), rel=1e-6)
        assert (one.n, one.identities) == (200, 100)
        found.append(one.value)
        reach.append((one.high - one.low) / 2)
    assert 0.6 < np.mean(reach) / (2.09 * np.std(found)) < 1.6
    few = distributions.fid_between(a[:60], groups[:60], b, groups, seed=0)
    assert math.isnan(few.low)  # 30 persons are too few to leave out twenty times


def test_kid_is_torch_fidelitys_and_the_formula() -> None:
    a, b = _features(120), _features(120, 0.3)
    ours = distributions.kid(a, _persons(120), b, _persons(120), seed=0, resamples=400)
    theirs = metric_kid.kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=1, kid_subset_size=120, verbose=False
    )[metric_kid.KEY_METRIC_KID_MEAN]
    assert ours.value == pytest.approx(theirs, abs=1e-6)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / 24 + 1) ** 3

    off = ~np.eye(120, dtype=bool)
    formula = kernel(a, a)[off].mean() + kernel(b, b)[off].mean() - 2 * kernel(a, b).mean()
    assert ours.value == pytest.approx(formula, abs=1e-9)
    assert ours.low < ours.value < ours.high


def test_kid_interval_covers_what_other_faces_give() -> None:
    covered = 0
    truth = np.mean(
        [
            distributions.kid(
                _features(300), _persons(300), _features(300, 0.2), _persons(300), seed=0, resamples=1
            ).value
            for _ in range(20)
        ]
    )
    for trial in range(60):
        found = distributions.kid(
            _features(80), _persons(80), _features(80, 0.2), _persons(80), seed=trial, resamples=200
        )
        covered += found.low <= truth <= found.high
    assert covered >= 50


def test_kid_resamples_persons_together() -> None:
    # Ten copies of every face say no more than one: the interval must not become narrower.
    a, b = _features(40), _features(40, 0.3)
    once = distributions.kid(a, _persons(40), b, _persons(40), seed=0, resamples=300)
    ten = [np.repeat(x, 10, axis=0) for x in (a, b)]
    of_ten = np.repeat(_persons(40), 10)
    often = distributions.kid(ten[0], of_ten, ten[1], of_ten, seed=0, resamples=300)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.5)
    assert often.identities == 40


def test_diversity_and_sharpness_by_hand() -> None:
    x = _features(60)
    same = distributions.diversity(x, x, _persons(60), seed=0, resamples=50)
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))
    assert distributions.diversity(x / 4, x, _persons(60), seed=0, resamples=50).value == pytest.approx(0.25)
    one = np.repeat(x[:1], 60, axis=0)
    assert distributions.diversity(one, x, _persons(60), seed=0, resamples=50).value < 1e-6
    picture = torch.zeros(1, 3, 5, 5)
    picture[..., 2, 2] = 1
    # Of the 3 x 3 places with four neighbours, the middle has |-4| and four have 1.
    assert distributions.sharpness(picture).item() == pytest.approx(8 / 9)
    assert distributions.sharpness(torch.full((1, 3, 5, 5), 0.7)).item() == pytest.approx(0, abs=1e-6)


def test_equal_error_rate_is_where_scikit_learns_curve_crosses() -> None:
    genuine, impostor = RNG.normal(1.2, 1, 400), RNG.normal(0, 1, 900)
    far, tpr, _ = roc_curve(
        [1] * 400 + [0] * 900, np.concatenate([genuine, impostor]), drop_intermediate=False
    )
    at = np.argmin(np.abs(far - (1 - tpr)))
    ours = matching.equal_error_rate(genuine, impostor)
    assert ours == pytest.approx((far[at] + 1 - tpr[at]) / 2, abs=2 / 400)
    assert ours == pytest.approx(scipy_stats.norm.cdf(-0.6), abs=0.03)
    assert matching.equal_error_rate([1.0, 2.0], [-1.0, 0.0]) == 0
    assert matching.equal_error_rate([0.0, 1.0], [0.0, 1.0]) == 0.5
    assert math.isnan(matching.equal_error_rate([], [1.0]))


def test_sign_flip_test_is_scipys_permutation_test() -> None:
    few, many = RNG.normal(0.4, 1, 10), RNG.normal(0.15, 1, 80)
    for x, tolerance in ((few, 1e-9), (many, 0.02)):
        theirs = scipy_stats.permutation_test(
            (x,),
            lambda v, axis: np.mean(v, axis=axis),
            permutation_type="samples",
            n_resamples=20_000,
            rng=np.random.default_rng(3),
        ).pvalue
        assert paired.sign_flip_test(x, seed=1) == pytest.approx(theirs, abs=tolerance)
    assert paired.sign_flip_test(np.zeros(5), seed=0) == 1
    assert math.isnan(paired.sign_flip_test(np.array([math.nan]), seed=0))


def test_sign_flip_test_is_wrong_as_often_as_it_says() -> None:
    p = [paired.sign_flip_test(np.random.default_rng(i).normal(size=9), seed=0) for i in range(400)]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.04)


def test_holm_by_hand() -> None:
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    corrected = paired.holm([0.9, math.nan, 0.02])
    assert corrected[0] == pytest.approx(0.9)
    assert math.isnan(corrected[1])
    assert corrected[2] == pytest.approx(0.04)
    assert paired.holm([]) == []


def test_difference_is_paired_where_persons_are_shared_and_unpaired_where_not() -> None:
    ability = RNG.normal(size=80)
    a, b = ability, ability + 0.3 + 0.05 * RNG.normal(size=80)
    together = stats.difference(a, _persons(80), b, _persons(80), seed=0, resamples=2000)
    alone = stats.mean(b - a, _persons(80), seed=0, resamples=2000)
    assert (together.value, together.low, together.high) == pytest.approx(
        (alone.value, alone.low, alone.high), abs=1e-9
    )
    apart = stats.difference(a, _persons(80), b, _persons(80, "q"), seed=0, resamples=4000)
    theirs = scipy_stats.bootstrap(
        (b, a),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert (apart.low, apart.high) == pytest.approx((theirs.low, theirs.high), abs=0.04)
    assert apart.high - apart.low > 5 * (together.high - together.low)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([1, 1, 1, 0, 1, 0])
    # |0.95 - 0.75| over four of six, |0.55 - 0.5| over two of six.
    expected = (4 * 0.20 + 2 * 0.05) / 6
    found = stats.calibration_error(confidence, right, _persons(6), seed=0, resamples=50)
    assert found.value == pytest.approx(expected)
    assert stats.calibration_error([1.0] * 5, [1] * 5, _persons(5), seed=0, resamples=20).high == 0


def test_slope_is_scipys() -> None:
    x = RNG.uniform(5, 75, 60)
    y = 20 + 0.4 * x + RNG.normal(size=60)
    found = stats.slope(x, y, _persons(60), seed=0, resamples=500)
    theirs = scipy_stats.linregress(x, y)
    assert found.value == pytest.approx(theirs.slope)
    assert found.high - found.low == pytest.approx(2 * 1.96 * theirs.stderr, rel=0.3)
    assert not stats.slope([30.0] * 5, y[:5], _persons(5), seed=0, resamples=10).defined


def _score(subject: str, values: np.ndarray, persons: np.ndarray) -> Score:
    return Score(
        protocol="ages",
        domain="photo",
        subject=subject,
        role="ager",
        metric="rank correlation, asked and judged age",
        backend="judge",
        estimate=stats.mean(values, persons, seed=0),
        sample=Sample(values=values, groups=persons),
    )


def test_two_agers_are_compared_on_the_same_faces() -> None:
    persons = np.repeat([f"p{i}" for i in range(30)], 2)
    hard = RNG.normal(size=60)
    a, b = _score("a", hard + 0.2, persons), _score("b", hard + 0.05 * RNG.normal(size=60), persons)
    (one,) = paired.compare([a, b], seed=0, resamples=500)
    assert (one.a, one.b, one.better) == ("a", "b", "a")
    assert one.difference.low > 0.15
    by_person = (a.sample.values - b.sample.values).reshape(30, 2).mean(1)  # type: ignore[union-attr]
    assert one.effect == pytest.approx(by_person.mean() / by_person.std(ddof=1))
    assert one.p < 0.001
    (equal,) = paired.compare([a, _score("c", hard + 0.2, persons)], seed=0, resamples=50)
    assert (equal.better, equal.difference.value) == ("", 0)
    assert paired.compare([a, _score("d", hard[:20], persons[:20])], seed=0, resamples=50) == []


def test_seeds_are_pooled_with_the_spread_between_them() -> None:
    persons = np.array([f"p{i}" for i in range(40)])
    skill = RNG.normal(size=40) * 0.01
    seeds = [_score(f"run-{i}", skill + i, persons) for i in range(3)]
    (pooled,) = paired.pool(seeds, {s.subject: "mixed" for s in seeds}, seed=0, resamples=2000)
    assert pooled.subject == "mixed (3 seeds)"
    assert pooled.members == ("run-0", "run-1", "run-2")
    assert pooled.estimate.value == pytest.approx(1 + skill.mean())
    # What a person varies is a hundredth of what a seed does: the interval is that of three seeds.
    assert pooled.estimate.low < 0.4
    assert pooled.estimate.high > 1.6
    assert pooled.estimate.identities == 40
    assert paired.pool(seeds[:1], {"run-0": "mixed"}, seed=0, resamples=10) == []


def test_trainings_of_several_seeds_are_compared_as_such() -> None:
    """Each seed's run is far from the others on the same persons: what is left to say is of the trainings."""
    persons = np.array([f"p{i}" for i in range(40)])
    skill, noise = RNG.normal(size=40), 0.01 * RNG.normal(size=(6, 40))
    near = [_score(f"near-{i}", skill + 0.2 * i + noise[i], persons) for i in range(3)]
    also = [_score(f"also-{i}", skill + 0.2 * i + 0.05 + noise[3 + i], persons) for i in range(3)]
    seeds = {f"{name}-{i}": name for name in ("near", "also") for i in range(3)}
    (one,) = paired.compare([*near, *also], seed=0, resamples=2000, seeds=seeds)
    assert (one.a, one.b) == ("near (3 seeds)", "also (3 seeds)")
    assert one.difference.value == pytest.approx(-0.05, abs=0.01)
    assert one.p < 0.001  # on these very runs there is no doubt
    assert one.difference.low < 0 < one.difference.high  # other seeds might have come out the other way
    assert one.better == ""
    far = [_score(f"far-{i}", skill + 9 + 0.2 * i, persons) for i in range(3)]
    seeds |= {f"far-{i}": "far" for i in range(3)}
    (clear,) = paired.compare([*near, *far], seed=0, resamples=500, seeds=seeds)
    assert clear.better == "far (3 seeds)"
    beside = paired.compare([*near, _score("alone", skill - 9, persons)], seed=0, resamples=500, seeds=seeds)
    assert [(c.a, c.b, c.better) for c in beside] == [("near (3 seeds)", "alone", "near (3 seeds)")]

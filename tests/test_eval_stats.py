"""The numbers: intervals, rank correlation, AUC and recovery against scipy, scikit-learn and by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score

from nenrin.eval import matching, stats
from nenrin.eval.subjects import Batch
from nenrin.eval.verification import FAR, IMPOSTORS, verify

RNG = np.random.default_rng(0)


def test_interval_agrees_with_scipy_where_everyone_has_one_picture() -> None:
    values = RNG.gamma(2.0, size=150)  # skewed, so that a symmetric interval would not agree
    ours = stats.mean(values, np.arange(150), seed=1, resamples=20_000)
    theirs = scipy_stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    error = values.std() / math.sqrt(150)
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * error)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * error)
    assert (ours.n, ours.identities) == (150, 150)


def test_interval_covers_where_pictures_of_a_person_are_alike() -> None:
    covered = naive = 0
    for trial in range(300):
        rng = np.random.default_rng(trial)
        person = np.repeat(np.arange(40), 8)
        values = rng.normal(size=40)[person] + 0.3 * rng.normal(size=320)  # the true mean is 0
        low_high = stats.mean(values, person, seed=trial, resamples=400)
        covered += low_high.low <= 0 <= low_high.high
        as_if_apart = stats.mean(values, np.arange(320), seed=trial, resamples=400)
        naive += as_if_apart.low <= 0 <= as_if_apart.high
    assert 0.89 <= covered / 300 <= 0.98
    assert naive / 300 < 0.65  # what resampling pictures would have claimed


def _slowly(
    statistic: Callable[[np.ndarray], float], person: np.ndarray, *, resamples: int
) -> tuple[float, float]:
    """The interval of any statistic of row numbers, person by person drawn and put together."""
    rows = [np.flatnonzero(person == name) for name in np.unique(person)]
    rng = np.random.default_rng(1)
    drawn = (rng.integers(len(rows), size=len(rows)) for _ in range(resamples))
    found = [statistic(np.concatenate([rows[i] for i in each])) for each in drawn]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def test_both_bootstraps_agree() -> None:
    person, values = RNG.integers(30, size=200), RNG.normal(size=200)
    sums = stats.mean(values, person, seed=0, resamples=4000)
    slowly = _slowly(lambda rows: float(values[rows].mean()), person, resamples=4000)
    assert sums.value == pytest.approx(values.mean())
    assert (sums.low, sums.high) == pytest.approx(slowly, abs=0.01)


def test_a_mean_of_differences_sees_what_two_intervals_hide() -> None:
    person, ability = np.arange(60), RNG.normal(size=60)
    a, b = ability + 0.1 + 0.05 * RNG.normal(size=60), ability
    assert stats.mean(a, person, seed=0).low < stats.mean(b, person, seed=0).high
    assert stats.mean(a - b, person, seed=0).low > 0


def test_same_seed_same_interval_and_unknown_rows_are_left_out() -> None:
    values = np.array([1.0, 2.0, math.nan, 4.0])
    first, again = (stats.mean(values, list("abca"), seed=3) for _ in range(2))
    assert first == again
    assert (first.value, first.n, first.identities) == (pytest.approx(7 / 3), 3, 2)
    assert not stats.mean([math.nan], ["a"], seed=0).defined
    assert stats.Estimate.undefined().n == 0


def test_auc_equals_scikit_learn_with_ties() -> None:
    genuine, impostor = RNG.integers(0, 12, 300) / 10, RNG.integers(0, 9, 500) / 10
    expected = roc_auc_score([1] * 300 + [0] * 500, np.concatenate([genuine, impostor]))
    assert matching.beaten(genuine, np.sort(impostor)).mean() == pytest.approx(expected, abs=1e-9)


def test_verification_equals_scikit_learn_and_resamples_persons() -> None:
    faces = _faces([f"p{i // 3}" for i in range(90)], [30.0] * 90)
    levels = np.random.default_rng(5).integers(0, 3, (90, 3)) + np.repeat(np.eye(3), 30, axis=0)  # ties
    vectors = (levels / np.linalg.norm(levels, axis=1, keepdims=True).clip(1)).astype(np.float32)
    found = verify(vectors, faces, seed=0, resamples=1000)

    # The same pairs of strangers, and all pairs of one person, put together in another way.
    i, j = np.random.default_rng(0).integers(90, size=(2, IMPOSTORS))
    alike = vectors.astype(float) @ vectors.T.astype(float)
    impostor = alike[i, j][faces.person[i] != faces.person[j]]
    first, second = np.triu_indices(90, 1)
    same = faces.person[first] == faces.person[second]
    genuine, person = alike[first, second][same], faces.person[first][same]
    expected = roc_auc_score([1] * len(genuine) + [0] * len(impostor), np.concatenate([genuine, impostor]))
    assert found.auc.value == pytest.approx(expected, abs=1e-9)
    assert found.eer.value == matching.equal_error_rate(genuine, impostor)
    for estimate, statistic in (
        (found.auc, lambda rows: matching.beaten(genuine[rows], np.sort(impostor)).mean()),
        (found.eer, lambda rows: matching.equal_error_rate(genuine[rows], impostor)),
    ):
        assert estimate.identities == 30
        slowly = _slowly(statistic, person, resamples=1000)
        assert (estimate.low, estimate.high) == pytest.approx(slowly, abs=0.02)
        assert estimate.high - estimate.low > 0.05


def test_rank_correlation_equals_scipy_with_ties() -> None:
    asked, judged = np.array([5.0, 15, 25, 45, 65, 75]), RNG.integers(0, 9, (50, 6)).astype(float)
    ours = stats.within_person_spearman(asked, judged)
    theirs = [scipy_stats.spearmanr(asked, row).statistic for row in judged]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert stats.spearman(asked, judged[0]) == pytest.approx(theirs[0])
    assert stats.within_person_spearman(asked, np.full((1, 6), 30.0)).tolist() == [0.0]


def test_recovery_is_0_for_copy_and_1_for_the_ceiling() -> None:
    person = RNG.integers(20, size=90)
    ceiling = RNG.uniform(0.1, 0.3, 90)
    copy = ceiling + RNG.uniform(0.2, 0.4, 90)
    for output, expected in (
        (copy, 0.0),
        (ceiling, 1.0),
        (2 * ceiling - copy, 2.0),
        (2 * copy - ceiling, -1.0),
    ):
        estimate = stats.recovery(copy, output, ceiling, person, seed=0)
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx([expected] * 3)


def test_recovery_is_the_ratio_of_means_over_persons() -> None:
    # Person a with three pairs counts as much as person b with one.
    estimate = stats.recovery([1, 1, 1, 1], [0.5, 0.5, 0.5, 1.0], [0, 0, 0, 0], list("aaab"), seed=0)
    assert estimate.value == pytest.approx((0.5 + 0.0) / 2)


def test_recovery_says_where_the_ceiling_is_no_better_than_the_copy() -> None:
    assert not stats.recovery([0.2, 0.3], [0.2, 0.2], [0.4, 0.4], ["a", "b"], seed=0).defined
    # Better on average, but not in every resample: a value without an interval.
    room = np.array([1.0, 1.0, 1.0, -2.5])
    unsure = stats.recovery(room, room - 0.1, np.zeros(4), list("abcd"), seed=0)
    assert unsure.defined
    assert math.isnan(unsure.low)


@pytest.mark.parametrize("values", [np.linspace(-1, 1, 1000), np.full(1000, 0.5), np.repeat([0.1, 0.9], 500)])
def test_at_most_1_percent_of_strangers_pass(values: np.ndarray) -> None:
    threshold = matching.threshold_at_far(values)
    assert (values >= threshold).mean() <= 0.01
    assert (values >= np.nextafter(threshold, -1)).mean() > 0.01  # and no lower threshold would do


def _faces(person: list[str], age: list[float]) -> Batch:
    pixels = np.zeros((len(person), 8, 8, 3), np.uint8)
    return Batch.drawn(pixels, age=np.array(age), domain="photo", person=person)


def test_verification_of_a_perfect_and_of_a_blind_embedder() -> None:
    faces = _faces([f"p{i // 4}" for i in range(40)], [10.0, 20.0, 60.0, 80.0] * 10)
    perfect = np.repeat(np.eye(10, dtype=np.float32), 4, axis=0)
    found = verify(perfect, faces, seed=0, resamples=200)
    assert (found.auc.value, found.accepted.value) == (1.0, 1.0)
    assert found.auc.n == 60
    assert found.accepted.n == 20  # of six pairs of a person, two are at most 20 years apart
    blind = np.full((40, 4), 0.5, np.float32)
    found = verify(blind, faces, seed=0, resamples=200)
    assert (found.auc.value, found.accepted.value) == (0.5, 0.0)


def test_verification_threshold_is_that_of_strangers() -> None:
    faces = _faces([f"p{i // 3}" for i in range(300)], [30.0] * 300)
    vectors = np.random.default_rng(4).normal(size=(300, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    threshold = verify(vectors, faces, seed=0, resamples=10).threshold
    similarity = vectors.astype(float) @ vectors.T.astype(float)
    apart = faces.person[:, None] != faces.person
    assert (similarity[apart] >= threshold).mean() == pytest.approx(FAR, abs=0.003)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_verification_without_strangers_is_undefined(count: int) -> None:
    faces = _faces(["only"] * count, [30.0] * count)
    found = verify(np.ones((count, 1), np.float32), faces, seed=0, resamples=10)
    assert math.isnan(found.threshold)
    assert not found.auc.defined
    assert not found.accepted.defined

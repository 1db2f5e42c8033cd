"""Twins: exact points, pictures that depend on what they should, and growth that can be seen and measured."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from nenrin.domains.align import TEMPLATE
from nenrin.domains.face import GLASSES
from nenrin.domains.twins import People, View, draw, sample_people, sample_views
from nenrin.domains.twins.build import WORN
from nenrin.domains.twins.drawing import Domain
from nenrin.domains.twins.frame import LIFE
from nenrin.domains.twins.growth import BRAINCASE, age_of, grow
from nenrin.domains.twins.head import Head

Values = NDArray[Any]

both = pytest.mark.parametrize("domain", ["photo", "manga"])


def _draw(
    people: People,
    ages: float | Values,
    domain: Domain,
    views: View,
    *,
    glasses: int | Values = 0,
    size: int = 64,
) -> Values:
    """The pictures (N, S, S, 3) as int16, so that differences do not wrap."""
    count = len(people)
    drawing = draw(
        people,
        np.broadcast_to(np.asarray(ages, np.float32), count),
        domain=domain,
        glasses=np.broadcast_to(np.asarray(glasses), count),
        views=views,
        size=size,
    )
    return drawing.images.astype(np.int16)


def _average(count: int) -> People:
    """Persons who are in nothing but their gender different from the template."""
    people = sample_people(count, seed=0)
    plain = {
        field.name: np.zeros_like(getattr(people, field.name))
        for field in dataclasses.fields(people)
        if getattr(people, field.name).ndim == 1
    }
    return dataclasses.replace(people, **{**plain, "gender": np.arange(count) % 2})


def _frontal(count: int) -> View:
    views = sample_views(count, seed=0)
    straight = {name: np.zeros(count, np.float32) for name in ("yaw", "pitch", "roll", "smile")}
    return dataclasses.replace(views, **straight, gaze=np.zeros((count, 2), np.float32))


# -- the five points --------------------------------------------------------------------------------------


@both
def test_points_lie_where_the_eyes_and_the_mouth_are_drawn(domain: Domain) -> None:
    # What changes with the colour of the iris is the iris, and with the fullness of the lips the mouth.
    size, count = 256, 24
    people, views = sample_people(count, seed=3), sample_views(count, seed=3)
    people = dataclasses.replace(people, front=np.zeros(count, np.int64))  # no hair over the eyes
    views = dataclasses.replace(views, gaze=np.zeros((count, 2), np.float32), grey=np.zeros(count, bool))
    ages = np.linspace(4, 80, count)
    points = draw(
        people, ages, domain=domain, glasses=np.zeros(count, int), views=views, size=size
    ).points  # (N, 5, 2)

    def changed(**fields: Values) -> Values:
        a, b = (
            _draw(dataclasses.replace(people, **{name: value}), ages, domain, views, size=size)
            for name, values in fields.items()
            for value in values
        )
        return np.asarray(np.abs(a - b).sum(axis=3))

    colour = np.zeros((2, count, 3), np.float32)
    colour[0, :, 0] = colour[1, :, 2] = 250
    for one, (left, right, *_) in zip(changed(iris_colour=colour), points, strict=True):
        for half, (x, y) in ((one[:, : size // 2], left), (one[:, size // 2 :], right - [size / 2, 0])):
            rows, columns = np.nonzero(half > 200)
            # The lids cover more of the iris above than below, hence the looser bound down.
            assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(x, abs=0.8)
            assert (rows.min() + rows.max() + 1) / 2 == pytest.approx(y, abs=2)  # lids cover a part of it
    if domain == "photo":
        lips = np.stack([np.full(count, -1.5, np.float32), np.full(count, 2, np.float32)])
        for one, (*_, left, right) in zip(changed(lips=lips), points, strict=True):
            rows, columns = np.nonzero(one > 6)
            assert columns.min() == pytest.approx(left[0], abs=4)
            assert columns.max() + 1 == pytest.approx(right[0], abs=4)
            assert rows.min() < (left[1] + right[1]) / 2 < rows.max()


@both
def test_another_size_shows_the_same_face(domain: Domain) -> None:
    people, views = sample_people(12, seed=5), sample_views(12, seed=5)
    worn, ages = np.arange(12) % 3, np.linspace(2, 88, 12)
    small, large = (
        draw(people, ages, domain=domain, glasses=worn, views=views, size=size) for size in (64, 256)
    )
    np.testing.assert_array_equal(large.points, small.points * 4)
    shrunk = np.stack([cv2.resize(i, (64, 64), interpolation=cv2.INTER_AREA) for i in large.images])
    # Antialiasing makes a shape wider by a part of a pixel, whatever the size: lines of ink show it most.
    off = np.abs(shrunk.astype(np.int16) - small.images).mean(axis=(1, 2, 3))
    strangers = np.abs(shrunk[1:].astype(np.int16) - small.images[:-1]).mean(axis=(1, 2, 3))
    assert off.max() < 0.4 * strangers.min()


def test_both_domains_lie_on_one_template() -> None:
    people, views = sample_people(200, seed=4), sample_views(200, seed=4)
    ages = np.linspace(1, 90, 200)
    photo, manga = (
        draw(people, ages, domain=d, glasses=np.zeros(200, int), views=views, size=64).points / 64
        for d in ("photo", "manga")
    )
    np.testing.assert_array_equal(photo[:, :3], manga[:, :3])  # eyes and the tip of the nose
    np.testing.assert_allclose(photo[:, 3:].mean(1), manga[:, 3:].mean(1), atol=1e-6)
    assert np.abs(photo[:, :2] - TEMPLATE[:2]).max() < 0.03
    assert np.abs(photo[:, 3:].mean(1) - TEMPLATE[3:].mean(0)).max() < 0.05
    # A drawn mouth is smaller; it is drawn, not zoomed.
    assert np.all(np.ptp(manga[:, 3:, 0], axis=1) < np.ptp(photo[:, 3:, 0], axis=1))


# -- what a drawing depends on ----------------------------------------------------------------------------


@both
def test_the_same_seed_draws_the_same_bytes(domain: Domain) -> None:
    first, again, other = (
        _draw(sample_people(40, seed=s), 30, domain, sample_views(40, seed=s)) for s in (7, 7, 8)
    )
    assert np.array_equal(first, again)
    assert not (first == other).all(axis=(1, 2, 3)).any()
    # Whoever else is drawn at the same time, in whatever order.
    people, views, order = sample_people(40, seed=7), sample_views(40, seed=7), np.arange(40)[::-3]
    assert np.array_equal(_draw(people[order], 30, domain, views[order]), first[order])


@both
def test_a_person_changes_by_age_and_not_by_chance(domain: Domain) -> None:
    people = sample_people(60, seed=2)
    views = sample_views(1, seed=2)[np.zeros(60, np.int64)]

    def apart(a: float, b: float) -> float:
        return float(np.abs(_draw(people, a, domain, views) - _draw(people, b, domain, views)).mean())

    assert apart(30, 30) == 0
    assert 0 < apart(30, 31) < apart(30, 40) < apart(30, 60) < apart(30, 85)
    assert apart(16, 10) < apart(16, 5) < apart(16, 1)
    adult = _draw(people, 30, domain, views)
    strangers = float(np.abs(adult - np.roll(adult, 1, axis=0)).mean())
    assert apart(30, 31) < 0.1 * strangers


@both
@pytest.mark.parametrize("kind", range(1, len(GLASSES)))
def test_glasses_change_the_picture_around_the_eyes_alone(domain: Domain, kind: int) -> None:
    size = 128
    people, views = sample_people(60, seed=6), sample_views(60, seed=6)
    ages = np.linspace(1, 90, 60)
    bare, worn = (_draw(people, ages, domain, views, glasses=k, size=size) for k in (0, kind))
    change = np.abs(worn - bare).max(axis=3) > 2
    rows = np.arange(size)[:, None] / size
    band = np.abs(rows - TEMPLATE[0, 1]) < 0.17  # lenses, bridge and temples
    assert not (change & ~band).any()
    lenses = change[:, :, : size // 2].mean(axis=(1, 2)), change[:, :, size // 2 :].mean(axis=(1, 2))
    assert min(lens.min() for lens in lenses) > (0.02 if kind == 1 else 0.05)
    x, y = np.rint(TEMPLATE[0] * size).astype(int)
    pupil = worn[:, y - 2 : y + 3, x - 2 : x + 3]
    if GLASSES[kind] == "dark":
        assert pupil.mean(axis=(1, 2, 3)).max() < 90
    else:
        assert (pupil == bare[:, y - 2 : y + 3, x - 2 : x + 3]).mean() > 0.9


def test_pose_stays_within_15_degrees_and_turns_the_face() -> None:
    views = sample_views(5000, seed=1)
    for angle in (views.yaw, views.pitch, views.roll):
        assert 3 < angle.std() < 15
        assert np.abs(angle).max() <= 15
    people, frontal = _average(3), _frontal(3)
    frontal.yaw[:] = [-15, 0, 15]
    nose = draw(
        people, np.full(3, 30), domain="photo", glasses=np.zeros(3, int), views=frontal, size=100
    ).points[:, 2]
    assert nose[0, 0] + 3 < nose[1, 0] < nose[2, 0] - 3


# -- growth -----------------------------------------------------------------------------------------------


def test_the_skull_grows_by_cardioidal_strain() -> None:
    # R' = R (1 + k (1 - cos t)): the crown stays, what is level grows by k, what is below by 2 k.
    people = _average(2)[np.zeros(1, np.int64)]
    age = age_of(people, np.array([10], np.float32))  # no puberty yet, so that the template is the bone
    k = float(age.strain[0])
    assert k < 0
    crown, level, below = grow(np.array([[0, -110, 0], [0, -35, 60], [0, 40, 0]], np.float32), people, age)[0]
    np.testing.assert_allclose(crown, [0, -110, 0], atol=1e-3)
    np.testing.assert_allclose(level - BRAINCASE, [0, 0, 60 * (1 + k)], atol=1e-3)
    np.testing.assert_allclose(below - BRAINCASE, [0, 75 * (1 + 2 * k), 0], atol=1e-3)


def test_a_child_has_a_short_face_with_wide_eyes_and_a_high_forehead() -> None:
    ages = np.array([1, 3, 6, 10, 14, 18], np.float32)
    people, views = _average(2)[np.zeros(len(ages), np.int64)], _frontal(len(ages))
    head = Head(people, age_of(people, ages), views, LIFE)
    face, (upper, lower), points = head.face(), head.lids(), head.points()
    eyes = points[:, :2].mean(axis=1)
    between = points[:, 1, 0] - points[:, 0, 0]
    below, above = face[..., 1].max(axis=1) - eyes[:, 1], eyes[:, 1] - face[..., 1].min(axis=1)
    opening = (lower[..., 1] - upper[..., 1]).max(axis=(1, 2))
    assert np.all(np.diff(below / between) > 0)  # the face grows longer
    assert np.all(np.diff(above / below) < 0)  # the eyes move up in the head
    assert np.all(np.diff(opening / between) < 0)  # eyes are nearly full-grown at birth
    assert below[-1] / between[-1] > 1.1 * below[0] / between[0]


def test_men_and_women_part_at_puberty() -> None:
    people = sample_people(400, seed=9)
    assert 0.4 < people.gender.mean() < 0.6
    count = 20
    women, men = _average(2)[np.zeros(count, np.int64)], _average(2)[np.ones(count, np.int64)]
    views = _frontal(1)[np.zeros(count, np.int64)]
    ages = np.linspace(2, 30, count).astype(np.float32)
    female, male = (Head(who, age_of(who, ages), views, LIFE).face() for who in (women, men))
    apart = np.abs(female - male).max(axis=(1, 2))
    assert not apart[ages < 11].any()
    assert np.all(np.diff(apart[(ages > 11) & (ages < 18)]) > 0)
    assert apart[-1] > 0.02
    for domain in ("photo", "manga"):
        pictures = [_draw(who, 30, domain, views) for who in (women[:1], men[:1])]
        assert np.abs(pictures[0] - pictures[1]).mean() > 1


@both
def test_the_age_of_strangers_can_be_read(domain: Domain) -> None:
    # Growth that a plain linear reader cannot see is not visible enough for an ager to learn.
    def twins(count: int, seed: int) -> tuple[Values, Values]:
        rng = np.random.default_rng(seed)
        people, ages = sample_people(count, seed=seed), rng.uniform(1, 90, 4 * count)
        worn = rng.choice(len(GLASSES), 4 * count, p=WORN)
        who = people[np.repeat(np.arange(count), 4)]
        pictures = _draw(who, ages, domain, sample_views(4 * count, seed=seed), glasses=worn)
        return np.stack([_features(picture.astype(np.uint8)) for picture in pictures]), ages

    (x, ages), (unseen, truth) = twins(450, seed=21), twins(150, seed=22)
    reader = Ridge(alpha=3, solver="cholesky").fit(x, ages)
    assert spearmanr(reader.predict(unseen), truth).statistic >= 0.95


def _features(picture: NDArray[np.uint8]) -> Values:
    """Gradients for the lines, small pixels for the colours."""
    gradients = cv2.HOGDescriptor((64, 64), (16, 16), (16, 16), (8, 8), 9)
    small = cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.concatenate([np.asarray(gradients.compute(grey)).ravel(), small.ravel() / 128])

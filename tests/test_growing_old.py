"""What no mean face shows: wrinkles and hair that turns grey, and the smooth skin of who grows younger."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nenrin.models import toning
from nenrin.models.change import either, no_change, placed
from nenrin.models.greying import greyness, share_of
from nenrin.models.means import MeanFaces
from nenrin.models.registration import FIELD, inverse
from nenrin.models.wrinkles import SIDE, Wrinkles, wrinkled

FACE = 64
MIDDLE = 0.497  # the mean face's axis


def years(*ages: float) -> Tensor:
    return torch.tensor(ages)


def at(maps: Tensor, x: float, y: float) -> float:
    """The deepest within two hundredths of a place of (1, 1, SIDE, SIDE)."""
    row, column, near = round(y * SIDE), round(x * SIDE), SIDE // 50
    return float(maps[0, 0, row - near : row + near, column - near : column + near].max())


def nowhere(count: int = 1) -> Tensor:
    """Faces that lie as the mean face does."""
    return torch.zeros(count, 2, FIELD, FIELD)


def sharp_skin(generator: torch.Generator | None = None) -> Tensor:
    """A picture full of skin with pores, (1, 3, FACE, FACE)."""
    generator = generator or torch.Generator().manual_seed(0)
    skin = torch.tensor([0.4, 0.1, -0.1])[:, None, None].expand(3, FACE, FACE)
    return (skin + 0.1 * torch.randn(1, FACE, FACE, generator=generator))[None]


def test_wrinkles_come_one_after_the_other_and_deepen() -> None:
    wrinkles = Wrinkles()
    fold, lip = (0.378, 0.635), (0.450, 0.664)
    depths = [
        [at(wrinkles(years(20.0), years(asked), nowhere()), *place) for place in (fold, lip)]
        for asked in (24.0, 40.0, 60.0, 90.0)
    ]
    folds, lips = zip(*depths, strict=True)
    assert folds[0] == 0 < folds[1] < folds[2] < folds[3]
    assert max(lips[:3]) < 0.03 < 0.09 < lips[3]


def test_who_has_wrinkles_gets_the_rest_alone_and_loses_none() -> None:
    wrinkles = Wrinkles()
    whole, first, rest = (
        wrinkles(years(own), years(asked), nowhere()) for own, asked in ((20, 80), (20, 50), (50, 80))
    )
    torch.testing.assert_close(first + rest, whole)
    assert not wrinkles(years(80.0), years(20.0), nowhere()).any()


def test_a_person_has_the_same_wrinkles_at_every_age_and_others_have_others() -> None:
    wrinkles, random = Wrinkles(), torch.Generator().manual_seed(0)
    one, other = (0.1 * torch.randn(1, 2, FIELD, FIELD, generator=random) for _ in range(2))
    at_60, again = (wrinkles(years(20.0), years(asked), one) for asked in (60.0, 60.0))
    assert (at_60 == again).all()
    assert (at_60 - wrinkles(years(20.0), years(60.0), other)).abs().max() > 0.1
    # Both folds are deeper or shallower than usual by the same share at 45 and at 60.
    usual = [wrinkles(years(20.0), years(asked), nowhere()) for asked in (45.0, 60.0)]
    own = [wrinkles(years(20.0), years(asked), one) for asked in (45.0, 60.0)]
    ratios = [at(mine, 0.378, 0.635) / at(all_, 0.378, 0.635) for mine, all_ in zip(own, usual, strict=True)]
    assert ratios[0] == pytest.approx(ratios[1], rel=0.05) != pytest.approx(1.0, abs=0.02)


def test_a_drawing_gets_the_folds_alone_as_thin_lines() -> None:
    skin, ink = (
        (wrinkles(years(20.0), years(85.0), nowhere())) for wrinkles in (Wrinkles(), Wrinkles(ink=True))
    )
    for side in (0.383, 2 * MIDDLE - 0.383):
        assert at(ink, side, 0.640) > 0.2
    assert at(skin, 0.5, 0.29) > 0.1 > at(ink, 0.5, 0.29)  # the forehead
    assert (ink > 0.15).float().mean() < 0.6 * (skin > 0.15).float().mean()


def test_wrinkles_are_of_the_skin_and_no_sharper_than_the_face() -> None:
    image, ages = sharp_skin(), (years(20.0), years(80.0))
    wrinkles, still = Wrinkles(), torch.zeros(1, 2, FIELD, FIELD)
    skin = torch.ones(1, 1, FACE, FACE)
    sharp = wrinkled(wrinkles, image, *ages, nowhere(), inverse(nowhere()), still, skin)
    torch.testing.assert_close(sharp, wrinkles(*ages, nowhere()), atol=0.02, rtol=0)
    blurred = wrinkled(wrinkles, toning.smoothed(image, 9), *ages, nowhere(), inverse(nowhere()), still, skin)
    assert sharp.diff(dim=2).abs().max() > 2 * blurred.diff(dim=2).abs().max()
    torch.testing.assert_close(sharp.mean(), blurred.mean(), rtol=0.05, atol=0)
    skin[..., :32, :] = 0  # a fringe, say
    assert not wrinkled(wrinkles, image, *ages, nowhere(), inverse(nowhere()), still, skin)[
        ..., : SIDE * 7 // 16, :
    ].any()


def test_wrinkles_go_where_the_mean_face_lies_and_what_moves_takes_them_along() -> None:
    image, skin, ages = sharp_skin(), torch.ones(1, 1, FACE, FACE), (years(20.0), years(80.0))
    ink, still = Wrinkles(ink=True), torch.zeros(1, 2, FIELD, FIELD)
    right = still.clone()
    right[:, 0] = 0.2  # a tenth of the width
    usual = wrinkled(ink, image, *ages, nowhere(), inverse(nowhere()), still, skin)
    lying = wrinkled(ink, image, *ages, right, inverse(right), still, skin)
    moved = wrinkled(ink, image, *ages, nowhere(), inverse(nowhere()), -right, skin)  # fetched from the left
    for other in (lying, moved):
        torch.testing.assert_close(
            other[..., 30:-30], usual.roll(SIDE // 10, 3)[..., 30:-30], atol=0.2, rtol=0
        )


def test_creases_take_light_away_at_any_resolution() -> None:
    faces = torch.full((2, 3, 32, 32), 0.5)
    change = no_change(faces)
    change.creases = torch.full((2, 1, SIDE, SIDE), 0.3)
    for size in (32, 100):
        dark = change.apply(torch.full((2, 3, size, size), 0.5))
        torch.testing.assert_close(dark, torch.full_like(dark, 1.5 * math.exp(-0.3) - 1), atol=1e-4, rtol=0)
    half = change.times(torch.tensor([0.5, 0.0])).apply(faces)
    torch.testing.assert_close(half[:, 0, 9, 9], torch.tensor([1.5 * math.exp(-0.15) - 1, 0.5]))
    assert change[1:].creases is not None and len(change[1:].creases) == 1


def test_creases_of_some_faces_leave_the_others_alone() -> None:
    faces, rows = torch.full((3, 3, 32, 32), 0.5), torch.tensor([True, False, True])
    creased = no_change(faces[rows])
    creased.creases = torch.full((2, 1, SIDE, SIDE), 0.3)
    whole = placed(creased, rows, faces)
    both = either(rows, whole, no_change(faces))
    for change in (whole, both):
        aged = change.apply(faces)
        assert (aged[[0, 2]] < 0.2).all()
        torch.testing.assert_close(aged[1], faces[1], atol=1e-5, rtol=0)
    assert either(rows, no_change(faces), no_change(faces)).creases is None


def test_skin_gets_smoother_and_edges_stay_sharp() -> None:
    faces = torch.zeros(2, 3, FACE, FACE)
    faces[..., 20], faces[..., 44] = -0.1, -0.9  # a wrinkle, and the rim of glasses
    change = no_change(faces)
    change.smooth = torch.full((2, 1, 32, 32), 1.2)

    def contrast(made: Tensor) -> list[tuple[float, float]]:
        return [(-float(face[20] - face[16]), -float(face[44] - face[40])) for face in made[:, 0, 32]]

    (wrinkle, rim), *_ = contrast(change.apply(faces))
    assert wrinkle < 0.07 and rim > 0.85
    half, none = contrast(change.times(torch.tensor([0.5, 0.0])).apply(faces))
    assert wrinkle < half[0] < none[0] == pytest.approx(0.1, abs=0.005)
    first = torch.tensor([True, False])
    for some in (placed(change[first], first, faces), either(first, change, no_change(faces))):
        assert contrast(some.apply(faces)) == [pytest.approx((wrinkle, rim), abs=1e-5), pytest.approx(none)]


def test_only_who_grows_younger_gets_smoother_and_not_about_the_eyes() -> None:
    means, domain, nobody = MeanFaces(1, 64), torch.tensor([0, 0, 0]), torch.full((3,), -1)
    smooth = means.difference(years(70, 40, 40), years(10, 30, 70), domain, nobody, whole=False).smooth
    cheek, eye = smooth[:, 0, 18, 9], smooth[:, 0, 13, 12]
    assert cheek[0] > 3 * cheek[1] > 0 == cheek[2]
    assert eye[0] < 0.5 * cheek[0]


def test_what_twins_lighten_most_is_hair() -> None:
    lighter = torch.zeros(3, 1, 8, 8)
    lighter[0, :, :4], lighter[0, :, 4:] = 0.4, 0.02  # hair, and a little of all else
    lighter[1] = 0.01  # no hair
    share = share_of(lighter)
    assert (share[0, :, :4] == 1).all() and not share[0, :, 4:].any()
    assert not share[1:].any()


def test_hair_turns_grey_with_the_years_and_not_back() -> None:
    ages = torch.tensor([20.0, 35.0, 50.0, 65.0, 80.0, 100.0])
    grey = greyness(torch.full_like(ages, 20.0), ages)
    assert grey[:2].tolist() == [0, 0] and (grey.diff() >= 0).all() and 0.4 < grey[-1] < 0.8
    assert not greyness(ages[1:], ages[:-1]).any()
    assert (greyness(ages[:1], ages, drawn=True) >= grey).all()
    # Twenty years and twenty more are forty.
    steps = [1 - greyness(torch.tensor([a]), torch.tensor([b])) for a, b in ((45.0, 60.0), (60.0, 75.0))]
    whole = 1 - greyness(torch.tensor([45.0]), torch.tensor([75.0]))
    torch.testing.assert_close(steps[0] * steps[1], whole)

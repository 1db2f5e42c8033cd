"""Laying faces over a mean face, and what is done there done to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nenrin.domains.array import pack
from nenrin.domains.twins import build_twins, sample_people
from nenrin.models.change import shift
from nenrin.models.data import load
from nenrin.models.looks import EXPRESSION, AdjustedSums, expression
from nenrin.models.means import Difference
from nenrin.models.registration import FIELD, RegistrationNet, inverse, train_registration


def smooth_field(count: int, size: float) -> Tensor:
    coarse = torch.randn(count, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * size
    return F.interpolate(coarse, (FIELD, FIELD), mode="bicubic")


def dot(x: float, y: float, side: int = 64) -> Tensor:
    """A soft white dot at a place in [-1, 1]^2, (1, 1, side, side)."""
    at = (torch.arange(side) + 0.5) / side * 2 - 1
    return torch.exp(-((at[None, :] - x).square() + (at[:, None] - y).square()) / 0.01)[None, None]


def place_of(picture: Tensor) -> tuple[float, float]:
    at = (torch.arange(picture.shape[-1]) + 0.5) / picture.shape[-1] * 2 - 1
    weight = picture[0].sum(0)
    x, y = ((weight.sum(axis) * at).sum() / weight.sum() for axis in (0, 1))
    return float(x), float(y)


def test_an_inverse_undoes_a_field() -> None:
    field = smooth_field(3, 0.04)
    back = inverse(field)
    left = (back + shift(field, back))[..., 4:-4, 4:-4]
    assert field.abs().max() > 0.05 and left.abs().max() < 1e-3


def test_an_untrained_net_leaves_faces_where_they_are() -> None:
    assert not RegistrationNet()(torch.rand(2, 3, 48, 48)).any()


def test_what_ages_the_mean_face_lands_where_its_place_is_in_the_face() -> None:
    """A place of the mean face, (0.1, -0.2), lies 0.2 further right in the face and shall move 0.1 down."""
    field = torch.zeros(1, 2, FIELD, FIELD)
    field[:, 0] = 0.2
    moves = torch.zeros_like(field)
    moves[:, 1] = 0.1
    none = torch.zeros(1, 1, FIELD, FIELD)
    nothing = Difference(moves=moves, shade=torch.zeros(1, 3, 64, 64), detail=none, smooth=none)
    painted = Difference(moves=moves, shade=dot(0.1, -0.2).expand(-1, 3, -1, -1), detail=none, smooth=none)
    face = dot(0.3, -0.2).expand(-1, 3, -1, -1)
    aged = nothing.warped(field).apply(face)
    assert np.allclose(place_of(aged), (0.3, -0.1), atol=0.01)
    assert np.allclose(place_of(painted.warped(field).shade), (0.3, -0.1), atol=0.01)
    still = nothing.times(torch.tensor([1.0]), moves=torch.tensor([0.0])).warped(field)
    assert not still.flow.any()


def test_faces_learn_to_lie_over_each_other(tmp_path: Path) -> None:
    photo, _ = build_twins(
        tmp_path / "p", tmp_path / "m", people=sample_people(30, seed=1), ages_per_person=4, size=64, seed=1,
        workers=0,
    )  # fmt: skip
    faces = pack([photo], size=64, splits=["train"])
    torch.manual_seed(0)
    net = RegistrationNet()
    said = train_registration(net, faces, 1600)
    rows = np.arange(len(faces))
    images, _ = load(faces, rows, np.zeros(len(rows), bool))
    with torch.no_grad():
        field = net(images)
        laid = shift(images, field)

    def alike(faces: Tensor) -> Tensor:
        """How much of their edges and lines is those of their mean."""
        lines = (faces - F.avg_pool2d(faces, 9, 1, 4)).mean(1)[:, 20:52, 18:46]
        return lines.mean(0).square().mean() / lines.square().mean()

    # Laid by half a pixel, which blurs them as much, they are hardly more alike.
    blurred = shift(images, torch.full_like(field, 0.5 / 32))
    assert alike(laid) > 1.05 * alike(blurred) > 1.05 * alike(images)
    assert (
        field.mean(0).abs().max() < 0.5 * field.abs().max()
    )  # faces move towards each other, not all one way
    little = train_registration(RegistrationNet(), faces, 640)
    assert little["registration/correlation"] < said["registration/correlation"] <= 1
    assert train_registration(RegistrationNet(), faces, 0) == {}


def test_a_laugh_is_no_age() -> None:
    """Two cells of one domain show the same face, but one laughs more often, which lights up a corner."""
    generator = torch.Generator().manual_seed(0)
    sums = AdjustedSums(1, 2)
    for cell, laughing in ((0, 0.2), (1, 0.8)):
        laughs = (torch.rand(200, generator=generator) < laughing).float()
        traits = torch.stack([laughs, torch.rand(200, generator=generator), torch.zeros(200)], dim=1)
        values = torch.full((200, 1, 4, 4), 0.1 + 0.3 * cell)
        values[:, 0, 0, 0] += laughs
        everywhere = torch.ones(200, 1, 4, 4)
        sums.add(torch.full((200,), cell), torch.zeros(200, dtype=torch.long), values, everywhere, traits)
    values, weights = sums.sums()[:, :1], sums.sums()[:, 1:]
    means = values / weights
    assert (weights == 200).all()
    torch.testing.assert_close(means[1, 0, 1:] - means[0, 0, 1:], torch.full((3, 4), 0.3))
    assert abs(means[1, 0, 0, 0] - means[0, 0, 0, 0] - 0.3) < 0.1  # 0.9 as they were


def test_what_looks_like_glasses_is_no_age() -> None:
    """The old look like wearing some more often, which darkens a corner: it is taken from them alone."""
    generator = torch.Generator().manual_seed(0)
    sums = AdjustedSums(1, 2)
    for cell, share in ((0, 0.1), (1, 0.6)):
        rims = (torch.rand(2000, generator=generator) < share).float()
        values = torch.full((2000, 1, 4, 4), 0.1 + 0.3 * cell)
        values[:, 0, 0, 0] -= rims
        traits = torch.cat([torch.zeros(2000, EXPRESSION), rims[:, None]], dim=1)
        everywhere = torch.ones(2000, 1, 4, 4)
        sums.add(torch.full((2000,), cell), torch.zeros(2000, dtype=torch.long), values, everywhere, traits)
        if not cell:
            young = values.mean((0, 1))
    means = sums.sums()[:, 0] / 2000
    torch.testing.assert_close(means[0], young)
    usual, own = (0.1 + 0.6) / 2, 0.6
    assert means[1, 3, 3] == pytest.approx(0.4, abs=1e-3)
    assert abs(means[1, 0, 0] - (0.4 - usual)) < 0.05 < abs(0.4 - own - means[1, 0, 0])


def test_an_open_mouth_is_told_from_a_closed_one() -> None:
    images = torch.zeros(3, 3, 64, 64)
    images[:, :, 20:60, 16:48] = torch.linspace(0.0, 0.3, 32)
    images[1, :, 43:48, 28:36] = 0.9  # teeth
    images[2, :, 43:48, 28:36] = -0.9
    closed, laughing, open_ = expression(images)
    assert len(closed) == EXPRESSION
    assert laughing[0] > closed[0] + 0.5 > open_[0] + 1
    assert laughing[2] > closed[2] and open_[2] > closed[2]

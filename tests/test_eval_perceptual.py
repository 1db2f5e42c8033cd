"""Distances between pictures: LPIPS against its formula, and the stand-in that never bears its name."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nenrin.eval.perceptual import LPIPS, NAMES, UnweightedMTCNN, perceptual
from nenrin.ground import NenrinError, UsageError


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which torch has cached nothing and can fetch nothing."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens at the port of `discard`
    return tmp_path


def _faces(count: int, size: int, seed: int = 0) -> Tensor:
    noise = torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(size, size), mode="bicubic").clamp(-1, 1)


def _alexnet(x: Tensor, weights: dict[str, Tensor]) -> list[Tensor]:
    """What AlexNet's five convolutions give (Krizhevsky 2014, as torchvision lays it out)."""
    found = []
    for slice_, index, stride, padding, pooled in (
        (1, 0, 4, 2, False),
        (2, 3, 1, 2, True),
        (3, 6, 1, 1, True),
        (4, 8, 1, 1, False),
        (5, 10, 1, 1, False),
    ):
        if pooled:
            x = F.max_pool2d(x, 3, 2)
        weight, bias = (weights[f"net.slice{slice_}.{index}.{part}"] for part in ("weight", "bias"))
        x = F.conv2d(x, weight, bias, stride=stride, padding=padding).relu()
        found.append(x)
    return found


def test_lpips_is_its_formula() -> None:
    """d(a, b) = sum_l mean_hw sum_c w_lc (f_lc(a) / |f_l(a)| - f_lc(b) / |f_l(b)|)^2 (Zhang et al. 2018)."""
    torch.manual_seed(0)
    ours = LPIPS("alex", random_backbone=True)
    weights = {name: tensor.double() for name, tensor in ours._net.state_dict().items()}
    a, b = _faces(3, 64), _faces(3, 64, seed=1)
    shift, scale = (
        torch.tensor(v, dtype=torch.double).view(1, 3, 1, 1)
        for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450])
    )
    layers = zip(*(_alexnet((x.double() - shift) / scale, weights) for x in (a, b)), strict=True)
    expected = torch.zeros(3, dtype=torch.double)
    for layer, (fa, fb) in enumerate(layers):
        apart = fa / (fa.norm(dim=1, keepdim=True) + 1e-10) - fb / (fb.norm(dim=1, keepdim=True) + 1e-10)
        expected += (weights[f"lin{layer}.model.1.weight"] * apart**2).sum(1).mean((1, 2))
    torch.testing.assert_close(ours.distance(a, b).double(), expected, rtol=0, atol=1e-6)
    assert (expected > 1e-4).all()  # or that would say nothing
    assert ours.name == "lpips-alex-random"  # never to be taken for the trained one
    assert ours.distance(a, a).abs().max() == 0


def test_without_weights_the_stand_in_comes_and_is_named(no_weights: Path) -> None:
    distance, note = perceptual("auto")
    assert distance.name == "unweighted-mtcnn"
    assert "lpips" not in distance.name
    assert note is not None
    assert "LPIPS was not used" in note and "--perceptual lpips-alex fetches it" in note


def test_lpips_asked_for_by_name_says_what_to_do_without_weights(no_weights: Path) -> None:
    with pytest.raises(NenrinError, match=r"alex weights.*unweighted-mtcnn") as caught:
        perceptual("lpips-alex")
    assert "\n" not in str(caught.value)


def test_stand_in_is_the_formula_with_unit_weights() -> None:
    distance = UnweightedMTCNN()
    a, b = _faces(2, 96), _faces(2, 96, seed=1)
    expected = torch.zeros(2)
    fa, fb = a, b
    for stage in distance._stages:
        fa, fb = stage(fa), stage(fb)
        na = fa / fa.norm(dim=1, keepdim=True).clamp_min(1e-12)
        nb = fb / fb.norm(dim=1, keepdim=True).clamp_min(1e-12)
        expected += ((na - nb) ** 2).sum(1).mean((1, 2)) / 2 / 3
    torch.testing.assert_close(distance.distance(a, b), expected, rtol=1e-4, atol=1e-6)


def test_stand_in_orders_what_is_closer() -> None:
    distance, a, other = UnweightedMTCNN(), _faces(4, 64), _faces(4, 64, seed=1)
    little, much = torch.lerp(a, other, 0.2), torch.lerp(a, other, 0.6)
    d = [distance.distance(a, x) for x in (a, little, much, other)]
    assert d[0].max() < 1e-6
    for nearer, farther in itertools.pairwise(d):
        assert (nearer < farther).all()
    torch.testing.assert_close(distance.distance(other, a), d[3])


def test_unknown_name_suggests_the_near_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'lpips-alex'"):
        perceptual("lpips-alexnet")
    assert perceptual(NAMES[-1])[1] is None

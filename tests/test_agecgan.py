"""Age-cGAN: its classes and size, its phases, and the search for the same person."""

from __future__ import annotations

import pytest
import torch

from nenrin.models import agecgan
from nenrin.models.agecgan import AgeCGAN, AgeCGANConfig
from nenrin.models.condition import Condition
from nenrin.models.data import Batch, Faces


@pytest.fixture
def model() -> AgeCGAN:
    torch.manual_seed(0)
    return AgeCGAN(AgeCGANConfig(size=32, width=0.125, iterations=10))


def batch_of(count: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")
    known = Condition.of(count, domains=("photo",))
    ages = torch.where(coarse.mean((1, 2, 3)) > 0, 70.0, 10.0)
    masks = torch.ones(count, 1, 32, 32)
    return Batch.alone(Faces(images=images, masks=masks, condition=known.replace(age=ages)))


@pytest.mark.parametrize(
    ("years", "index"), [(0, 0), (18, 0), (19, 1), (39.5, 2), (40, 3), (59, 4), (60, 5), (99, 5)]
)
def test_six_age_classes(years: float, index: int) -> None:
    label = agecgan.age_label(Condition.of(1, domains=("photo",), age=years))
    assert label.tolist() == [[float(i == index) for i in range(6)]]
    assert not agecgan.age_label(Condition.of(1, domains=("photo",))).any()


def test_the_generator_has_dcgan_s_size() -> None:
    nets = AgeCGAN(AgeCGANConfig(size=64)).nets
    # 4 x 4 kernels from z and class (106) through 512, 256, 128 and 64 channels to 3; biases and scales.
    kernels = 16 * (106 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    assert sum(p.numel() for p in nets["generator"].parameters()) == kernels + 3 * (512 + 256 + 128 + 64) + 3


def test_phases_train_what_they_name(model: AgeCGAN) -> None:
    batch, optimizers = batch_of(8), model.optimizers()

    def moved(progress: float) -> set[str]:
        before = {name: [p.clone() for p in net.parameters()] for name, net in model.nets.items()}
        model.train()
        losses = model.step(batch, optimizers, torch.Tensor.backward, progress)
        assert all(loss.isfinite() for loss in losses.values())
        return {
            name
            for name, net in model.nets.items()
            if any((p != q).any() for p, q in zip(net.parameters(), before[name], strict=True))
        }

    assert moved(0.5) == {"generator", "discriminator", "embedder", "reader"}
    assert moved(0.8) == {"encoder", "embedder", "reader"}


def test_the_embedding_learns_to_know_a_face_again_and_its_age(model: AgeCGAN) -> None:
    batch, optimizers = batch_of(16), model.optimizers()
    rows = [model.step(batch, optimizers, torch.Tensor.backward, 0.9) for _ in range(60)]
    for name in ("embedder", "reader", "encoder"):
        first, last = (sum(row[name].item() for row in part) for part in (rows[:5], rows[-5:]))
        assert last < 0.9 * first, name
    years = model.estimate(batch.images).age
    assert years[batch.condition.age > 40].mean() > years[batch.condition.age < 40].mean() + 10


def test_the_search_comes_nearer_to_the_person(model: AgeCGAN) -> None:
    batch, optimizers = batch_of(4), model.optimizers()
    for progress in (0.1, 0.9):
        for _ in range(5):
            model.step(batch, optimizers, torch.Tensor.backward, progress)
    model.eval()

    def distance(iterations: int) -> torch.Tensor:
        model.config.iterations = iterations
        made = model.transform(batch.images, batch.condition, batch.condition)
        return (model.nets["embedder"](made) - model.nets["embedder"](batch.images)).square().sum(1)

    assert (distance(10) < 0.9 * distance(0)).all()
    # A face does not depend on those beside it.
    model.config.iterations = 10
    together = model.transform(batch.images, batch.condition, batch.condition)
    alone = model.transform(batch.images[2:3], batch.condition[2:3], batch.condition[2:3])
    torch.testing.assert_close(together[2:3], alone, atol=2e-2, rtol=0)
    assert all(p.grad is None or not p.grad.isnan().any() for p in model.parameters())

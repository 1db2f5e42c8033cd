"""A reader that sees through noise, and the mixed ager that it leads."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nenrin.domains.face import GENDERS
from nenrin.domains.faceset import FaceSet
from nenrin.domains.twins import draw, sample_people, sample_views
from nenrin.ground import UsageError
from nenrin.models import augment
from nenrin.models.ager import Ager
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.config import build, from_table, resolve
from nenrin.models.data import Batch, Faces
from nenrin.models.export import compact
from nenrin.models.guide import Guide, Scale
from nenrin.models.leading import led
from nenrin.models.mixed import MixedAger
from nenrin.models.reader import CENTRE, SIZE, Reader, answers, reading, reading_loss, worst_noise
from nenrin.models.reading import read
from nenrin.models.run import Run
from nenrin.models.samples import to_tensor
from nenrin.models.train import resume, train

SMALL = ["size=32", "batch=4", "threads=1", "precision=32-true", "pictures=16"]


def labels(ages: torch.Tensor, domain: int = 0) -> Condition:
    index = torch.full((len(ages),), domain)
    return Condition(age=ages, domain=index, glasses=torch.zeros_like(index), gender=index * 0 - 1)


class Says(torch.nn.Module):
    """A reader with an opinion on gender alone: pictures that are lighter on the left show men."""

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        logits = views.new_zeros(len(views), answers(1))
        logits[:, -1] = 20 * (views[..., : SIZE // 2] - views[..., SIZE // 2 :]).mean((1, 2, 3))
        return logits


def test_a_gender_that_the_mirror_image_contradicts_is_unknown() -> None:
    lit = torch.linspace(1, -1, 64).expand(1, 3, 64, 64)
    assert reading(Says()(augment.crop(lit, CENTRE, SIZE))).condition().gender.item() == GENDERS.index("male")
    assert read(Says(), lit).gender.item() == UNKNOWN
    sure = Says()
    sure.register_forward_hook(lambda _, __, logits: logits.abs())
    assert read(sure, lit).gender.item() == GENDERS.index("male")


def test_scale_learns_what_a_reader_says_and_lends_it_to_other_domains() -> None:
    scale, random = Scale(2), torch.Generator().manual_seed(0)
    for _ in range(20):
        ages = torch.rand(64, generator=random) * 90
        said = 10 + 0.5 * ages.clamp(max=80) + torch.randn(64, generator=random)
        scale.update(labels(ages), said)
        scale.update(labels(torch.full((64,), torch.nan), domain=1), said)  # of unknown age: nothing to learn
    asked = torch.tensor([0.0, 5.0, 33.0, 80.0, 95.0])
    for domain in (0, 1, -1):
        expected = scale.expected(labels(asked, domain))
        torch.testing.assert_close(expected, 10 + 0.5 * asked.clamp(max=80), atol=0.7, rtol=0)
    assert scale.knows(labels(asked, 0)).all() and not scale.knows(labels(asked, 1)).any()


def test_worst_noise_is_as_long_as_told_and_does_harm() -> None:
    torch.manual_seed(0)
    reader = Reader(2, 8).eval()
    views, truth = torch.rand(6, 3, 64, 64) * 2 - 1, labels(torch.arange(6) * 10.0)
    noise = worst_noise(reader, views, truth, 1.0)
    assert not noise.requires_grad and all(weight.grad is None for weight in reader.parameters())
    lengths = noise.flatten(1).norm(dim=1)
    assert lengths.max() <= 1.0001 and lengths.mean() > 0.5

    def harm(noise: torch.Tensor) -> float:
        with torch.no_grad():
            losses = [reading_loss(reading(reader(views + some)), truth) for some in (noise, noise * 0)]
        with_it, without = (sum(float(loss) for loss in found.values()) for found in losses)
        return with_it - without

    aimless = torch.randn_like(noise)
    aimless *= lengths[:, None, None, None] / aimless.flatten(1).norm(dim=1)[:, None, None, None]
    assert harm(noise) > 3 * abs(harm(aimless))


def test_an_ager_without_pairs_learns_ages_from_its_guide() -> None:
    """Eight people at two ages; no face has another of its view, so that only the guide can teach ageing."""
    ages = torch.tensor([8.0, 70.0]).repeat(8)  # in turn: only half of a batch is led
    drawn = draw(
        sample_people(16, seed=0),
        ages.numpy().astype(np.float32),
        domain="photo",
        glasses=np.zeros(16, np.int64),
        views=sample_views(16, seed=0),
        size=32,
    )
    batch = Batch.alone(
        Faces(images=to_tensor(drawn.images), masks=torch.ones(16, 1, 32, 32), condition=labels(ages))
    )
    torch.manual_seed(0)
    guide = build(from_table({"model": "guide", "size": 32}))
    assert isinstance(guide, Guide)
    for step, optimizers in enumerate([guide.optimizers()] * 30):
        guide.step(batch, optimizers, torch.Tensor.backward, step / 30)
    guide.eval()
    young, old = guide.estimate(batch.images).age.view(8, 2).mean(0)
    assert old - young > 25

    table = {"model": "mixed", "size": 32, "width": 8, "guide": "none is opened", "ema": 0.9}
    ager = build(from_table(table | {"guided": 0.1, "ages": 1.0, "glasses": 1.0, "learning_rate": 4e-3}))
    assert isinstance(ager, MixedAger) and "guide" not in ager.optimizers()
    (led_by,) = ager.nets["guide"].children()
    led_by.load_state_dict(guide.nets.state_dict())
    before = {name: value.clone() for name, value in led_by.state_dict().items()}
    for step, optimizers in enumerate([ager.optimizers()] * 120):
        rows = ager.step(batch, optimizers, torch.Tensor.backward, 0.2 + step / 200)
    assert rows["generator/pair"] == 0
    ager.eval()
    reads = [
        guide.estimate(ager.transform(batch.images, batch.condition, batch.condition.replace(age=age))).age
        for age in (torch.full((16,), 8.0), torch.full((16,), 70.0))
    ]
    assert (reads[1] - reads[0]).mean() > 0.25 * (old - young)
    after = led_by.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.fixture(scope="module")
def guide_run(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(resolve("guide", None, SMALL), [FaceSet.open(tiny_set)], tmp_path_factory.mktemp("guide"))


def test_a_led_ager_needs_its_guide_at_the_first_step_alone(
    guide_run: Path, tiny_set: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "guide"
    shutil.copytree(guide_run, copy)
    words = [*SMALL, "width=8", f"guide={copy}", "checkpoint_every=2"]
    run = Run.open(train(resolve("mixed", None, words), [FaceSet.open(tiny_set)], tmp_path / "runs"))
    straight = load_file(run.checkpoint(4) / "nets.safetensors")
    shutil.rmtree(copy)
    shutil.rmtree(run.checkpoint(4))
    resume(run.path)
    resumed = load_file(run.checkpoint(4) / "nets.safetensors")
    assert all(torch.equal(value, resumed[name]) for name, value in straight.items())
    ager = Ager.load(run.path)
    (led_by,) = (guide.state_dict() for guide in ager.model.nets["guide"].children())
    guide = Ager.load(guide_run).model.nets.state_dict()
    assert all(torch.equal(value, led_by[name]) for name, value in guide.items())
    compact(ager, tmp_path / "small")
    small = Ager.load(tmp_path / "small").model
    assert "guide" not in small.nets and not small.config.guide


def test_two_guides_lead_in_turn(guide_run: Path, tiny_set: Path, tmp_path: Path) -> None:
    words = [*SMALL, "width=8", f"guide={guide_run},{guide_run}"]
    run = train(resolve("mixed", None, words), [FaceSet.open(tiny_set)], tmp_path)
    ager = Ager.load(run).model
    assert isinstance(ager, MixedAger) and len(list(ager.nets["guide"].children())) == 2
    assert ager.config.guide == (str(guide_run), str(guide_run))
    # One of them is blind now: what it says pulls nowhere, and what the other says does.
    guides = list(ager.nets["guide"].children())
    blind = guides[0]
    with torch.no_grad():
        for weight in blind.reader.head.parameters():
            weight.zero_()
    young, old = labels(torch.full((2,), 30.0)), labels(torch.full((2,), 70.0))
    faces = Faces(images=torch.zeros(2, 3, 32, 32), masks=torch.ones(2, 1, 32, 32), condition=young)
    torch.manual_seed(0)
    pulls = []
    for _ in range(12):
        result = torch.zeros(2, 3, 32, 32, requires_grad=True)
        sum(led(guides, faces, result, old, age=1.0, ageless=1.0, glasses=1.0).values()).backward()
        pulls.append(bool(result.grad.abs().sum() > 0))
    assert 2 < sum(pulls) < 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "is no run folder"),
        (lambda folder: _told(folder, '"model": "guide"', '"model": "mixed"'), "not of --model guide"),
        (lambda folder: _told(folder, '"photo"', '"painting"'), "of use for its own domains alone"),
    ],
)
def test_a_wrong_guide_is_one_line(
    change: object, message: str, guide_run: Path, tiny_set: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "guide"
    shutil.copytree(guide_run, copy)
    assert callable(change)
    change(copy)
    words = [*SMALL, "width=8", f"guide={copy}"]
    with pytest.raises(UsageError, match=message) as error:
        train(resolve("mixed", None, words), [FaceSet.open(tiny_set)], tmp_path / "runs")
    assert "\n" not in str(error.value)
    assert list((tmp_path / "runs").iterdir()) == []


def _told(folder: Path, old: str, new: str) -> None:
    file = Run.open(folder).latest() / "state.json"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_an_ager_goes_on_from_another_run(tiny_run: Path, tiny_set: Path, tmp_path: Path) -> None:
    words = [*SMALL, "width=8", f"start={tiny_run}", "learning_rate=0.0"]
    path = train(resolve("mixed", None, words), [FaceSet.open(tiny_set)], tmp_path)
    begun, gone_on = (Ager.load(run).model.nets["average"].state_dict() for run in (tiny_run, path))
    assert all(torch.allclose(value, gone_on[name]) for name, value in begun.items())

"""Glasses: any are drawn, cut out and put on others, and what comes off, stays on or is put on is asked."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nenrin.domains.array import pack
from nenrin.domains.eyewear import put_on_any, sample
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.twins import build_twins, sample_people
from nenrin.ground import UsageError
from nenrin.models import dressing, regression
from nenrin.models.ager import Ager
from nenrin.models.change import Change, no_change
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.config import build, from_table
from nenrin.models.data import Sampler
from nenrin.models.made import MADE, Originals
from nenrin.models.mixed import MixedAger
from nenrin.models.pairs import make_pairs
from nenrin.models.wearers import cut_out

SIZE = 64
NONE, CLEAR, DARK = 0, 1, 2


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    folder = tmp_path_factory.mktemp("twins")
    return build_twins(
        folder / "photo",
        folder / "manga",
        people=sample_people(24, seed=3),
        ages_per_person=2,
        size=32,
        seed=0,
        workers=0,
    )[0]


@pytest.fixture
def reader(twins: FaceSet) -> Ager:
    torch.manual_seed(0)
    domains = list(twins.meta.domains)
    return Ager(build(from_table({"model": "mixed", "size": 32, "domains": domains})), name="reader")


def test_any_glasses_lie_on_the_eyes_and_nowhere_else() -> None:
    faces = np.full((40, SIZE, SIZE, 3), 150, np.uint8)
    kinds = np.arange(40) % 3
    worn = put_on_any(faces, kinds, np.random.default_rng(0))
    changed = (worn != faces).any(axis=3)
    assert not changed[kinds == NONE].any()
    assert changed[kinds != NONE].any(axis=(1, 2)).all()
    assert not changed[:, : SIZE // 7].any()  # the forehead
    assert not changed[:, -SIZE // 4 :].any()  # mouth and chin
    eyes = worn[:, 23:30, 18:26].astype(float).mean(axis=(1, 2, 3))
    assert eyes[kinds == DARK].mean() < eyes[kinds == CLEAR].mean() - 20
    again = put_on_any(faces, kinds, np.random.default_rng(0))
    assert np.array_equal(worn, again)
    assert len({tuple(sample(np.random.default_rng(i), dark=False).colour) for i in range(5)}) == 5


def test_pairs_of_glasses_change_no_age_and_name_only_what_may_be_drawn(
    reader: Ager, twins: FaceSet, tmp_path: Path
) -> None:
    pairs = make_pairs(reader, [twins], tmp_path / "pairs", each=3, glasses=True)
    rows = list(pairs.faces())
    views: dict[str | None, list[str | None]] = {}
    for face in rows:
        views.setdefault(face.view, []).append(face.glasses)
    assert views
    for worn in views.values():
        assert worn.count("none") == 1
        assert worn.count(None) == 3
        assert len(worn) == 5
    assert sum(MADE in face.attributes for face in rows) == 4 * len(views)
    ages = {view: {face.age for face in rows if face.view == view} for view in views}
    assert all(len(found) == 1 for found in ages.values())

    sampler = Sampler(pack([pairs], size=32), batch=64, seed=0)
    batch = sampler.at(0)
    assert batch.has_partner.all()
    assert (batch.partner.condition.glasses != UNKNOWN).all()
    assert (batch.condition.glasses == UNKNOWN).any()


def test_glasses_are_cut_out_of_who_wears_them(reader: Ager, twins: FaceSet) -> None:
    wearers = [face for face in twins.faces() if face.glasses == "dark"]
    before = Originals(reader, wearers)

    def taken_off(images: Tensor, source: Condition, target: Condition) -> Tensor:
        assert (target.glasses == NONE).all()
        light = images.clone()
        light[:, :, 12:16, 8:24] = 1.0
        return light

    reader.transform = taken_off  # type: ignore[method-assign]
    found = cut_out(reader, before)
    assert found.cover[:, :10].max() == 0
    assert found.cover[:, 13:15, 10:22].mean() > 0.5
    face = np.full((32, 32, 3), 200, np.uint8)
    worn = found.put_on(face, np.random.default_rng(0), drawn=True)
    assert (worn[:8] == 200).all()
    assert (worn[12:16, 10:22] != face[12:16, 10:22]).any(axis=2).mean() > 0.3


def test_every_second_pair_is_cut_out_and_a_single_one_too(
    reader: Ager, twins: FaceSet, tmp_path: Path
) -> None:
    sets = {
        (each, cut): make_pairs(reader, [twins], tmp_path / f"{each}{cut}", each=each, glasses=True, cut=cut)
        for each in (1, 2)
        for cut in (False, True)
    }
    found = {key: [face.id for face in faces.faces() if face.glasses is None] for key, faces in sets.items()}
    assert not set(found[1, False]) & set(found[1, True])
    half = len(found[2, True]) // 2
    assert found[2, True][:half] == found[2, False][:half]
    assert not set(found[2, True][half:]) & set(found[2, False])


def test_where_nobody_wears_any_nothing_can_be_cut_out(reader: Ager, twins: FaceSet, tmp_path: Path) -> None:
    with SetWriter(tmp_path / "bare", name="bare", size=32, domains=twins.meta.domains) as writer:
        for face in twins.faces():
            if face.glasses == "none":
                writer.add(face)
    bare = FaceSet.open(tmp_path / "bare")
    with pytest.raises(UsageError, match="said to wear"):
        make_pairs(reader, [bare], tmp_path / "out", glasses=True, cut=True)


class Pen:
    """Stands for the net: makes the eyes' row white where glasses come off, black where they go on."""

    def __init__(self, strength: float = 0.5) -> None:
        self.strength = strength
        self.asked: list[tuple[list[int], list[int]]] = []

    def __call__(self, images: Tensor, source: Condition, target: Condition) -> Change:
        self.asked.append((source.glasses.tolist(), target.glasses.tolist()))
        change = no_change(images)
        change.shade[:, :, 28] = self._ink(target)[:, None, None]
        return change

    def _ink(self, target: Condition) -> Tensor:
        return torch.where(target.glasses == NONE, self.strength, -self.strength)


def _labels(*glasses: int) -> Condition:
    count = len(glasses)
    zero = torch.zeros(count, dtype=torch.int64)
    return Condition(age=torch.full((count,), 30.0), domain=zero, glasses=torch.tensor(glasses), gender=zero)


def _bare(images: Tensor) -> Tensor:
    return torch.zeros(len(images))


def _ageing(images: Tensor) -> Change:
    change = no_change(images)
    change.shade[:] = 0.2
    return change


def test_glasses_come_off_before_and_go_on_after_the_ageing_and_are_spared_by_it() -> None:
    pen, images = Pen(), torch.zeros(5, 3, SIZE, SIZE)
    source, target = _labels(NONE, NONE, CLEAR, UNKNOWN, DARK), _labels(NONE, CLEAR, CLEAR, NONE, CLEAR)
    told = torch.ones(5, dtype=torch.bool)
    aged = dressing.dressed(images, source, target, _ageing, pen, _bare, told).apply(images)
    # Whoever wears some is looked at without, twice where they go; then two get some, less black.
    assert pen.asked == [
        ([UNKNOWN] * 3, [NONE] * 3),
        ([UNKNOWN] * 2, [NONE] * 2),
        ([NONE] * 2, [CLEAR] * 2),
    ]
    eyes, chin = aged[:, 0, 28, 30], aged[:, 0, 55, 30]
    torch.testing.assert_close(chin, torch.full((5,), 0.2))
    torch.testing.assert_close(eyes, torch.tensor([0.2, -0.2, 0.0, 1.2, 0.8]))


@pytest.mark.parametrize(("ageing", "share"), [(0.2, 1.0), (0.1, 0.5), (0.0, 0.0)])
def test_faint_rims_are_drawn_again_where_they_are_said_to_be_worn(ageing: float, share: float) -> None:
    images, worn = torch.zeros(2, 3, SIZE, SIZE), _labels(CLEAR, CLEAR)
    told, age = torch.tensor([True, False]), no_change(images)
    age.shade[:] = ageing
    aged = dressing.dressed(images, worn, worn, lambda faces: age, Pen(0.18), _bare, told).apply(images)
    # The ageing goes on below them; what would come off is put on as far as that has faded it.
    torch.testing.assert_close(aged[:, 0, 28, 30], torch.tensor([ageing - 0.18 * share, ageing]))


def test_who_is_asked_nothing_about_glasses_costs_no_net() -> None:
    pen, images = Pen(), torch.zeros(3, 3, SIZE, SIZE)
    bare = _labels(NONE, NONE, NONE)
    told = torch.zeros(3, dtype=torch.bool)
    dressing.dressed(images, bare, bare, lambda faces: None, pen, _bare, told)
    assert pen.asked == []


def test_who_would_look_as_if_wearing_glasses_ages_less_about_the_eyes() -> None:
    images, bare = torch.zeros(4, 3, SIZE, SIZE), _labels(NONE, NONE, CLEAR, NONE)
    older = bare.replace(age=torch.tensor([70.0, 70.0, 70.0, 10.0]))
    seen: list[Tensor] = []

    def look(faces: Tensor) -> Tensor:
        seen.append(faces)
        return torch.tensor([1.0, 0.0])

    def ageing(faces: Tensor) -> Change:
        change = _ageing(faces)
        change.creases = torch.full((len(faces), 1, 2 * SIZE, 2 * SIZE), 0.1)
        return change

    told = torch.ones(4, dtype=torch.bool)
    change = dressing.dressed(images, bare, older, ageing, Pen(0.0), look, told)
    # Only who grows older and wears none is looked at, aged.
    assert [len(faces) for faces in seen] == [2]
    torch.testing.assert_close(seen[0][:, 0, 60, 30], torch.full((2,), 1.2 * math.exp(-0.1) - 1))
    assert change.creases is not None
    eyes, chin = change.shade[:, 0, 27, 23], change.shade[:, 0, 60, 30]
    assert 0 < eyes[0] < 0.1 and change.creases[0, 0, 54, 46] < 0.05
    torch.testing.assert_close(eyes[1:], torch.full((3,), 0.2))
    torch.testing.assert_close(chin, torch.full((4,), 0.2))


def test_what_differs_counts_most() -> None:
    before = torch.zeros(1, 3, SIZE, SIZE)
    after = before.clone()
    after[:, :, 20:30, 20:40] = 0.5
    seen = torch.ones(1, 1, SIZE, SIZE)
    wrong_here, wrong_there = after.clone(), after.clone()
    wrong_here[:, :, 24, 30] += 0.3
    wrong_there[:, :, 50, 30] += 0.3
    here, there = (regression.loss(x, before, after, seen) for x in (wrong_here, wrong_there))
    assert regression.loss(after, before, after, seen) == 0
    assert here == pytest.approx(4 * float(there), rel=1e-4)
    hidden = seen.clone()
    hidden[:, :, 50:] = 0  # the wrong pixel is the first of the hidden ones
    assert regression.loss(wrong_there, before, after, hidden) == 0


def test_a_mixed_ager_learns_to_take_glasses_off(reader: Ager, twins: FaceSet, tmp_path: Path) -> None:
    pairs = make_pairs(reader, [twins], tmp_path / "pairs", each=2, glasses=True)
    table = {
        "model": "mixed", "size": 32, "width": 16, "domains": list(reader.domains), "net_ages": False,
        "told": ["domain", "glasses"],
    }  # fmt: skip
    torch.manual_seed(0)
    ager = build(from_table(table))
    assert isinstance(ager, MixedAger)
    optimizers = ager.optimizers()
    sampler = Sampler(pack([pairs], size=32), batch=16, seed=0)
    losses = []
    for step in range(60):
        logs = ager.step(sampler.at(step).ready("cpu"), optimizers, lambda loss: loss.backward(), step / 60)
        losses.append(float(logs["generator/pair"]))
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:10])

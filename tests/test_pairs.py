"""Pairs: what is made is marked, in the same view, as old as it looks; and drawn glasses are on the eyes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nenrin.domains.array import pack
from nenrin.domains.decisions import Decision
from nenrin.domains.face import GLASSES
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.twins import draw, sample_people, sample_views, wear
from nenrin.ground import UsageError
from nenrin.models.ager import Ager
from nenrin.models.config import build, from_table
from nenrin.models.data import Sampler
from nenrin.models.made import MADE
from nenrin.models.pairs import make_pairs


@pytest.fixture
def teacher(tiny_set: Path) -> Ager:
    torch.manual_seed(0)
    domains = list(FaceSet.open(tiny_set).meta.domains)
    table = {"model": "caae-change", "size": 32, "width": 0.125, "domains": domains}
    return Ager(build(from_table(table)), name="teacher")


def test_pairs_share_a_view_and_are_what_a_training_draws(
    teacher: Ager, tiny_set: Path, tmp_path: Path
) -> None:
    faces = FaceSet.open(tiny_set)
    pairs = make_pairs(teacher, [faces], tmp_path / "pairs", each=2)
    rows = list(pairs.faces())
    made = [face for face in rows if face.attributes.get(MADE)]
    real = [face for face in rows if not face.attributes.get(MADE)]
    train = [face for face in faces.faces() if face.split == "train"]
    assert len(made) == 2 * len(real) == 2 * len(train)
    assert {face.split for face in rows} == {"train"}
    assert {face.age_source for face in made} == {"estimated"}
    assert sorted(face.age for face in real) == pytest.approx(sorted(face.age or 0 for face in train))
    assert {face.view for face in made} == {face.view for face in real}

    batch = Sampler(pack([pairs], size=32), batch=8, seed=0).at(0)
    assert batch.has_partner.all()
    assert not torch.equal(batch.images, batch.partner.images)
    assert torch.equal(batch.condition.domain, batch.partner.condition.domain)


def test_the_same_pairs_again_and_no_others_in_their_place(
    teacher: Ager, tiny_set: Path, tmp_path: Path
) -> None:
    faces = FaceSet.open(tiny_set)
    first = make_pairs(teacher, [faces], tmp_path / "one", limit=5)
    second = make_pairs(teacher, [faces], tmp_path / "two", limit=5)
    assert first.table().equals(second.table())
    assert len(first) == 10
    with pytest.raises(UsageError, match="another folder"):
        make_pairs(teacher, [faces], tmp_path / "one", limit=6)
    # Nor pairs of an ager that has learned more, be it in weights that no checkpoint holds.
    teacher.model.nets.register_buffer("hair", torch.ones(1), persistent=False)
    with pytest.raises(UsageError, match="another folder"):
        make_pairs(teacher, [faces], tmp_path / "one", limit=5)


def test_pairs_are_made_of_faces_as_a_person_decided_on_them(
    teacher: Ager, tiny_set: Path, tmp_path: Path
) -> None:
    path = tmp_path / "faces"
    with SetWriter(path, name="faces", size=32, domains=FaceSet.open(tiny_set).meta.domains) as writer:
        for face in FaceSet.open(tiny_set).faces():
            writer.add(dataclasses.replace(face, verdict="drop", reason="blurred"))
    faces = FaceSet.open(path)
    face = next(face for face in faces.faces() if face.split == "train")
    kept = Decision(
        id=face.id, source=face.source, source_id=face.source_id, verdict="keep", labels={"age": 77.0}
    )
    faces.decisions.add(kept)
    pairs = make_pairs(teacher, [faces], tmp_path / "pairs")
    assert {face.verdict for face in pairs.faces()} == {"keep"}
    assert [face.age for face in pairs.faces() if not face.attributes.get(MADE)] == [77]


def test_an_ager_makes_no_pairs_of_a_domain_it_has_not_learned(tiny_set: Path, tmp_path: Path) -> None:
    other = Ager(build(from_table({"model": "mixed", "size": 32, "domains": ["painting"]})), name="other")
    with pytest.raises(UsageError, match="has not learned"):
        make_pairs(other, [FaceSet.open(tiny_set)], tmp_path / "pairs")


def test_an_ager_that_reads_nothing_makes_no_pairs(tiny_set: Path, tmp_path: Path) -> None:
    table = {
        "model": "caae",
        "size": 32,
        "width": 0.125,
        "domains": list(FaceSet.open(tiny_set).meta.domains),
    }
    with pytest.raises(UsageError, match="does not read faces"):
        make_pairs(Ager(build(from_table(table)), name="caae"), [FaceSet.open(tiny_set)], tmp_path / "pairs")


def test_a_training_without_pairs_says_how_to_make_them(
    tiny_set: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    bare = SetWriter(tmp_path / "bare", name="bare", size=32, domains=FaceSet.open(tiny_set).meta.domains)
    with bare as writer:
        for face in FaceSet.open(tiny_set).faces():
            writer.add(dataclasses.replace(face, view=None))
    said = fails("train", tmp_path / "bare", "size=32", "-o", tmp_path / "runs", code=2)
    assert "nenrin pairs" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("manga", [False, True])
def test_drawn_glasses_are_on_the_eyes_alone(manga: bool) -> None:
    people, views = sample_people(6, seed=1), sample_views(6, seed=1)
    none = np.zeros(6, np.int64)
    domain = "manga" if manga else "photo"
    bare = draw(people, np.full(6, 30.0), domain=domain, glasses=none, views=views, size=64).images
    kinds = np.array([0, 0, 1, 1, 2, 2])
    worn = wear(bare, kinds, manga=np.full(6, manga), seed=3)
    changed = (worn != bare).any(axis=3)
    assert not changed[:2].any()
    assert changed[2:, 20:40].mean() > 0.1
    assert not changed[:, 48:].any()
    assert not changed[:, :12].any()
    dark = bare[4:, 28:32, 20:26].mean() - worn[4:, 28:32, 20:26].mean()
    assert GLASSES[kinds[4]] == "dark"
    assert dark > 40

"""Judges: they learn from the judge split and nothing else, the same for a seed, and can read an age."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from nenrin.domains.array import FaceArray, pack
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.twins import build_twins, sample_people
from nenrin.eval import nets, stats
from nenrin.eval.identity import PixelEmbedder
from nenrin.eval.judges import CNNJudge, SVRJudge
from nenrin.eval.panel import Panel, check_apart, convene, label_panel, seat, split_faces
from nenrin.eval.subjects import Batch
from nenrin.eval.twin_embedder import TwinEmbedder, drawings
from nenrin.eval.verification import verify
from nenrin.ground import NenrinError


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceSet, FaceSet]:
    folder = tmp_path_factory.mktemp("twins")
    return build_twins(
        folder / "photo",
        folder / "manga",
        people=sample_people(110, seed=4),
        ages_per_person=4,
        size=48,
        seed=4,
    )


@pytest.fixture(scope="module")
def judge_faces(twins: tuple[FaceSet, FaceSet]) -> FaceArray:
    return pack(twins, size=48, splits=("judge",))


def _convene(sets: tuple[FaceSet, ...] | list[FaceSet], folder: Path, seed: int = 0) -> Panel:
    faces = split_faces(sets, size=48, split="judge")
    labels = label_panel(faces, folder, seed=seed, epochs=1)
    for attribute in ("glasses", "gender", "domain"):
        for domain in ("photo", "manga"):
            labels.of(attribute, domain)
    return convene(faces, embedder=PixelEmbedder(), folder=folder, seed=seed, epochs=1)


@pytest.fixture(scope="module")
def kept(twins: tuple[FaceSet, FaceSet], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the judges that seed 0 trains on `twins`. Read it, do not change it."""
    folder = tmp_path_factory.mktemp("judges")
    _convene(twins, folder)
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _rewritten(faces: FaceSet, path: Path, change: dict[str, dict[str, object]]) -> FaceSet:
    """The same set with fields of the faces of some splits changed; a split without an entry is left out."""
    with SetWriter(path, name=faces.meta.name, size=faces.meta.size, domains=faces.meta.domains) as writer:
        for face in faces.faces():
            if face.split in change:
                writer.add(dataclasses.replace(face, **change[face.split]))
    return FaceSet.open(path)


def test_judges_do_not_change_with_the_faces_of_other_splits(
    twins: tuple[FaceSet, FaceSet], kept: Path, tmp_path: Path
) -> None:
    """Every other face is given a wrong age or taken away: a single one that leaked would show.

    So would a draw that the seed does not decide, as all of them are trained anew.
    """
    changed = [
        _rewritten(one, tmp_path / one.path.name, {"judge": {}, "train": {"age": 90.0}, "val": {"age": 90.0}})
        for one in twins
    ]
    _convene(changed, tmp_path / "after")
    before = _files(kept)
    # Ages: a support vector judge for each domain and a network for both. Glasses, gender, domain: a network
    # for both, and for the first two a linear judge for each domain.
    assert len(before) == 3 + 1 + 4
    assert _files(tmp_path / "after") == before
    # That a judge face of another age does show proves that the comparison sees anything at all.
    other = _rewritten(
        twins[0], tmp_path / "other", {"judge": {"age": 90.0, "gender": None, "glasses": None}}
    )
    _convene([other], tmp_path / "of-other")
    assert not set(_files(tmp_path / "of-other")) & set(before)


def test_a_train_face_among_the_judges_own_stops_everything(
    twins: tuple[FaceSet, FaceSet], tmp_path: Path
) -> None:
    faces = pack(twins, size=48, splits=("judge", "train"))
    with pytest.raises(AssertionError, match="judge split alone"):
        seat(faces, embedder=None, folder=tmp_path, seed=0, epochs=1)
    with pytest.raises(AssertionError, match="judge split alone"):
        label_panel(faces, tmp_path, seed=0, epochs=1)


def test_judges_are_the_same_from_the_disk_and_others_for_another_seed(
    twins: tuple[FaceSet, FaceSet], judge_faces: FaceArray, kept: Path, tmp_path: Path
) -> None:
    images = nets.to_tensor(judge_faces.pixels[:20])

    def seated(folder: Path, seed: int = 0) -> Panel:
        return convene(judge_faces, embedder=PixelEmbedder(), folder=folder, seed=seed, epochs=1)

    before = _files(kept)
    opened, trained = seated(kept), seated(tmp_path / "again")
    assert _files(kept) == before
    for domain in ("photo", "manga"):
        for first, second in zip(opened.of(domain), trained.of(domain), strict=True):
            assert (first.name, first.key) == (second.name, second.key)
            torch.testing.assert_close(second.judge(images), first.judge(images), rtol=0, atol=0)
    other = CNNJudge.train(judge_faces, "CNN", "k", seed=1, epochs=1)
    assert trained.across is not None
    assert (other.judge(images) != trained.across.judge(images)).any()


def test_torn_judge_is_trained_again(twins: tuple[FaceSet, FaceSet], kept: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kept, tmp_path / "judges"))
    by_size = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)
    for path in (by_size[0], by_size[-1]):  # a network, and what has no network
        path.write_bytes(path.read_bytes()[:100])
    _convene(twins, folder)
    assert _files(folder) == _files(kept)


def test_judges_read_the_age(twins: tuple[FaceSet, FaceSet], judge_faces: FaceArray) -> None:
    test = pack(twins, size=48, splits=("test",))
    images = nets.to_tensor(np.asarray(test.pixels))
    network = CNNJudge.train(judge_faces, "CNN", "k", seed=0, epochs=12)
    machine = SVRJudge.train(judge_faces, "SVR", "k", embedder=None)
    for judge, least in ((network, 0.85), (machine, 0.85)):
        assert stats.spearman(test.age, judge.judge(images).numpy()) > least


def test_support_vector_judge_is_scikit_learns(judge_faces: FaceArray) -> None:
    from sklearn.svm import SVR

    from nenrin.eval.judges import _features

    judge = SVRJudge.train(judge_faces, "SVR", "k", embedder=PixelEmbedder())
    a = judge.tensors()
    images = nets.to_tensor(np.asarray(judge_faces.pixels))
    vectors = PixelEmbedder().embed(images).numpy()
    z = (_features(images, vectors) - a["mean"]) / a["scale"] @ a["axes"]
    machine = SVR(C=30, epsilon=2, gamma=float(a["gamma"][0])).fit(z, judge_faces.age)
    expected = machine.predict(z).clip(0, 100)
    np.testing.assert_allclose(judge.judge(images).numpy(), expected, atol=0.01)


def test_too_few_faces_seat_nobody_and_say_so(twins: tuple[FaceSet, FaceSet], tmp_path: Path) -> None:
    for change, note in (
        ({"train": {}}, "no face is in the judge split"),
        ({"judge": {"age": None, "age_source": None}}, "0 faces of known age in the judge split"),
    ):
        faces = _rewritten(twins[0], tmp_path / note[:2], change)
        panel = _convene([faces], tmp_path / "judges")
        assert panel.of("photo") == []
        assert note in panel.notes[0]


def test_a_domain_with_few_ages_is_judged_by_the_others_and_that_is_said(
    twins: tuple[FaceSet, FaceSet], tmp_path: Path
) -> None:
    ageless = _rewritten(twins[1], tmp_path / "manga", {"judge": {"age": None, "age_source": None}})
    panel = _convene([twins[0], ageless], tmp_path / "judges")
    assert [judge.name for judge in panel.of("manga")] == ["CNN (photo)"]
    assert "manga: 0 faces of known age" in panel.notes[0]


def _ids(faces: FaceSet, split: str) -> list[str]:
    table = faces.table(["id", "split"]).to_pydict()
    return [id_ for id_, side in zip(table["id"], table["split"], strict=True) if side == split]


def test_labels_are_learned_in_the_words_of_the_judges_own_faces(
    judge_faces: FaceArray, tmp_path: Path
) -> None:
    """A set beside them that has no judge split, such as of one artist, changes nothing."""
    manga = judge_faces.select(judge_faces.domain == judge_faces.domains.index("manga"))
    beside = dataclasses.replace(manga, domain=manga.domain + 1, domains=("photo", "painting", "manga"))
    alone, more = (label_panel(faces, tmp_path, seed=0, epochs=1).faces for faces in (manga, beside))
    assert alone is not None
    assert more is not None
    assert alone.domains == more.domains == ("manga",)
    assert (alone.domain == more.domain).all()


@pytest.mark.parametrize("split", ["judge", "test"])
def test_an_ager_that_saw_a_face_it_is_judged_by_is_refused(
    twins: tuple[FaceSet, FaceSet], split: str
) -> None:
    check_apart(twins, {"honest": _ids(twins[0], "train")})
    seen = [*_ids(twins[0], "train"), _ids(twins[1], split)[0]]
    with pytest.raises(NenrinError, match="cheat was trained on 1 faces and 1 persons of the judge and test"):
        check_apart(twins, {"honest": _ids(twins[0], "train"), "cheat": seen})


def test_an_ager_that_saw_a_person_it_is_judged_by_is_refused(
    twins: tuple[FaceSet, FaceSet], tmp_path: Path
) -> None:
    # The other set has the same people on the other side: no face is shared, every person is.
    moved = _rewritten(twins[1], tmp_path / "manga", {"test": {"split": "train"}})
    people = {face.identity for face in moved.faces()}
    with pytest.raises(NenrinError, match=rf"on 0 faces and {len(people)} persons"):
        check_apart([twins[0], moved], {"cheat": _ids(moved, "train")})


def test_rejected_faces_do_not_count(tmp_path: Path, twins: tuple[FaceSet, FaceSet]) -> None:
    dropped = _rewritten(twins[0], tmp_path / "photo", {"test": {"verdict": "drop"}})
    check_apart([dropped], {"ager": _ids(dropped, "test")})


def test_twin_embedder_knows_people_it_never_saw(tmp_path: Path) -> None:
    pixels, person = drawings(40, 6, seed=99)
    # `drawings` gives the part that the embedder crops: set it back into a whole face.
    size = round(nets.SIZE / nets.FACE[2])
    whole = np.full((len(pixels), size, size, 3), 128, np.uint8)
    left, top = round(nets.FACE[0] * size), round(nets.FACE[1] * size)
    whole[:, top : top + nets.SIZE, left : left + nets.SIZE] = pixels
    net = TwinEmbedder.kept(tmp_path, epochs=1)
    vectors = net.embed(nets.to_tensor(whole))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(whole)))
    known = {"person": person.astype(str), "age": np.full(len(person), 30.0, np.float32)}
    faces = dataclasses.replace(Batch.empty(8), **known)
    found = verify(vectors.numpy(), faces, seed=0, resamples=100)
    assert found.auc.low > 0.7  # across ages, views and both domains, after a quarter of its training
    again = TwinEmbedder.kept(tmp_path, epochs=1)  # from the disk
    torch.testing.assert_close(again.embed(nets.to_tensor(whole)), vectors, rtol=0, atol=0)
    # The one that is shipped has had all of it, and trains nothing.
    shipped = TwinEmbedder.kept(tmp_path / "nowhere").embed(nets.to_tensor(whole))
    assert verify(shipped.numpy(), faces, seed=0, resamples=100).auc.low > max(0.8, found.auc.value)
    assert not (tmp_path / "nowhere").exists()

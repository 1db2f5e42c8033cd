"""The prototype ager: mean faces of drawn people, whose ageing is known, and the change they make."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nenrin.domains.array import FaceArray, pack
from nenrin.domains.face import GENDERS
from nenrin.domains.faceset import FaceSet
from nenrin.domains.twins import build_twins, sample_people
from nenrin.ground import UsageError
from nenrin.models.ageing import ageing
from nenrin.models.ager import Ager
from nenrin.models.condition import Condition
from nenrin.models.config import build, from_table, resolve
from nenrin.models.data import conditions, load
from nenrin.models.export import compact
from nenrin.models.means import MeanFaces
from nenrin.models.mixed import MixedAger
from nenrin.models.prototypes import Prototypes
from nenrin.models.run import Run
from nenrin.models.train import resume, train

SIZE = 32
VIEWS = 960  # from which faces are registered here


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceSet, FaceSet]:
    folder = tmp_path_factory.mktemp("prototypes")
    people = sample_people(60, seed=0)
    return build_twins(
        folder / "photo", folder / "manga", people=people, ages_per_person=4, size=SIZE, seed=0, workers=0
    )


@pytest.fixture(scope="module")
def run(sets: tuple[FaceSet, FaceSet], tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = resolve("prototypes", None, [f"size={SIZE}", f"views={VIEWS}"])
    return train(config, sets, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def model(run: Path) -> Prototypes:
    fitted = Ager.load(run).model
    assert isinstance(fitted, Prototypes)
    return fitted


def at(source: Condition, years: float) -> Condition:
    return source.replace(age=torch.full_like(source.age, years))


def _of(source: Condition, domain: int) -> Condition:
    return source.replace(domain=torch.full_like(source.domain, domain))


def mean_of(faces: FaceArray, chosen: np.ndarray) -> torch.Tensor:
    rows = np.flatnonzero(chosen)
    return load(faces, rows, np.zeros(len(rows), bool))[0].mean(0)


def test_a_run_like_any_other(run: Path) -> None:
    folder = Run.open(run)
    assert folder.latest() == folder.checkpoint(1)
    assert all(
        torch.isfinite(value).all() for value in load_file(folder.latest() / "nets.safetensors").values()
    )
    assert (run / "metrics.jsonl").read_text().count("\n") == 1
    assert (run / "samples" / "0000001.png").is_file()
    assert resume(run) == run


def test_an_interrupted_fit_leaves_no_run(
    sets: tuple[FaceSet, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nenrin.models.prototypes.train_registration", interrupt)
    with pytest.raises(KeyboardInterrupt, match="nothing is kept"):
        train(resolve("prototypes", None, [f"size={SIZE}"]), sets, tmp_path)
    assert not list(tmp_path.iterdir())


def test_means_are_of_the_group_they_name(sets: tuple[FaceSet, FaceSet], model: Prototypes) -> None:
    faces = pack(sets, size=SIZE, splits=["train"])
    old = torch.tensor([70.0])
    for domain, gender in ((0, 0), (1, 1)):
        picture, *_ = model.nets["means"](old, torch.tensor([domain]), torch.tensor([gender]))
        near = (faces.domain == domain) & (abs(faces.age - 70) < 12)
        own = mean_of(faces, near & (faces.gender == gender))
        others = (mean_of(faces, (faces.domain != domain)), mean_of(faces, near & (faces.gender != gender)))
        upright = (picture[0] + picture[0].flip(-1)) / 2
        distances = [(upright - (each + each.flip(-1)) / 2).abs().mean() for each in (own, *others)]
        assert distances[0] == min(distances), (GENDERS[gender], distances)


def test_own_age_leaves_the_face_and_another_moves_it_there(
    sets: tuple[FaceSet, FaceSet], model: Prototypes
) -> None:
    faces = pack(sets[:1], size=SIZE, splits=["train"])
    rows = np.flatnonzero((faces.age > 10) & (faces.age < 30))[:32]
    images, _ = load(faces, rows, np.zeros(len(rows), bool))
    source = conditions(faces, rows)
    torch.testing.assert_close(model.transform(images, source, source), images, atol=1e-4, rtol=0)
    aged = model.transform(images, source, source.replace(age=torch.full_like(source.age, 80)))
    truth = mean_of(faces, faces.age > 70)
    before, after = ((each.mean(0) - truth).square().mean() for each in (images, aged))
    assert after < 0.6 * before


def test_the_change_is_the_same_at_twice_the_resolution(
    sets: tuple[FaceSet, FaceSet], model: Prototypes
) -> None:
    faces = pack(sets[:1], size=SIZE, splits=["train"])
    images, _ = load(faces, np.arange(4), np.zeros(4, bool))
    source = conditions(faces, np.arange(4))
    change = model.change(images, source, source.replace(age=torch.full_like(source.age, 80)))
    large = torch.nn.functional.interpolate(images, scale_factor=2, mode="bicubic", antialias=True)
    small = torch.nn.functional.interpolate(
        change.apply(large), scale_factor=0.5, mode="bilinear", antialias=True
    )
    assert (small - change.apply(images)).abs().mean() < 0.25 * (change.apply(images) - images).abs().mean()


def test_ages_are_read_off_faces_not_seen(sets: tuple[FaceSet, FaceSet], model: Prototypes) -> None:
    faces = pack(sets, size=SIZE, splits=["val", "test", "judge"])
    rows = np.arange(len(faces))
    read = model.estimate(load(faces, rows, np.zeros(len(rows), bool))[0])
    assert (read.domain.numpy() == faces.domain).mean() > 0.95
    assert np.corrcoef(read.age.numpy(), faces.age)[0, 1] > 0.7


def test_what_is_around_a_face_is_not_read(sets: tuple[FaceSet, FaceSet], model: Prototypes) -> None:
    """Where the pixels of tight pictures end would tell their source, and with the source the age."""
    faces = pack(sets, size=SIZE, splits=["val"])
    images, _ = load(faces, np.arange(len(faces)), np.zeros(len(faces), bool))
    tight = images.clone()
    for edge in (tight[:, :, :7], tight[:, :, -1:], tight[..., :4], tight[..., -4:]):
        edge.zero_()
    assert not torch.equal(tight, images)
    read, whole = model.estimate(tight), model.estimate(images)
    torch.testing.assert_close(read.age, whole.age)
    assert torch.equal(read.domain, whole.domain)


def test_a_domain_without_ages_borrows_them(sets: tuple[FaceSet, FaceSet]) -> None:
    faces = pack(sets, size=SIZE, splits=["train"])
    faces = dataclasses.replace(faces, age=np.where(faces.domain == 1, np.nan, faces.age).astype(np.float32))
    model = build(
        from_table({"model": "prototypes", "size": SIZE, "domains": list(faces.domains), "views": 0})
    )
    assert isinstance(model, Prototypes)
    model.fit(faces)
    ages, everybody = torch.tensor([10.0, 70.0]), torch.tensor([2, 2])
    changes = [
        torch.diff(model.nets["means"](ages, torch.full((2,), domain), everybody)[0], dim=0)
        for domain in range(2)
    ]
    torch.testing.assert_close(*changes, atol=5e-3, rtol=0)


def test_borrowed_ageing_is_of_shape_alone(sets: tuple[FaceSet, FaceSet], model: Prototypes) -> None:
    faces = pack(sets, size=SIZE, splits=["train"])
    faces = dataclasses.replace(faces, age=np.where(faces.domain == 1, np.nan, faces.age).astype(np.float32))
    table = {"model": "prototypes", "size": SIZE, "domains": list(faces.domains), "views": VIEWS}
    borrower = build(from_table(table))
    assert isinstance(borrower, Prototypes)
    borrower.fit(faces)
    images, source = torch.zeros(2, 3, SIZE, SIZE), Condition.of(2, domains=faces.domains, age=10.0)
    source = source.replace(domain=torch.tensor([0, 1]))
    change = borrower.change(images, source, source.replace(age=torch.full((2,), 70.0)))
    assert change.shade[0].abs().max() > 0.02 and not change.shade[1].any()
    assert change.flow[1].abs().max() > 0.01


def test_a_face_alone_keeps_its_colour_and_what_is_around_it(model: Prototypes) -> None:
    means = model.nets["means"]
    assert isinstance(means, MeanFaces)
    words = torch.tensor([5.0]), torch.tensor([80.0]), torch.tensor([0]), torch.tensor([0])
    tinted, plain = (means.difference(*words, whole=whole).shade for whole in (True, False))
    assert tinted.mean((2, 3)).abs().max() > 0.02
    assert plain.mean((2, 3)).abs().max() < 0.1 * tinted.mean((2, 3)).abs().max()
    assert plain.abs().max() > 0.1 and not plain[..., :3].any()  # no wall beside it


def test_the_mixed_ager_begins_with_their_change(
    run: Path, sets: tuple[FaceSet, FaceSet], tmp_path: Path
) -> None:
    words = [f"size={SIZE}", "width=8", "pictures=8", "batch=4", "watch_every=0", "learning_rate=0.0"]
    words += ["shapes=1.0", "details=1.0", "elsewhere=1.0", "children=1.0", "near=1.0", "colours=1.0"]
    with pytest.raises(UsageError, match="means=runs/"):
        train(resolve("mixed", None, [*words, "prototypes=0.5"]), sets, tmp_path)
    begun = train(resolve("mixed", None, [*words, "prototypes=0.5", f"means={run}"]), sets, tmp_path)
    assert set(Run.open(run).seen()) <= set(Run.open(begun).seen())
    compact(Ager.load(begun), tmp_path / "small")
    ager = Ager.load(tmp_path / "small").model  # which needs the run of the mean faces no more
    assert isinstance(ager, MixedAger) and not ager.config.means
    faces = pack(sets[:1], size=SIZE, splits=["train"])
    images, _ = load(faces, np.arange(4), np.zeros(4, bool))
    source = conditions(faces, np.arange(4))
    target = source.replace(age=torch.full((4,), 5.0))
    means = ager.nets["means"]
    assert isinstance(means, MeanFaces)
    expected = ageing(ager.nets, ager.config, images, source, target)
    assert expected is not None
    aged = ager.transform(images, source, target)
    torch.testing.assert_close(aged, expected.apply(images).clamp(-1, 1), atol=1e-2, rtol=0)
    assert (aged - images).abs().mean() > 0.005

    # Whatever a net has learned: ages that are left to the mean faces are theirs, and glasses are its own.
    with torch.no_grad():
        for weight in ager.nets["average"].parameters():
            weight.normal_(0, 0.05)
    ager.config.net_ages = False
    bare = source.replace(glasses=torch.zeros_like(source.glasses))
    torch.testing.assert_close(
        ager.transform(images, bare, target.replace(glasses=bare.glasses)),
        expected.apply(images).clamp(-1, 1),
        atol=1e-5,
        rtol=0,
    )
    worn = target.replace(glasses=torch.full_like(source.glasses, 2))
    assert (ager.transform(images, bare, worn) - expected.apply(images).clamp(-1, 1)).abs().mean() > 0.01
    # Of whom nothing else is asked comes out the same, alone or beside those who are to wear glasses.
    some = worn.replace(glasses=torch.tensor([0, 2, 0, 2]))
    alone = ager.transform(images[::2], bare[::2], some[::2])
    torch.testing.assert_close(ager.transform(images, bare, some)[::2], alone, atol=1e-4, rtol=0)
    # Less of it in the domain with fewer ages, as much as ever in the other.
    ager.config.shapes = 0.0  # with nothing moved, a share of the rest is just that
    main = int(means.main)
    for domain, share in ((main, 1.0), (1 - main, 0.5)):
        drawn = source.replace(domain=torch.full((4,), domain))
        details = []
        for ager.config.elsewhere in (1.0, 0.5):
            details.append(ager.change(images, drawn, drawn.replace(age=target.age)).detail)
        torch.testing.assert_close(details[1], share * details[0])
    # Likewise from and to a child, less with every year that the younger of both has.
    for own, years, share in ((3.0, 60.0, 0.5), (60.0, 3.0, 0.5), (15.0, 60.0, 0.75), (30.0, 80.0, 1.0)):
        one, other = (bare.replace(age=torch.full((4,), age)) for age in (own, years))
        details = []
        for ager.config.children in (1.0, 0.5):
            details.append(ager.change(images, one, other).detail)
        torch.testing.assert_close(details[1], share * details[0])
    ager.config.children, ager.config.elsewhere = 1.0, 1.0
    # And of what is near the own age, more with every year further away.
    grown = bare.replace(age=torch.full((4,), 30.0))
    for years, share in ((35.0, 0.5), (55.0, 0.75), (80.0, 1.0)):
        asked = grown.replace(age=torch.full((4,), years))
        details = []
        for ager.config.near in (1.0, 0.5):
            details.append(ager.change(images, grown, asked).detail)
        torch.testing.assert_close(details[1], share * details[0])
    ager.config.near = 1.0
    still, moved = (
        ager.change(images, bare, target.replace(glasses=bare.glasses)) for ager.config.shapes in (0.0, 1.0)
    )
    assert not still.flow.any() and moved.flow.abs().max() > 0.01
    # What makes a child is its shape: a share of the colours is left, and all that moves.
    flows, shades = [], []
    for ager.config.children in (1.0, 0.5):
        change = ager.change(images, grown, at(grown, 5.0))
        flows.append(change.flow)
        shades.append(change.shade)
    torch.testing.assert_close(flows[0], flows[1])
    assert 0.4 < shades[1].abs().mean() / shades[0].abs().mean() < 0.6
    ager.config.children = 1.0
    # But a share of both is left near the own age, and in a domain with fewer ages.
    for setting, source_, years in (("near", grown, 35.0), ("elsewhere", _of(grown, 1 - main), 80.0)):
        flows = []
        for share in (1.0, 0.5):
            setattr(ager.config, setting, share)
            flows.append(ager.change(images, source_, at(source_, years)).flow)
        setattr(ager.config, setting, 1.0)
        assert flows[1].abs().mean() < 0.7 * flows[0].abs().mean()
    ager.config.most = 0.05  # nothing becomes lighter or darker by more
    less = ager.change(images, bare, target.replace(glasses=bare.glasses))
    assert less.shade.abs().max() <= 0.05 < moved.shade.abs().max()
    ager.config.net_ages, ager.config.most = True, 0.4
    assert (ager.transform(images, source, target) - expected.apply(images).clamp(-1, 1)).abs().mean() > 0.01


def test_faces_without_any_age_are_refused(sets: tuple[FaceSet, FaceSet]) -> None:
    faces = pack(sets[:1], size=SIZE, splits=["train"])
    nameless = dataclasses.replace(faces, age=np.full(len(faces), np.nan, np.float32))
    model = build(from_table({"model": "prototypes", "size": SIZE, "domains": ["photo"], "views": 0}))
    assert isinstance(model, Prototypes)
    with pytest.raises(UsageError, match="known age"):
        model.fit(nameless)


def test_glasses_are_no_part_of_age(sets: tuple[FaceSet, FaceSet], tmp_path: Path) -> None:
    faces = pack(sets[:1], size=SIZE, splits=["train"])
    old_wear = dataclasses.replace(faces, glasses=(faces.age > 50).astype(np.int64))
    table = {"model": "mixed", "size": SIZE, "domains": list(faces.domains), "net_ages": False}
    pen = build(from_table(table))
    with torch.no_grad():  # a net that takes off glasses by painting everything red
        for weight in pen.nets["average"].parameters():
            weight.zero_()
        pen.nets["average"].net.head[-1].bias[:4] = 1.0
    run = tmp_path / "pen"
    compact(Ager(pen, name="pen"), run)
    plain, bare = (
        build(
            from_table(
                {
                    "model": "prototypes",
                    "size": SIZE,
                    "domains": list(faces.domains),
                    "views": 0,
                    "bare": path,
                }
            )
        )
        for path in ("", str(run))
    )
    for model in (plain, bare):
        assert isinstance(model, Prototypes)
        model.fit(old_wear)
    pictures = [model.nets["means"].pictures[0, -1].float() for model in (plain, bare)]
    young, old = (pictures[1] - pictures[0])[[2, 14]]  # at 10 and at 70
    assert young.abs().max() < 0.05
    assert old[0].mean() > 0.2  # red
    other = build(
        from_table({"model": "prototypes", "size": 16, "domains": ["photo"], "views": 0, "bare": str(run)})
    )
    assert isinstance(other, Prototypes)
    with pytest.raises(UsageError, match=f"is of {SIZE} px and photo, not of 16 px"):
        other.fit(pack(sets[:1], size=16, splits=["train"]))


def test_prototypes_take_off_no_glasses(sets: tuple[FaceSet, FaceSet], run: Path, tmp_path: Path) -> None:
    words = [f"size={SIZE}", "views=0", f"bare={run}"]
    with pytest.raises(UsageError, match="is of --model prototypes, which takes off no glasses"):
        train(resolve("prototypes", None, words), sets, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_reader_of_an_older_make_is_refused_and_its_mean_faces_serve(
    run: Path, sets: tuple[FaceSet, FaceSet], tmp_path: Path
) -> None:
    old = Path(shutil.copytree(run, tmp_path / "old"))
    file = Run.open(old).latest() / "nets.safetensors"
    nets = load_file(file)
    del nets["reader.version"]
    save_file(nets, file)
    with pytest.raises(UsageError, match="a reader of an older make: train --model prototypes again"):
        Ager.load(old)
    words = [f"size={SIZE}", "width=8", "pictures=4", "batch=4", "prototypes=0.5", f"means={old}"]
    ager = Ager.load(train(resolve("mixed", None, words), sets, tmp_path / "runs")).model
    torch.testing.assert_close(ager.nets["means"].pictures, nets["means.pictures"])

"""The protocols put to agers whose answers are known: floors at 0, the truth at 1, nothing measured twice."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nenrin.domains.align import OUTSIDE
from nenrin.domains.array import pack
from nenrin.domains.twins import build_twins, sample_people
from nenrin.domains.twins.drawing import draw
from nenrin.domains.twins.people import sample_views
from nenrin.eval import metrics, nets
from nenrin.eval.baselines import BANDWIDTH, CopyAger, MeanFaceAger
from nenrin.eval.bench import Bench, Contender
from nenrin.eval.features import READ, FeatureStore
from nenrin.eval.identity import PixelEmbedder
from nenrin.eval.panel import Panel
from nenrin.eval.perceptual import UnweightedMTCNN
from nenrin.eval.protocols.ages import Ages
from nenrin.eval.protocols.asked import choose
from nenrin.eval.protocols.longitudinal import GAP, NEAR, PAIRS, Longitudinal, _pairs
from nenrin.eval.protocols.towards import Task, compare
from nenrin.eval.protocols.twins import Twins
from nenrin.eval.results import Result, Score
from nenrin.eval.subjects import Batch, Role, Subject, age_faces, asked_of
from nenrin.ground import NenrinError
from nenrin.models.condition import UNKNOWN, Condition

SIZE = 48


class Brightness:
    """A judge that reads years off the mean brightness, and an ager that paints them there."""

    name = key = "brightness"
    size = SIZE
    domains = ("photo", "manga")

    def judge(self, images: Tensor) -> Tensor:
        return (images.mean((1, 2, 3)) + 1) * 50

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        return Condition.of(len(images), domains=self.domains)

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        return (target.age / 50 - 1).view(-1, 1, 1, 1).expand_as(images)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """The test faces of 40 people, at 6 ages each, in both domains."""
    folder = tmp_path_factory.mktemp("twins")
    sets = build_twins(
        folder / "photo",
        folder / "manga",
        people=sample_people(40, seed=4),
        ages_per_person=6,
        size=SIZE,
        seed=4,
    )
    return Batch.of(pack(sets, size=SIZE))


def _bench(faces: Batch, folder: Path, agers: Sequence[Subject] = (), *, judged: bool = True) -> Bench:
    judge = Brightness()
    roles: dict[str, Role] = {"copy": "floor"}
    return Bench(
        contenders=[Contender(subject=a, role=roles.get(a.name, "ager")) for a in (*agers, CopyAger(SIZE))],
        faces=faces,
        panel=Panel(across=judge if judged else None, own={}, notes=[]),
        embedders=[PixelEmbedder()],
        perceptual=UnweightedMTCNN(),
        store=FeatureStore(folder),
        size=SIZE,
        people=12,
        shown=2,
        seed=0,
        resamples=100,
    )


def _by(result: Result, **wanted: str) -> list[Score]:
    return [s for s in result.scores if all(getattr(s, k) == v for k, v in wanted.items())]


def test_ages_of_an_ager_that_paints_the_age(faces: Batch, tmp_path: Path) -> None:
    result = Ages().run(_bench(faces, tmp_path, [Brightness()]))
    for domain in ("photo", "manga"):
        (error,) = _by(result, domain=domain, subject="brightness", metric=metrics.AGE_ERROR)
        (rank,) = _by(result, domain=domain, subject="brightness", metric=metrics.RANK)
        assert error.estimate.value < 0.3  # a level of grey is 0.4 years
        assert rank.estimate.value == 1.0
        (slope,) = _by(result, domain=domain, subject="brightness", metric=metrics.SLOPE)
        assert slope.estimate.value == pytest.approx(1.0, abs=0.01)
        (none,) = _by(result, domain=domain, subject="copy", metric=metrics.SLOPE)
        assert none.estimate.value == pytest.approx(0.0, abs=1e-9)
        (ignored,) = _by(result, domain=domain, subject="copy", metric=metrics.RANK)
        assert (ignored.estimate.value, ignored.estimate.low, ignored.estimate.high) == (0, 0, 0)
        (same,) = _by(result, domain=domain, subject="copy", metric=metrics.SAME)
        assert same.estimate.value == 1.0
        (similar,) = _by(result, domain=domain, subject="copy", metric=metrics.SIMILARITY)
        assert similar.estimate.value == pytest.approx(1.0)
        (own,) = _by(result, domain=domain, role="ceiling", metric=metrics.AGE_ERROR)
        known = faces.take(faces.domain == domain)
        judged = (nets.to_tensor(known.pixels).mean((1, 2, 3)).numpy() + 1) * 50
        assert own.estimate.value == pytest.approx(np.abs(judged - known.age).mean(), abs=0.01)
        assert own.estimate.n == len(known)
        (ratio,) = _by(result, domain=domain, subject="brightness", metric=metrics.AGE_RATIO)
        assert ratio.estimate.value == pytest.approx(error.estimate.value / own.estimate.value)
    assert {curve.subject for curve in result.curves} == {"brightness", "copy"}
    assert sum(strip.worst for strip in result.strips) == 4  # in age and identity, in two domains
    assert sum(not strip.worst for strip in result.strips) == 4


def test_ages_without_a_judge_or_without_ages_say_so_and_go_on(faces: Batch, tmp_path: Path) -> None:
    result = Ages().run(_bench(faces, tmp_path, judged=False))
    assert "photo: no judge could be trained, so no age is read" in result.notes
    assert _by(result, metric=metrics.SAME, subject="copy")
    unknown = dataclasses.replace(faces, age=np.full(len(faces), np.nan, np.float32))
    result = Ages().run(_bench(unknown, tmp_path))
    assert any("no test face has an age" in note for note in result.notes)
    assert not _by(result, metric=metrics.SAME, subject="copy")  # nobody knows which ages are near


def test_a_few_known_ages_come_first_and_exclude_nobody(faces: Batch) -> None:
    manga = faces.take(faces.domain == "manga")
    people = np.unique(manga.person)

    def of(known: int) -> tuple[Batch, np.ndarray]:
        age = np.where(np.isin(manga.person, people[:known]), manga.age, np.nan).astype(np.float32)
        some = dataclasses.replace(manga, age=age)
        return some, choose(some, 12, 0)

    few, chosen = of(3)
    assert len(set(few.person[chosen])) == 12
    assert np.isfinite(few.age[chosen]).tolist() == [True] * 3 + [False] * 9
    # As many as are asked for: nobody of unknown age among them, and the choice that it is without the rest.
    enough, chosen = of(20)
    alone = enough.take(np.isfinite(enough.age))
    assert enough.picture[chosen].tolist() == alone.picture[choose(alone, 12, 0)].tolist()


def test_one_face_or_none(faces: Batch, tmp_path: Path) -> None:
    result = Ages().run(_bench(faces.take([0]), tmp_path))
    (score,) = _by(result, metric=metrics.RANK, subject="copy")
    assert score.estimate.n == 1
    for protocol in (Ages(), Longitudinal()):
        with pytest.raises(NenrinError, match="test"):
            protocol.run(_bench(Batch.empty(SIZE), tmp_path))


def test_people_without_names_are_each_their_own(faces: Batch, tmp_path: Path) -> None:
    nameless = dataclasses.replace(faces, person=np.array([f"face/{i}" for i in range(len(faces))]))
    result = Ages().run(_bench(nameless, tmp_path))
    (ceiling,) = _by(result, domain="photo", metric=metrics.AUC, role="ceiling")
    assert not ceiling.estimate.defined  # nobody has two pictures
    with pytest.raises(NenrinError, match="no test person has three pictures of known age"):
        Longitudinal().run(_bench(nameless, tmp_path))


def test_pairs_are_what_the_method_says(faces: Batch) -> None:
    photos = faces.take(faces.domain == "photo")
    for direction in (1, -1):
        rows = _pairs(photos, direction, 1000, 0)
        source, truth, second = (photos.take(rows[:, i]) for i in range(3))
        assert (source.person == truth.person).all()
        assert (source.person == second.person).all()
        assert (direction * (truth.age - source.age) >= GAP).all()
        assert (np.abs(truth.age - second.age) <= NEAR).all()
        assert all(len(set(row)) == 3 for row in rows.tolist())
        assert np.unique(source.person, return_counts=True)[1].max() <= PAIRS
        np.testing.assert_array_equal(rows, _pairs(photos, direction, 1000, 0))
        assert len(set(photos.person[_pairs(photos, direction, 5, 0)[:, 0]])) == 5


@pytest.mark.parametrize("protocol", [Longitudinal(), Twins()])
def test_recovery_is_0_for_copy_and_1_for_the_ceiling(
    protocol: Longitudinal | Twins, faces: Batch, tmp_path: Path
) -> None:
    result = protocol.run(_bench(faces, tmp_path))
    cases = {(s.domain, s.case) for s in result.scores}
    assert len(cases) == (4 if isinstance(protocol, Longitudinal) else 8)
    for domain, case in cases:
        for metric in (metrics.IDENTITY_RECOVERY, metrics.PERCEPTUAL_RECOVERY):
            (copy,) = _by(result, domain=domain, case=case, metric=metric, subject="copy")
            (ceiling,) = _by(result, domain=domain, case=case, metric=metric, role="ceiling")
            if ceiling.estimate.defined:
                assert (copy.estimate.value, ceiling.estimate.value) == pytest.approx((0, 1))
        (gain,) = _by(result, domain=domain, case=case, metric=metrics.GAIN, subject="copy")
        assert gain.estimate.value == 0
    exact = [s for s in result.scores if s.case.endswith("same view") and s.metric == metrics.DISTANCE]
    assert all(s.estimate.value < 1e-6 for s in exact if s.role == "ceiling")
    assert all(s.estimate.value > 0.01 for s in exact if s.subject == "copy")


def _drawn(ages_: np.ndarray, seed: int) -> Batch:
    n = len(ages_)
    people, views = sample_people(n, seed=5), sample_views(n, seed=seed)
    pixels = draw(people, ages_, domain="photo", glasses=np.zeros(n, np.int64), views=views, size=SIZE).images
    return Batch.drawn(pixels, age=ages_, domain="photo", person=[str(i) for i in range(n)])


def test_an_ager_half_way_there_recovers_part_and_one_that_leads_away_less_than_nothing(
    tmp_path: Path,
) -> None:
    young, old = (np.full(10, age, np.float32) for age in (8, 70))
    task = Task(
        domain="photo",
        case="",
        inputs=_drawn(young, 1),
        references=_drawn(old, 1),
        seconds=_drawn(old, 1),
    )
    bench = _bench(Batch.empty(SIZE), tmp_path)
    half = ((task.inputs.pixels.astype(int) + task.references.pixels) // 2).astype(np.uint8)
    outputs = {"copy": task.inputs.pixels, "half": half, "away": 255 - task.inputs.pixels}
    bench.contenders = [
        Contender(subject=_Named(name), role="floor" if name == "copy" else "ager") for name in outputs
    ]
    result = Result(protocol="twins", question="", method="")
    compare(bench, result, task, outputs)
    found = {s.subject: s.estimate for s in _by(result, metric=metrics.PERCEPTUAL_RECOVERY)}
    assert 0.05 < found["half"].low <= found["half"].high < 1
    assert found["away"].high < 0


class _Named(Brightness):
    def __init__(self, name: str) -> None:
        self.name = name


def test_pixels_that_a_picture_does_not_have_do_not_count(tmp_path: Path) -> None:
    a = _drawn(np.full(2, 30, np.float32), 1).pixels
    b = a.copy()
    b[:, :10] = 0
    seen = np.full(a.shape[:3], 255, np.uint8)
    seen[:, :10] = 0
    bench = _bench(Batch.empty(SIZE), tmp_path)
    assert (bench.distance(a, b) > 0.001).all()
    assert (bench.distance(a, b, seen) < 1e-6).all()


def test_features_are_extracted_once(faces: Batch, tmp_path: Path) -> None:
    calls = []

    def extract(images: Tensor) -> Tensor:
        calls.append(len(images))
        return images.mean((2, 3))

    some = faces.pixels[:150]
    first = FeatureStore(tmp_path).get("mean", extract, some)
    again = FeatureStore(tmp_path).get("mean", extract, some.copy())  # another process, the same pictures
    np.testing.assert_array_equal(again, first)
    assert sum(calls) == 150
    FeatureStore(tmp_path).get("other", extract, some)
    FeatureStore(tmp_path).get("mean", extract, some[::-1])
    assert sum(calls) == 450


def test_interrupted_features_go_on_at_the_chunk_they_were_at(faces: Batch, tmp_path: Path) -> None:
    some, calls = faces.pixels[:450], []

    def extract(images: Tensor) -> Tensor:
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return images.mean((2, 3))

    with pytest.raises(KeyboardInterrupt):
        FeatureStore(tmp_path).get("mean", extract, some)
    made = FeatureStore(tmp_path).get("mean", extract, some)
    assert calls == [READ, READ, READ, READ, 450 - 3 * READ]  # the third chunk twice, the others once
    np.testing.assert_array_equal(made, np.load(next(tmp_path.glob("*.npy"))))
    np.testing.assert_allclose(made, nets.to_tensor(some).mean((2, 3)).numpy(), atol=1e-6)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]  # the parts are gone


BESIDE = """
import sys, time
from pathlib import Path
import numpy as np
from nenrin.eval.features import FeatureStore

folder, numbers = Path(sys.argv[1]), np.arange(200)

def slowly(rows):
    if rows.start == 128:
        (folder / "waiting").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
    return numbers[rows] * 2

made = FeatureStore(folder / "cache").outputs("key", [numbers], slowly, "twice")
assert (made == numbers * 2).all()
"""


def test_two_evaluations_share_a_cache(tmp_path: Path) -> None:
    """One is at the third chunk when the other ends, and takes the parts away."""
    numbers, calls = np.arange(200), []

    def twice(rows: slice) -> np.ndarray:
        calls.append(rows.start)
        return numbers[rows] * 2

    root = Path(__file__).resolve().parents[1]
    other = subprocess.Popen(
        [sys.executable, "-c", BESIDE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "waiting").exists():
        assert other.poll() is None, other.communicate()
        time.sleep(0.01)
    made = FeatureStore(tmp_path / "cache").outputs("key", [numbers], twice, "twice")
    (tmp_path / "go").touch()
    _, said = other.communicate(timeout=60)
    assert other.returncode == 0, said
    np.testing.assert_array_equal(made, numbers * 2)
    assert calls == [128, 192]  # the others lay there
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npy"]


def test_mean_face_is_the_mean_of_its_age(tmp_path: Path) -> None:
    folder = tmp_path
    photo, manga = build_twins(
        folder / "photo",
        folder / "manga",
        people=sample_people(20, seed=1),
        ages_per_person=3,
        size=32,
        seed=1,
    )
    array = pack([photo, manga], size=32)
    ager = MeanFaceAger.fit(array)
    anything = torch.zeros(2, 3, 32, 32)
    target = Condition.of(2, domains=ager.domains, age=40.0, domain="photo")
    mine = array.domain == ager.domains.index("photo")
    weight = np.exp(-((array.age[mine] - 40) ** 2) / (2 * BANDWIDTH**2))
    pixels = np.asarray(array.pixels)
    expected = (weight[:, None, None, None] * pixels[mine]).sum(0) / weight.sum()
    made = nets.to_pixels(ager.transform(anything, target, target))
    assert np.abs(made[0].astype(int) - expected).max() <= 1
    # Between two knots it is their mixture, and of a domain that nobody told, the mean of all.
    half = [
        ager.transform(anything, target, target.replace(age=torch.full((2,), age)))
        for age in (40.0, 42.5, 45.0)
    ]
    torch.testing.assert_close(half[1], (half[0] + half[2]) / 2)
    unknown = target.replace(domain=torch.full((2,), UNKNOWN))
    weight = np.exp(-((array.age - 40) ** 2) / (2 * BANDWIDTH**2))
    expected = (weight[:, None, None, None] * pixels).sum(0) / weight.sum()
    assert (
        np.abs(nets.to_pixels(ager.transform(anything, unknown, unknown))[0].astype(int) - expected).max()
        <= 1
    )


def test_no_border_without_pixels_is_part_of_a_mean_face(tmp_path: Path) -> None:
    folder, people = tmp_path, sample_people(10, seed=1)
    sets = build_twins(folder / "photo", folder / "manga", people=people, ages_per_person=2, size=32, seed=1)
    array = pack(sets[:1], size=32)
    cropped = np.asarray(array.masks).copy()
    cropped[::2, :8] = 0  # of every other face the forehead is missing
    cropped[:, 30:] = 0  # and nobody has a chin
    grey = np.where(cropped[..., None] == 0, np.uint8(OUTSIDE), np.asarray(array.pixels))
    whole = array.select(np.arange(len(array)) % 2 == 1)
    tight = dataclasses.replace(array, pixels=grey, masks=cropped)
    target = Condition.of(1, domains=array.domains, age=40.0, domain="photo")
    mean, expected = (
        MeanFaceAger.fit(faces).transform(torch.zeros(1, 3, 32, 32), target, target)[0]
        for faces in (tight, whole)
    )
    torch.testing.assert_close(mean[:, :8], expected[:, :8])
    assert (mean[:, 30:] == 0).all()


def test_an_ager_is_told_what_is_known_and_estimates_the_rest(faces: Batch) -> None:
    told: list[Condition] = []

    class Listener(Brightness):
        domains = ("manga",)

        def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
            return Condition.of(len(images), domains=self.domains, age=33.0, domain="manga", glasses="dark")

        def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
            told.extend((source, target))
            return images

    some = faces.take(np.arange(2))
    some.age = np.array([math.nan, 12.0], np.float32)
    some.glasses = np.array([UNKNOWN, 0])
    out = age_faces(Listener(), some, asked_of(some, np.array([50.0, math.nan]), None))
    np.testing.assert_array_equal(out, some.pixels)
    source, target = told
    assert source.age.tolist() == [33.0, 12.0]
    assert source.glasses.tolist() == [2, 0]
    assert source.domain.tolist() == [0, 0]  # a photograph is foreign to it: it takes it for what it can do
    assert target.age.tolist() == [50.0, 12.0]  # not asked for an age, it keeps its own
    assert target.glasses.tolist() == [UNKNOWN, 0]  # unknown is left alone, never asked for by guess


def test_no_loss_uses_a_net_of_the_evaluation() -> None:
    root = Path(__file__).resolve().parents[1]
    for path in (root / "models").rglob("*.py"):
        text = path.read_text()
        for word in ("lpips", "facenet_pytorch", "onnxruntime", "nenrin.eval", "torchvision.models"):
            assert f"import {word}" not in text
            assert f"from {word}" not in text

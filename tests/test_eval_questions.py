"""Glasses, quality, audit, unseen and ladder, put to agers whose answers are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nenrin.domains.array import FaceArray, pack
from nenrin.domains.face import GLASSES
from nenrin.domains.twins import build_twins, sample_people
from nenrin.eval import metrics
from nenrin.eval.baselines import CopyAger
from nenrin.eval.bench import Bench, Contender, EvalProtocol
from nenrin.eval.features import FeatureStore
from nenrin.eval.identity import PixelEmbedder
from nenrin.eval.label_panel import LabelPanel
from nenrin.eval.labels import LabelJudge
from nenrin.eval.panel import Panel, label_panel
from nenrin.eval.perceptual import UnweightedMTCNN
from nenrin.eval.protocols import audit, glasses, quality, unseen
from nenrin.eval.protocols.audit import Audit
from nenrin.eval.protocols.glasses import KEEP, PUT_ON, TAKE_OFF, Glasses
from nenrin.eval.protocols.ladder import STEP, Ladder
from nenrin.eval.protocols.quality import Quality
from nenrin.eval.protocols.unseen import GAP, NEW, SEEN, Unseen
from nenrin.eval.results import Result, Score
from nenrin.eval.subjects import Batch, Subject
from nenrin.ground import NenrinError
from nenrin.models.condition import Condition

SIZE = 48


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> FaceArray:
    folder = tmp_path_factory.mktemp("twins")
    people = sample_people(90, seed=4)
    sets = build_twins(
        folder / "photo", folder / "manga", people=people, ages_per_person=3, size=SIZE, seed=4
    )
    return pack(sets, size=SIZE)


@pytest.fixture(scope="module")
def faces(pool: FaceArray) -> Batch:
    return Batch.of(pool.select((pool.split == "test") | (pool.split == "val")))


class Grey:
    """An ager that paints one grey over everything, and the judges that read it: years, or glasses."""

    key = name = "grey"
    size = SIZE
    domains = ("photo", "manga")
    words = GLASSES

    def __init__(self, level: Callable[[Condition], Tensor], name: str = "grey") -> None:
        self._level, self.name = level, name

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        return Condition.of(len(images), domains=self.domains, age=40.0)

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        return self._level(target).view(-1, 1, 1, 1).expand_as(images)

    def judge(self, images: Tensor) -> Tensor:
        return (images.mean((1, 2, 3)) + 1) * 50

    def probabilities(self, images: Tensor) -> Tensor:
        """Black is none, grey clear, white dark; anything in between is unsure."""
        levels = torch.tensor([-1.0, 0.0, 1.0])
        return (-(((images.mean((1, 2, 3))[:, None] - levels) * 4) ** 2)).softmax(1)


YEARS = Grey(lambda target: target.age / 50 - 1, "paints years")
WORN = Grey(lambda target: target.glasses.float() - 1, "paints glasses")


class GreyLabels(LabelPanel):
    """A panel on which `WORN` sits alone."""

    def of(self, attribute: str, domain: str) -> list[LabelJudge]:
        return [WORN] if attribute == "glasses" else []


def _bench(faces: Batch, pool: FaceArray | None, folder: Path, *agers: Subject, **more: object) -> Bench:
    options: dict[str, object] = {
        "contenders": [
            *(Contender(subject=a, role="ager") for a in agers),
            Contender(subject=CopyAger(SIZE), role="floor"),
        ],
        "faces": faces,
        "panel": Panel(across=YEARS, own={}, notes=[]),
        "embedders": [PixelEmbedder()],
        "perceptual": UnweightedMTCNN(),
        "store": FeatureStore(folder),
        "size": SIZE,
        "people": 24,
        "shown": 2,
        "seed": 0,
        "resamples": 100,
        "gather": lambda: pool,
    }
    return Bench(**(options | more))  # type: ignore[arg-type]


def _by(result: Result, **wanted: str) -> Score:
    (found,) = (s for s in result.scores if all(getattr(s, k) == v for k, v in wanted.items()))
    return found


def test_glasses_of_an_ager_that_obeys_and_of_one_that_does_nothing(
    faces: Batch, pool: FaceArray, tmp_path: Path
) -> None:
    # Every input is painted as what it wears, so that the judge is right about the copy too.
    worn = faces.glasses - 1
    painted = dataclasses.replace(
        faces,
        pixels=np.broadcast_to(
            ((worn + 1) * 127.5).astype(np.uint8)[:, None, None, None], faces.pixels.shape
        ).copy(),
    )
    result = Glasses().run(_bench(painted, pool, tmp_path, WORN, labels=GreyLabels()))
    for domain in ("photo", "manga"):
        for case in (KEEP, PUT_ON, TAKE_OFF):
            obeyed = _by(result, domain=domain, case=case, subject="paints glasses", metric=metrics.AS_ASKED)
            assert obeyed.estimate.value == 1
            copied = _by(result, domain=domain, case=case, subject="copy", metric=metrics.AS_ASKED)
            assert copied.estimate.value == (1 if case == KEEP else 0)
        for subject in ("paints glasses", "copy"):
            assert _by(result, domain=domain, subject=subject, metric=metrics.UNASKED).estimate.value == 0
        for case in (KEEP, PUT_ON, TAKE_OFF):
            real = _by(result, domain=domain, case=case, role="ceiling", metric=metrics.AS_ASKED).estimate
            assert real.value == 1
        assert _by(result, domain=domain, role="ceiling", metric=metrics.UNASKED).estimate.value == 0
        (confusion,) = (c for c in result.confusions if (c.domain, c.subject) == (domain, "paints glasses"))
        counts = np.array(confusion.counts)
        assert counts.sum() == np.trace(counts) > 0
        (copied_counts,) = (c for c in result.confusions if (c.domain, c.subject) == (domain, "copy"))
        assert np.trace(np.array(copied_counts.counts)) < np.array(copied_counts.counts).sum()
    strips = [s for s in result.strips if not s.worst]
    assert len(strips) == 6  # one of each kind in each domain
    assert all("10, kept" in s.columns and "70, kept" in s.columns for s in strips)


def test_glasses_taken_off_unasked_are_counted(faces: Batch, pool: FaceArray, tmp_path: Path) -> None:
    bare = Grey(lambda target: -torch.ones_like(target.age), "takes all off")
    result = Glasses().run(_bench(faces, pool, tmp_path, bare, labels=GreyLabels()))
    for domain in ("photo", "manga"):
        unasked = _by(result, domain=domain, subject="takes all off", metric=metrics.UNASKED).estimate
        chosen = glasses._choose(faces.take(faces.domain == domain), 24, 0)
        worn = faces.take(faces.domain == domain).glasses[chosen] != 0
        assert unasked.value == pytest.approx(worn.mean())
        off = _by(result, domain=domain, case=TAKE_OFF, subject="takes all off", metric=metrics.AS_ASKED)
        assert off.estimate.value == 1
        assert [s for s in result.strips if s.worst and "unasked" in s.title and s.domain == domain]


def test_glasses_nobody_knows_are_not_asked(faces: Batch, pool: FaceArray, tmp_path: Path) -> None:
    unknown = dataclasses.replace(faces, glasses=np.full(len(faces), -1))
    with pytest.raises(NenrinError, match="nobody says which test faces wear glasses"):
        Glasses().run(_bench(unknown, pool, tmp_path, labels=GreyLabels()))
    with pytest.raises(NenrinError, match="too few known glasses in the judge split"):
        Glasses().run(_bench(faces, pool, tmp_path))


class Blur:
    """An ager that blurs, or shows everybody one face."""

    size = SIZE
    domains = ("photo", "manga")

    def __init__(self, name: str) -> None:
        self.name = name

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        return Condition.of(len(images), domains=self.domains)

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        if self.name == "collapsed":
            return images[:1].expand_as(images)
        return F.avg_pool2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), 5, 1)


def test_quality_sees_blur_and_collapse(pool: FaceArray, tmp_path: Path) -> None:
    labels = label_panel(pool.select(pool.split == "judge"), tmp_path / "judges", seed=0, epochs=2)
    everybody = Batch.of(pool)
    bench = _bench(everybody, pool, tmp_path, Blur("blurred"), Blur("collapsed"), labels=labels)
    result = Quality().run(bench)
    assert any("Inception was not used" in note for note in result.notes)
    for domain in ("photo", "manga"):

        def value(subject: str, metric: str, domain: str = domain) -> float:
            return _by(result, domain=domain, subject=subject, metric=metric).estimate.value

        assert value("copy", metrics.SHARPNESS) == pytest.approx(1)
        assert value("copy", metrics.DIVERSITY) == pytest.approx(1)
        assert value("copy", metrics.KID) == value("real faces", metrics.KID)  # real faces both
        assert value("blurred", metrics.SHARPNESS) < 0.5
        assert value("blurred", metrics.DIVERSITY) > 0.8
        assert value("collapsed", metrics.DIVERSITY) < 0.05
        assert value("collapsed", metrics.KID) > 3 * abs(value("copy", metrics.KID))
        assert value("copy", metrics.OWN_DOMAIN) == value("real faces", metrics.OWN_DOMAIN)
        fid = _by(result, domain=domain, subject="copy", metric=metrics.FID).estimate
        assert fid.n == _by(result, domain=domain, subject="copy", metric=metrics.KID).estimate.n
        assert fid.n >= quality.LEAST
    assert {s.backend for s in result.scores if s.metric == metrics.KID} == {"nenrin-faces-192"}


def test_quality_without_a_feature_net_says_so_and_goes_on(
    faces: Batch, pool: FaceArray, tmp_path: Path
) -> None:
    result = Quality().run(_bench(Batch.of(pool), pool, tmp_path))
    assert "FID and KID were not measured: no face is in the judge split" in result.notes[0]
    assert {s.metric for s in result.scores} == {metrics.SHARPNESS, metrics.DIVERSITY}
    with pytest.raises(NenrinError, match="test people, 40 are needed"):
        Quality().run(_bench(faces.take(np.arange(10)), pool, tmp_path))


def test_audit_ranks_embedders(pool: FaceArray, faces: Batch, tmp_path: Path) -> None:
    class Blind(PixelEmbedder):
        name = key = "blind"

        def embed(self, images: Tensor) -> Tensor:
            return F.normalize(torch.ones(len(images), 4), dim=1)

    class Skin(PixelEmbedder):
        """Knows people by the colour of their cheeks."""

        name = key = "skin"

        def embed(self, images: Tensor) -> Tensor:
            side = images.shape[-1]
            cheeks = images[
                :, :, round(0.56 * side) : round(0.64 * side), round(0.3 * side) : round(0.7 * side)
            ]
            return F.normalize(cheeks.mean((2, 3)) + 1, dim=1)

    bench = _bench(faces, pool, tmp_path, embedders=[Blind(), Skin()])  # nobody has to ask for the floor
    result = Audit().run(bench)
    cases = list(dict.fromkeys(s.case for s in result.scores))
    assert cases == [
        "photo",
        "manga",
        "twins, photo",
        "twins, manga",
        "photo against manga",
        "twins, photo against twins, manga",
    ]
    for case in cases:
        blind = _by(result, case=case, subject="blind", metric=metrics.AUC).estimate
        assert blind.value == 0.5
        assert _by(result, case=case, subject="blind", metric=metrics.TAR).estimate.value == 0
    assert _by(result, case="photo", subject="skin", metric=metrics.AUC).estimate.low > 0.6
    own, foreign = (
        _by(result, case=case, subject="skin", metric=metrics.EER).estimate
        for case in ("photo", "photo against manga")
    )
    assert 0 < own.low < own.value < own.high < 0.45
    assert own.value < foreign.value
    assert {s.role for s in result.scores if s.subject == "pixels"} == {"floor"}
    without = audit._known(bench, without="judge")["photo"]
    assert not set(without.picture) & set(Batch.of(pool.select(pool.split == "judge")).picture)
    assert len(without) < len(audit._known(bench)["photo"]) == 3 * 90
    apart = dataclasses.replace(pool, identities=pool.identities + tuple(f"m{i}" for i in pool.identities))
    drawn = pool.domain == pool.domains.index("manga")
    apart.identity = np.where(drawn, pool.identity + len(pool.identities), pool.identity)
    found = Audit().run(_bench(faces, apart, tmp_path, embedders=[]))
    assert "photo against manga" not in {s.case for s in found.scores}  # nobody is in both
    # 90 people of three pictures: three pairs each; across, every picture with the drawings of two others.
    assert _by(result, case="photo", subject="blind", metric=metrics.AUC).estimate.n == 3 * 90
    assert _by(result, case="photo against manga", subject="blind", metric=metrics.AUC).estimate.n == 6 * 90


class Rote:
    """An ager that paints the years on faces it has seen before, and returns all others as they are."""

    name = "rote"
    size = SIZE
    domains = ("photo", "manga")

    def __init__(self, seen: np.ndarray) -> None:
        self._seen = {picture.tobytes() for picture in seen}

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        return Condition.of(len(images), domains=self.domains)

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        pixels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        known = torch.tensor([picture.tobytes() in self._seen for picture in pixels])
        painted = YEARS.transform(images, source, target)
        return torch.where(known.view(-1, 1, 1, 1), painted, images)


def test_unseen_finds_what_was_learned_by_rote(faces: Batch, pool: FaceArray, tmp_path: Path) -> None:
    train = pool.select(pool.split == "train")
    rote = Rote(np.asarray(train.pixels))
    result = Unseen().run(
        _bench(faces, pool, tmp_path, rote, YEARS, trained_on={"rote": train.ids, YEARS.name: train.ids})
    )
    for domain in ("photo", "manga"):

        def rank(subject: str, case: str, domain: str = domain) -> float:
            return _by(result, domain=domain, subject=subject, case=case, metric=metrics.RANK).estimate.value

        assert (rank("rote", SEEN), rank("rote", NEW), rank("rote", GAP)) == (1, 0, -1)
        assert (rank(YEARS.name, SEEN), rank(YEARS.name, NEW), rank(YEARS.name, GAP)) == (1, 1, 0)
        assert rank("copy", GAP) == 0
        for case in (SEEN, NEW, GAP):  # the judge's own loss beside the agers'
            assert _by(result, domain=domain, role="ceiling", case=case, metric=metrics.AGE_ERROR).estimate.n
            assert _by(result, domain=domain, role="ceiling", case=case, metric=metrics.SAME).estimate.n
    lost = _by(result, domain="photo", subject="rote", case=GAP, metric=metrics.RANK).estimate
    assert (lost.low, lost.high) == (-1, -1)
    only_photo = train.select(train.domain == train.domains.index("photo"))
    result = Unseen().run(_bench(faces, pool, tmp_path, rote, trained_on={"rote": only_photo.ids}))
    assert {s.domain for s in result.scores} == {"photo"}
    assert "manga: 0 faces that rote was trained on, 12 are needed" in result.notes
    with pytest.raises(NenrinError, match="not known"):
        Unseen().run(_bench(faces, pool, tmp_path, rote))
    assert unseen.LEAST < 24


def test_a_few_known_ages_do_not_shrink_who_is_asked(faces: Batch, pool: FaceArray, tmp_path: Path) -> None:
    train = pool.select(pool.split == "train")
    few = dataclasses.replace(pool, age=np.where(pool.identity % 15, np.nan, pool.age).astype(np.float32))
    result = Unseen().run(_bench(faces, few, tmp_path, YEARS, trained_on={YEARS.name: train.ids}))
    assert not [note for note in result.notes if "are needed" in note]
    for domain in ("photo", "manga"):
        found = _by(result, domain=domain, subject=YEARS.name, case=SEEN, metric=metrics.RANK)
        assert found.estimate.identities == 24


def test_sources_never_seen_are_apart(faces: Batch, pool: FaceArray, tmp_path: Path) -> None:
    train = pool.select(pool.split == "train")
    other = dataclasses.replace(
        faces, source=np.where(np.arange(len(faces)) % 2, "another artist", faces.source)
    )
    result = Unseen().run(_bench(other, pool, tmp_path, YEARS, trained_on={YEARS.name: train.ids}))
    found = [s for s in result.scores if s.case == unseen.FOREIGN and s.metric == metrics.RANK]
    assert {s.domain for s in found} == {"photo", "manga"}


class PhotoOnly(Grey):
    """An ager of photographs, which leaves drawings alone."""

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        painted = YEARS.transform(images, source, target)
        photo = (target.domain == self.domains.index("photo")).view(-1, 1, 1, 1)
        return torch.where(photo, painted, images)


def test_ladder_finds_the_step_at_which_an_ager_fails(faces: Batch, pool: FaceArray, tmp_path: Path) -> None:
    result = Ladder().run(
        _bench(faces, pool, tmp_path, PhotoOnly(lambda target: target.age, "photo only"), YEARS)
    )
    step = STEP.format("photo")
    lost = _by(result, domain="manga", case=step, subject="photo only", metric=metrics.RANK).estimate
    assert (lost.value, lost.low, lost.high) == (-1, -1, -1)
    kept = _by(result, domain="manga", case=step, subject=YEARS.name, metric=metrics.RANK).estimate
    assert (kept.value, kept.low, kept.high) == (0, 0, 0)
    assert _by(result, domain="manga", case="", subject="photo only", metric=metrics.RANK).estimate.value == 0
    assert _by(result, domain="manga", case=step, role="ceiling", metric=metrics.AGE_ERROR).estimate.n > 0
    assert not [s for s in result.scores if s.domain == "photo" and s.case]
    # The same people are in both domains, and are resampled once.
    assert (
        lost.identities
        == _by(result, domain="manga", case="", subject="copy", metric=metrics.RANK).estimate.n
    )


def test_ladder_asks_faces_of_unknown_age_too(faces: Batch, pool: FaceArray, tmp_path: Path) -> None:
    """As manga has them: no ages, no persons; what needs neither is measured."""
    manga = faces.domain == "manga"
    nobody = np.array([f"face/{i}" for i in range(len(faces))])
    ageless = dataclasses.replace(
        faces,
        age=np.where(manga, np.nan, faces.age).astype(np.float32),
        person=np.where(manga, nobody, faces.person),
    )
    result = Ladder().run(_bench(ageless, pool, tmp_path, YEARS))
    here = [s for s in result.scores if s.domain == "manga" and s.subject == YEARS.name]
    assert {s.metric for s in here if not s.case and s.estimate.n} == {
        metrics.RANK,
        metrics.SLOPE,
        metrics.KEPT,
        metrics.SIMILARITY,
        metrics.AGE_ERROR,  # of the judge alone: off from what was asked
    }
    kept = {s.domain: s for s in result.scores if (s.subject, s.metric, s.case) == ("copy", metrics.KEPT, "")}
    assert {domain: s.estimate.value for domain, s in kept.items()} == {"photo": 1, "manga": 1}
    step = _by(result, domain="manga", case=STEP.format("photo"), subject="copy", metric=metrics.KEPT)
    assert step.estimate.value == 0
    said = [note for note in result.notes if note.startswith("manga: ")]
    assert any("no true age is known, so there is no age error" in note for note in said)
    assert any("nobody is known to have two pictures" in note for note in said)


@pytest.mark.parametrize("protocol", [Ladder(), Unseen(), Quality(), Glasses()])
def test_without_faces_a_protocol_says_why_in_one_line(protocol: EvalProtocol, tmp_path: Path) -> None:
    with pytest.raises(NenrinError) as caught:
        protocol.run(_bench(Batch.empty(SIZE), None, tmp_path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) > 20

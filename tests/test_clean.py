"""Cleaning: scores from statistics, verdicts from scores, and what a person decides counts before both."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.plant import Planter
from nenrin.cli import main
from nenrin.domains.array import pack
from nenrin.domains.checks.checks import CHECKS
from nenrin.domains.checks.examiner import agreed, fault_rules
from nenrin.domains.checks.faults import spoil
from nenrin.domains.checks.labels import log_odds, pooled, shared
from nenrin.domains.checks.opinion import FAULTS
from nenrin.domains.checks.scores import Scores
from nenrin.domains.checks.tails import rarity, rarity_among_sound
from nenrin.domains.checks.tuned import SEEN, look, steps_for
from nenrin.domains.checks.vectors import Vectors
from nenrin.domains.checks.verdicts import SUSPICION, TWIN, Thresholds, decide
from nenrin.domains.clean import VERSION, clean
from nenrin.domains.decisions import SAME, Decision, Decisions, path_of
from nenrin.domains.face import Face
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.rewrite import rewrite
from nenrin.domains.twins import build_twins, sample_people
from nenrin.ground import UsageError

PLANTED = {5: "text", 17: "eye_only", 40: "not_a_face", 71: "near_duplicate"}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 160 twins, four of them with a fault, and cleaned. Copy it to change it."""
    folder = tmp_path_factory.mktemp("faulty")
    twins, _ = build_twins(
        folder / "photo",
        folder / "manga",
        people=sample_people(80, seed=1),
        ages_per_person=2,
        size=64,
        seed=1,
        workers=0,
    )
    things = [Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))]
    planter = Planter(rng=np.random.default_rng(3), style="develop", things=things)
    with SetWriter(folder / "set", name="faulty", size=64, domains=("photo",)) as writer:
        for row, face in enumerate(twins.faces()):
            kind = PLANTED.get(row)
            if kind == "near_duplicate":
                writer.add(face)
            writer.add(planter.spoil(face, kind, ("photo",)) if kind else face)
        writer.add(
            Face(id="0" * 16, image=face.image, domain="photo", verdict="drop", reason="no face found")
        )
    clean([folder / "set"])
    return folder / "set"


def _scores(path: Path) -> list[dict[str, float]]:
    column = FaceSet.open(path).stored(["scores"])["scores"].to_pylist()
    return [{entry["key"]: entry["value"] for entry in row} for row in column]


def test_rarity_is_the_share_that_looks_as_bad_and_reaches_beyond() -> None:
    values = np.random.default_rng(0).exponential(size=5000)
    values[:3] = 30, 40, np.nan
    scores = rarity(values, np.zeros(5000, int))
    inner = np.abs(scores[3:] - np.exp(-values[3:]))
    assert inner.max() < 0.02
    assert scores[1] < scores[0] < 1e-9  # far fewer than one in 5,000
    assert scores[2] == 1


def test_rarity_judges_each_group_by_itself() -> None:
    rng = np.random.default_rng(0)
    values, groups = np.concatenate([rng.normal(0, 1, 500), rng.normal(50, 1, 500)]), np.repeat([0, 1], 500)
    scores = rarity(values, groups)
    assert abs(scores[groups == 1].mean() - scores[groups == 0].mean()) < 0.05


def test_the_tail_can_be_laid_where_many_copies_do_not_reach() -> None:
    rng = np.random.default_rng(0)
    nearness = np.concatenate([rng.normal(1.5, 0.3, 960), np.full(40, 4.5)])  # 4% copies
    groups = np.zeros(1000, int)
    assert rarity(nearness, groups, through=(0.80, 0.95))[-1] < 1e-4 < rarity(nearness, groups)[-1]


def test_a_label_is_doubted_where_looks_are_worth_something() -> None:
    rng = np.random.default_rng(0)
    labels, age = rng.integers(0, 2, 4000), rng.uniform(1, 4.5, 4000).astype(np.float32)
    sign = np.where(labels == 1, 1, -1) * (age > 2)  # of the youngest, nobody can tell
    margin = (sign * 0.5 + rng.normal(0, 0.3, 4000)).astype(np.float32)
    odds = log_odds(np.stack([-margin, margin], 1) / 2, labels, (age, age), np.zeros(4000, int))
    doubt = np.where(labels == 1, odds[:, 0] - odds[:, 1], odds[:, 1] - odds[:, 0])
    assert doubt[age > 3].mean() < -3
    assert abs(doubt[age < 1.6]).mean() < 1.5
    swapped = -doubt[age > 3]  # what wrong labels would get: more doubt than any child that looks the other
    assert np.median(swapped) > np.quantile(doubt[age < 1.6], 0.99)


def test_faces_of_a_person_are_asked_together() -> None:
    odds = np.array([[3, -3], [-1, 1], [2, -2]], dtype=np.float32)
    together = pooled(odds, np.array([0, 0, -1]))
    np.testing.assert_allclose(together[:2], np.array([[2, -2]] * 2) / np.sqrt(2), rtol=1e-6)
    assert together[2].tolist() == [2, -2]  # nobody knows who that is


def test_a_picture_and_its_drawing_say_one_age() -> None:
    rng = np.random.default_rng(0)
    true, domain, picture = rng.normal(size=2000), np.repeat([0, 1], 1000), np.tile(np.arange(1000), 2)
    true[1000:] = true[:1000]
    looks = (true + rng.normal(size=2000) * np.where(domain == 0, 0.3, 0.9)).astype(np.float32)
    given = np.where(np.arange(2000) % 50 == 7, np.nan, true).astype(np.float32)  # of some nothing is known
    together = shared(looks, given, picture, domain)
    np.testing.assert_array_equal(together[:1000], together[1000:])
    assert (together - true)[:1000].std() < (looks - true)[:1000].std() < 0.33
    alone = shared(looks, given, np.arange(2000), domain)
    np.testing.assert_allclose(alone, looks, rtol=1e-5)


def test_two_judges_agree_on_what_both_find_unusual() -> None:
    rng = np.random.default_rng(0)
    rule, net = (rng.exponential(size=(2000, len(FAULTS))).astype(np.float32) for _ in range(2))
    net *= 1000  # units of its own
    rule[0], net[0] = 9, 9000  # both are sure
    rule[1], net[1] = 9, 0  # one alone
    both = agreed(rule, net, np.zeros(2000, int))
    assert both[0].tolist() == both.max(0).tolist()
    assert (both[1] > np.quantile(both[2:], 0.95, axis=0)).all()


def test_a_fault_that_is_put_in_is_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(120, 3, 4, 4, generator=generator), size=64) * 2 - 1
    masks = torch.ones(120, 1, 64, 64)
    masks[:, :, :, :10] = 0
    kinds = torch.arange(120) % len(FAULTS)
    spoilt, outlines = spoil(smooth * masks, masks, kinds, generator)
    assert spoilt.shape == smooth.shape
    assert spoilt.abs().max() <= 1
    assert not (spoilt * (1 - outlines)).any()
    for name, least in (("text", 0.04), ("occluded", 0.1)):
        mine = kinds == FAULTS.index(name)
        off = (spoilt - smooth * masks)[mine][:, :, 15:56, 15:49].abs().mean(1) > 0.16
        assert off.float().mean((1, 2)).min() > least


def test_each_domain_has_a_rule_of_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    looks, domain, fold = rng.normal(size=(3000, 3)), np.arange(3000) % 3 // 2, np.arange(3000) // 3 % 4
    looks[:, 2] = 1
    worse = looks.copy()
    worse[:, 0] += np.where(domain == 0, 3, -3)  # a fault is the other way round in the other domain
    sound, spoilt = Vectors(tmp_path / "sound.bin", 3), Vectors(tmp_path / "spoilt.bin", 3)
    sound.add(looks)
    spoilt.add(worse)
    kinds = np.full(3000, FAULTS.index("text"))
    found = fault_rules(sound, spoilt, kinds, np.arange(3000), fold, domain)[:, FAULTS.index("text")]
    for number, sign in ((0, 1), (1, -1)):
        mine = domain == number
        assert np.corrcoef(found[mine], sign * looks[mine, 0])[0, 1] > 0.95


def test_what_is_no_face_does_not_hide_what_is_covered() -> None:
    covered, groups = np.random.default_rng(0).exponential(size=4000), np.zeros(4000, int)
    others = np.ones(4000, dtype=np.float32)
    covered[:120], others[:120] = 60, 1e-6  # nothing is right with them
    covered[120] = 14
    first = rarity(covered, groups)
    again = rarity_among_sound(covered, groups, first, others)
    assert again[120] < 1e-5 < 1e-4 < first[120]
    others[:120] = 1  # who is strange by this check alone is what it measures
    np.testing.assert_array_equal(rarity_among_sound(covered, groups, first, others), first)


def test_the_tuned_net_finds_faults_it_was_not_shown(faulty: Path) -> None:
    faces = pack([FaceSet.open(faulty)], size=64, every=True)
    assert (steps_for(4000), steps_for(10_000), steps_for(10**6)) == (0, 312, 900)
    before = torch.get_rng_state()
    bad, seen = look(faces, steps=150)
    assert torch.equal(torch.get_rng_state(), before)
    assert bad.shape == (len(faces), len(FAULTS))
    assert seen.shape == (len(faces), SEEN)
    writing, part = bad[:, FAULTS.index("text")], bad[:, FAULTS.index("part")]
    assert (writing[:-1] > writing[5]).sum() < 16  # of 161
    assert (part[:-1] > part[17]).sum() < 16


def test_vectors_come_back_in_order(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 7)).astype(np.float16)
    vectors = Vectors(tmp_path / "v.bin", 7)
    for start in range(0, 5000, 60):
        vectors.add(rows[start : start + 60])
    blocks = list(vectors.blocks())
    assert [part.start for part, _ in blocks] == [0, 2048, 4096]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), rows)


def test_scores_are_kept_as_columns(faulty: Path) -> None:
    stored = FaceSet.open(faulty).stored(["scores"])["scores"]
    scores = Scores.read(stored)
    assert scores[0:161] == stored.to_pylist()[:161]
    assert scores[161] == []
    assert np.isnan(scores.get("text")[161])
    scores.put("new", np.array([0.5, np.nan]), np.array([3, 4]))
    assert scores.of(3)["new"] == 0.5
    assert "new" not in scores.of(4)


def _row(**low: float) -> dict[str, Any]:
    scores = {check.name: 1.0 for check in CHECKS} | low | {"enlarged": 9.0, "age.seen": 61.0}
    return {
        "scores": scores,
        "age": 5.0,
        "gender": "male",
        "glasses": None,
        "domain": "photo",
        "twin": "b.jpg",
    }


def _decided(rows: list[dict[str, Any]], thresholds: Thresholds) -> tuple[list[str], list[str | None]]:
    scores = np.array([[row["scores"][check.name] for check in CHECKS] for row in rows])
    return decide(scores, thresholds, rows.__getitem__)


def test_verdicts_follow_thresholds_and_name_all_reasons() -> None:
    rows = [_row(text=1e-9), _row(wrong_age=1e-4, too_small=1e-3), _row(blurred=0.3), *[_row()] * 97]
    verdicts, reasons = _decided(rows, Thresholds(review=0.02, drop=1e-6))
    assert verdicts == ["drop", "review", *["keep"] * 98]
    assert reasons == ["text over the face", "wrong age: labelled 5, looks 61", *[None] * 98]
    _, both = _decided([_row(text=1e-9, blurred=1e-8), *[_row()] * 99], Thresholds())
    assert both[0] == "text over the face: also blurred"
    by_limit, _ = _decided(rows, Thresholds(review=0.02, drop=0, limits={"blurred": 0.5, "text": 0}))
    assert by_limit[:3] == ["keep", "review", "review"]


@pytest.mark.parametrize(
    ("values", "said"),
    [({"limits": {"blured": 1}}, "did you mean 'blurred'"), ({"review": 2}, "share from 0 to 1")],
)
def test_thresholds_that_are_none_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Thresholds(**values)  # type: ignore[arg-type]


def test_planted_faults_are_among_the_worst(faulty: Path) -> None:
    worst = np.argsort([row.get(SUSPICION, 2) for row in _scores(faulty)])
    faces = list(FaceSet.open(faulty).faces())
    planted = set(PLANTED) - {71} | {72}  # the copy stands behind its original
    found = planted & set(worst[:12].tolist())  # 0.3 of them by chance
    assert len(found) >= 2, [(int(r), faces[r].reason) for r in worst[:12]]
    assert _scores(faulty)[72][TWIN] == 71


def test_an_embedder_is_asked_and_believed(tmp_path: Path) -> None:
    people = sample_people(60, seed=2)
    twins, _ = build_twins(
        tmp_path / "photo", tmp_path / "manga", people=people, ages_per_person=1, size=128, seed=2, workers=0
    )
    faces = list(twins.faces())
    genders = np.array([face.gender == "female" for face in faces])
    wrong = faces[7]
    wrong.gender = "male" if wrong.gender == "female" else "female"
    with SetWriter(tmp_path / "set", name="embedded", size=128, domains=("photo",)) as writer:
        for face in faces:
            writer.add(face)
    asked: list[tuple[int, ...]] = []

    def embed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        start = sum(shape[0] for shape in asked)
        asked.append(pixels.shape)
        sign = np.where(genders[start : start + len(pixels)], 1, -1)
        return np.stack([sign, np.ones(len(pixels))], 1).astype(np.float32)

    clean([tmp_path / "set"], embed=embed)
    assert asked == [(len(faces), 128, 128, 3)]
    doubt = [row.get("wrong_gender.raw", -np.inf) for row in _scores(tmp_path / "set")]
    assert 7 in np.argsort(doubt)[-6:], doubt[7]  # of 60
    assert doubt[7] > 0


def test_scores_are_shares_and_keep_their_statistic(faulty: Path) -> None:
    *rows, reject = _scores(faulty)
    assert reject == {}  # what a build set aside is left as it was
    for row in rows:
        assert all(0 <= row[check.name] <= 1 for check in CHECKS)
        assert row[SUSPICION] == min(row[check.name] for check in CHECKS)
        assert np.isfinite(row["text.raw"])


def test_thresholds_change_verdicts_without_computing(faulty: Path, tmp_path: Path) -> None:
    path = shutil.copytree(faulty, tmp_path / "set")
    before = _scores(path)
    report = clean([path], thresholds=Thresholds(review=0.2, drop=0))
    assert not report.computed
    assert report.verdicts == {"keep": 129, "review": 32}
    assert _scores(path) == before
    assert clean([path], thresholds=Thresholds(review=0, drop=0)).verdicts == {"keep": 161}
    last = list(FaceSet.open(path).faces())[-1]
    assert (last.verdict, last.reason) == ("drop", "no face found")


def test_reasons_name_the_labels_that_a_person_gave(faulty: Path, tmp_path: Path) -> None:
    path = tmp_path / "set"
    with SetWriter(path, name="ageless", size=64, domains=("photo",)) as writer:
        for face in FaceSet.open(faulty).faces():
            writer.add(dataclasses.replace(face, age=None))
    faces = FaceSet.open(path)
    rewrite(faces, {}, cleaned=VERSION)
    first = next(faces.faces())
    names = {"id": first.id, "source": first.source, "source_id": first.source_id}
    faces.decisions.add(Decision(**names, verdict="keep", labels={"age": 77}))
    every_age = Thresholds(review=0, limits={"wrong_age": 1.0})
    assert clean([path], thresholds=every_age).reasons == {"wrong age": 1}
    assert (faces.stored(["reason"])["reason"][0].as_py() or "").startswith("wrong age: labelled 77, looks")
    faces.decisions.add(Decision(**names, verdict=None))  # the score of the age stays
    assert not clean([path], thresholds=every_age).reasons


def test_the_data_card_counts_the_suspects(faulty: Path) -> None:
    card = (faulty / "README.md").read_text()
    kept = FaceSet.open(faulty).stored(["verdict"])["verdict"].to_pylist().count("keep")
    assert f"{kept} faces to use" in card


def test_decisions_count_wherever_a_set_is_read(faulty: Path, tmp_path: Path) -> None:
    path = shutil.copytree(faulty, tmp_path / "set")
    faces = FaceSet.open(path)
    rows = [face for face in faces.faces() if face.verdict == "keep"][:3]
    decide_on = [(face, {"source": face.source, "source_id": face.source_id, "id": face.id}) for face in rows]
    faces.decisions.add(Decision(**decide_on[0][1], verdict="drop"))
    faces.decisions.add(Decision(**decide_on[1][1], verdict="keep", labels={"age": 7, "domain": "painting"}))
    faces.decisions.add(Decision(**decide_on[2][1], verdict="drop"))
    faces.decisions.add(Decision(**decide_on[2][1], verdict=None))
    array = pack([FaceSet.open(path)], size=64)
    assert rows[0].id not in array.ids
    fixed = array.ids.index(rows[1].id)
    assert array.age[fixed] == 7
    assert array.domains[array.domain[fixed]] == "painting"
    assert rows[2].id in array.ids
    # The set is removed and built anew, larger: other pixels, the same pictures.
    shutil.rmtree(path)
    with SetWriter(path, name="again", size=64, domains=("photo",)) as writer:
        for row in rows:
            row.id, row.verdict, row.reason = row.id[::-1], "keep", None
            writer.add(row)
    assert [face.verdict for face in FaceSet.open(path).faces()] == ["drop", "keep", "keep"]
    assert FaceSet.open(path).table(["age"])["age"].to_pylist()[1] == 7


def test_a_decision_does_not_bring_back_the_same_pixels_under_another_name(
    faulty: Path, tmp_path: Path
) -> None:
    path = tmp_path / "set"
    face = next(face for face in FaceSet.open(faulty).faces() if face.verdict == "keep")
    with SetWriter(path, name="set", size=64, domains=("photo",)) as writer:
        for name, verdict, reason in (("a.jpg", "keep", None), ("b.jpg", "drop", f"{SAME}a.jpg")):
            writer.add(dataclasses.replace(face, source_id=name, verdict=verdict, reason=reason))
    faces = FaceSet.open(path)
    faces.decisions.add(Decision(id=face.id, source=face.source, source_id="a.jpg", verdict="keep"))
    assert faces.table(["verdict"])["verdict"].to_pylist() == ["keep", "drop"]
    assert [face.verdict for face in faces.faces()] == ["keep", "drop"]
    faces.decisions.add(Decision(id=face.id, source=face.source, source_id="b.jpg", verdict="keep"))
    assert faces.table(["verdict"])["verdict"].to_pylist() == ["keep", "keep"]


def test_a_kill_in_the_middle_of_a_line_loses_that_line_alone(tmp_path: Path) -> None:
    path = path_of(tmp_path / "set")
    Decisions(path).add(Decision(id="a", source="s", source_id="1", verdict="drop"))
    with path.open("ab") as stream:
        stream.write(b'{"id": "b", "sou')
    decisions = Decisions(path)
    assert len(decisions) == 1
    decisions.add(Decision(id="c", source="s", source_id="3", verdict="keep"))
    assert len(Decisions(path)) == 2


def test_a_line_that_is_no_decision_is_named(tmp_path: Path) -> None:
    path = path_of(tmp_path / "set")
    path.write_text('{"id": "a", "source": "s", "source_id": "1", "verdict": "perhaps"}\n')
    with pytest.raises(UsageError, match="line 1, is no decision"):
        Decisions(path)


def test_the_command_says_what_it_found_and_what_comes_next(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copytree(faulty, tmp_path / "set")
    assert main(["clean", str(path), "--review", "0.1", "--drop", "0"]) == 0
    said = capsys.readouterr().out
    shown = 16  # a tenth
    assert f"161 faces: {161 - shown} kept, {shown} to look at, 0 left out" in said
    assert f"nenrin review {path}" in said


def test_wrong_use_is_one_line(faulty: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    assert "blurred" in fails("clean", faulty, "blured=0.1", code=2)
    assert "a limit is" in fails("clean", faulty, "blurred=much", code=2)
    assert "does not exist" in fails("clean", tmp_path / "none", code=2)
    (tmp_path / "set").mkdir()
    shutil.copy(faulty / "set.toml", tmp_path / "set")
    text = (tmp_path / "set" / "set.toml").read_text()
    (tmp_path / "set" / "set.toml").write_text(text.replace("complete = true", "complete = false"))
    assert "is not complete" in fails("clean", tmp_path / "set", code=2)

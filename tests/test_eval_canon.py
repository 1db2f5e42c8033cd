"""Canon: manifests, folders of pictures as a person lays them out, ranks among strangers."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nenrin.cli import main
from nenrin.domains.array import FaceArray, pack
from nenrin.domains.build import build
from nenrin.domains.faceset import FaceSet
from nenrin.domains.twins import build_twins, sample_people
from nenrin.eval import cast, metrics
from nenrin.eval.baselines import CopyAger
from nenrin.eval.bench import Bench, CanonOptions, Contender, Sheet
from nenrin.eval.canon_twins import MANIFEST, PICTURES, draw_characters
from nenrin.eval.characters import read_manifest, read_manifests, shipped
from nenrin.eval.evaluation import Evaluation
from nenrin.eval.features import FeatureStore
from nenrin.eval.identity import PixelEmbedder
from nenrin.eval.nets import to_tensor
from nenrin.eval.panel import Panel
from nenrin.eval.perceptual import UnweightedMTCNN
from nenrin.eval.portraits import POINTS_FILE, Album
from nenrin.eval.protocols import canon
from nenrin.eval.protocols.canon import AS_IF, CHANCE, CHARACTERS, Canon
from nenrin.eval.protocols.scenes import OTHER, Scene, _ranked
from nenrin.eval.results import Result, Score
from nenrin.eval.subjects import Batch
from nenrin.ground import NenrinError, UsageError
from nenrin.models.condition import Condition
from nenrin.scrapers.source import resolve
from nenrin.scrapers.sources import source_named
from tests.web import Web, picture

SIZE, COUNT = 48, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("characters")
    draw_characters(path, COUNT, seed=0, size=96)
    return path


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> FaceArray:
    path = tmp_path_factory.mktemp("twins")
    people = sample_people(110, seed=4)
    return pack(
        build_twins(path / "photo", path / "manga", people=people, ages_per_person=2, size=SIZE, seed=4),
        size=SIZE,
    )


class Oracle:
    """An ager that knows the story: it returns the official picture of whoever is put to it."""

    name = "oracle"
    size = SIZE
    domains = ("photo", "manga")

    def __init__(self, start: Batch, goal: Batch) -> None:
        self._start, self._goal = to_tensor(start.pixels), to_tensor(goal.pixels)
        self.told: list[tuple[float, int]] = []

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        return Condition.of(len(images), domains=self.domains)

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        self.told += list(zip(target.age.tolist(), target.glasses.tolist(), strict=True))
        nearest = torch.cdist(images.flatten(1), self._start.flatten(1)).argmin(1)
        return self._goal[nearest]


def _bench(tmp_path: Path, pool: FaceArray | None, canon: CanonOptions, *agers: Oracle) -> Bench:
    return Bench(
        contenders=[
            *(Contender(subject=a, role="ager") for a in agers),
            Contender(subject=CopyAger(SIZE), role="floor"),
        ],
        faces=Batch.empty(SIZE),
        panel=Panel(across=None, own={}, notes=[]),
        embedders=[PixelEmbedder()],
        perceptual=UnweightedMTCNN(),
        store=FeatureStore(tmp_path / "features"),
        size=SIZE,
        people=6,
        shown=2,
        seed=0,
        resamples=100,
        gather=lambda: pool,
        canon=canon,
    )


def _by(result: Result, **wanted: str) -> Score:
    (found,) = (s for s in result.scores if all(getattr(s, k) == v for k, v in wanted.items()))
    return found


def test_shipped_manifests_name_who_the_issue_is_about() -> None:
    pairs = read_manifests(shipped())
    names = {pair.name for pair in pairs}
    assert {"conan-shinichi", "haibara-shiho", "guts", "takezo-musashi", "mona-lisa"} <= names
    scored = [pair for pair in pairs if pair.goal.reference]
    assert len(scored) >= 12
    assert len({pair.series for pair in scored}) >= 12
    assert len({pair.since // 10 for pair in scored if pair.since > 1900}) >= 5  # decades
    assert [pair.name for pair in pairs if not pair.goal.reference] == ["mona-lisa"]
    (conan,) = (pair for pair in pairs if pair.name == "conan-shinichi")
    assert (conan.start.age, conan.start.glasses, conan.goal.age, conan.goal.glasses) == (
        7,
        "clear",
        17,
        "none",
    )


def test_no_manifest_asks_the_same_on_both_sides() -> None:
    pairs = read_manifests(shipped())
    for pair in pairs:
        young, old = ({(q.source, q.query.lower()) for q in side.find} for side in (pair.start, pair.goal))
        assert not young & old, pair.name
    assert sum(bool(pair.start.find and pair.goal.find) for pair in pairs) >= 12


def test_every_query_is_one_that_its_source_understands() -> None:
    queries = [q for pair in read_manifests(shipped()) for side in (pair.start, pair.goal) for q in side.find]
    for query in queries:
        resolve(source_named(query.source), query.options)  # raises for an option that the source has not
        if query.source == "danbooru":
            assert len(query.query.split()) <= 2  # of a free account
    portraits = [q for q in queries if q.source == "anilist"]
    assert len(portraits) >= 12
    assert all(q.options == {"what": "character"} and q.limit == 1 for q in portraits)


def _manifest(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


FIND = '{ source = "anilist", query = "A", limit = 0 }'
GOOD = """series = "S"
by = "B"
since = 1990
domain = "manga"

[[pair]]
name = "a-b"
from = { character = "A", age = 7, glasses = "none" }
to = { character = "B", age = 17, glasses = "none" }
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("glasses", "glases", "pair 1: from: unknown key 'glases'; did you mean 'glasses'"),
        ("domain", "domian", "unknown key 'domian'; did you mean 'domain'"),
        ("age = 17", "age = 170", "pair 1: to: age must be a number from 0 to 120, not 170"),
        ("age = 7,", 'age = "seven",', "pair 1: from: age must be a number from 0 to 120, not 'seven'"),
        ("age = 7, ", "", "pair 1: from: age is missing"),
        ('glasses = "none" }\nto', 'glasses = "round" }\nto', "unknown glasses 'round'"),
        ('name = "a-b"', 'name = "../a"', "name '../a' cannot be the name of a folder"),
        ("[[pair]]", "[pair]", "names no [[pair]]"),
        ('series = "S"', "series = 5", "series must be a text, not 5"),
        ("since = 1990", "since = ", "is not valid TOML"),
        (
            'glasses = "none" }\nto',
            f'glasses = "none", find = [{FIND}] }}\nto',
            "find: limit must be a whole number",
        ),
    ],
)
def test_wrong_manifest_is_one_line_that_says_where(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert read_manifest(_manifest(tmp_path / "good.toml", GOOD))[0].goal.age == 17
    path = _manifest(tmp_path / "bad.toml", GOOD.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        read_manifest(path)
    assert words in str(caught.value)
    assert "bad.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_pairs_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [_manifest(tmp_path / f"{i}.toml", GOOD) for i in range(2)]
    with pytest.raises(UsageError, match="two pairs are called 'a-b'"):
        read_manifests(paths)


def test_procedural_characters_are_found_by_their_points(folder: Path) -> None:
    pairs = read_manifest(folder / MANIFEST)
    album = Album(folder, SIZE)
    for pair in pairs:
        portraits = album.open(pair)
        assert portraits.notes == []
        assert len(portraits.start) == len(portraits.goal) == PICTURES
        assert (portraits.start.age == pair.start.age).all()
        assert (portraits.start.masks[:, SIZE // 2] == 255).all()
    # Aligned, the pictures of one person are alike; pasted anywhere on the canvas they are not.
    grey = np.stack([album.open(pair).start.pixels[0] for pair in pairs]).mean((0, 3))
    eyes, cheeks = grey[round(0.42 * SIZE)], grey[round(0.56 * SIZE)]
    assert eyes[round(0.365 * SIZE)] < cheeks[round(0.365 * SIZE)]


def test_who_knows_the_story_comes_first_and_who_does_nothing_does_not(
    folder: Path, pool: FaceArray, tmp_path: Path
) -> None:
    pairs = read_manifest(folder / MANIFEST)
    opened = [Album(folder, SIZE).open(pair) for pair in pairs]
    starts, goals = ([getattr(p, side) for p in opened] for side in ("start", "goal"))
    start, goal = (
        Batch.drawn(
            np.concatenate([b.pixels for b in side]),
            age=np.zeros(COUNT * PICTURES),
            domain="manga",
            person=["x"] * (COUNT * PICTURES),
        )
        for side in (starts, goals)
    )
    oracle = Oracle(start, goal)
    options = CanonOptions(pictures=folder, manifests=[folder / MANIFEST])
    result = Canon().run(_bench(tmp_path, pool, options, oracle))

    def value(subject: str, metric: str) -> float:
        return _by(result, subject=subject, metric=metric, case=CHARACTERS).estimate.value

    assert value("oracle", metrics.BEST_DISTANCE) < 1e-6
    # It returns each true picture once: first itself, and the others are where the ceiling has them.
    ceiling = value(OTHER.name, metrics.TRUE_RANK)
    assert value("oracle", metrics.TRUE_RANK) == pytest.approx((1 + (PICTURES - 1) * ceiling) / PICTURES)
    assert value("copy", metrics.TRUE_RANK) > 1
    assert value("copy", metrics.GAIN) == value("copy", metrics.BEST_GAIN) == 0
    assert value("oracle", metrics.GAIN) > 0.1
    assert value("copy", metrics.IDENTITY_RECOVERY) == 0
    assert value("oracle", metrics.IDENTITY_RECOVERY) >= 1  # it returns one of the references themselves
    _check_details(result)
    assert value(OTHER.name, metrics.GAIN) > 0  # another view of the older self beats the child
    assert value(OTHER.name, metrics.DISTANCE) < value("copy", metrics.DISTANCE)
    assert _by(result, role="ceiling", metric=metrics.TRUE_RANK).estimate.identities == COUNT
    estimate = _by(result, subject="oracle", metric=metrics.GAIN).estimate
    assert (estimate.n, estimate.identities) == (COUNT * PICTURES, COUNT)
    # It was asked for the age and the glasses of the goal.
    assert {age for age, _ in oracle.told} == {pair.goal.age for pair in pairs}
    assert {worn for _, worn in oracle.told} == {0}
    assert sum(not strip.worst for strip in result.strips) == COUNT
    (worst,) = (strip for strip in result.strips if strip.worst)
    assert worst.columns == ["input", "oracle", "the official one"]
    means = {
        s.case.partition(": ")[2]: s.estimate.value
        for s in result.details
        if s.subject == "oracle" and s.metric == metrics.GAIN
    }
    title, _, least = worst.title.partition(", least gain by oracle, over its pictures +")
    assert float(least) == pytest.approx(min(means.values()), abs=0.005)
    assert means[title] == min(means.values())


def _check_details(result: Result) -> None:
    """Every character has a row of its own for every metric, and the whole's numbers are their means."""
    cases = {score.case for score in result.details}
    assert len(cases) == COUNT
    assert any(case.startswith("twin-000: twin 0, ") for case in cases)
    for subject in ("oracle", "copy", OTHER.name):
        for metric in (
            metrics.GAIN,
            metrics.BEST_GAIN,
            metrics.DISTANCE,
            metrics.BEST_DISTANCE,
            metrics.TRUE_RANK,
        ):
            each = [s.estimate for s in result.details if (s.subject, s.metric) == (subject, metric)]
            whole = _by(result, subject=subject, metric=metric, case=CHARACTERS).estimate
            assert [one.n for one in each] == [PICTURES] * COUNT
            assert np.mean([one.value for one in each]) == pytest.approx(whole.value)
    of = {(s.case, s.subject, s.metric): s.estimate.value for s in result.details}
    for case in cases:  # a gain is what the distance of the unaged input loses
        away = [of[case, subject, metrics.IDENTITY_DISTANCE] for subject in ("copy", "oracle")]
        assert away[0] - away[1] == pytest.approx(of[case, "oracle", metrics.GAIN])
        assert of[case, "oracle", metrics.BEST_IDENTITY_DISTANCE] == pytest.approx(0, abs=1e-6)
    rows = Evaluation(results=[result], comparisons=[], notes=[], facts={}).rows()
    assert len(rows) == len(result.scores) + len(result.details)
    assert all(row["identities"] == 1 and row["low"] is None for row in rows if row["case"] in cases)


def test_a_character_that_is_not_shown_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canon, "ALL_SHOWN", COUNT - 1)
    result = Canon().run(_bench(tmp_path, None, CanonOptions(pictures=folder, manifests=[folder / MANIFEST])))
    assert len(result.strips) == COUNT - 1
    assert f"manga: the first {COUNT - 1} characters are shown; not twin-{COUNT - 1:03d}" in result.notes


def test_rank_of_a_face_that_is_nobody_is_chance(pool: FaceArray) -> None:
    manga = Batch.of(pool.select(pool.domain == pool.domains.index("manga")))
    ranks = []
    for i in range(0, 60, 2):
        role = cast.Role(
            name=str(manga.person[i]),
            title="",
            domain="manga",
            start=manga.take([i]),
            goal=manga.take([i + 1]),
            age=float(manga.age[i + 1]),
            glasses=-1,
        )
        found = cast.strangers(pool, role, 0)
        others = Batch.of(pool.select(found.rows))
        assert len(others) == len(set(others.person)) == cast.STRANGERS
        assert role.name not in set(others.person)
        assert (others.domain == "manga").all()
        # A random direction in place of an outcome: the true face is one among the others.
        vectors = PixelEmbedder().embed(to_tensor(np.concatenate([role.goal.pixels, others.pixels])))
        seen = vectors @ torch.randn(vectors.shape[1], generator=torch.Generator().manual_seed(i))
        ranks.append(1 + int((seen[1:] > seen[0]).sum()))
    assert np.mean(ranks) == pytest.approx(CHANCE, abs=3 * 29 / math.sqrt(30))


@pytest.mark.parametrize("count", [1, 2, 6])
def test_chance_is_the_same_of_however_many_true_pictures(
    count: int, pool: FaceArray, tmp_path: Path
) -> None:
    role = cast.Role(
        name="x",
        title="",
        domain="manga",
        start=Batch.empty(SIZE),
        goal=Batch.empty(SIZE),
        age=30.0,
        glasses=-1,
    )
    scenes = [Scene(role=role, others=np.arange(100), outputs={}) for _ in range(300)]
    rng = np.random.default_rng(0)
    goals, faces = (list(rng.normal(size=(len(scenes), each, 8))) for each in (count, 100))
    made = list(rng.normal(size=(len(scenes), 1, 8)))
    alike = [m @ g.T for m, g in zip(made, goals, strict=True)]
    result = Result(protocol="canon", question="", method="")
    sheet = Sheet(_bench(tmp_path, pool, CanonOptions()), result, "manga")
    _ranked(sheet, OTHER, "pixels", scenes, made, alike, faces)
    assert _by(result, metric=metrics.TRUE_RANK).estimate.value == pytest.approx(
        CHANCE, abs=3 * 29 / math.sqrt(300)
    )


def test_a_character_is_no_stranger_to_itself(pool: FaceArray) -> None:
    """Neither under the name that the sets have for it, nor where its very picture lies in them unnamed."""
    manga = Batch.of(pool.select(pool.domain == pool.domains.index("manga")))
    role = cast.Role(
        name="conan-shinichi",
        title="",
        domain="manga",
        start=manga.take([0]),
        goal=manga.take([20]),
        age=float(manga.age[20]),
        glasses=-1,
    )
    gone = {str(manga.person[20])}
    others = set(Batch.of(pool.select(cast.strangers(pool, role, 0).rows)).person)
    assert not others & gone
    named = sorted(others)[0]
    role.known_as = frozenset({named.rpartition("/")[2].lower()})
    found = cast.strangers(pool, role, 0)
    others = set(Batch.of(pool.select(found.rows)).person)
    assert named not in others
    assert len(others) == cast.STRANGERS


def test_strangers_are_of_about_the_age(pool: FaceArray) -> None:
    manga = Batch.of(pool.select(pool.domain == pool.domains.index("manga")))
    role = cast.Role(
        name="?", title="", domain="manga", start=manga.take([0]), goal=manga.take([1]), age=40.0, glasses=-1
    )
    found = cast.strangers(pool, role, 0)
    mine = (manga.gender == manga.gender[0]) & (np.abs(manga.age - 40) <= cast.ABOUT)
    near = set(manga.person[mine]) - {manga.person[0]}  # whose own pictures are the character's
    assert near <= set(Batch.of(pool.select(found.rows)).person)
    assert not len(cast.strangers(pool, cast.Role(**{**_fields(role), "domain": "painting"}), 0).rows)
    assert not len(cast.strangers(None, role, 0).rows)


def _fields(role: cast.Role) -> dict[str, object]:
    return {name: getattr(role, name) for name in cast.Role.__slots__}


def test_what_is_missing_is_listed_and_the_rest_is_scored(
    folder: Path, pool: FaceArray, tmp_path: Path
) -> None:
    import shutil

    pictures = tmp_path / "pictures"
    shutil.copytree(folder, pictures)
    shutil.rmtree(pictures / "twin-001" / "to")
    for file in (pictures / "twin-002" / "from").iterdir():
        file.unlink()
    (pictures / "twin-003" / "from" / "1.png").write_bytes(b"no picture")
    Image.new("RGB", (60, 60)).save(pictures / "twin-003" / "from" / "blank.png")
    options = CanonOptions(pictures=pictures, manifests=[pictures / MANIFEST])
    result = Canon().run(_bench(tmp_path, pool, options))
    said = "\n".join(result.notes)
    assert "twin-001: no picture of twin 1 in twin-001/to" in said
    assert "twin-002: no picture of twin 2 in twin-002/from" in said
    assert "twin-003: " in said
    assert "1.png is not a picture that can be read" in said
    assert "no face was found in twin-003/from/blank.png: give its five points in points.csv" in said
    found = _by(result, subject="copy", metric=metrics.GAIN, case=CHARACTERS).estimate
    assert (found.identities, found.n) == (3, 2 * PICTURES + 2)


def test_who_has_no_reference_is_shown_and_not_scored(folder: Path, tmp_path: Path) -> None:
    text = (folder / MANIFEST).read_text()
    young = tmp_path / "young.toml"
    young.write_text(text.replace("[pair.to]\n", "[pair.to]\nreference = false\n"))
    result = Canon().run(_bench(tmp_path, None, CanonOptions(pictures=folder, manifests=[young])))
    assert result.scores == []
    assert len(result.strips) == COUNT
    assert all("no reference: shown, not scored" in strip.title for strip in result.strips)


def test_no_pictures_at_all_say_who_is_known(tmp_path: Path) -> None:
    with pytest.raises(NenrinError, match=r"--pictures DIR.*pairs of .* works are known") as caught:
        Canon().run(_bench(tmp_path, None, CanonOptions()))
    assert "\n" not in str(caught.value)
    with pytest.raises(NenrinError, match="does not exist"):
        Canon().run(_bench(tmp_path, None, CanonOptions(pictures=tmp_path / "none")))


def test_a_face_on_both_sides_is_taken_from_neither(folder: Path, tmp_path: Path) -> None:
    """Once the same file, and once the same drawing saved anew by somebody else."""
    import shutil

    pictures = tmp_path / "pictures"
    shutil.copytree(folder, pictures)
    table = (pictures / POINTS_FILE).read_text()
    for young, old in (
        ("twin-000/from/1.png", "twin-000/to/same.png"),
        ("twin-001/to/2.png", "twin-001/from/again.jpg"),
    ):
        with Image.open(pictures / young) as picture:
            picture.save(pictures / old, quality=80)
        table += (
            next(line for line in table.splitlines() if line.startswith(young)).replace(young, old) + "\n"
        )
    (pictures / POINTS_FILE).write_text(table)
    album = Album(pictures, SIZE)
    first, second, third = (album.open(pair) for pair in read_manifest(pictures / MANIFEST)[:3])
    assert first.notes == [
        "twin-000: twin-000/from/1.png and twin-000/to/same.png show one face: neither is used"
    ]
    assert second.notes == [
        "twin-001: twin-001/from/again.jpg and twin-001/to/2.png show one face: neither is used"
    ]
    assert (len(first.start), len(first.goal)) == (PICTURES - 1, PICTURES)
    assert (len(second.start), len(second.goal)) == (PICTURES, PICTURES - 1)
    assert (len(third.start), len(third.goal), third.notes) == (PICTURES, PICTURES, [])


def test_drawn_characters_are_found_where_no_points_are_given(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "found")
    (tmp_path / "found" / POINTS_FILE).unlink()
    pairs = read_manifest(folder / MANIFEST)
    told = [Album(folder, SIZE).open(pair).start for pair in pairs]
    found = {
        name: [Album(tmp_path / "found", SIZE, name).open(pair).start for pair in pairs]
        for name in ("auto", "mtcnn")
    }
    drawn = sum(map(len, told))
    assert sum(map(len, found["auto"])) >= 0.9 * drawn
    # They were drawn, and MTCNN, which knows photographs, passes some of them over.
    assert sum(map(len, found["mtcnn"])) < sum(map(len, found["auto"]))
    # Aligned by the points that were found, a face looks as it does by those it was drawn with.
    for true, seen in zip(told, found["auto"], strict=True):
        there = np.isin(true.picture, seen.picture)
        off = np.abs(true.pixels[there].astype(float) - seen.pixels).mean((1, 2, 3))
        apart = np.abs(true.pixels[there].astype(float) - np.roll(true.pixels[there], 6, axis=1)).mean(
            (1, 2, 3)
        )
        assert np.median(off) < 0.6 * np.median(apart)


def test_wrong_points_are_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / POINTS_FILE).write_text("file,left_eye_x\na.png,1\n")
    with pytest.raises(UsageError, match="has no column 'left_eye_y'"):
        Album(tmp_path, SIZE)
    header = (folder / POINTS_FILE).read_text().splitlines()[0]
    (tmp_path / POINTS_FILE).write_text(header + "\na.png,1,2,3,4,5,6,7,8,9,x\n")
    with pytest.raises(UsageError, match=r"the points of 'a.png' are not ten numbers"):
        Album(tmp_path, SIZE)


def test_canon_command_lists_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["canon", "draw", "-o", str(tmp_path / "c"), "--count", "2"]) == 0
    manifest = tmp_path / "c" / MANIFEST
    assert str(manifest) in capsys.readouterr().out
    assert main(["canon", "list", "--pictures", str(tmp_path / "c"), "--manifest", str(manifest)]) == 0
    printed = capsys.readouterr().out
    assert f"{PICTURES} pictures in twin-001/from, {PICTURES} in twin-001/to" in printed
    assert main(["canon", "list"]) == 0
    assert "Conan Edogawa, 7 -> Shinichi Kudo, 17" in capsys.readouterr().out
    assert main(["canon", "draw"]) == 2
    assert main(["canon", "lsit"]) == 2
    assert "did you mean 'list'" in capsys.readouterr().err


@pytest.mark.real
def test_people_of_fgnet_play_characters(shared_data: Path, tmp_path: Path) -> None:
    """Drawn people with pictures at two ages, as if they were characters."""
    import shutil

    raw = tmp_path / "fgnet"
    raw.mkdir()
    source = shared_data / "drawn" / "cartoonised-fgnet"
    shutil.copy(shared_data / "photo" / "fgnet" / "landmarks.csv", raw)
    for path in sorted(source.glob("*.jpg")):
        if int(path.name[:3]) <= 12:
            shutil.copy(path, raw)
    others = tmp_path / "utkface"
    others.mkdir()
    for path in sorted((shared_data / "drawn" / "cartoonised-utkface").rglob("*.jpg"))[::30]:
        shutil.copy(path, others)
    build([raw, others], tmp_path / "set", size=SIZE, domain="cartoon", workers=0)
    faces = pack([FaceSet.open(tmp_path / "set")], size=SIZE)
    bench = _bench(tmp_path, faces, CanonOptions())
    bench.faces = Batch.of(faces)  # of every split: the persons of one alone are too few
    result = Canon().run(bench)
    found = _by(result, subject="copy", metric=metrics.GAIN, case=AS_IF).estimate
    assert found.identities >= 5
    rank = _by(result, role="ceiling", metric=metrics.TRUE_RANK, case=AS_IF).estimate
    assert 1 <= rank.value < CHANCE  # another picture of the person beats strangers, even by pixels
    assert any("pairs of" in note for note in result.notes)


def _found_on(path: Path, web: Web) -> Path:
    """A work of one pair, whose first side two sources know and whose second none does."""
    options = f'{{ base = "{web.url}/graphql", what = "character" }}'
    path.write_text(
        f"""
series = "Detective Conan"
by = "Gosho Aoyama"
since = 1994
domain = "manga"
[[pair]]
name = "conan-shinichi"
[pair.from]
character = "Conan Edogawa"
age = 7
glasses = "clear"
find = [
    {{ source = "danbooru", query = "edogawa_conan" }},
    {{ source = "anilist", query = "Conan", limit = 2, options = {options} }},
]
[pair.to]
character = "Shinichi Kudo"
age = 17
glasses = "none"
"""
    )
    return path


def test_canon_fetch_places_pictures_and_lists_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DANBOORU_API_KEY", raising=False)
    with Web() as web:
        characters = [
            {"id": i, "name": {"full": "Conan"}, "image": {"large": web.serve(f"/{i}.png", picture(i))}}
            for i in (1, 2, 3)
        ]
        page = {"pageInfo": {"hasNextPage": False}, "characters": characters}
        web.serve("/graphql", {"data": {"Page": page}})
        pictures = tmp_path / "canon"
        manifest = _found_on(tmp_path / "conan.toml", web)
        call = ["canon", "fetch", "--pictures", str(pictures), "--manifest", str(manifest)]
        call += ["--contact", "ada@example.org", "--interval", "0", "--allow", web.host]
        assert main(call) == 0
        said = capsys.readouterr().out
        assert "conan-shinichi/from: 0 new from danbooru (edogawa_conan): danbooru wants your own key" in said
        assert "conan-shinichi/from: 2 new from anilist" in said
        assert "conan-shinichi/to: no source shows this age alone; put your own pictures there" in said
        assert "2 pictures in conan-shinichi/from, 0 in conan-shinichi/to" in said
        placed = sorted((pictures / "conan-shinichi" / "from").iterdir())
        assert [Image.open(path).size for path in placed] == [(16, 16)] * 2
        placed[0].unlink()  # it shows somebody else: it stays away
        asked = len(web.asked)
        assert main(call) == 0
        assert sorted((pictures / "conan-shinichi" / "from").iterdir()) == placed[1:]
        assert len(web.asked) == asked
        assert main([*call[:-2], "--pictures", str(tmp_path / "other")]) == 1  # its address may not be asked
        assert "no picture could be fetched" in capsys.readouterr().err
    assert main(["canon", "fetch"]) == 2
    assert main([*call, "--only", "conan-shinich"]) == 2
    assert "did you mean 'conan-shinichi'" in capsys.readouterr().err

"""Sets of twins: counterparts that agree, builds that go on after a kill, and the command that makes them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nenrin.cli import main
from nenrin.domains.face import GLASSES, Face, face_id
from nenrin.domains.faceset import FaceSet
from nenrin.domains.split import split_of
from nenrin.domains.twins import build_twins, sample_people
from nenrin.ground import UsageError

SETTINGS: dict[str, Any] = {"ages_per_person": 5, "size": 32, "seed": 11}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceSet, FaceSet]:
    """70 people, so that more than one sitting is needed. Read the sets, do not change them."""
    folder = tmp_path_factory.mktemp("twins")
    people = sample_people(70, seed=11)
    return build_twins(folder / "photo", folder / "manga", people=people, **SETTINGS)


def _bytes_of(faces: FaceSet) -> dict[str, bytes]:
    assert not (faces.path / ".build").exists()
    files = {path.name: path.read_bytes() for path in sorted(faces.path.iterdir())}
    for name, says in (
        ("README.md", "# {}\n"),
        ("set.toml", 'name = "{}"\n'),
    ):  # the folder's name alone differs
        own = says.format(faces.path.name).encode()
        assert own in files[name]
        files[name] = files[name].replace(own, b"", 1)
    return files


def test_counterparts_agree_in_everything_but_the_picture(pair: tuple[FaceSet, FaceSet]) -> None:
    photo, manga = (list(faces.faces()) for faces in pair)
    assert len(photo) == len(manga) == 70 * 5
    for faces in pair:
        assert faces.meta.name == faces.path.name
        assert (faces.path / "README.md").read_text().startswith(f"# {faces.path.name}\n")
    same = ("age", "gender", "glasses", "identity", "split", "attributes", "source_id", "licence")
    for a, b in zip(photo, manga, strict=True):
        assert [getattr(a, name) for name in same] == [getattr(b, name) for name in same]
        assert (a.domain, b.domain) == ("photo", "manga")
        assert a.id != b.id
    assert len({face.id for face in (*photo, *manga)}) == 2 * len(photo)


def test_labels_are_whole_and_splits_go_by_person(pair: tuple[FaceSet, FaceSet]) -> None:
    faces = list(pair[0].faces())
    for face in faces:
        assert face.identity is not None
        assert face.split == split_of(face.identity)
        pixels = np.asarray(Image.open(io.BytesIO(face.image)))
        assert pixels.shape == (32, 32, 3)
        assert face.id == face_id(pixels)  # PNG: the picture is what was drawn
        assert face.age_source == "label"
        assert face.verdict == "keep"
    assert {face.split for face in faces} == {"train", "val", "test", "judge"}
    assert {face.glasses for face in faces} == set(GLASSES)
    assert {face.gender for face in faces} == {"female", "male"}
    assert {face.identity for face in faces} == {f"twin/11/{n:06d}" for n in range(70)}
    for start in range(0, len(faces), 5):  # one age in each fifth of life
        ages = np.sort(np.array([face.age for face in faces[start : start + 5]], dtype=float))
        fifths = 1 + 89 / 5 * np.arange(6)
        assert np.all((fifths[:-1] - 0.06 < ages) & (ages < fifths[1:] + 0.06))  # rounded to a tenth


def test_people_of_two_seeds_are_not_the_same(pair: tuple[FaceSet, FaceSet], tmp_path: Path) -> None:
    options = {**SETTINGS, "seed": 12}
    people = sample_people(3, seed=12)
    others = build_twins(tmp_path / "photo", tmp_path / "manga", people=people, **options)[0]
    for column in ("identity", "view"):
        here, there = (set(faces.table([column])[column].to_pylist()) for faces in (pair[0], others))
        assert not here & there


def test_processes_do_not_change_the_sets(
    pair: tuple[FaceSet, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nenrin.domains.twins.build._FEW", 0)  # so few are drawn in this process otherwise
    people = sample_people(70, seed=11)
    again = build_twins(tmp_path / "photo", tmp_path / "manga", people=people, workers=2, **SETTINGS)
    for first, second in zip(pair, again, strict=True):
        assert _bytes_of(first) == _bytes_of(second)


def test_a_killed_build_goes_on_to_the_same_sets(
    pair: tuple[FaceSet, FaceSet], command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    options = ["--people", "70", "--ages", "5", "--size", "32", "--seed", "11", "--workers", "0"]
    process = command("twins", "-o", "twins", *options, cwd=tmp_path)
    while not any(tmp_path.glob("twins-photo/.build/*.parquet")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (tmp_path / "twins-manga" / "set.toml").exists()
    assert main(["twins", "-o", str(tmp_path / "twins"), *options]) == 0
    for domain, whole in zip(("photo", "manga"), pair, strict=True):
        assert _bytes_of(FaceSet.open(tmp_path / f"twins-{domain}")) == _bytes_of(whole)


def test_a_finished_set_is_never_written_over(pair: tuple[FaceSet, FaceSet]) -> None:
    before = [_bytes_of(faces) for faces in pair]
    paths = [faces.path for faces in pair]
    people = sample_people(70, seed=11)
    for wrong in ({"seed": 12}, {"size": 64}, {"ages_per_person": 4}):
        with pytest.raises(UsageError, match="remove it or choose another folder"):
            build_twins(*paths, people=people, **{**SETTINGS, **wrong})
    with pytest.raises(UsageError, match="remove it or choose another folder"):
        build_twins(*paths, people=sample_people(70, seed=12), **SETTINGS)
    build_twins(*paths, people=people, **SETTINGS)  # there already: at once
    assert [_bytes_of(faces) for faces in pair] == before


def test_wrong_calls_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    people = sample_people(3, seed=0)
    with pytest.raises(UsageError, match="at least 1"):
        build_twins(tmp_path / "a", tmp_path / "b", people=people, **{**SETTINGS, "ages_per_person": 0})
    with pytest.raises(UsageError, match="at least 1"):
        build_twins(tmp_path / "a", tmp_path / "b", people=people[:0], **SETTINGS)
    with pytest.raises(UsageError, match="name two folders"):
        build_twins(tmp_path / "a", tmp_path / "x" / ".." / "a", people=people, **SETTINGS)
    assert not list(tmp_path.iterdir())


# -- the command ------------------------------------------------------------------------------------------


def test_the_command_draws_two_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small"
    assert main(["twins", "-o", str(out), "--people", "3", "--ages", "2", "--size", "16"]) == 0
    assert capsys.readouterr().out == f"6 faces in {out}-photo, 6 in {out}-manga\n"
    assert main(["twins", "--help"]) == 0
    assert "Example: nenrin twins --people 500" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ages", "0"], "--ages"),
        (["--size", "8"], "--size"),
        (["--size", "30000"], "--size"),
        (["--seed", "-1"], "--seed"),
        (["--workers", "-1"], "--workers"),
        (["-o", "/"], "has no name"),
        (["-o", "twins", "--people", "2"], "remove it or choose another folder"),
    ],
)
def test_wrong_words_get_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["twins", "-o", "twins", "--people", "1", "--ages", "1", "--size", "16"])
    capsys.readouterr()
    assert main(["twins", *words]) == 2
    heard = capsys.readouterr().err
    assert heard.startswith("nenrin: ")
    assert heard.count("\n") == 1
    assert said in heard


def test_free_ones_have_a_manner_of_their_own(pair: tuple[FaceSet, FaceSet], tmp_path: Path) -> None:
    def drawn(name: str, workers: int) -> FaceSet:
        people = sample_people(70, seed=11)
        photo, manga = tmp_path / f"{name}-photo", tmp_path / f"{name}-manga"
        return build_twins(photo, manga, people=people, workers=workers, free=True, **SETTINGS)[1]

    alone, both = drawn("alone", 0), drawn("both", 2)
    assert _bytes_of(alone) == _bytes_of(both)
    free, usual = list(alone.faces()), list(pair[1].faces())
    assert [(f.age, f.identity, f.view) for f in free] == [(f.age, f.identity, f.view) for f in usual]
    worn = {f.view: {g.glasses for g in free if g.view == f.view} for f in free}
    assert all(len(kinds) == 1 for kinds in worn.values())

    def colours(faces: list[Face]) -> float:
        """How far whole pictures differ in colour, in levels."""
        means = [np.asarray(Image.open(io.BytesIO(face.image))).mean((0, 1)) for face in faces]
        return float(np.std(means, axis=0).mean())

    assert colours(free) > 1.1 * colours(usual)
    for face in free:  # they are cut out closer, turned and shifted, and their points go along
        eyes, mouth = face.points[:2], face.points[3:]
        assert (eyes[1] - eyes[0])[0] > 4 and (mouth.mean(0) - eyes.mean(0))[1] > 4
    apart = [np.ptp([face.points[0] for face in faces], axis=0).max() for faces in (free, usual)]
    assert apart[0] > 3 * apart[1]

"""From raw pictures to a set: nothing bad stops it, nothing done is lost, the outcome is always the same."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from nenrin.domains.align import TEMPLATE, frame_mask
from nenrin.domains.build import build
from nenrin.domains.faceset import FaceSet
from nenrin.domains.importers import utkface
from nenrin.domains.importers.base import POINT_COLUMNS
from nenrin.ground import NenrinError, UsageError

ROOT = Path(__file__).resolve().parents[1]


def utk_folder(folder: Path, count: int, seed: int = 0) -> Path:
    """Pictures named as UTKFace's, each of its own colours."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize((64, 64), Image.Resampling.BICUBIC).save(
            folder / f"{i % 90}_{i % 2}_0_{i:09d}.jpg.chip.jpg"
        )
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(faces: FaceSet) -> dict[str, dict[str, object]]:
    return {row["source_id"]: row for row in faces.table().to_pylist()}


def test_bad_pictures_are_counted_and_named(tmp_path: Path) -> None:
    raw = utk_folder(tmp_path / "raw", 5)
    (raw / "3_0_0_900000000.jpg.chip.jpg").write_text("no picture")
    good = (raw / "0_0_0_000000000.jpg.chip.jpg").read_bytes()
    (raw / "4_0_0_900000001.jpg.chip.jpg").write_bytes(good[: len(good) // 2])
    (raw / "39_1_20170116.jpg.chip.jpg").write_bytes(good)
    (raw / "9_1_0_900000002.jpg.chip.jpg").write_bytes(good)
    report = build([raw], tmp_path / "set", size=32, finder="nominal")
    assert (report.kept, len(report.faces)) == (5, 7)
    # The malformed name comes after the picture whose copy it is, and is set aside for its own reason.
    assert report.dropped == {"malformed name": 1, "duplicate": 1}
    assert report.unreadable == {"the file is not a picture that can be read": 1, "the file is damaged": 1}
    with (tmp_path / "set" / "rejects.csv").open(newline="") as stream:
        assert {row["source_id"] for row in csv.DictReader(stream)} == {
            "3_0_0_900000000.jpg.chip.jpg",
            "4_0_0_900000001.jpg.chip.jpg",
        }
    table = rows(report.faces)
    assert table["39_1_20170116.jpg.chip.jpg"]["reason"] == "malformed name: 39_1_20170116.jpg.chip.jpg"
    assert table["4_0_0_000000004.jpg.chip.jpg"]["age"] == 4
    assert str(tmp_path) not in (tmp_path / "set" / "README.md").read_text()


def test_the_same_pictures_in_two_folders_are_kept_once(tmp_path: Path) -> None:
    folders = [utk_folder(tmp_path / name, 4) for name in ("one/faces", "two/faces", "others")]
    points = ",".join(str(v) for v in (TEMPLATE * 64).ravel())
    for folder in folders:
        labels = [f"{path.name},{points}" for path in sorted(folder.iterdir())]
        (folder / "labels.csv").write_text("\n".join([",".join(("file", *POINT_COLUMNS)), *labels]))
    specs = [f"folder:{folder}" for folder in folders]
    report = build(specs, tmp_path / "set", domain="photo", size=32, workers=0)
    table = report.faces.table().to_pylist()
    kept = [row for row in table if row["verdict"] == "keep"]
    assert (len(table), len(kept), len({row["id"] for row in kept})) == (12, 4, 4)
    assert report.dropped == {"duplicate": 8}
    assert {row["reason"] for row in table if row["source_id"].startswith("0_")} == {
        None,
        "duplicate: the same pixels as faces/0_0_0_000000000.jpg.chip.jpg",
    }


def test_a_face_that_is_set_aside_hides_no_other(tmp_path: Path) -> None:
    raw = utk_folder(tmp_path / "raw", 3)
    good = raw / "2_0_0_000000002.jpg.chip.jpg"
    (raw / "1_9_0_900000000.jpg.chip.jpg").write_bytes(good.read_bytes())  # comes first, of no gender
    report = build([raw], tmp_path / "set", size=32, finder="nominal", workers=0)
    assert (report.kept, report.dropped) == (3, {"malformed name": 1})
    assert rows(report.faces)[good.name]["verdict"] == "keep"


def test_every_face_of_a_plain_picture_is_a_row_and_a_portrait_has_one(tmp_path: Path) -> None:
    head = Image.fromarray(astronaut()).crop((150, 20, 310, 220))
    group = Image.new("RGB", (560, 440), "white")
    for left, top in ((0, 0), (200, 0), (400, 0), (100, 230), (300, 230)):
        group.paste(head, (left, top))
    for name in ("plain", "labelled"):
        (tmp_path / name).mkdir()
        group.save(tmp_path / name / "five.png")
        Image.new("RGB", (80, 50), "navy").save(tmp_path / name / "none.png")
    (tmp_path / "labelled" / "labels.csv").write_text("file,age,identity\nfive.png,36,eileen\n")
    report = build([tmp_path / "plain"], tmp_path / "a", domain="photo", size=64)
    assert sorted(rows(report.faces)) == ["five.png", *(f"five.png#{i}" for i in (2, 3, 4, 5)), "none.png"]
    assert (report.kept, report.dropped) == (5, {"no face found": 1})
    nothing = rows(report.faces)["none.png"]
    np.testing.assert_array_equal(nothing["frame"], [[0, 12], [64, 12], [64, 52], [0, 52]])
    labelled = build([tmp_path / "labelled"], tmp_path / "b", domain="photo", size=64)
    (face,) = (row for row in labelled.faces.table().to_pylist() if row["verdict"] == "keep")
    assert (face["age"], face["identity"]) == (36, "eileen")
    assert 200 < np.mean([x for x, _ in face["points"]]) < 360  # of the middle one above


def test_points_of_the_source_and_the_mask(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    picture = Image.new("RGB", (100, 100), (200, 40, 40))
    for x, y in TEMPLATE * 100 - [0, 30]:
        picture.paste((0, 255, 0), (round(x) - 3, round(y) - 3, round(x) + 3, round(y) + 3))
    picture.save(raw / "x.png")
    points = ",".join(str(v) for v in (TEMPLATE * 100 - [0, 30]).ravel())
    (raw / "labels.csv").write_text(",".join(("file", *POINT_COLUMNS)) + f"\nx.png,{points}\n")
    (face,) = build([raw], tmp_path / "set", domain="manga", size=100).faces.faces()
    assert (face.domain, face.verdict, face.scores["given"]) == ("manga", "keep", 1)
    with Image.open(io.BytesIO(face.image)) as aligned:
        for x, y in TEMPLATE * 100:
            assert aligned.getpixel((round(x), round(y)))[1] > 200
    mask = frame_mask(face.frame[None], 100)[0]
    assert (mask[:30] == 0).all()
    assert (mask[30:] == 255).all()


def test_a_drawing_takes_the_points_and_splits_of_its_photograph(tmp_path: Path) -> None:
    raw = utk_folder(tmp_path / "photo", 40)
    drawn = utk_folder(tmp_path / "drawn", 40, seed=1)
    for path in drawn.iterdir():
        with Image.open(path) as picture:
            picture.resize((96, 128)).save(path)
    photo = build([raw], tmp_path / "p", size=32, finder="nominal")
    other = build(
        [drawn],
        tmp_path / "d",
        size=32,
        domain="cartoon",
        splits_from=tmp_path / "p",
        points_from=tmp_path / "p",
    )
    before, after = rows(photo.faces), rows(other.faces)
    assert len({row["split"] for row in before.values()}) > 1
    for name, row in after.items():
        assert row["split"] == before[name]["split"]
        assert row["domain"] == "cartoon"
        expected = np.array(utkface.IMPORTER.nominal) * [96, 128]
        np.testing.assert_allclose(row["points"], expected, rtol=1e-3)


def test_points_go_to_the_pictures_of_their_source(tmp_path: Path) -> None:
    for name, shift in (("photo/a", 0), ("photo/b", 9), ("drawn/a", 0), ("drawn/b", 0), ("drawn/a2", 0)):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        files = ["1.png", *(["2.png"] if "/a" in name else [])]
        points = ",".join(str(v) for v in (TEMPLATE * 80 + shift).ravel())
        for file in files:
            Image.new("RGB", (100, 100), (shift * 20, 90, 90)).save(folder / file)
        if name.startswith("photo"):
            lines = [",".join(("file", *POINT_COLUMNS)), *(f"{file},{points}" for file in files)]
            (folder / "labels.csv").write_text("\n".join(lines))
    photos = [tmp_path / "photo" / name for name in "ab"]
    known = build(photos, tmp_path / "known", domain="photo", size=32, workers=0).faces.path
    given: dict[str, object] = {"domain": "cartoon", "size": 32, "finder": "nominal", "workers": 0}
    drawings = [tmp_path / "drawn" / name for name in ("a", "b", "a2")]
    drawn = build(drawings, tmp_path / "set", points_from=known, **given).faces  # type: ignore[arg-type]
    shifts = {
        (face.source, face.source_id): None if face.points is None else (face.points - TEMPLATE * 80).mean()
        for face in drawn.faces()
    }
    # In a folder of another name a picture has the points of its namesake, where there is one alone.
    assert {name: shift and round(float(shift)) for name, shift in shifts.items()} == {
        ("a", "1.png"): 0, ("a", "2.png"): 0, ("b", "1.png"): 9, ("a2", "1.png"): None, ("a2", "2.png"): 0,
    }  # fmt: skip


def test_the_outcome_does_not_depend_on_the_workers(tmp_path: Path) -> None:
    raw = utk_folder(tmp_path / "raw", 150)
    done: list[tuple[int, int]] = []
    for workers in (0, 2):
        build(
            [raw],
            tmp_path / f"set{workers}",
            name="x",
            size=32,
            finder="nominal",
            workers=workers,
            on_progress=lambda count, total: done.append((count, total)),
        )
    assert contents(tmp_path / "set0") == contents(tmp_path / "set2")
    assert done[-1] == (150, 150)


BUILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from nenrin.domains.build import build
from nenrin.ground import NenrinError
{limit}
try:
    build([sys.argv[2]], Path(sys.argv[3]), name="x", size=32, finder="nominal", workers=0)
except NenrinError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def start(raw: Path, out: Path, limit: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILD.format(limit=limit), str(ROOT), str(raw), str(out)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_and_started_again_the_set_is_the_same(tmp_path: Path) -> None:
    raw = utk_folder(tmp_path / "raw", 260)
    out = tmp_path / "set"
    build([raw], tmp_path / "reference", name="x", size=32, finder="nominal", workers=0)
    written = 0
    for wait_for in ("000002.parquet", "set.toml"):
        process = start(raw, out)
        while not any(out.rglob(wait_for)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        process.kill()
        process.communicate()
        now = len(list((out / ".build").glob("[0-9]*.parquet")))
        assert now >= written  # nothing already done is lost
        written = now
    assert written >= 4
    assert not FaceSet.open(out).meta.complete
    build([raw], out, name="x", size=32, finder="nominal", workers=0)
    assert contents(out) == contents(tmp_path / "reference")
    assert not (out / ".build").exists()


def test_no_space_left_says_so_and_goes_on_later(tmp_path: Path) -> None:
    raw = utk_folder(tmp_path / "raw", 70)
    # The limit on a file's size fails the same write call that a full disk fails.
    # Python would write the byte code that it compiles, and cut it short in its own packages.
    limit = "import sys, resource; sys.dont_write_bytecode = True; "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    process = start(raw, tmp_path / "set", limit)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert output.startswith(f"cannot write to {tmp_path / 'set'}")
    assert output.count("\n") == 1
    assert build([raw], tmp_path / "set", size=32, finder="nominal", workers=0).kept == 70


def test_the_same_call_again_does_nothing_and_another_is_refused(tmp_path: Path) -> None:
    raw = utk_folder(tmp_path / "raw", 3)
    build([raw], tmp_path / "set", size=32, finder="nominal")
    before = (tmp_path / "set" / "faces-00000.parquet").stat().st_mtime_ns
    assert build([raw], tmp_path / "set", size=32, finder="nominal").kept == 3
    assert (tmp_path / "set" / "faces-00000.parquet").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="holds a set of other pictures or options"):
        build([raw], tmp_path / "set", size=16, finder="nominal")


def test_a_limit_is_a_fixed_sample(tmp_path: Path) -> None:
    raw = utk_folder(tmp_path / "raw", 60)
    few, more = (
        set(rows(build([raw], tmp_path / str(n), size=16, finder="nominal", limit=n).faces)) for n in (10, 20)
    )
    assert few < more
    assert len(more) == 20


def test_a_whole_set_can_be_one_split(tmp_path: Path) -> None:
    faces = build(
        [utk_folder(tmp_path / "raw", 30)], tmp_path / "s", size=16, finder="nominal", split="judge"
    ).faces
    assert set(faces.table(["split"])["split"].to_pylist()) == {"judge"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"finder": "mtcn"}, "did you mean 'mtcnn'"),
        ({"split": "jugde"}, "did you mean 'judge'"),
        ({"splits_from": "nowhere"}, "nowhere does not exist"),
        ({"raws": []}, "name at least one folder"),
        ({}, "does not say what it shows: name it, as in --domain manga"),
    ],
)
def test_a_wrong_call_is_one_clear_line(tmp_path: Path, options: dict[str, object], message: str) -> None:
    (tmp_path / "raw").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "raw" / "x.png")
    with pytest.raises(UsageError, match=message):
        build(**{"raws": [tmp_path / "raw"], "out": tmp_path / "set", **options})  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NenrinError, match="cannot write to"):
        build([utk_folder(tmp_path / "raw", 2)], tmp_path / "file" / "set", size=16, finder="nominal")


@pytest.mark.real
def test_real_faces_end_up_on_the_template(tmp_path: Path, shared_data: Path) -> None:
    """The finder, run again on the aligned faces, finds the points where the template has them."""
    from nenrin.domains.find import MTCNNFinder, main_face

    report = build([shared_data / "photo" / "celeba"], tmp_path / "set", size=128, limit=24, workers=0)
    pictures = []
    for face in report.faces.faces():
        with Image.open(io.BytesIO(face.image)) as picture:
            pictures.append(picture.convert("RGB"))
    found = MTCNNFinder(smallest=0.3).find(pictures)
    points = np.array([main_face(faces, (128, 128)).points for faces in found if faces])
    assert len(points) >= 22
    assert np.abs(np.median(points, axis=0) - TEMPLATE * 128).max() < 4  # 3% of the side

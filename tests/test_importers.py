"""Each source's names and tables, as published and as found: a picture yields a row, good or with a fault."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from nenrin.domains.importers import importer_of
from nenrin.domains.importers.base import POINT_COLUMNS
from nenrin.domains.importers.imdbwiki import age_of
from nenrin.ground import UsageError
from nenrin.scrapers.raw import Raw


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)
    return folder


def read(spec: str | Path) -> dict[str, Raw]:
    importer, folder = importer_of(spec)
    return {raw.source_id: raw for raw in importer.read(folder)}


def labels(raw: Raw) -> dict[str, Any]:
    """What is known of a picture."""
    names = ("age", "age_source", "gender", "glasses", "identity", "fault")
    return {name: getattr(raw, name) for name in names if getattr(raw, name) is not None}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("26_1_2_20170116.jpg.chip.jpg", {"age": 26, "gender": "female"}),
        ("1_0_0_20161219.jpg.chip.jpg", {"age": 1, "gender": "male"}),
        ("116_1_0_20170120.jpg", {"age": 116, "gender": "female"}),
        ("39_1_20170116174525125.jpg.chip.jpg", None),  # no race, as in the published set
        ("55_0_0_20170116232725357jpg.chip.jpg", None),  # no dot
        ("61_3_0_20170109150557335.jpg.chip.jpg", None),  # no such gender
        ("900_1_0_20170109150557335.jpg.chip.jpg", None),  # no such age
        ("holiday.jpg", None),
    ],
)
def test_utkface_names(tmp_path: Path, name: str, expected: dict[str, Any] | None) -> None:
    raw = read(f"utkface:{put(tmp_path, name)}")[name]
    identity = {"identity": f"utkface/{name.split('.')[0]}"}
    if expected is None:
        assert labels(raw) == {**identity, "fault": f"malformed name: {name}"}
    else:
        assert labels(raw) == {**identity, **expected, "age_source": "label"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("001A14.jpg", {"identity": "fgnet/001", "age": 14}),
        ("009A22b.JPG", {"identity": "fgnet/009", "age": 22}),
        ("001A.jpg", None),
        ("01A14.jpg", None),
    ],
)
def test_fgnet_names(tmp_path: Path, name: str, expected: dict[str, Any] | None) -> None:
    raw = read(f"fgnet:{put(tmp_path, name)}")[name]
    wanted = {**expected, "age_source": "label"} if expected else {"fault": f"malformed name: {name}"}
    assert labels(raw) == wanted


def test_fgnet_landmarks(tmp_path: Path) -> None:
    put(tmp_path, "images/001A14.jpg", "images/001A15.jpg", "images/001A16.jpg")
    table = (
        ",".join(("file", *POINT_COLUMNS))
        + "\n001A14.jpg,1,2,3,4,5,6,7,8,9,10\n001A15.jpg,1,2,,4,5,6,7,8,9,10\n"
    )
    (tmp_path / "landmarks.csv").write_text(table)
    raws = read(tmp_path)
    assert raws["001A14.jpg"].points == ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10))
    assert raws["001A15.jpg"].points is raws["001A16.jpg"].points is None


@pytest.mark.parametrize("no", ["-1", "0"])
def test_celeba_attributes(tmp_path: Path, no: str) -> None:
    put(tmp_path, "images/000001.jpg", "images/000002.jpg", "images/000003.jpg")
    (tmp_path / "attributes.csv").write_text(
        f"file,eyeglasses,male,young,smiling\n000001.jpg,1,{no},1,{no}\n000002.jpg,{no},1,,1\n"
    )
    raws = read(tmp_path)
    assert labels(raws["images/000001.jpg"]) == {"glasses": "worn", "gender": "female"}
    assert raws["images/000001.jpg"].attributes == {"young": True, "smiling": False}
    assert labels(raws["images/000002.jpg"]) == {"glasses": "none", "gender": "male"}
    assert raws["images/000002.jpg"].attributes == {"smiling": True}
    assert labels(raws["images/000003.jpg"]) == {"fault": "not in the table of attributes"}


def test_celeba_as_published(tmp_path: Path) -> None:
    put(tmp_path, "img_align_celeba/000001.jpg")
    (tmp_path / "list_attr_celeba.txt").write_text("1\nEyeglasses Male Young \n000001.jpg  -1  1 -1\n")
    (tmp_path / "identity_CelebA.txt").write_text("000001.jpg 2880\n")
    (raw,) = read(tmp_path).values()
    assert labels(raw) == {"glasses": "none", "gender": "male", "identity": "celeba/2880"}
    assert raw.attributes == {"young": False}


def test_cartoonset(tmp_path: Path) -> None:
    put(tmp_path, "images/7.jpg")
    (tmp_path / "attributes.csv").write_text("file,eyeglasses,smiling,hair_color,young\n7.jpg,1,-1,1,1\n")
    (raw,) = read(tmp_path).values()
    assert labels(raw) == {"glasses": "worn", "identity": "cartoonset/7"}
    assert raw.attributes == {"smiling": False, "young": True}


def test_afad(tmp_path: Path) -> None:
    put(
        tmp_path,
        "AFAD-Full/18/111/a.jpg",
        "AFAD-Full/40/112/b.jpg",
        "AFAD-Full/18/113/c.jpg",
        "AFAD-Full/d.jpg",
    )
    raws = read(tmp_path)
    assert labels(raws["AFAD-Full/18/111/a.jpg"]) == {"age": 18, "age_source": "label", "gender": "male"}
    assert labels(raws["AFAD-Full/40/112/b.jpg"]) == {"age": 40, "age_source": "label", "gender": "female"}
    assert all(
        "not in a folder" in str(raws[f"AFAD-Full/{name}"].fault) for name in ("18/113/c.jpg", "d.jpg")
    )


def test_cacd(tmp_path: Path) -> None:
    raws = read(put(tmp_path, "53_Robin_Williams_0001.jpg", "14_Aaron_Johnson_0012.jpg", "14__.jpg"))
    assert labels(raws["53_Robin_Williams_0001.jpg"]) == {
        "age": 53,
        "age_source": "dated",
        "identity": "cacd/Robin_Williams",
    }
    assert labels(raws["14__.jpg"]) == {"fault": "malformed name: 14__.jpg"}


def test_imdbwiki(tmp_path: Path) -> None:
    names = [f"{i:02d}/{i}.jpg" for i in range(6)]
    put(tmp_path, *names[:5])
    born = date(1950, 7, 1).toordinal() + 366.0
    fields = {
        "dob": np.array([born] * 5 + [0.0]),
        "photo_taken": np.array([1990, 1990, 1990, 1900, 1990, 1990], np.uint16),
        "full_path": np.array(names, dtype=object),
        "gender": np.array([1.0, 0.0, np.nan, 1.0, 1.0, 1.0]),
        "face_score": np.array([3.0, -np.inf, 3.0, 3.0, 3.0, 3.0]),
        "second_face_score": np.array([np.nan, np.nan, np.nan, np.nan, 2.0, np.nan]),
    }
    savemat(tmp_path / "wiki.mat", {"wiki": fields})
    raws = read(tmp_path)
    assert labels(raws[names[0]]) == {
        "age": pytest.approx(40, abs=0.01),
        "age_source": "dated",
        "gender": "male",
    }
    assert raws[names[1]].fault == "no face by the source's detector"
    assert raws[names[2]].gender is None
    assert raws[names[3]].fault == raws[names[5]].fault == "absurd age"
    assert raws[names[4]].fault == "two faces by the source's detector"


def test_matlabs_days() -> None:
    # 719529 is Matlab's datenum(1970, 1, 1).
    assert age_of(719529.0, 2000) == pytest.approx(30.5, abs=0.01)
    assert age_of(float("nan"), 2000) is None


def test_damaged_metadata(tmp_path: Path) -> None:
    (put(tmp_path, "1.jpg") / "imdb.mat").write_bytes(b"not Matlab's")
    with pytest.raises(UsageError, match="is not the metadata of IMDB-WIKI"):
        read(tmp_path)


def test_a_plain_folder_with_labels(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "sub/b.png", "c.png", "d.png")
    (tmp_path / "labels.csv").write_text(
        "file,age,gender,glasses,domain,identity\na.png,7,male,dark,manga,Conan\nsub/b.png,,,,,\n"
        "c.png,old,,,,\nd.png,3,,shades,,\ngone.png,5,,,,\n"
    )
    raws = read(tmp_path)
    expected = {"age": 7, "age_source": "label", "gender": "male", "glasses": "dark", "identity": "Conan"}
    assert labels(raws["a.png"]) == expected
    assert raws["a.png"].domain == "manga"
    assert labels(raws["sub/b.png"]) == {}
    assert raws["c.png"].fault == "wrong age: 'old' is no number of years from 0 to 120"
    assert "wrong glasses: 'shades'" in str(raws["d.png"].fault)
    assert not raws["gone.png"].path.exists()


@pytest.mark.parametrize(
    ("age", "sound"),
    [("0", True), ("120", True), ("7.5", True), ("nan", False), ("-5", False), ("900", False)],
)
def test_ages_that_nobody_has_are_faults(tmp_path: Path, age: str, sound: bool) -> None:
    put(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text(f"file,age\na.png,{age}\n")
    fault = f"wrong age: {age!r} is no number of years from 0 to 120"
    expected = {"age": float(age), "age_source": "label"} if sound else {"fault": fault}
    assert labels(read(tmp_path)["a.png"]) == expected


def test_a_row_is_of_the_picture_of_its_path(tmp_path: Path) -> None:
    put(tmp_path, "a/x.png", "x.png", "a/y.png", "a/z.png", "b/z.png", "b/w.png")
    (tmp_path / "labels.csv").write_text("file,age\nx.png,7\ny.png,8\nz.png,9\nb/w.png,10\nw.png,11\n")
    raws = read(tmp_path)
    # Its base name is enough where no other picture has it.
    assert {name: raw.age for name, raw in raws.items() if raw.path.exists()} == {
        "a/x.png": None, "x.png": 7, "a/y.png": 8, "a/z.png": None, "b/z.png": None, "b/w.png": 10,
    }  # fmt: skip
    assert {name for name, raw in raws.items() if not raw.path.exists()} == {"z.png", "w.png"}


@pytest.mark.parametrize("name", ["53_Robin_Williams_0001.jpg", "26_1_2_20170116.jpg", "001A14.jpg", "7.jpg"])
def test_labels_that_a_person_gave_count_more_than_names(tmp_path: Path, name: str) -> None:
    folder = put(tmp_path / "anime", name)
    assert importer_of(folder)[0].name != "folder"
    (folder / "labels.csv").write_text(f"file,age\n{name},7\n")
    assert importer_of(folder)[0].name == "folder"
    assert read(folder)[name].age == 7


@pytest.mark.parametrize("size", [(120, 96), (300, 300)])
def test_numbered_pictures_that_are_not_cut_are_a_plain_folder(tmp_path: Path, size: tuple[int, int]) -> None:
    folder = put(tmp_path / "anime-episode-1", "0001.png", "0002.png")
    assert importer_of(folder)[0].name == "anime"
    Image.new("RGB", size).save(folder / "0002.png")
    assert importer_of(folder)[0].name == "folder"


def test_folders_in_a_folder_are_identities(tmp_path: Path) -> None:
    raws = read(put(tmp_path / "characters", "Conan/1.png", "Conan/2.png", "top.png"))
    assert raws["Conan/1.png"].identity == raws["Conan/2.png"].identity == "characters/Conan"
    assert raws["top.png"].identity is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,age\na.png,3\n", "has no column 'file'; it has: name, age"),
        ("file,gendr\na.png,male\n", "unknown column 'gendr'; did you mean 'gender'"),
        ("", "has no column 'file'; it has: nothing"),
    ],
)
def test_a_wrong_table_is_a_usage_error(tmp_path: Path, table: str, message: str) -> None:
    (put(tmp_path, "a.png") / "labels.csv").write_text(table)
    with pytest.raises(UsageError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("make", "spec", "message"),
    [
        ((), "{}/none", "is not a folder"),
        ((), "{}", "holds no pictures"),
        (("a.png",), "utkfaces:{}", "did you mean 'utkface'"),
        (("a.png",), "celeba:{}", "neither attributes.csv nor"),
        (("a.png",), "{}/a.png", "is not a folder"),
    ],
)
def test_a_wrong_folder_is_a_usage_error(
    tmp_path: Path, make: tuple[str, ...], spec: str, message: str
) -> None:
    put(tmp_path, *make)
    with pytest.raises(UsageError, match=message):
        read(spec.format(tmp_path))


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "kind", "count", "faults"),
    [
        ("photo/utkface", "utkface", 9200, 3),
        ("photo/fgnet", "fgnet", 722, 0),
        ("photo/celeba", "celeba", 1800, 0),
        ("drawn/cartoonset", "cartoonset", 1300, 0),
        ("drawn/anime", "anime", 6500, 0),
        ("drawn/cartoonised-utkface", "utkface", 3900, 2),
        ("drawn/cartoonised-fgnet", "fgnet", 722, 0),
        ("drawn/illustrations", "folder", 120, 0),
    ],
)
def test_real_folders_are_recognised(
    shared_data: Path, folder: str, kind: str, count: int, faults: int
) -> None:
    importer, path = importer_of(shared_data / folder)
    assert importer.name == kind
    raws = list(importer.read(path))
    assert (len(raws), sum(raw.fault is not None for raw in raws)) == (count, faults)

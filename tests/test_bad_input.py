"""Every kind of bad input, through the real command line: one clear line, its code, nothing lost."""

from __future__ import annotations

import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from skimage import data

from nenrin.cli import main

Fails = Callable[..., str]


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "astronaut.png"
    Image.fromarray(data.astronaut()).save(path)
    return path


def _huge_png(path: Path, side: int) -> Path:
    """A whole, valid black PNG of side x side pixels, one bit each, without ever holding it in memory."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(1)
    row = bytes(1 + side // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    return path


def _bad_picture(kind: str, folder: Path, astronaut: Path) -> Path:
    path = folder / f"{kind}.jpg"
    if kind == "text":
        path.write_text("this is a letter\n")
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        Image.open(astronaut).save(path)
        path.write_bytes(path.read_bytes()[:9000])
    elif kind == "huge":
        _huge_png(path, 30_000)
    elif kind == "faceless":
        Image.new("RGB", (200, 200), "teal").save(path)
    return path  # "missing" is not there


BAD_PICTURES = {
    "missing": "does not exist",
    "text": "is not a picture",
    "empty": "is not a picture",
    "truncated": "is damaged",
    "huge": "too many pixels",
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_bad_picture(kind: str, fails: Fails, astronaut: Path, tmp_path: Path) -> None:
    picture = _bad_picture(kind, tmp_path, astronaut)
    said = fails("find", picture, "-o", tmp_path / "out", code=1)
    assert f"{kind}.jpg" in said
    assert BAD_PICTURES[kind] in said
    assert not (tmp_path / "out").exists()


def test_bad_pictures_do_not_stop_the_others(
    astronaut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [_bad_picture(kind, tmp_path, astronaut) for kind in BAD_PICTURES]
    words = ["find", *map(str, pictures[:2]), str(astronaut), *map(str, pictures[2:])]
    assert main([*words, "-o", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(BAD_PICTURES) + 1
    assert all(line.startswith("nenrin: ") for line in lines)
    assert lines[-1].startswith("nenrin: 5 of 6 pictures")
    (row,) = json.loads((tmp_path / "out" / "found.json").read_text())
    assert row["file"] == str(astronaut)
    assert len(row["faces"]) == 1
    assert (tmp_path / "out" / "astronaut_faces.png").is_file()


def test_five_faces_are_five_faces(astronaut: Path, tmp_path: Path) -> None:
    head = Image.open(astronaut).crop((130, 0, 320, 220))
    wall = Image.new("RGB", (5 * 190, 220))
    for index in range(5):
        wall.paste(head, (index * 190, 0))
    wall.save(tmp_path / "five.png")
    assert main(["find", str(tmp_path / "five.png"), "-o", str(tmp_path / "out")]) == 0
    (row,) = json.loads((tmp_path / "out" / "found.json").read_text())
    assert len(row["faces"]) == 5
    centres = sorted(np.mean(face["points"], axis=0)[0] // 190 for face in row["faces"])
    assert centres == [0, 1, 2, 3, 4]


def test_a_set_is_built_past_every_bad_picture(
    astronaut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for kind in ("text", "empty", "truncated", "huge", "faceless"):
        _bad_picture(kind, raw, astronaut)
    shutil.copy(astronaut, raw)
    (raw / "labels.csv").write_text("file,age\nastronaut.png,36\nmissing.jpg,5\n")
    words = ["build", str(raw), "-o", str(tmp_path / "set"), "--domain", "photo", "--size", "64"]
    assert main([*words, "--workers", "0"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    first, *reasons = captured.out.splitlines()
    assert first == f"1 face in {tmp_path / 'set'}, read as folder"
    assert sorted(line.split(maxsplit=1) for line in reasons if line.startswith(" ")) == [
        ["1", "no face found"],
        ["1", "the file does not exist"],
        ["1", "the file has too many pixels"],
        ["1", "the file is damaged"],
        ["2", "the file is not a picture that can be read"],
    ]
    named = (tmp_path / "set" / "rejects.csv").read_text().splitlines()
    assert sorted(line.split(",")[1] for line in named[1:]) == [
        "empty.jpg", "huge.jpg", "missing.jpg", "text.jpg", "truncated.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["build", "twins", "stylize"])
def test_no_set_is_written_into_a_folder_of_other_files(
    command: str, fails: Fails, crops: Path, tiny_set: Path, tmp_path: Path
) -> None:
    folder = tmp_path / ("out-photo" if command == "twins" else "out")
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    words: dict[str, tuple[str | Path, ...]] = {
        "build": (crops, "--finder", "nominal", "--size", "32"),
        "twins": ("--people", "2", "--size", "16"),
        "stylize": (tiny_set, "--weights", _negative(tmp_path / "net.onnx")),
    }
    said = fails(command, *words[command], "-o", tmp_path / "out", "--workers", "0", code=2)
    assert "out" in said and "holds other files (README.md): choose a new folder" in said
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    assert (folder / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("Photo", "did you mean 'photo'?"),
        ("mangas", "did you mean 'manga'?"),
        ("wood cut", "without spaces and slashes"),
        ("a/b", "without spaces and slashes"),
    ],
)
def test_domain_that_is_none(word: str, said: str, fails: Fails, crops: Path, tmp_path: Path) -> None:
    assert said in fails("build", crops, "--domain", word, "-o", tmp_path / "set", code=2)
    assert not (tmp_path / "set").exists()


def test_a_set_named_twice(fails: Fails, tiny_set: Path, tiny_run: Path, tmp_path: Path) -> None:
    twice = (tiny_set, tiny_set / ".." / tiny_set.name)
    assert "is named twice" in fails("train", *twice, "-o", tmp_path / "runs", code=2)
    assert "is named twice" in fails("clean", *twice, code=2)
    assert "is named twice" in fails("pairs", tiny_run, *twice, "-o", tmp_path / "pairs", code=2)


def test_more_pixels_an_inch_than_any_page_has(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").touch()
    words = ("scrape", "local", tmp_path / "a.pdf", "dpi=1000000", "-o", tmp_path / "raw")
    assert "above 0 and below a million" in fails(*words, code=2)


@pytest.mark.parametrize("inside", ["", "set"])
def test_no_set_is_written_among_its_pictures(inside: str, fails: Fails, crops: Path, tmp_path: Path) -> None:
    pictures = shutil.copytree(crops, tmp_path / "pictures")
    before = sorted(pictures.iterdir())
    words = (pictures, "--finder", "nominal", "--size", "32", "--workers", "0")
    assert "lies among the pictures" in fails("build", *words, "-o", pictures / inside, code=2)
    assert sorted(pictures.iterdir()) == before


def _negative(path: Path) -> Path:
    """A net that draws the negative of a face."""
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 3, 32, 32]) for name in "xy"
    ]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["y"])], "net", ends[:1], ends[1:])
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("command", ["find", "age"])
def test_empty_folder(command: str, fails: Fails, tmp_path: Path) -> None:
    words = ["--to", "5"] if command == "age" else []
    assert "holds no pictures" in fails(command, tmp_path, *words, code=2)


def test_face_that_is_not_there(fails: Fails, astronaut: Path, tiny_run: Path, tmp_path: Path) -> None:
    picture = _bad_picture("faceless", tmp_path, astronaut)
    said = fails("age", picture, "--to", "5", "--checkpoint", tiny_run, "-o", tmp_path / "out", code=1)
    assert "faceless.jpg: no face found" in said
    assert said.rstrip().endswith("take it whole: --face whole")


def test_what_is_cut_out_is_glasses(fails: Fails, tiny_set: Path, tiny_run: Path, tmp_path: Path) -> None:
    said = fails("pairs", tiny_run, tiny_set, "--cut", "-o", tmp_path / "pairs", code=2)
    assert "add --glasses" in said


def test_missing_folder_and_what_is_no_set(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is not a folder" in fails("build", tmp_path / "no", "-o", tmp_path / "set", code=2)
    assert "no pictures" in fails("build", tmp_path / "empty", "-o", tmp_path / "set", code=2)
    assert "does not exist" in fails("train", tmp_path / "no", code=2)
    assert "no set" in fails("train", tmp_path / "empty", code=2)
    assert "name at least one" in fails("train", "size=32", code=2)
    assert not (tmp_path / "set").exists()


def test_table_without_a_column(fails: Fails, astronaut: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(astronaut, raw / "a.png")
    (raw / "labels.csv").write_text("picture,age\na.png,40\n")
    said = fails("build", raw, "-o", tmp_path / "set", "--domain", "photo", code=2)
    assert "labels.csv has no column 'file'; it has: picture, age" in said


@pytest.mark.parametrize("command", ["train", "build", "stylize"])
def test_set_of_another_version(
    command: str, fails: Fails, crops: Path, tiny_set: Path, tmp_path: Path
) -> None:
    old = shutil.copytree(tiny_set, tmp_path / "old")
    meta = (old / "set.toml").read_text()
    (old / "set.toml").write_text(re.sub(r"format_version = \d+", "format_version = 99", meta))
    words = {"train": [old], "build": [crops, "--splits-from", old], "stylize": [old]}
    said = fails(command, *words[command], "-o", tmp_path / "out", code=2)
    assert "format version 99" in said
    assert "build it again" in said
    assert not (tmp_path / "out").exists()


def test_torn_shard(fails: Fails, tiny_set: Path, tmp_path: Path) -> None:
    torn = shutil.copytree(tiny_set, tmp_path / "torn", ignore=shutil.ignore_patterns("arrays"))
    shard = next(torn.glob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-500])
    said = fails("train", torn, "size=32", "-o", tmp_path / "runs", code=1)
    assert f"{shard} cannot be read" in said


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("picture=5", "did you mean 'pictures'?"),
        ("learning_rat=1", "did you mean 'learning_rate'?"),
        ("batch=many", "expected int"),
        ("size=48", "power of two"),
        ("label=a/b", "leave / out"),
        ("label=../x", "leave / out"),
        ("width=0", "must be at least 1"),
        ("batch=0", "must be at least 1"),
        ("pictures=0", "must be at least 1"),
    ],
)
def test_setting_that_is_none(setting: str, said: str, fails: Fails, tiny_set: Path, tmp_path: Path) -> None:
    assert said in fails("train", tiny_set, setting, "-o", tmp_path / "runs", code=2)
    key, _, value = setting.partition("=")
    (tmp_path / "mine.toml").write_text(f"{key} = {value if value.isdigit() else repr(value)}\n")
    assert said in fails("train", tiny_set, "-c", tmp_path / "mine.toml", "-o", tmp_path / "runs", code=2)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("setting", ["width=0", "width=0.01", "latent=0"])
@pytest.mark.parametrize("model", ["caae", "caae-change", "age-cgan"])
def test_nets_without_channels(
    model: str, setting: str, fails: Fails, tiny_set: Path, tmp_path: Path
) -> None:
    said = fails("train", tiny_set, "--model", model, setting, "-o", tmp_path / "runs", code=2)
    assert setting.replace("=", " = ") in said and "must be at least" in said


def test_domains_are_said_by_the_sets(fails: Fails, tiny_set: Path, tiny_run: Path, tmp_path: Path) -> None:
    said = fails("train", tiny_set, "domains=manga", "-o", tmp_path / "runs", code=2)
    assert "domains comes from the sets" in said
    assert not (tmp_path / "runs").exists()
    assert (
        main(["train", "-c", str(tiny_run / "config.toml"), "--dry-run"]) == 0
    )  # a run's settings hold them


def test_checkpoint_of_another_architecture(
    fails: Fails, astronaut: Path, tiny_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (state,) = run.glob("checkpoints/*/state.json")
    values = json.loads(state.read_text())
    values["config"]["width"] = 16
    state.write_text(json.dumps(values))
    said = fails("age", astronaut, "--to", "5", "--checkpoint", run, "-o", tmp_path / "out", code=2)
    assert "another architecture" in said
    values["config"] = {"model": "stylegan"}
    state.write_text(json.dumps(values))
    assert "stylegan" in fails("age", astronaut, "--to", "5", "--checkpoint", run, code=2)


@pytest.mark.parametrize("file", ["state.json", "nets.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "gone"])
def test_damaged_checkpoint(
    file: str, damage: str, fails: Fails, astronaut: Path, tiny_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (path,) = run.glob(f"checkpoints/*/{file}")
    if damage == "gone":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"\xff" * len(whole))
    code = 2 if (file, damage) == ("state.json", "gone") else 1
    said = fails("age", astronaut, "--to", "5", "--checkpoint", run, "-o", tmp_path / "out", code=code)
    assert "no checkpoint yet" in said if code == 2 else "use an earlier checkpoint" in said


def test_checkpoint_that_is_none(fails: Fails, astronaut: Path, tmp_path: Path) -> None:
    assert "does not exist" in fails("age", astronaut, "--to", "5", "--checkpoint", tmp_path / "no", code=2)
    assert "no run folder" in fails("age", astronaut, "--to", "5", "--checkpoint", tmp_path, code=2)
    assert "no run folder" in fails("train", "--resume", tmp_path, code=2)

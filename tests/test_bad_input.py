"""Every kind of bad input, through the real command line: one clear line, its exit code, and nothing is lost."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from nenrin.cli import main

Fails = Callable[..., str]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run a command that must fail with this exit code, and return the one line it says."""

    def run(*words: str | Path, code: int) -> str:
        assert main([str(word) for word in words]) == code
        captured = capsys.readouterr()
        assert captured.err.startswith("nenrin: ")
        assert captured.err.count("\n") == 1, captured.err
        return captured.err

    return run


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
    "huge": "30000 x 30000 pixels",
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


@pytest.mark.parametrize("command", ["find", "age"])
def test_empty_folder(command: str, fails: Fails, tmp_path: Path) -> None:
    words = ["--to", "5"] if command == "age" else []
    assert "holds no pictures" in fails(command, tmp_path, *words, code=2)

"""Pictures that are here: folders, archives, PDFs and videos, and files that mean harm."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from nenrin.cli import main
from nenrin.domains.importers import importer_of
from nenrin.scrapers import containers, local
from nenrin.scrapers.archive import Archive
from nenrin.scrapers.client import Client
from nenrin.scrapers.source import Search, resolve
from tests.web import picture


def scraped(query: Path, out: Path, *more: str) -> dict[str, Path]:
    """Run the command; each picture's place and its file."""
    assert main(["scrape", "local", str(query), *more, "-o", str(out)]) == 0
    with Archive.reading(out) as archive:
        return {row.item.source_id: out / str(row.file) for row in archive.pictures()}


def faults(out: Path) -> dict[str, int]:
    with Archive.reading(out) as archive:
        return dict(archive.failures())


def packed(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def test_a_video_that_is_none_is_told_in_one_line(
    command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("this is a letter")
    process = command("scrape", "local", "text.mp4", "-o", "raw", cwd=tmp_path)
    _, said = process.communicate(timeout=60)  # what the decoder says too
    reason = "no pictures are in text.mp4 (left out: is a video that cannot be read)"
    assert (process.returncode, said) == (1, f"nenrin: nothing was found: {reason}\n")


def test_a_folder_of_everything(tmp_path: Path) -> None:
    raw = tmp_path / "raw #1"
    (raw / "ch. 1").mkdir(parents=True)
    (raw / ".hidden").mkdir()
    (raw / "ch. 1" / "a%20b.png").write_bytes(picture(1))
    (raw / ".hidden" / "c.png").write_bytes(picture(2))
    (raw / "notes.txt").write_text("no picture")
    packed(raw / "v 1.cbz", **{"p#1.png": picture(3), "p2.JPG": picture(4, kind="JPEG"), "info.xml": b"<x/>"})
    (raw / "old.cbr").write_bytes(b"Rar!")
    found = scraped(raw, tmp_path / "out", "domain=manga")
    assert list(found) == ["ch. 1/a%20b.png", "v 1.cbz/p#1.png", "v 1.cbz/p2.JPG"]
    assert found["ch. 1/a%20b.png"].read_bytes() == picture(1)
    assert found["v 1.cbz/p#1.png"].read_bytes() == picture(3)
    assert faults(tmp_path / "out") == {"is of a kind that is not read": 1}
    importer, folder = importer_of(tmp_path / "out")
    raws = list(importer.read(folder))
    assert {(raw.source, raw.domain, raw.url) for raw in raws} == {("local", "manga", None)}


def test_a_folder_that_has_grown(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for number in range(3):
        (raw / f"{number}.png").write_bytes(picture(number))
    assert len(scraped(raw, tmp_path / "out")) == 3
    (raw / "0b.png").write_bytes(picture(9))
    assert len(scraped(raw, tmp_path / "out")) == 3
    assert len(scraped(raw, tmp_path / "out", "--refresh")) == 4


def test_a_listing_goes_on_wherever_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_PER_PAGE", 2)
    raw = tmp_path / "raw"
    names = [
        "vol1/a.png",
        "vol1/x.png",
        "vol1/y/b.png",
        "vol1-extra/x.png",
        "vol1.jpg",
        "vol2.png",
        "vol2/x.png",
    ]
    for number, name in enumerate(names):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(picture(number))
    packed(raw / "vol1-more.cbz", **{"p1.png": picture(50), "p2.png": picture(51)})
    whole = list(scraped(raw, tmp_path / "whole"))
    assert sorted(whole) == sorted([*names, "vol1-more.cbz/p1.png", "vol1-more.cbz/p2.png"])
    for limit in range(1, len(whole) + 1):  # each call goes on where the one before it stopped
        assert list(scraped(raw, tmp_path / "steps", "--limit", str(limit))) == whole[:limit]
    search = Search(client=Client(), query=str(raw), options=resolve(local.SOURCE, {}))
    pages = list(local.pages(search, None))
    for number, page in enumerate(pages[:-1], 1):
        assert list(local.pages(search, page.cursor)) == pages[number:]


def test_names_inside_an_archive_lead_nowhere(tmp_path: Path) -> None:
    harm = tmp_path / "in" / "harm.zip"
    harm.parent.mkdir()
    packed(
        harm,
        **{
            "../../outside.png": picture(1),
            "/etc/nenrin.png": picture(2),
            "..\\windows.png": picture(3),
            "a/../../b.png": picture(4),
        },
    )
    out = tmp_path / "deep" / "er" / "out"
    found = scraped(harm, out)
    assert len(found) == 4
    written = {path for path in tmp_path.rglob("*") if path.is_file() and path != harm}
    assert all(path.is_relative_to(out) for path in written)
    assert len(written) == 4 + 1  # and the record
    assert all(".." not in path.as_posix() for path in found.values())
    assert not Path("/etc/nenrin.png").exists()


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_SIZE", 2**20)
    bomb = packed(tmp_path / "bomb.zip", **{"zeros.png": bytes(2**24), "good.png": picture(1)})
    assert bomb.stat().st_size < 2**16
    assert list(scraped(bomb, tmp_path / "out")) == ["bomb.zip/good.png"]
    assert faults(tmp_path / "out") == {"is too large": 1}
    # What it declares is a lie: a byte, it says.
    data = bytearray(bomb.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 1)
    (tmp_path / "liar.zip").write_bytes(data)
    assert list(scraped(tmp_path / "liar.zip", tmp_path / "out2")) == ["liar.zip/good.png"]


@pytest.mark.parametrize("name", ["a.zip", "a.cbz", "a.pdf", "a.mp4", "a.mkv"])
def test_damaged_files(tmp_path: Path, name: str, fails: Callable[..., str]) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).write_bytes(b"not what it is called")
    (tmp_path / "raw" / "good.png").write_bytes(picture(1))
    assert list(scraped(tmp_path / "raw", tmp_path / "out")) == ["good.png"]
    assert sum(faults(tmp_path / "out").values()) == 1
    said = fails("scrape", "local", tmp_path / "raw" / name, "-o", tmp_path / "alone", code=1)
    assert "nothing was found" in said


def test_a_damaged_member_and_an_encrypted_one(tmp_path: Path) -> None:
    whole = packed(tmp_path / "x.zip", **{"a.png": picture(1, 64), "b.png": picture(2)})
    data = bytearray(whole.read_bytes())
    data[60:200] = bytes(140)
    whole.write_bytes(data)
    assert list(scraped(whole, tmp_path / "out")) == ["x.zip/b.png"]
    assert faults(tmp_path / "out") == {"is damaged": 1}
    locked = packed(tmp_path / "y.zip", **{"a.png": picture(1)})
    data = bytearray(locked.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    locked.write_bytes(data)
    (tmp_path / "two").mkdir()
    locked.rename(tmp_path / "two" / "y.zip")
    (tmp_path / "two" / "good.png").write_bytes(picture(3))
    assert list(scraped(tmp_path / "two", tmp_path / "out2")) == ["good.png"]
    assert faults(tmp_path / "out2") == {"is encrypted": 1}


def test_a_compression_that_is_not_read_is_told_as_such(tmp_path: Path) -> None:
    odd = packed(tmp_path / "x.zip", **{"a.png": picture(1), "b.png": picture(2)})
    data = bytearray(odd.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(mark) + offset] = 9  # Deflate64, as large archives of Windows have it
    odd.write_bytes(data)
    assert list(scraped(odd, tmp_path / "out")) == ["x.zip/b.png"]
    assert faults(tmp_path / "out") == {"is packed in a way that is not read": 1}


def pdf(path: Path, *sides: int) -> Path:
    """A PDF with a page of a picture for each side, in points."""
    pages = [Image.open(io.BytesIO(picture(side, side))) for side in sides]
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=72)
    return path


def test_pages_of_a_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]) -> None:
    pytest.importorskip("pypdfium2", reason="the extra `pdf` is not installed")
    book = pdf(tmp_path / "book.pdf", 64, 96)
    found = scraped(book, tmp_path / "out", "dpi=144")
    assert list(found) == ["book.pdf/page=1", "book.pdf/page=2"]
    assert [Image.open(path).size for path in found.values()] == [(128, 128), (192, 192)]
    said = fails("scrape", "local", book, "dpi=0", "-o", tmp_path / "x", code=2)
    assert "dpi is a number above 0" in said
    assert "nothing was found" in fails("scrape", "local", book, "dpi=99999", "-o", tmp_path / "y", code=1)
    assert faults(tmp_path / "y") == {"has too many pixels": 2}
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    containers.open_container.cache_clear()
    assert "pip install 'nenrin[pdf]'" in fails("scrape", "local", book, "-o", tmp_path / "z", code=2)


def video(path: Path, frames: int) -> Path:
    """Ten frames a second, each as bright as its number."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), number * 4, dtype=np.uint8))
    writer.release()
    return path


def test_frames_of_a_video(tmp_path: Path) -> None:
    film = video(tmp_path / "film.avi", 40)
    found = scraped(film, tmp_path / "out", "every=0.5")
    assert list(found) == [f"film.avi/t={second / 2:.3f}" for second in range(8)]
    brightness = [float(np.asarray(Image.open(path)).mean()) for path in found.values()]
    assert brightness == pytest.approx([number * 4 for number in range(0, 40, 5)], abs=2)
    # Stopped after three, it goes on where it was.
    assert len(scraped(film, tmp_path / "few", "every=0.5", "--limit", "3")) == 3
    again = scraped(film, tmp_path / "few", "every=0.5")
    assert [path.read_bytes() for path in again.values()] == [path.read_bytes() for path in found.values()]


def test_backwards_in_a_video(tmp_path: Path) -> None:
    frames = containers.Frames(video(tmp_path / "film.avi", 20), every=1.0)
    for place, level in (("t=1.000", 40), ("t=0.000", 0), ("t=1.000", 40)):
        frames.extract(place, tmp_path / "x")
        assert float(np.asarray(Image.open(tmp_path / "x")).mean()) == pytest.approx(level, abs=2)


def test_wrong_use(tmp_path: Path, fails: Callable[..., str]) -> None:
    out = tmp_path / "out"
    assert "does not exist: name a folder" in fails("scrape", "local", tmp_path / "no", "-o", out, code=2)
    said = fails("scrape", "local", tmp_path, "-o", out, "--recipe", tmp_path / "r.toml", code=2)
    assert "a recipe cannot name them" in said
    assert "say what to look for: a folder or a file" in fails("scrape", "local", "-o", out, code=2)
    assert "name the folder to write" in fails("scrape", "local", tmp_path, code=2)
    assert "options are name=value, not 'dpi'" in fails("scrape", "local", tmp_path, "dpi", "-o", out, code=2)

"""A scrape as its user sees it: each picture once and whole, with its provenance, whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nenrin.cli import main
from nenrin.domains.build import build
from nenrin.domains.importers import importer_of
from nenrin.scrapers.archive import Archive
from nenrin.scrapers.client import Client, Limits
from nenrin.scrapers.danbooru import SOURCE
from nenrin.scrapers.errors import Unreachable
from nenrin.scrapers.pace import Pace
from nenrin.scrapers.scrape import scrape
from nenrin.scrapers.source import Item, Page
from tests.web import POST, Answer, Handler, Request, Web, booru, picture

Start = Callable[..., "subprocess.Popen[str]"]
SMALL_DISK = (
    'mount -t tmpfs -o size="$1" tmpfs disk && shift && ("$@"; echo $? > code); cp -r disk kept; '
    'exit "$(cat code)"'
)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("DANBOORU_LOGIN", "ada")
    monkeypatch.setenv("DANBOORU_API_KEY", "secret")
    monkeypatch.setenv("NENRIN_CONTACT", "ada@example.org")
    with Web() as server:
        yield server


def words(web: Web, out: Path | str, *more: str) -> list[str]:
    """The command that scrapes the server as if it were Danbooru."""
    options = [f"base={web.url}", "--allow", web.host, "--interval", "0", *more]
    return ["scrape", "danbooru", "solo", *options, "-o", str(out)]


def held(folder: Path) -> dict[str, str]:
    """Each picture's address and the hash of its file, by what the record says."""
    with Archive.reading(folder) as archive:
        return {
            row.item.url: hashlib.sha256((folder / str(row.file)).read_bytes()).hexdigest()
            for row in archive.pictures()
        }


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder)


def expected(web: Web, count: int) -> dict[str, str]:
    return {f"{web.url}/data/{n}.png": hashlib.sha256(picture(n)).hexdigest() for n in range(1, count + 1)}


def test_each_picture_once_with_its_provenance(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    booru(web, 50, per_page=20)
    out = tmp_path / "raw"
    assert main(words(web, out)) == 0
    assert capsys.readouterr().out == f"50 pictures in {out}\n"
    assert held(out) == expected(web, 50)
    assert len(files(out)) == 50
    importer, folder = importer_of(out)
    raws = list(importer.read(folder))
    assert len(raws) == 50
    raw = raws[0]
    assert (raw.source, raw.source_id, raw.url) == ("danbooru", "50", f"{web.url}/posts/50")
    assert (raw.author, raw.domain, raw.glasses) == ("artist_a", "manga", "clear")
    assert (raw.gender, raw.identity) == ("female", "character/edogawa_conan")
    assert raw.retrieved is not None and abs(raw.retrieved.timestamp() - time.time()) < 60
    with Archive.reading(out) as archive:
        item = next(archive.pictures()).item
    assert (item.date, item.tags) == (POST["created_at"], str(POST["tag_string"]).split())
    # The same command asks for nothing.
    before = len(web.asked)
    assert main(words(web, out)) == 0
    assert capsys.readouterr().out == f"50 pictures in {out}, 0 of them new\n"
    assert len(web.asked) == before
    # What is new is found when it is asked for, and nothing else is fetched.
    booru(web, 53, per_page=20)
    assert main(words(web, out, "--refresh")) == 0
    assert held(out) == expected(web, 53)
    assert all(web.count(f"/data/{n}.png") == 1 for n in range(1, 54))


def test_a_limit_and_more_later(web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    booru(web, 30, per_page=10)
    assert main(words(web, tmp_path / "raw", "--limit", "12")) == 0
    assert "There are more: raise --limit" in capsys.readouterr().out
    assert len(files(tmp_path / "raw")) == 12
    assert main(words(web, tmp_path / "raw", "--limit", "25")) == 0
    assert "25 pictures" in capsys.readouterr().out
    assert sum(request.path.startswith("/data/") for request in web.asked) == 25


def post(web: Web, number: int, **changes: Any) -> dict[str, Any]:
    return {**POST, "id": number, "file_url": f"{web.url}/data/{number}.png", **changes}


def only(web: Web, *posts: dict[str, Any]) -> None:
    """Have the server hold these posts alone."""
    web.routes["/posts.json"] = lambda request, handler: Answer(
        b"[]" if "page" in request.query else json.dumps(posts).encode(), "application/json"
    )


def test_the_same_picture_under_two_addresses(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 3):
        web.serve(f"/data/{number}.png", picture(9))
    only(web, post(web, 1), post(web, 2), post(web, 3, file_url=f"{web.url}/data/1.png"))
    out = tmp_path / "raw"
    assert main(words(web, out)) == 0
    assert capsys.readouterr().out == f"1 picture in {out}\n2 more are the same as one of them\n"
    assert len(files(out)) == 1
    with sqlite3.connect(out / "scrape.sqlite") as db:
        rows = db.execute("SELECT source_id, state, file FROM items ORDER BY number").fetchall()
    (file,) = files(out)
    assert rows == [(str(n), "done", file.relative_to(out).as_posix()) for n in (1, 2, 3)]
    assert web.count("/data/1.png") == 1  # the third has the address of the first
    importer, folder = importer_of(out)
    assert [raw.source_id for raw in importer.read(folder)] == ["1"]


def test_bad_pictures_are_left_out_with_their_reasons(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = picture(1, 64, "JPEG")
    web.serve("/data/1.png", good, "image/jpeg")
    web.serve("/data/2.png", "<html>", "text/html")
    web.serve("/data/3.png", b"\x89PNG nonsense")
    web.serve("/data/4.png", good[: len(good) // 2], "image/jpeg")
    web.serve("/data/5.png", bomb())
    only(web, *(post(web, n) for n in range(1, 7)), post(web, 7, file_url=None), post(web, 8, rating="e"))
    out = tmp_path / "raw"
    assert main(words(web, out)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"1 picture in {out}"
    assert said[1] == "7 left out:"
    assert sorted(" ".join(line.split()) for line in said[2:]) == [
        "1 has too many pixels",
        "1 is damaged",
        "1 is not given out",
        "1 is not there",
        "1 is rated otherwise",
        "2 is no picture",
    ]
    assert [path.suffix for path in files(out)] == [".jpg"]
    before = len(web.asked)
    assert main(words(web, out)) == 0
    assert len(web.asked) == before


def test_a_refresh_takes_what_the_source_says_now(web: Web, tmp_path: Path) -> None:
    for name in ("1", "2", "3-moved"):
        web.serve(f"/data/{name}.png", picture(len(name)))
    only(web, post(web, 1), post(web, 2, rating="e"), post(web, 3))
    out = tmp_path / "raw"
    assert main(words(web, out)) == 0  # one is rated otherwise, one is gone
    web.serve("/data/2.png", picture(2))
    moved = {"file_url": f"{web.url}/data/3-moved.png", "tag_string_artist": "artist_b"}
    only(web, post(web, 1, tag_string_artist="artist_b"), post(web, 2), post(web, 3, **moved))
    assert main(words(web, out, "--refresh")) == 0
    with Archive.reading(out) as archive:
        assert archive.states() == {"done": 3}
        assert [(row.item.url.rpartition("/")[2], row.item.author) for row in archive.pictures()] == [
            ("1.png", "artist_a"),  # as its picture was fetched
            ("2.png", "artist_a"),
            ("3-moved.png", "artist_b"),
        ]


def test_an_item_that_a_listing_repeats_is_tried_once(tmp_path: Path) -> None:
    page = Page(items=[Item(source_id="1", url="http://h/1.png", source="x")], cursor="2")
    changed = Page(items=[Item(source_id="1", url="http://h/new.png", source="x")], cursor=None)
    with Archive.writing(tmp_path, {"source": "x", "query": "q"}) as archive:
        assert archive.add(page) == []
        archive.fail(1, "is not there: HTTP 404")
        assert archive.add(page) == []
        assert archive.states() == {"failed": 1}
        assert archive.add(changed) == [1]
        assert archive.states() == {"wanted": 1}


def bomb() -> bytes:
    """A PNG of a few bytes that would unpack to 40 GB."""
    whole = bytearray(picture(0))
    whole[16:24] = (200_000).to_bytes(4) * 2
    whole[29:33] = zlib.crc32(whole[12:29]).to_bytes(4)
    return bytes(whole)


def test_json_with_missing_fields(web: Web, tmp_path: Path) -> None:
    web.serve("/data/1.png", picture(1))
    only(web, {"id": 1, "file_url": f"{web.url}/data/1.png", "rating": "g"}, {"rating": "g"}, {"id": 3})
    assert main(words(web, tmp_path / "raw")) == 0
    importer, folder = importer_of(tmp_path / "raw")
    (raw,) = importer.read(folder)
    assert (raw.author, raw.gender, raw.glasses, raw.identity) == (None, None, None, None)


def test_a_refusal_stops_and_keeps(
    web: Web, tmp_path: Path, fails: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    booru(web, 10)
    web.routes["/data/7.png"] = lambda request, handler: Answer(b"no", "text/plain", 403)
    said = fails(*words(web, tmp_path / "raw"), code=1)
    assert said.startswith(
        "nenrin: 127.0.0.1 refuses (HTTP 403); 3 pictures are kept, and the same command goes on. A key:"
    )
    assert len(files(tmp_path / "raw")) == 3
    assert web.count("/data/6.png") == 0  # nothing further was asked
    assert main(words(web, tmp_path / "raw")) == 0  # whoever starts again goes around the one
    assert len(files(tmp_path / "raw")) == 9
    assert web.count("/data/7.png") == 1


def test_no_key_no_contact_no_permission(
    web: Web, tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    booru(web, 1)
    out = tmp_path / "raw"
    command = words(web, out)
    assert "unknown rating 'safe'" in fails(*command, "rating=safe", code=2)
    assert "has no option 'ratings'; did you mean 'rating'?" in fails(*command, "ratings=g", code=2)
    assert "unknown source 'danboru'; did you mean 'danbooru'?" in fails(
        "scrape", "danboru", "x", "-o", out, code=2
    )
    assert "nenrin build manga109:FOLDER" in fails("scrape", "manga109", "x", "-o", out, code=2)
    without = [word for word in command if word not in ("--allow", web.host)]
    assert "is a private address" in fails(*without, code=1)
    monkeypatch.delenv("DANBOORU_API_KEY")
    said = fails(*command, code=2)
    assert "wants your own key: set DANBOORU_API_KEY in the environment. A key: https" in said
    monkeypatch.delenv("NENRIN_CONTACT")
    assert "--contact you@example.org" in fails(*command, code=2)
    assert "is no e-mail or web address" in fails(*command, "--contact", "me", code=2)
    assert not web.asked


def test_another_folder_another_question(web: Web, tmp_path: Path, fails: Callable[..., str]) -> None:
    booru(web, 2)
    out = tmp_path / "raw"
    assert main(words(web, out)) == 0
    said = fails(*words(web, out), "size=original", code=2)
    assert "holds a scrape with the size 'large', not 'original': choose another folder" in said
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("Dear Ada")
    assert f"{other} holds other files" in fails(*words(web, other), code=2)


def test_a_record_that_is_none(web: Web, tmp_path: Path, fails: Callable[..., str]) -> None:
    out = tmp_path / "raw"
    out.mkdir()
    (out / "scrape.sqlite").write_bytes(b"not a database, whatever it is called" * 99)
    assert "cannot be used" in fails(*words(web, out), code=1)
    assert "cannot be used" in fails("build", str(out), "-o", str(tmp_path / "set"), code=1)


def test_nothing_found(web: Web, tmp_path: Path, fails: Callable[..., str]) -> None:
    booru(web, 0)
    assert "nothing was found" in fails(*words(web, tmp_path / "raw"), code=1)
    said = fails("build", str(tmp_path / "raw"), "-o", str(tmp_path / "set"), "--domain", "manga", code=2)
    assert "holds no pictures yet" in said


def test_a_lost_file_is_fetched_again(web: Web, tmp_path: Path) -> None:
    booru(web, 5)
    out = tmp_path / "raw"
    assert main(words(web, out)) == 0
    files(out)[0].unlink()
    assert main(words(web, out)) == 0
    assert held(out) == expected(web, 5)


def test_what_a_loss_of_power_left_unwritten_is_fetched_again(web: Web, tmp_path: Path) -> None:
    booru(web, 5)
    out = tmp_path / "raw"
    assert main(words(web, out)) == 0
    emptied, zeroed = files(out)[:2]
    emptied.write_bytes(b"")
    zeroed.write_bytes(bytes(zeroed.stat().st_size))
    assert main(words(web, out)) == 0
    assert held(out) == expected(web, 5)


def test_a_network_that_goes_down(web: Web, tmp_path: Path) -> None:
    booru(web, 9)
    # The listing answers, the host of the pictures does not.
    down = "http://127.0.0.1:9/data"
    only(web, *(post(web, n, file_url=f"{down}/{n}.png") for n in range(9)))
    client = Client(pace=Pace(0.0), limits=Limits(attempts=1), allowed=[web.host, "127.0.0.1:9"])
    options, keys = {"base": web.url}, {"DANBOORU_LOGIN": "ada", "DANBOORU_API_KEY": "secret"}
    with pytest.raises(
        Unreachable, match="and so the 4 before it; 0 pictures are kept, and the same command goes on"
    ):
        scrape(SOURCE, "solo", tmp_path / "raw", client=client, options=options, keys=keys)


def test_what_is_gone_proves_that_the_network_is_up(web: Web, tmp_path: Path) -> None:
    booru(web, 12)

    def answer(request: Request, handler: Handler) -> Answer:
        return Answer(b"no", "text/plain", 404 if request.path in ("/data/9.png", "/data/5.png") else 503)

    for number in range(2, 13):
        web.routes[f"/data/{number}.png"] = answer
    out = tmp_path / "raw"
    client = Client(pace=Pace(0.0), limits=Limits(attempts=1), allowed=[web.host])
    options, keys = {"base": web.url}, {"DANBOORU_LOGIN": "ada", "DANBOORU_API_KEY": "secret"}
    report = scrape(SOURCE, "solo", out, client=client, options=options, keys=keys)
    # Never five in a row: three, one that is gone, three, one that is gone, three.
    assert (report.pictures, report.unreachable, report.failed.total()) == (1, 9, 2)
    assert report.complete


def _wait_for(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def test_killed_five_times(command: Start, web: Web, tmp_path: Path) -> None:
    count, out = 200, tmp_path / "raw"
    booru(web, count)
    for kill in range(1, 6):
        process = command(*words(web, "raw"), cwd=tmp_path)
        _wait_for(process, lambda kill=kill: len(web.asked) > kill * 35)  # type: ignore[misc]
        process.kill()
        process.communicate(timeout=60)
        assert held(out).items() <= expected(web, count).items()  # whatever is recorded is whole
    assert len(held(out)) < count
    assert main(words(web, out)) == 0
    assert held(out) == expected(web, count)
    assert len(files(out)) == count
    # A kill costs the one that was on its way, and a page of the listing.
    assert sum(request.path.startswith("/data/") for request in web.asked) <= count + 5
    importer, folder = importer_of(out)
    assert all(raw.url and raw.author and raw.retrieved for raw in importer.read(folder))


def test_ctrl_c(command: Start, web: Web, tmp_path: Path) -> None:
    booru(web, 100)
    process = command(*words(web, "raw"), cwd=tmp_path)
    _wait_for(process, lambda: len(web.asked) > 20)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "nenrin: interrupted: what was written is kept; the same command goes on from there\n"
    kept = len(held(tmp_path / "raw"))
    assert 10 < kept < 100
    assert not (tmp_path / "raw" / "pictures" / ".part").exists()
    assert [path.name for path in (tmp_path / "raw").iterdir() if path.is_file()] == ["scrape.sqlite"]
    assert main(words(web, tmp_path / "raw")) == 0
    assert held(tmp_path / "raw") == expected(web, 100)


def test_two_at_once(command: Start, web: Web, tmp_path: Path, fails: Callable[..., str]) -> None:
    booru(web, 100)
    go_on = threading.Event()
    web.routes["/data/90.png"] = lambda request, handler: Answer(picture(90) * go_on.wait(60))
    process = command(*words(web, "raw"), cwd=tmp_path)
    _wait_for(process, lambda: web.count("/data/90.png") > 0)
    out = tmp_path / "raw"
    assert "another scrape is writing to" in fails(*words(web, out), code=2)
    assert "another scrape is writing to" in fails("build", str(out), "-o", str(tmp_path / "s"), code=2)
    go_on.set()
    process.communicate(timeout=60)
    assert held(out) == expected(web, 100)


def test_full_disk(command: Start, web: Web, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("a small disk needs mount namespaces, which this system does not allow")
    booru(web, 60, size=64)
    (tmp_path / "disk").mkdir()
    prefix = ("unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh", "500k")
    process = command(*words(web, "disk/raw"), cwd=tmp_path, prefix=prefix)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert said.startswith("nenrin: no space left")
    assert said.count("\n") == 1
    out = tmp_path / "kept" / "raw"
    before = len(held(out))
    assert before > 5
    served = sum(request.path.startswith("/data/") for request in web.asked)
    assert main(words(web, out)) == 0
    assert len(held(out)) == 60
    again = sum(request.path.startswith("/data/") for request in web.asked) - served
    assert again == 60 - before


def test_goes_straight_into_a_build(web: Web, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(1, 4):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize((64, 64)).save(tmp_path / "x.png")
        web.serve(f"/data/{number}.png", (tmp_path / "x.png").read_bytes())
    only(web, *(post(web, n) for n in range(1, 4)))
    assert main(words(web, tmp_path / "raw")) == 0
    faces = build([tmp_path / "raw"], tmp_path / "set", size=32, workers=0).faces
    assert {(face.source, face.source_id, face.url, face.author) for face in faces.faces()} == {
        ("danbooru", str(n), f"{web.url}/posts/{n}", "artist_a") for n in range(1, 4)
    }
    for face in faces.faces():
        assert face.domain == "manga"
        assert face.attributes["solo"]
        assert face.retrieved is not None

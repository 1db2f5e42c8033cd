"""The review page: real key presses in a real browser, decisions that survive a kill, and who is kept out."""

from __future__ import annotations

import http.client
import io
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from nenrin.domains.checks.verdicts import SUSPICION, TWIN
from nenrin.domains.decisions import Decisions, path_of
from nenrin.domains.face import Face, face_id
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.rewrite import rewrite
from nenrin.review.queue import Queue
from nenrin.review.server import ReviewServer
from tests import browser as browsers

HOSTILE = '<img src=x onerror="document.title=1">.jpg'


@pytest.fixture
def suspects(tmp_path: Path) -> Path:
    """A set of eight faces, six of them suspects, the worst in the last row."""
    path = tmp_path / "suspects"
    with SetWriter(path, name="suspects", size=32, domains=("photo", "manga")) as writer:
        for row in range(8):
            pixels = np.random.default_rng(row).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            scores = {SUSPICION: 10.0**-row} | ({TWIN: 0.0} if row == 5 else {})
            writer.add(
                Face(
                    id=face_id(pixels),
                    image=stream.getvalue(),
                    domain="photo",
                    age=20.0 + row,
                    gender="female" if row != 4 else None,
                    glasses="none",
                    source="test",
                    source_id=HOSTILE if row == 7 else f"{row}.png",
                    scores=scores,
                    verdict="keep" if row < 2 else "review",
                    reason=None if row < 2 else "near-duplicate: of 0.png" if row == 5 else "blurred",
                )
            )
    rewrite(FaceSet.open(path), {}, cleaned=1)
    return path


@pytest.fixture
def server(suspects: Path) -> Iterator[ReviewServer]:
    with ReviewServer(Queue(FaceSet.open(suspects))) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _ask(
    server: ReviewServer, path: str, *, host: str | None = None, token: str | None = None, body: object = None
) -> tuple[int, Any, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    headers = {"Host": host or f"127.0.0.1:{server.server_port}"}
    if token != "":
        headers["X-Token"] = token or server.token
    connection.request(
        "GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers
    )
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return (
        answer.status,
        json.loads(data) if answer.getheader("Content-Type") == "application/json" else data,
        answer.headers,
    )


def test_suspects_come_worst_first_with_their_pictures(server: ReviewServer) -> None:
    status, data, _ = _ask(server, "/suspects")
    assert status == 200
    assert [suspect["row"] for suspect in data["suspects"]] == [7, 6, 5, 4, 3, 2]
    assert [suspect["twin"] for suspect in data["suspects"]] == [None, None, 0, None, None, None]
    faces = list(server.queue.faces.faces())
    for row in range(8):
        assert _ask(server, f"/picture/{row}")[1] == faces[row].image
    assert _ask(server, "/picture/8")[0] == 404


def test_strangers_are_kept_out(server: ReviewServer) -> None:
    for path in ("/", "/suspects", "/picture/7"):
        assert _ask(server, path, token="")[0] == 403
        assert _ask(server, path, token="guess")[0] == 403
        assert _ask(server, path, host="evil.example")[0] == 403
        assert _ask(server, path, host=f"127.0.0.1.evil.example:{server.server_port}")[0] == 403
    # What another page can make a browser send, a form's post without our header, decides nothing.
    status, _, _ = _ask(server, f"/decide?token={server.token}", token="", body={"row": 7, "verdict": "drop"})
    assert status == 403
    assert not server.queue.decided()
    assert server.server_address[0] == "127.0.0.1"


def test_this_machine_is_answered_with_and_without_a_port(server: ReviewServer) -> None:
    """Browsers leave port 80 out of the Host header."""
    for name in ("127.0.0.1", "localhost"):
        for host in (name, f"{name}:{server.server_port}"):
            assert _ask(server, "/suspects", host=host)[0] == 200
    assert _ask(server, "/suspects", host=f"127.0.0.1:{server.server_port}1")[0] == 403


@pytest.mark.parametrize(
    "body",
    [
        {"row": 0, "verdict": "drop"},
        {"row": 7, "verdict": "perhaps"},
        {"row": 7, "verdict": "keep", "labels": {"age": 300}},
        {"row": 7, "verdict": "keep", "labels": {"split": "test"}},
        {"row": 7, "verdict": "keep", "labels": [1]},
        {"row": [], "verdict": "keep"},
        [7],
        "x" * 20_000,
    ],
)
def test_what_is_no_decision_is_refused_and_not_written(server: ReviewServer, body: object) -> None:
    status, answer, _ = _ask(server, "/decide", body=body)
    assert status == 400
    assert answer["error"]
    assert not server.queue.faces.decisions.path.exists()


def test_the_page_may_load_nothing_from_elsewhere(server: ReviewServer) -> None:
    status, page, headers = _ask(server, "/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.search(rb"https?://", page)


def test_a_set_without_scores_says_what_to_do(tiny_set: Path, fails: Callable[..., str]) -> None:
    assert "nenrin clean" in fails("review", tiny_set, code=2)


def _start(command: Callable[..., subprocess.Popen[str]], path: Path) -> tuple[subprocess.Popen[str], str]:
    process = command("review", str(path), "--no-browser", cwd=path.parent)
    assert process.stdout is not None
    address = re.search(r"http://\S+", process.stdout.readline())
    assert address is not None
    return process, address.group()


def _decided(path: Path) -> dict[int, tuple[str | None, dict[str, Any]]]:
    """Row -> what the disk says, read anew."""
    faces, decisions = FaceSet.open(path), Decisions(path_of(path))
    found = {row: decisions.of(f.id, f.source, f.source_id) for row, f in enumerate(faces.faces())}
    return {row: (d.verdict, d.labels) for row, d in found.items() if d is not None}


@browsers.needed
def test_a_person_decides_with_one_key_each(
    suspects: Path, command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    playwright.expect.set_options(timeout=30_000)  # a machine may be busy
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    process, address = _start(command, suspects)
    with playwright.sync_playwright() as drive:
        browser = drive.chromium.launch(
            executable_path=browsers.CHROMIUM, args=[*flags, "--disable-sync", "--no-first-run"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 760})
        requested, errors = list[str](), list[str]()
        page.on("request", lambda request: requested.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)

        def press(*keys: str, at: str) -> None:
            for key in keys:
                page.keyboard.press(key)
            playwright.expect(page.locator("#place")).to_have_text(at)

        playwright.expect(page.locator("#place")).to_have_text("1 of 6")
        # A name is text, whatever is in it.
        playwright.expect(page.locator("#file")).to_have_text(f"test {HOSTILE}")
        press("d", at="2 of 6")  # row 7
        press("k", at="3 of 6")  # row 6
        assert page.locator("#other").is_visible()  # row 5, beside what it is nearly the same as
        press("u", at="2 of 6")
        press("d", at="3 of 6")  # row 6 after all
        press("a", "6", "1", "Enter", at="4 of 6")  # row 5 is 61 years old
        press("g", "1", at="5 of 6")  # row 4 had no gender
        page.locator("body[data-waiting='0']").wait_for()  # on a busy machine keys are faster than disks
        process.kill()  # as hard as it gets
        process.communicate()
        assert _decided(suspects) == {
            7: ("drop", {}),
            6: ("drop", {}),
            5: ("keep", {"age": 61}),
            4: ("keep", {"gender": "female"}),
        }
        page.keyboard.press("k")
        playwright.expect(page.locator("#state")).to_contain_text("Not saved")
        assert page.locator("#place").inner_text() == "5 of 6"

        process, address = _start(command, suspects)
        page.goto(address)
        playwright.expect(page.locator("#place")).to_have_text("5 of 6")  # on from where it was
        press("g", at="6 of 6")  # row 3 is male
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.locator("#undo").bounding_box()["y"] < 740  # all is in sight on a phone
        page.keyboard.press("s")
        page.keyboard.press("3")  # row 2 wears dark glasses
        playwright.expect(page.locator("#done")).to_contain_text(
            "6 of 6 decided: 4 kept, 4 of them with a label"
        )
        page.keyboard.press("u")
        playwright.expect(page.locator("#place")).to_have_text("6 of 6")
        page.keyboard.press("m")
        page.keyboard.press("2")
        playwright.expect(page.locator("#done")).to_be_visible()
        press("ArrowLeft", at="6 of 6")
        page.keyboard.press("a")
        page.keyboard.type("30")
        page.keyboard.press("Enter")  # a second label beside the first
        playwright.expect(page.locator("#done")).to_be_visible()
        press("ArrowLeft", at="6 of 6")
        page.keyboard.press("s")
        page.keyboard.press("3")
        press("u", at="6 of 6")  # takes back the third alone
        page.locator("body[data-waiting='0']").wait_for()
        browser.close()
    process.terminate()
    process.communicate()
    assert not errors
    assert all(urlsplit(url).hostname == "127.0.0.1" or url.startswith("data:") for url in requested)
    assert _decided(suspects)[3] == ("keep", {"gender": "male"})
    assert _decided(suspects)[2] == ("keep", {"domain": "manga", "age": 30})
    kept = FaceSet.open(suspects).table(["verdict", "gender", "domain"]).to_pylist()
    assert [row["verdict"] for row in kept] == ["keep"] * 6 + ["drop"] * 2
    assert (kept[3]["gender"], kept[2]["domain"]) == ("male", "manga")

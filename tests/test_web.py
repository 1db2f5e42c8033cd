"""The page in a real browser: every tab, what it says of bad pictures, the narrow window, eight visitors."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from PIL import Image
from skimage import data

from nenrin.domains.checks.verdicts import SUSPICION
from nenrin.domains.face import Face, face_id
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.rewrite import rewrite
from tests import browser as browsers

gradio = pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'nenrin[web]'")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = browsers.needed

PATIENCE = 90_000  # ms: a machine may be busy
HOSTILE = '<img src=x onerror="document.title=1">${document.title=2}{{title}}'
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


class Site:
    """A running `nenrin serve` and what a browser saw of it."""

    def __init__(self, process: subprocess.Popen[str], address: str, temporary: Path, browser: Any) -> None:
        self.process, self.address, self.temporary, self.browser = process, address, temporary, browser
        self.root = address.split("?")[0]
        self.requested: list[str] = []
        self.errors: list[str] = []
        self.shared = browser.new_context()  # what one page has loaded, the next one has in its cache

    def visit(self, address: str | None = None, width: int = 1200, alone: bool = False) -> Any:
        """A page, loaded; `alone` gives it a browser context of its own."""
        page = self.browser.new_page() if alone else self.shared.new_page()
        page.set_viewport_size({"width": width, "height": 800})
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(address or self.address)
        page.wait_for_selector(".nn-drop")
        return page

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """An address of the server, without a browser."""
        request = urllib.request.Request(self.root + path, body, headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # urlopen keeps an older test's
        try:
            with direct.open(request) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def folders(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/, reports/ and a set with two suspects, with names that are no names; secret/ lies beside them."""
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(tiny_run, root / "runs" / HOSTILE)
    (root / "runs" / HOSTILE / "stopped.txt").write_text(f"collapsed at step 2 (one colour): {HOSTILE}\n")
    shutil.copytree(tiny_run, root / "secret")
    shutil.copytree(tiny_run, root / "runs" / "older")
    os.utime(root / "runs" / "older" / "config.toml", (0, 0))
    (root / "runs" / "linked").symlink_to(root / "secret")
    (root / "reports" / "first").mkdir(parents=True)
    (root / "reports" / "first" / "report.html").write_text(
        "<!doctype html><script>parent.document.title = 3</script><h1>It ages</h1>"
    )
    with SetWriter(root / "set", name="suspects", size=32, domains=("photo",)) as writer:
        for row in range(2):
            pixels = np.random.default_rng(row).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            face = Face(id=face_id(pixels), image=stream.getvalue(), domain="photo", source="test")
            face.source_id, face.scores, face.verdict = f"{row}.png", {SUSPICION: 0.1}, "review"
            face.reason = "blurred"
            writer.add(face)
    rewrite(FaceSet.open(root / "set"), {}, cleaned=1)
    return root


@pytest.fixture(scope="module")
def site(
    folders: Path, command: Callable[..., subprocess.Popen[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    temporary = tmp_path_factory.mktemp("temporary")
    words = ["--set", "set", "--runs", "runs", "--reports", "reports", "--port", "0", "--no-browser"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        process = command("serve", *words, cwd=folders)
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found is not None, process.communicate()[1]
    with playwright.sync_playwright() as drive:
        browser = drive.chromium.launch(executable_path=browsers.CHROMIUM, args=FLAGS)
        playwright.expect.set_options(timeout=PATIENCE)
        yield Site(process, found.group(), temporary, browser)
        browser.close()
    if process.poll() is None:
        process.terminate()
    process.communicate()


@pytest.fixture(scope="module")
def head() -> Image.Image:
    """A picture of 230 px with one face."""
    return Image.fromarray(data.astronaut()).crop((110, 0, 340, 230))


@pytest.fixture(scope="module")
def two_heads() -> Image.Image:
    """A picture with two faces."""
    one, two = Image.fromarray(data.astronaut()).crop((40, 0, 460, 420)), Image.new("RGB", (900, 420), "#ddd")
    two.paste(one, (0, 0))
    two.paste(one.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (450, 0))
    return two


def _encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _drop(page: Any, body: bytes, name: str = "picture") -> None:
    page.set_input_files(".nn-drop input", {"name": name, "mimeType": "image/png", "buffer": body})


def _keep(page: Any, link: str) -> Image.Image:
    with page.expect_download() as coming:
        page.get_by_role("link", name=link).click()
    return Image.open(io.BytesIO(coming.value.path().read_bytes()))


def test_from_a_picture_to_what_is_kept(site: Site, head: Image.Image) -> None:
    page = site.visit()
    exif = Image.Exif()
    exif[0x010E] = "where it was taken"
    _drop(page, _encoded(head, "JPEG", quality=95, exif=exif), HOSTILE)
    playwright.expect(page.locator(".nn-strip button")).to_have_count(9)
    playwright.expect(page.locator("#nn-stage .nn-said")).to_have_text(re.compile("1 face found"))
    assert page.locator("#nn-domain input:checked").get_attribute("value") == "photo"
    assert float(page.locator("#nn-strip .nn-said").get_attribute("data-seconds")) > 0

    first = page.locator(".nn-strip img").nth(8).get_attribute("src")
    page.locator("#nn-glasses label", has_text="dark").click()
    changed = page.locator(f'.nn-strip button:last-child img:not([src="{first}"])')
    playwright.expect(changed).to_have_count(1)
    page.locator(".nn-strip button").nth(1).click()
    playwright.expect(page.locator(".nn-right")).to_have_text("10 years")
    playwright.expect(page.locator("#nn-years input[type=number]")).to_have_value("10")
    page.locator("#nn-years input[type=range]").fill("33")
    playwright.expect(page.locator(".nn-right")).to_have_text("33 years")
    page.locator("#nn-domain label", has_text="manga").click()
    playwright.expect(page.locator("#nn-strip .nn-said")).to_contain_text("Taken for manga")
    page.locator("#nn-domain label", has_text="photo").click()
    playwright.expect(page.locator("#nn-strip .nn-said")).to_contain_text("Taken for photo")

    strip = _keep(page, "Strip (PNG)")
    assert strip.format == "PNG"
    assert strip.width == 10 * 320 + 9 * 4
    for kind in ("GIF", "WebP"):
        moving = _keep(page, f"Animation ({kind})")
        assert moving.format == kind.upper()
        assert moving.n_frames > 20  # GIF joins those that do not differ
    page.get_by_role("button", name="Paste back into the picture").click()
    playwright.expect(page.locator(".nn-pasted figcaption")).to_contain_text("230 x 230 pixels, at 33 years")
    whole = _keep(page, "Picture (PNG)")
    assert not whole.getexif()
    assert "exif" not in whole.info
    off = np.abs(np.asarray(whole).astype(int) - np.asarray(head))
    assert off[40:190, 60:170].mean() > 3  # the face is another one
    assert off[-12:, :].mean() < 3  # the rest is the picture, but for JPEG
    assert page.title() == "nenrin"
    page.close()


def test_every_face_is_shown_and_one_is_chosen(site: Site, two_heads: Image.Image) -> None:
    # The surest face is not the one to begin with.
    page = site.visit()
    _drop(page, _encoded(two_heads))
    playwright.expect(page.locator(".nn-stage g")).to_have_count(2)
    playwright.expect(page.locator("#nn-stage .nn-said")).to_contain_text("2 faces found: pick one")
    other = page.locator('.nn-faces button[aria-pressed="false"]').first
    number = other.get_attribute("data-pick")
    before = page.locator(".nn-compare img").first.get_attribute("src")
    other.click()
    playwright.expect(page.locator(f'.nn-faces button[data-pick="{number}"]')).to_have_attribute(
        "aria-pressed", "true"
    )
    playwright.expect(page.locator("#nn-strip .nn-said")).to_contain_text("after the choice")
    assert page.locator(".nn-compare img").first.get_attribute("src") != before
    page.close()


def test_the_last_of_quick_clicks_wins(site: Site, two_heads: Image.Image) -> None:
    page = site.visit()
    _drop(page, _encoded(two_heads))
    said = page.locator("#nn-strip .nn-said")
    playwright.expect(page.locator(".nn-strip button")).to_have_count(9)

    def click(*words: str) -> None:
        """At once, whatever is being handled."""
        for word in words:
            where = f'label:has(input[value="{word}"]), .nn-strip [data-pick="{word}"]'
            page.locator(where).dispatch_event("click")

    kept = page.locator(".nn-strip img").nth(8).get_attribute("src")
    click("dark")
    playwright.expect(page.locator(f'.nn-strip button:last-child img:not([src="{kept}"])')).to_have_count(1)
    click("clear", "keep")
    playwright.expect(page.locator(f'.nn-strip button:last-child img[src="{kept}"]')).to_have_count(1)
    click("manga", "cartoon")
    playwright.expect(said).to_contain_text("Taken for cartoon")
    assert page.locator("#nn-domain input:checked").get_attribute("value") == "cartoon"
    number = page.locator('.nn-faces button[aria-pressed="false"]').first.get_attribute("data-pick")
    other = page.locator(f'.nn-faces button[data-pick="{number}"]')
    page.locator(".nn-whole").dispatch_event("click")
    other.dispatch_event("click")
    click("dark")  # the face is another one: it is drawn as it is, not as the one before
    playwright.expect(other).to_have_attribute("aria-pressed", "true")
    playwright.expect(said).to_contain_text("Taken for photo")
    click("manga", "5", "80", "30")
    playwright.expect(page.locator(".nn-right")).to_have_text("30 years")
    playwright.expect(page.locator("#nn-years input[type=number]")).to_have_value("30")
    playwright.expect(said).to_contain_text("Taken for manga")
    assert page.locator('.nn-faces button[aria-pressed="true"]').get_attribute("data-pick") == number
    page.close()


def test_the_last_of_quick_drops_wins(site: Site, head: Image.Image, two_heads: Image.Image) -> None:
    page = site.visit()
    said = page.locator("#nn-stage .nn-said")
    _drop(page, _encoded(head))
    playwright.expect(page.locator(".nn-drop.nn-busy")).to_have_count(0)  # it has come and is being aged
    _drop(page, _encoded(two_heads))
    playwright.expect(said).to_contain_text("2 faces found")
    for late in (b"no picture at all", _encoded(two_heads), _encoded(head)):
        _drop(page, late)
    playwright.expect(said).to_contain_text("1 face found")
    page.wait_for_timeout(500)  # in which an event that finds nothing could still complain
    playwright.expect(page.locator(".nn-trouble:visible")).to_have_count(0)
    page.close()


def test_any_age_can_be_typed(site: Site, head: Image.Image) -> None:
    page = site.visit()
    _drop(page, _encoded(head))
    box, shown = page.locator("#nn-years input[type=number]"), page.locator(".nn-right")
    playwright.expect(shown).to_have_text("70 years")
    for typed, said, left in (("200", "90 years", "90"), ("0", "1 year", "1"), ("44", "44 years", "44")):
        box.fill(typed)
        playwright.expect(shown).to_have_text(said)
        box.blur()
        playwright.expect(box).to_have_value(left)
    for typed in ("33", "200", "", "0", "", "62", "44") * 5:  # at once, whatever is being handled
        box.fill(typed)
        box.blur()
    playwright.expect(shown).to_have_text("44 years")
    playwright.expect(box).to_have_value("44")
    for typed in ("21", ""):  # emptied before the face is shown at that age
        box.fill(typed)
    box.blur()
    playwright.expect(box).to_have_value("21")
    playwright.expect(shown).to_have_text("21 years")
    box.fill("")
    _drop(page, _encoded(head.rotate(5)))
    playwright.expect(page.locator("#nn-strip .nn-said")).to_contain_text("from picture to strip")
    box.blur()
    playwright.expect(box).to_have_value("21")
    playwright.expect(shown).to_have_text("21 years")
    playwright.expect(page.locator(".nn-trouble:visible")).to_have_count(0)
    page.close()


def test_a_gender_that_is_hard_to_tell_can_be_said(site: Site, head: Image.Image) -> None:
    page = site.visit()
    _drop(page, _encoded(head))
    said, last = page.locator("#nn-strip .nn-said"), page.locator(".nn-strip img").nth(8)
    playwright.expect(said).to_contain_text("Taken for photo, about")
    seen = {}
    for gender in ("male", "female"):
        page.locator(f"#nn-gender input[value={gender}]").check()
        playwright.expect(said).to_contain_text(f"Taken for photo, {gender}, about")
        playwright.expect(said).to_contain_text("after the choice")
        seen[gender] = last.get_attribute("src")
    assert seen["male"] != seen["female"]
    _drop(page, _encoded(head.rotate(5)))  # another face: what was said of the one before does not hold
    playwright.expect(page.locator("#nn-gender input:checked")).to_have_value("auto")
    page.close()


def test_the_age_in_the_picture_can_be_said(site: Site, head: Image.Image) -> None:
    page = site.visit()
    _drop(page, _encoded(head))
    said, box = page.locator("#nn-strip .nn-said"), page.locator("#nn-from input")
    last = page.locator(".nn-strip img").nth(8)
    playwright.expect(said).to_contain_text("years old")
    guessed, before = said.inner_text().split(". ")[0], last.get_attribute("src")
    box.press_sequentially("66")
    playwright.expect(said).to_contain_text("about 66 years old")
    playwright.expect(box).to_have_value("66")
    assert last.get_attribute("src") != before
    box.fill("666")
    playwright.expect(page.locator(".nn-trouble:visible")).to_contain_text("years from 0 to 120, not 666")
    box.fill("")
    playwright.expect(said).to_contain_text(guessed)
    box.fill("66")
    playwright.expect(said).to_contain_text("about 66 years old")
    _drop(page, _encoded(head.rotate(5)))  # another face
    playwright.expect(box).to_have_value("")
    playwright.expect(said).not_to_contain_text("about 66 years old")
    page.close()


def test_a_bad_picture_gets_a_sentence_and_an_odd_one_its_strip(
    site: Site, head: Image.Image, tmp_path: Path
) -> None:
    whole = _encoded(head)
    wide = Image.new("1", (9000, 9000))
    bad = {
        "is not a picture": b"no picture at all",
        "is damaged": whole[: len(whole) // 2],
        "more than 50 million": _encoded(wide),
        "No face was found": _encoded(Image.new("RGB", (200, 200), "navy")),
        "not a picture": b"",
    }
    page = site.visit()
    for said, body in bad.items():
        _drop(page, body)
        playwright.expect(page.locator(".nn-trouble:visible")).to_have_text(re.compile(said, re.I))
        assert "Traceback" not in page.inner_text("body")
    large = tmp_path / "large.png"
    large.write_bytes(bytes(20 * 10**6 + 1))
    page.set_input_files(".nn-drop input", large)
    playwright.expect(page.locator(".nn-trouble:visible")).to_contain_text("larger than 20 MB")
    token = page.locator(".nn-drop").get_attribute("data-visit")
    assert site.ask(f"drop/{token}", large.read_bytes())[0] == 400  # the page is not the only one to look

    grey = np.asarray(head.convert("L")).astype(np.uint16) * 257
    clear = head.convert("RGBA")
    clear.putalpha(200)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned = head.transpose(Image.Transpose.ROTATE_90)
    odd = {
        "animated": _encoded(head, "GIF", save_all=True, append_images=[head.rotate(5)]),
        "CMYK": _encoded(head.convert("CMYK"), "JPEG"),
        "16 bits": _encoded(Image.fromarray(grey)),
        "transparent": _encoded(clear),
        "turned by EXIF": _encoded(turned, "JPEG", exif=exif),
    }
    for name, body in odd.items():
        last = page.locator(".nn-stage img").get_attribute("src")
        _drop(page, body)
        shown = page.locator(f'.nn-stage img:not([src="{last}"])')
        playwright.expect(shown, name).to_have_count(1)
        playwright.expect(page.locator("#nn-stage .nn-said"), name).to_contain_text("1 face found")
        playwright.expect(page.locator(".nn-trouble:visible"), name).to_have_count(0)
        if name == "animated":
            playwright.expect(page.locator("#nn-stage .nn-said")).to_contain_text("2 frames")
    page.close()


def test_eight_visitors_see_each_their_own_picture(site: Site, head: Image.Image) -> None:
    tints = [(r, g, b) for r in (0.75, 1) for g in (0.75, 1) for b in (0.75, 1)]
    pages = [site.visit(alone=True) for _ in tints]
    for page, tint in zip(pages, tints, strict=True):
        _drop(page, _encoded(Image.fromarray((np.asarray(head) * tint).astype(np.uint8))))
    mean = """(image) => {
        const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
        canvas.width = canvas.height = 32;
        pen.drawImage(image, 0, 0, 32, 32);
        const all = pen.getImageData(0, 0, 32, 32).data;
        return [0, 1, 2].map((c) => all.filter((_, i) => i % 4 === c).reduce((a, b) => a + b) / 1024);
    }"""
    seen = []
    for page in pages:
        playwright.expect(page.locator(".nn-strip button")).to_have_count(9)
        playwright.expect(page.locator(".nn-trouble:visible")).to_have_count(0)
        shown = (".nn-stage img", ".nn-compare img >> nth=0", ".nn-strip img >> nth=4")
        seen.append([page.locator(where).evaluate(mean) for where in shown])
    # The last picture is not tinted: the others are as much darker as they are tinted, in each colour.
    share = np.array(seen) / np.array(seen[-1])
    assert np.abs(share - np.array(tints)[:, None]).max() < 0.1
    for page in pages:
        page.close()


def test_a_visit_that_ends_leaves_nothing(site: Site) -> None:
    page = site.visit()
    page.locator(".nn-examples button").nth(1).click()
    playwright.expect(page.locator(".nn-strip button")).to_have_count(9)
    address = page.get_by_role("link", name="Strip (PNG)").get_attribute("href")
    assert site.ask(address)[0] == 200
    page.close()
    deadline = time.monotonic() + 30
    while (answer := site.ask(address))[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer[0] == 400
    assert not [path for path in site.temporary.rglob("*") if path.is_file()]


def test_a_set_is_reviewed_inside_the_page(site: Site, folders: Path) -> None:
    page = site.visit()
    page.get_by_role("tab", name="Review").click()
    frame = page.frame_locator("#nn-review iframe")
    playwright.expect(frame.locator("#place")).to_have_text("1 of 2")
    frame.locator("#drop").click()
    playwright.expect(frame.locator("#place")).to_have_text("2 of 2")
    deadline = time.monotonic() + 30
    while not FaceSet.open(folders / "set").decisions.path.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    verdicts = FaceSet.open(folders / "set").table(["verdict"]).to_pydict()["verdict"]
    assert sorted(verdicts) == ["drop", "review"]
    page.close()


def test_runs_and_reports_are_looked_at(site: Site) -> None:
    page = site.visit()
    page.get_by_role("tab", name="Runs").click()
    view = page.locator("#nn-run-view")
    playwright.expect(view.locator(".nn-trouble")).to_contain_text("collapsed at step 2")
    assert HOSTILE in view.inner_text()
    playwright.expect(page.locator("#nn-run input")).to_have_value(HOSTILE)
    assert (
        page.locator(".nn-samples img").evaluate("image => image.decode().then(() => image.naturalWidth)")
        > 100
    )
    page.locator("#nn-run input").click()
    options = page.get_by_role("option")
    assert [said.split("\n")[-1].strip() for said in options.all_inner_texts()] == [HOSTILE, "older"]
    options.last.click()
    playwright.expect(view).to_contain_text("did not stop it")
    frame = page.frame_locator("#nn-report-view iframe")
    playwright.expect(frame.locator("h1")).to_have_text("It ages")
    assert page.title() == "nenrin"  # nothing of what a name or a report holds was run
    page.close()


def test_what_is_the_owners_needs_the_key(site: Site, folders: Path) -> None:
    page = site.visit(site.root)
    for tab, place in (("Review", "#nn-review"), ("Runs", "#nn-runs-note")):
        page.get_by_role("tab", name=tab).click()
        playwright.expect(page.locator(place)).to_contain_text("with its key")
    assert page.locator("#nn-review iframe, #nn-run-view img").count() == 0
    page.close()
    key = site.address.split("key=")[1]
    name = quote(HOSTILE)
    (sample,) = (path.name for path in (folders / "runs" / HOSTILE / "samples").glob("0*.png"))
    assert site.ask(f"runs/{key}/{name}/{sample}")[0] == 200
    assert site.ask(f"reports/{key}/first")[0] == 200
    for path in (
        f"runs/wrong/{name}/{sample}",
        f"runs/{key}/linked/{sample}",
        f"runs/{key}/..%2Fsecret/{sample}",
        f"runs/{key}/{name}/..%2Fconfig.toml",
        f"runs/{key}/{name}/config.toml",
        "reports/wrong/first",
        f"reports/{key}/..%2F..%2Fsecret",
        f"reports/{key}/%2Fetc",
        "keep/guess/strip.png",
    ):
        assert site.ask(path)[0] in (400, 404), path


def test_strangers_and_gradios_own_addresses_are_refused(site: Site) -> None:
    assert site.ask("", Host="evil.example")[0] == 403
    assert site.ask("", Host=f"127.0.0.1.evil.example:{urlsplit(site.root).port}")[0] == 403
    for path in ("gradio_api/file=/etc/passwd", "gradio_api/file=https://example.org", "file=/etc/passwd"):
        assert site.ask(path)[0] == 404, path
    for path in (
        "gradio_api/upload",
        "gradio_api/queue/join",
        "gradio_api/info",
        "monitoring",
        "docs",
        "openapi.json",
        "gradio_api/proxy=x",
    ):
        assert site.ask(path)[0] == 404, path
    # Gradio fetches whatever is called a file among a component's values.
    file = {"path": "http://127.0.0.1/secret", "meta": {"_type": "gradio.FileData"}}
    event = {"data": [[file]], "fn_index": 0, "session_hash": "x"}
    for said in (json.dumps(event).encode(), b"[" * 5000, b" " * 70_000):
        assert site.ask("gradio_api/run/predict", said, **{"Content-Type": "application/json"})[0] == 400
    status, body = site.ask("config")
    assert status == 200
    assert json.loads(body)["analytics_enabled"] is False


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_is_answered_with_and_without_a_port(site: Site, name: str) -> None:
    """Browsers leave port 80 out of the Host header."""
    assert [site.ask("theme.css", Host=host)[0] for host in (name, f"{name}:7860")] == [200, 200]
    assert site.ask("theme.css", Host=f"{name}.evil.example")[0] == 403


def test_the_page_is_whole_at_360_pixels(site: Site) -> None:
    page = site.visit(width=360)
    page.locator(".nn-examples button").first.click()
    playwright.expect(page.locator(".nn-strip button")).to_have_count(9)
    for tab in ("Age", "Review", "Runs"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, tab
    page.close()


def test_the_server_ends_and_its_folder_with_it(site: Site) -> None:
    """Last: nothing was asked for elsewhere, nothing failed in the page, nothing is left."""
    assert all(
        urlsplit(url).hostname == "127.0.0.1" or url.startswith(("data:", "blob:")) for url in site.requested
    )
    assert not site.errors
    site.process.send_signal(signal.SIGTERM)
    out, err = site.process.communicate(timeout=60)
    assert "no picture was kept" in out
    assert "Traceback" not in err
    assert site.process.returncode == 0
    assert list(site.temporary.iterdir()) == []


def test_wrong_use_is_said_before_anything_is_loaded(fails: Callable[..., str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another --port" in fails("serve", "--port", port, code=2)
    said = fails("serve", "--host", "0.0.0.0", "--port", "0", "--set", tmp_path, code=2)
    assert "this machine alone" in said
    assert "--runs" in fails("serve", "--runs", tmp_path / "none", code=2)

"""How long a person waits for the review page: python -m benchmarks.review SET [--count N]

Presses a key for each of N suspects of a cleaned set in headless Chromium, one when the picture before it has
been decoded, and takes the time from the key to the next picture; then the time until all is on the disk.
What a person needs for a look comes on top. The set's decisions are left as they were.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
# From a press to the next picture, decoded.
PRESS = """async (key) => {
    const start = performance.now(), before = document.getElementById("place").textContent;
    dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const place = document.getElementById("place").textContent;
    if (place === before) throw new Error("the page stays at " + place);
    if (place) await document.getElementById("face").decode();
    return performance.now() - start;
}"""


def main() -> None:
    """Decide on the worst suspects of a copy of the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copytree(options.set, Path(folder) / options.set.name, copy_function=_link)
        words = [sys.executable, "-m", "nenrin", "review", str(path), "--no-browser"]
        server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found is not None
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        with sync_playwright() as drive:
            browser = drive.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": 1100, "height": 760})
            page.goto(found.group())
            page.wait_for_function("suspects.length > 0")
            count = min(options.count, page.evaluate("suspects.length"))
            spent = [page.evaluate(PRESS, "kd"[number % 3 == 0]) for number in range(count)]
            start = time.perf_counter()
            page.wait_for_function("waiting === 0", timeout=600_000)
            behind = time.perf_counter() - start
            browser.close()
        server.terminate()
        server.wait()
        saved = len((path.parent / f"{path.name}.decisions.jsonl").read_text().splitlines())
    middle, late, worst = np.quantile(spent, [0.5, 0.95, 1])
    print(
        f"{count} decisions, {saved} saved: {middle:.0f} ms from a key to the next picture in the middle, "
        f"{late:.0f} ms for 95 in 100, {worst:.0f} ms at most; the last was on the disk {behind:.1f} s later"
    )


def _link(source: str, target: str) -> str:
    Path(target).symlink_to(Path(source).resolve())
    return target


if __name__ == "__main__":
    main()

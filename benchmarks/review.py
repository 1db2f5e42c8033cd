"""How long a person waits for the review page: python -m benchmarks.review SET [--count N]

Presses a real key for each of N suspects of a cleaned set in headless Chromium, one after the picture before
has been painted, and takes the time from the key to the next picture on the screen; then the time until all
is on the disk. What a person needs for a look comes on top. The set's decisions are left as they were.
"""

from __future__ import annotations

import argparse
import os
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
# Runs before the page's own script: from a key to the frame in which the next picture, decoded, is painted.
CLOCK = """
const spent = [];
addEventListener("keydown", () => {
    const start = performance.now();
    setTimeout(async () => {
        if (!document.getElementById("work").hidden) await document.getElementById("face").decode();
        requestAnimationFrame(() => {
            spent.push(performance.now() - start);
            document.body.dataset.painted = spent.length;
        });
    });
}, true);
globalThis.nenrinSpent = spent;
"""


def main() -> None:
    """Decide on the worst suspects of a copy of the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--count", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copytree(options.set, Path(folder) / options.set.name, copy_function=_link)
        words = [sys.executable, "-m", "nenrin", "review", str(path), "--no-browser"]
        server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        found = next(filter(None, (re.search(r"http://\S+", line) for line in server.stdout)))
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        with sync_playwright() as drive:
            browser = drive.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": 1100, "height": 760})
            page.add_init_script(CLOCK)
            page.goto(found.group())
            place = page.locator("#place")
            place.filter(has_text=" of ").wait_for()
            count = min(options.count, int(place.inner_text().split(" of ")[1]))
            begun = time.perf_counter()
            for number in range(1, count + 1):
                page.keyboard.press("d" if number % 3 == 0 else "k")
                page.locator(f"body[data-painted='{number}']").wait_for(timeout=60_000)
            whole, start = time.perf_counter() - begun, time.perf_counter()
            page.locator("body[data-waiting='0']").wait_for(timeout=600_000)
            behind = time.perf_counter() - start
            spent = page.evaluate("nenrinSpent")
            browser.close()
        server.terminate()
        server.wait()
        saved = len((path.parent / f"{path.name}.decisions.jsonl").read_text().splitlines())
    middle, late, worst = np.quantile(spent, [0.5, 0.95, 1])
    print(
        f"{count} decisions, {saved} saved: {middle:.0f} ms from a key to the next picture on the screen, "
        f"{late:.0f} ms for 95 in 100, {worst:.0f} ms at most; {count / whole:.0f} keys a second; the last "
        f"decision was on the disk {behind:.2f} s after its picture; load {os.getloadavg()[0]:.1f}"
    )


def _link(source: str, target: str) -> str:
    Path(target).symlink_to(Path(source).resolve())
    return target


if __name__ == "__main__":
    main()

"""How long a visitor of `nenrin serve` waits, from the drop of a picture to its strip, in a real browser.

    python benchmarks/serve.py [PICTURE] [-n 10]

Medians over n drops: on the clock, as the page says it, and the seconds that the server's processors worked.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
from PIL import Image
from playwright.sync_api import sync_playwright
from skimage import data

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path)
    parser.add_argument("-n", type=int, default=10, help="drops")
    wanted = parser.parse_args()
    stream = io.BytesIO()
    Image.fromarray(data.astronaut()).save(stream, "PNG")
    body = wanted.picture.read_bytes() if wanted.picture else stream.getvalue()

    command = [sys.executable, "-m", "nenrin", "serve", "--port", "0", "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found, "the server did not start"
        waits, said, worked = _drop(found.group(), body, wanted.n, psutil.Process(server.pid))
    finally:
        server.terminate()
        server.wait()
    for name, values in (("on the clock", waits), ("as the page says", said), ("processor time", worked)):
        print(f"{name:18} median {statistics.median(values):.2f} s, longest {max(values):.2f} s")


def _drop(
    address: str, body: bytes, count: int, server: psutil.Process
) -> tuple[list[float], list[float], list[float]]:
    waits, said, worked = list[float](), list[float](), list[float]()
    with sync_playwright() as drive:
        browser = drive.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(count):
            page = browser.new_page()
            page.goto(address)
            page.wait_for_selector(".nn-drop")
            time.sleep(1)  # the page has settled, and the one before it is gone
            before, began = server.cpu_times(), time.perf_counter()
            file = {"name": "picture", "mimeType": "image/png", "buffer": body}
            page.set_input_files(".nn-drop input", file)
            line = page.wait_for_selector("#nn-strip .nn-said", timeout=120_000)
            waits.append(time.perf_counter() - began)
            after = server.cpu_times()
            worked.append(after.user + after.system - before.user - before.system)
            said.append(float(line.get_attribute("data-seconds")))
            page.close()
        browser.close()
    return waits, said, worked


if __name__ == "__main__":
    main()

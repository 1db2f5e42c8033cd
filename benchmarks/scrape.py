"""Pictures a second and memory of a scrape, and five kills in the middle of it: python benchmarks/scrape.py.

A server of its own on this machine answers as Danbooru does, so that the rate is that of the program and not
of a network. `nenrin scrape` runs in a process of its own with no time between its requests.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.server
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import psutil
from PIL import Image

from nenrin.scrapers.archive import Archive

EVERY = 0.05  # seconds between two looks at the memory
PER_PAGE = 200
KILLS = 5


def picture(number: int, side: int) -> bytes:
    """A JPEG of its own, of this many pixels a side."""
    small = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize((side, side)).save(stream, "JPEG")
    return stream.getvalue()


def serve(count: int, side: int) -> None:
    """Be a Danbooru of `count` posts until the process is ended; the port is printed."""
    pictures = {f"/{number}.jpg": picture(number, side) for number in range(1, count + 1)}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = pictures.get(parts.path)
            kind = "image/jpeg"
            if body is None:
                body, kind = self._posts(parse_qs(parts.query)), "application/json"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _posts(self, query: dict[str, list[str]]) -> bytes:
            last = int(query.get("page", [f"b{count + 1}"])[0][1:])
            base = f"http://{self.headers['Host']}"
            numbers = range(last - 1, max(last - 1 - PER_PAGE, 0), -1)
            tags = {"tag_string_general": "1girl solo glasses smile", "tag_string_artist": "somebody"}
            return json.dumps(
                [{"id": n, "rating": "g", "file_url": f"{base}/{n}.jpg", **tags} for n in numbers]
            ).encode()

        def log_message(self, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client was killed

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextlib.contextmanager
def served(count: int, side: int) -> Iterator[str]:
    """The server in a process of its own; yields its host and port."""
    words = [sys.executable, __file__, "--serve", "--pictures", str(count), "--side", str(side)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def start(host: str, out: Path) -> subprocess.Popen[bytes]:
    """Start a scrape of the server."""
    environment = {"DANBOORU_LOGIN": "ada", "DANBOORU_API_KEY": "key", "NENRIN_CONTACT": "ada@example.org"}
    words = ["scrape", "danbooru", "solo", f"base=http://{host}", "--allow", host, "--interval", "0"]
    return subprocess.Popen(
        [sys.executable, "-m", "nenrin", *words, "-o", str(out)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )


def speed(count: int, side: int, folder: Path) -> None:
    """Scrape all of it once; print the rate, start included and left out, and the memory over time."""
    with served(count, side) as host:
        out, memory = folder / "speed", []
        begun = time.perf_counter()
        busy = os.times()
        process = start(host, out)
        first = None
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                memory.append(psutil.Process(process.pid).memory_info().rss / 1e6)
            if first is None and any(out.glob("pictures/*/*")):
                first = time.perf_counter()
            time.sleep(EVERY)
        end, after = time.perf_counter(), os.times()
    assert process.returncode == 0 and first is not None
    assert len(held(out)) == count
    used = after.children_user + after.children_system - busy.children_user - busy.children_system
    quarters = [max(memory[len(memory) * part // 4 : len(memory) * (part + 1) // 4]) for part in range(1, 4)]
    print(
        f"{count} pictures of {side} px: {count / (end - first):.0f}/s from the first on, "
        f"{count / (end - begun):.0f}/s with the start, {used / count * 1e3:.1f} ms of processor time each "
        f"(with the server's), load {os.getloadavg()[0]:.1f}; memory at most "
        f"{quarters[0]:.0f}, {quarters[1]:.0f}, {quarters[2]:.0f} MB in the second, third and last quarter",
        flush=True,
    )


def kills(count: int, side: int, folder: Path) -> None:
    """Kill it five times at moments drawn by chance, let it end, and look at what is there."""
    out, chance = folder / "kills", random.Random(0)
    expected = {hashlib.sha256(picture(number, side)).hexdigest() for number in range(1, count + 1)}
    with served(count, side) as host:
        for number in range(1, KILLS + 1):
            process = start(host, out)
            while sum(1 for _ in out.glob("pictures/*/*")) < count * number / (KILLS + 1):
                assert process.poll() is None
            time.sleep(chance.random() / 20)
            process.kill()
            process.wait()
            whole = held(out)
            assert whole <= expected, "a picture that is not whole"
            print(f"kill {number}: {len(whole)} pictures recorded, all of them whole", flush=True)
        assert start(host, out).wait() == 0
    found = [path for path in out.glob("pictures/*/*") if path.is_file()]
    with Archive.reading(out) as archive:
        rows = list(archive.pictures())
    with_provenance = sum(bool(row.item.url and row.item.page and row.retrieved) for row in rows)
    assert held(out) == expected and len(found) == len(rows) == with_provenance == count
    assert not (out / "pictures" / ".part").exists()
    print(
        f"after {KILLS} kills: {len(found)} files of {count} pictures, each once, whole, with its provenance",
        flush=True,
    )


def held(out: Path) -> set[str]:
    """The hashes of the files that the record names."""
    with Archive.reading(out) as archive:
        return {hashlib.sha256((out / str(row.file)).read_bytes()).hexdigest() for row in archive.pictures()}


def main() -> None:
    """Serve, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--many", type=int, default=8000, help="pictures of a second run, for the memory")
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--no-kills", action="store_true", help="measure speed and memory alone")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.pictures, options.side)
    with tempfile.TemporaryDirectory() as folder:
        speed(options.pictures, options.side, Path(folder) / "few")
        speed(options.many, options.side, Path(folder) / "many")
        if not options.no_kills:
            kills(options.pictures, options.side, Path(folder))
    return None


if __name__ == "__main__":
    main()

"""A real HTTP server on loopback for the tests of the sources: it answers as told, and misbehaves as told."""

from __future__ import annotations

import dataclasses
import http.server
import io
import json
import threading
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

Handler = http.server.BaseHTTPRequestHandler


@dataclasses.dataclass
class Request:
    """What a client asked for."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclasses.dataclass
class Answer:
    """A well-behaved answer."""

    body: bytes = b""
    kind: str = "image/png"
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


# A route answers, or writes to the connection itself and returns nothing.
Route = Callable[[Request, Handler], Answer | None]


class Web:
    """The server: `with Web() as web: web.routes["/x.png"] = ...; client.get(web.url + "/x.png")`."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.asked: list[Request] = []
        web = self

        class _Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                request = Request(
                    method=self.command,
                    path=parts.path,
                    query={name: values[0] for name, values in parse_qs(parts.query).items()},
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
                )
                web.asked.append(request)
                route = web.routes.get(parts.path)
                answer = Answer(b"no", "text/plain", 404) if route is None else route(request, self)
                if answer is not None:
                    self.send_response(answer.status)
                    headers = {"Content-Type": answer.kind, "Content-Length": str(len(answer.body))}
                    for name, value in {**headers, **answer.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(answer.body)
                else:
                    self.close_connection = True

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        class _Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that gives up on what never ends is what is tested

        self._server = _Server(("127.0.0.1", 0), _Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self, path: str, body: bytes | str | Any, kind: str = "", **headers: str) -> str:
        """Answer a path with bytes (a picture), text, or anything else as JSON; return its address."""
        if not isinstance(body, bytes | str):
            body, kind = json.dumps(body), kind or "application/json"
        data = body.encode() if isinstance(body, str) else body
        kind = kind or ("image/png" if isinstance(body, bytes) else "text/plain")
        self.routes[path] = lambda request, handler: Answer(data, kind, headers=headers)
        return self.url + path

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(request.path == path for request in self.asked)


def picture(seed: int = 0, size: int = 16, kind: str = "PNG") -> bytes:
    """A small picture that differs from those of other seeds."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


POST = {
    "created_at": "2024-03-01T12:00:00.000-05:00",
    "file_ext": "png",
    "is_banned": False,
    "is_deleted": False,
    "rating": "g",
    "tag_string": "1girl solo glasses edogawa_conan artist_a",
    "tag_string_artist": "artist_a",
    "tag_string_character": "edogawa_conan",
    "tag_string_copyright": "detective_conan",
    "tag_string_general": "1girl solo glasses",
    "tag_string_meta": "highres",
}


def booru(web: Web, count: int, *, per_page: int = 40, size: int = 16) -> None:
    """Have the server be a Danbooru of `count` posts, the newest first, each with a picture of its own."""
    for number in range(1, count + 1):
        web.serve(f"/data/{number}.png", picture(number, size))

    def posts(request: Request, handler: Handler) -> Answer:
        last = int(request.query.get("page", f"b{count + 1}")[1:])
        numbers = range(last - 1, max(last - 1 - per_page, 0), -1)
        found = [{**POST, "id": n, "file_url": f"{web.url}/data/{n}.png"} for n in numbers]
        return Answer(json.dumps(found).encode(), "application/json")

    web.routes["/posts.json"] = posts

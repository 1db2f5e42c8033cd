"""A server for one person at this machine: the page, the suspects, their pictures, and what is decided."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from nenrin.ground import NenrinError, UsageError
from nenrin.review.queue import Queue

_LONGEST = 10_000  # bytes of a request's body
_PAGE = "page.html"


class ReviewServer(ThreadingHTTPServer):
    """Answers on the loopback interface alone, and only to who knows the address with its random token.

    The token keeps out other users and other pages of the same browser; the check of the Host header keeps
    out names that were made to lead here (DNS rebinding).
    """

    daemon_threads = True

    def __init__(self, queue: Queue, port: int = 0, *, framed_by: str = "'none'") -> None:
        """`framed_by` is the origin of a page that may show this one inside it."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.queue = queue
        self.framed_by = framed_by
        self.token = secrets.token_urlsafe(16)
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        """What to open in the browser."""
        return f"http://127.0.0.1:{self.server_port}/?token={self.token}"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """The page, its data, or a picture."""
        if not self._allowed():
            return
        path = urlsplit(self.path).path
        if path == "/":
            self._page()
        elif path == "/suspects":
            self._json(self._suspects())
        elif found := re.fullmatch(r"/picture/(\d{1,12})", path):
            try:
                with self.server.lock:
                    picture = self.server.queue.picture(int(found[1]))
            except UsageError as error:
                self._json({"error": str(error)}, HTTPStatus.NOT_FOUND)
                return
            kind = "image/jpeg" if picture[:2] == b"\xff\xd8" else "image/png"
            self._send(picture, kind, {"Cache-Control": "private, max-age=3600"})
        else:
            self._json({"error": "there is nothing here"}, HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """A decision, on the disk before it is answered."""
        if not self._allowed():
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _LONGEST:
            self.close_connection = True
            self._json({"error": "too long"}, HTTPStatus.BAD_REQUEST)
            return
        try:
            body = json.loads(self.rfile.read(int(length)))
            if urlsplit(self.path).path != "/decide" or not isinstance(body, dict):
                raise UsageError("there is nothing here")
            with self.server.lock:
                self.server.queue.decide(body.get("row", -1), body.get("verdict"), body.get("labels") or {})
        except (ValueError, TypeError, AttributeError) as error:  # UsageError is a ValueError
            self._json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except NenrinError as error:
            self._json({"error": str(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)
        else:
            self._json({"saved": True})

    def _allowed(self) -> bool:
        # Browsers leave port 80 out.
        host = self.headers.get("Host", "").removesuffix(f":{self.server.server_port}")
        if host not in ("127.0.0.1", "localhost"):
            self._refuse("this server answers to 127.0.0.1 alone")
            return False
        given = self.headers.get("X-Token") or parse_qs(urlsplit(self.path).query).get("token", [""])[0]
        # A page of another origin cannot set the header, and a form's post must not be enough.
        if self.command == "POST":
            given = self.headers.get("X-Token") or ""
        if not secrets.compare_digest(given.encode(), self.server.token.encode()):
            self._refuse("open the address that nenrin review printed, with its token")
            return False
        return True

    def _refuse(self, why: str) -> None:
        self.close_connection = True
        self._json({"error": why}, HTTPStatus.FORBIDDEN)

    def _suspects(self) -> dict[str, Any]:
        queue = self.server.queue
        with self.server.lock:
            return {
                "name": queue.faces.meta.name,
                "domains": queue.domains,
                "suspects": [dataclasses.asdict(suspect) for suspect in queue.suspects],
                "decided": queue.decided(),
            }

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(12)
        page = (files("nenrin.review") / _PAGE).read_text(encoding="utf-8").replace("{{nonce}}", nonce)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; "
            f"frame-ancestors {self.server.framed_by}"
        )
        self._send(page.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy})

    def _json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value).encode(), "application/json", status=status)

    def _send(
        self,
        body: bytes,
        kind: str,
        headers: dict[str, str] | None = None,
        status: HTTPStatus = HTTPStatus.OK,
    ) -> None:
        self.send_response(status)
        always = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in {**always, **(headers or {})}.items():
            self.send_header(name, value)
        with suppress(ConnectionError):  # who has closed the page waits for no answer
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line for each picture would hide what the command says."""

"""What stands before the page: which addresses are answered, to whom, and what a browser may load."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Gradio serves much more: files of its cache, addresses fetched for the visitor, an API. None of it is used.
_ANSWERED = re.compile(
    r"/|/(config|theme\.css|favicon\.ico)|/(assets|static|svelte)/[\w./-]+"
    r"|/gradio_api/(run/predict|heartbeat/\w+|startup-events|app_id)"
    r"|/(drop|keep|runs|reports)/.+"
)
_LARGEST = 64_000  # bytes of what a page tells Gradio; pictures come another way, with limits of their own
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    # Gradio renders its components with inline scripts and compiled templates.
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; font-src 'self' data:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'; frame-src 'self'"
)


class Guard:
    """An ASGI application around another.

    `hosts` are the names under which it answers, against names that were made to lead here (DNS rebinding);
    empty answers under all. `frames` are other addresses that the page may show inside it.
    """

    def __init__(self, app: App, *, hosts: Collection[str] = (), frames: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = hosts
        policy = " ".join((_POLICY, *frames))
        always = {
            "Content-Security-Policy": policy,
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        self._headers = [(name.lower().encode(), value.encode()) for name, value in always.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        # The port is left out where it is 80; the address of IPv6 in brackets has colons of its own.
        if self._hosts and re.sub(r":\d*\Z", "", host) not in self._hosts:
            await _refuse(send, 403, "this server answers to this machine alone")
            return
        if not _ANSWERED.fullmatch(scope["path"]):
            await _refuse(send, 404, "there is nothing here")
            return

        if scope["method"] == "POST" and not scope["path"].startswith("/drop/"):
            body = await _read(receive)
            if body is None or _names_a_file(body):
                await _refuse(send, 400, "this is nothing that the page would say")
                return
            receive = _again(body, receive)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                more = [(name, value) for name, value in self._headers if name not in own]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, receive, guarded)


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None where it is too large or breaks off."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > _LARGEST:
            return None
        if not message.get("more_body", False):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """A receiver that gives the body once more, then what comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _names_a_file(body: bytes) -> bool:
    """Whether JSON holds what Gradio takes for a file, which it would fetch from any address that is named.

    True for what is no JSON, too.
    """
    try:
        waiting = [json.loads(body or b"null")]
    except (ValueError, RecursionError):
        return True
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "path" in value or "url" in value:
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"error": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""The page put together and served: Gradio behind the guard, and the few addresses of our own.

Import it inside `environment.quiet_gradio`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from nenrin.ground import NenrinError
from nenrin.review.server import ReviewServer
from nenrin.web.age_tab import AgeTab
from nenrin.web.environment import is_loopback
from nenrin.web.folders import Folder, RunFolder
from nenrin.web.guard import Guard
from nenrin.web.review_tab import view_review
from nenrin.web.runs_tab import RunsTab
from nenrin.web.studio import MOST_BYTES, Studio, encode, strip_of
from nenrin.web.visits import Visits

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
UPLOAD_SECONDS = 60.0  # within which an upload must have come
SWEEP = 60.0  # seconds between two looks for idle visits
_REPORT = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


class WebServer:
    """The page of one studio; `address` is what to open, `serve` answers until it is told to stop."""

    def __init__(
        self,
        studio: Studio,
        listening: socket.socket,
        *,
        runs: Path | None = None,
        reports: Path | None = None,
        review: ReviewServer | None = None,
    ) -> None:
        self._socket = listening
        self._host, self._port = listening.getsockname()[:2]
        self._key = secrets.token_urlsafe(16)
        self._owned = bool(runs or reports or review)
        self._studio, self._visits = studio, Visits()
        self._runs = Folder(runs, "config.toml") if runs else None
        self._reports = Folder(reports, "report.html") if reports else None
        self._review = review
        if review is not None:
            review.framed_by = " ".join(f"http://{name}:{self._port}" for name in LOOPBACK)

    @property
    def address(self) -> str:
        """What to open in the browser; whoever has its key sees the runs, the reports and the set."""
        shown = LOOPBACK[0] if self._host in ("0.0.0.0", "::") else self._host
        shown = f"[{shown}]" if ":" in shown else shown
        return f"http://{shown}:{self._port}/" + (f"?key={self._key}" if self._owned else "")

    def serve(self) -> None:
        """Answer until Ctrl-C."""
        with self._reviewing():
            hosts = LOOPBACK if is_loopback(self._socket) else ()
            frames = [f"http://127.0.0.1:{self._review.server_port}"] if self._review else []
            guarded = Guard(self.app(), hosts=hosts, frames=frames)
            config = uvicorn.Config(
                guarded,
                log_level="critical",  # pages that are still open would be reported as errors
                timeout_graceful_shutdown=1,  # open pages hold a connection each
            )
            uvicorn.Server(config).run(sockets=[self._socket])

    def app(self) -> FastAPI:
        """Gradio's page at the root, and what it asks for beside."""

        @contextlib.asynccontextmanager
        async def sweeping(app: FastAPI) -> AsyncIterator[None]:
            async def sweep() -> None:
                while True:
                    await asyncio.sleep(SWEEP)
                    self._visits.forget()

            task = asyncio.create_task(sweep())
            yield
            task.cancel()

        app = FastAPI(lifespan=sweeping, openapi_url=None)
        app.post("/drop/{token}")(self._drop)
        app.get("/keep/{token}/{name}")(self._keep)
        app.get("/runs/{key}/{name:path}/{sample}")(self._sample)
        app.get("/reports/{key}/{name:path}")(self._report)
        app.exception_handler(NenrinError)(_say)
        return gr.mount_gradio_app(
            app,
            self._page(),
            path="/",
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=1,  # nothing comes this way
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=gr.themes.Base(
                primary_hue=gr.themes.colors.emerald,
                neutral_hue=gr.themes.colors.stone,
                font=["system-ui", "sans-serif"],
                font_mono=["ui-monospace", "monospace"],
            ),
            css=(files("nenrin.web") / "page.css").read_text(encoding="utf-8"),
        )

    def _page(self) -> gr.Blocks:
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
        with gr.Blocks(title="nenrin", analytics_enabled=False) as page:
            gr.HTML(
                '<h1 class="nn-title">nenrin <span>ages faces, from photograph to manga</span></h1>',
                js_on_load=None,
            )
            with gr.Tabs():
                with gr.Tab("Age"):
                    ages = AgeTab(self._studio, self._visits)
                with gr.Tab("Review"):
                    review = gr.HTML(elem_id="nn-review", js_on_load=None)
                with gr.Tab("Runs"):
                    runs = RunsTab(self._runs, self._reports)

            def begin(request: gr.Request) -> list[Any]:
                given = str(request.query_params.get("key", ""))
                key = self._key if not self._owned or self._has_key(given) else ""
                return [ages.begin(request), view_review(self._review, bool(key)), *runs.begin(key)]

            page.load(begin, None, [ages.zone, review, *runs.components], **private)
            page.unload(ages.end)
        return page

    def _has_key(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._key.encode())

    async def _drop(self, token: str, request: Request) -> Response:
        """Take in an upload: into memory, no larger and no slower than it may be."""
        visit = self._visits.by_token(token)
        data = bytearray()
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                async for chunk in request.stream():
                    data += chunk
                    if len(data) > MOST_BYTES:
                        raise NenrinError(
                            f"the file is larger than {MOST_BYTES // 10**6} MB: reduce it first"
                        )
        except TimeoutError:
            raise NenrinError(f"the picture took longer than {UPLOAD_SECONDS:g} s to come") from None
        visit.arrived = bytes(data)
        return JSONResponse({"bytes": len(data)})

    async def _keep(self, token: str, name: str) -> Response:
        """A download, made when it is asked for."""
        visit = self._visits.by_token(token)
        opened, aged = visit.face()

        def make() -> tuple[bytes, str]:
            if name == "strip.png":
                return encode(strip_of(aged), "PNG"), "image/png"
            if name == "picture.png":
                return encode(self._studio.paste(opened, aged, visit.years), "PNG"), "image/png"
            if name in ("ages.gif", "ages.webp"):
                kind = name.removeprefix("ages.")
                return self._studio.animate(opened, aged, kind.upper()), f"image/{kind}"
            raise NenrinError("there is nothing of that name")

        body, kind = await run_in_threadpool(make)
        headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(body, media_type=kind, headers=headers)

    def _sample(self, key: str, name: str, sample: str) -> Response:
        if self._runs is None or not self._has_key(key):
            raise NenrinError("there is nothing here")
        for path in RunFolder(self._runs.find(name).parent).samples():
            if path.name == sample:
                return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private"})
        raise NenrinError("there is no such sample")

    def _report(self, key: str, name: str) -> Response:
        if self._reports is None or not self._has_key(key):
            raise NenrinError("there is nothing here")
        headers = {"Content-Security-Policy": _REPORT, "Cache-Control": "private"}
        return FileResponse(self._reports.find(name), media_type="text/html", headers=headers)

    @contextlib.contextmanager
    def _reviewing(self) -> Iterator[None]:
        """The review page's own server, beside this one."""
        if self._review is None:
            yield
            return
        with self._review as review:
            thread = threading.Thread(target=review.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
            thread.start()
            try:
                yield
            finally:
                review.shutdown()
                thread.join()


async def _say(request: Request, error: Exception) -> Response:
    """An error of ours as its sentence."""
    sentence = str(error)
    return JSONResponse({"error": sentence[:1].upper() + sentence[1:] + "."}, status_code=400)

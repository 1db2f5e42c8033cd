"""`nenrin serve`: the same in a web page."""

from __future__ import annotations

import importlib.util
import signal
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from nenrin.commands import complete
from nenrin.commands.options import Checkpoint, Finder
from nenrin.ground import UsageError, waiting

if TYPE_CHECKING:
    import socket

    from nenrin.review.server import ReviewServer
    from nenrin.web.server import WebServer


def serve(
    checkpoint: Checkpoint = None,
    faces: Annotated[
        Path | None,
        typer.Option("--set", help="A scored set, to review its suspects.", autocompletion=complete.sets),
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="A folder of runs, to browse.")] = None,
    reports: Annotated[Path | None, typer.Option(help="A folder of reports, to browse.")] = None,
    finder: Finder = "auto",
    host: Annotated[
        str, typer.Option(help="Where to listen: this machine alone, unless told.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 7860,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
) -> None:
    """Age faces in the browser; review a set; look at runs and reports.

    Pictures stay in memory while their page is open, and in no file.

    Example: nenrin serve --runs runs --reports reports
    """
    if importlib.util.find_spec("gradio") is None:
        raise UsageError("the page needs Gradio, which is not installed: pip install 'nenrin[web]'")
    for folder, option in ((runs, "--runs"), (reports, "--reports")):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{option} {folder} is not a folder")

    from nenrin.web.environment import is_loopback, listen, quiet_gradio

    listening = listen(host, port)
    if faces is not None and not is_loopback(listening):
        raise UsageError(
            "--set is for this machine alone, as whoever sees it decides on it: leave --host out"
        )
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with listening, quiet_gradio():
            with waiting("opening the ager and the page"):
                server = _open(listening, checkpoint, faces, runs, reports, finder)
            typer.echo(f"The page: {server.address}")
            typer.echo("Ctrl-C ends it.")
            sys.stdout.flush()
            if browser:
                webbrowser.open(server.address)
            server.serve()
    except KeyboardInterrupt:
        typer.echo("\nended; no picture was kept")
    finally:
        signal.signal(signal.SIGTERM, before)


def _open(
    listening: socket.socket,
    checkpoint: Path | None,
    faces: Path | None,
    runs: Path | None,
    reports: Path | None,
    finder: str,
) -> WebServer:
    """The server, warm."""
    import nenrin
    from nenrin.domains.finders import open_finder
    from nenrin.web.server import WebServer
    from nenrin.web.studio import Studio

    eyes = open_finder(finder)
    studio = Studio(nenrin.load(checkpoint, finder=eyes), eyes)
    review = None if faces is None else _open_set(faces)
    server = WebServer(studio, listening, runs=runs, reports=reports, review=review)
    studio.warm_up()
    return server


def _open_set(faces: Path) -> ReviewServer:
    from nenrin.domains.faceset import FaceSet
    from nenrin.review.queue import Queue
    from nenrin.review.server import ReviewServer

    return ReviewServer(Queue(FaceSet.open(faces)))


def _end(number: int, frame: object) -> NoReturn:
    """Told to stop: as Ctrl-C, so that what is temporary goes."""
    raise KeyboardInterrupt

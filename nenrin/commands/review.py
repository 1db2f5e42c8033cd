"""`nenrin review`: look at the suspects of a set in the browser, one key each."""

from __future__ import annotations

import sys
import webbrowser
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from nenrin.commands import complete
from nenrin.commands.rows import tell
from nenrin.ground import UsageError


def review(
    faces: Annotated[
        Path,
        typer.Argument(
            metavar="SET", help="A set that nenrin clean has scored.", autocompletion=complete.sets
        ),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print how many there are as JSON, and end.")
    ] = False,
) -> None:
    """Look at the suspects of a set in the browser, worst first.

    What you decide is saved at once, beside the set, and counts wherever the set is read.

    Example: nenrin review data/sets/photo
    """
    from nenrin.domains.faceset import FaceSet
    from nenrin.review.queue import Queue
    from nenrin.review.server import ReviewServer

    queue = Queue(FaceSet.open(faces))
    if as_json:
        verdicts = Counter(decided["verdict"] for decided in queue.decided().values())
        row = {"set": str(faces), "suspects": len(queue.suspects)}
        tell(True, [{**row, "kept": verdicts["keep"], "dropped": verdicts["drop"]}])
        return
    if not queue.suspects:
        typer.echo(f"nothing to look at in {faces}; nenrin clean --review 0.05 would show more")
        return
    try:
        server = ReviewServer(queue, port)
    except OSError as error:
        raise UsageError(f"cannot listen on port {port} ({error.strerror}): choose another --port") from None
    with server:
        typer.echo(
            f"{len(queue.suspects)} faces to look at, {len(queue.decided())} decided: {server.address}"
        )
        typer.echo("Ctrl-C ends; every decision is saved as you make it.")
        sys.stdout.flush()
        if browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            typer.echo(
                f"\n{len(queue.decided())} of {len(queue.suspects)} decided, in {queue.faces.decisions.path}"
            )

"""The command line: the table of commands, and one line for each kind of failure."""

from __future__ import annotations

import errno
import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

import nenrin
from nenrin.commands import (
    age,
    build,
    canon,
    clean,
    doctor,
    evaluate,
    export,
    find,
    pairs,
    review,
    scrape,
    serve,
    stylize,
    train,
    twins,
)
from nenrin.ground import NenrinError

GO_ON = "what was written is kept; the same command goes on from there"


class Interrupted(NenrinError):
    """Ctrl-C. The message says what is kept and how to continue."""

    exit_code = 130


app = typer.Typer(
    name="nenrin",
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"nenrin {nenrin.__version__}")
        raise typer.Exit


@app.callback()
def front_door(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (anywhere on the line).")
    ] = False,
) -> None:
    """Age faces across domains, from photograph to manga, and measure honestly whether it worked.

    Start with [bold]nenrin demo[/bold]: everything below on drawn twins, ending in a report.

    Example: nenrin age portrait.jpg --to 10,40,80 -o out
    """


def _demo(
    out: Annotated[str, typer.Option("-o", "--out", help="Folder to write.")] = "demo",
    minutes: Annotated[
        float, typer.Option(min=0.1, help="About how long the training may take on this machine.")
    ] = 4.0,
    seed: Annotated[int, typer.Option(help="Draws the people and starts the training.")] = 0,
) -> None:
    """Everything below, on drawn twins: 8 minutes on 2 cores.

    Draws two sets of people who never were, trains on them, ages others and scores the result.

    Example: nenrin demo -o demo
    """
    from pathlib import Path

    from nenrin.demo import demo

    report = demo(Path(out), minutes=minutes, seed=seed)
    typer.echo(f"The report, with the aged faces: {report}")


# name, function, what Ctrl-C or a full disk leaves behind and how to continue
COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("demo", _demo, "the sets and the run are in the output folder; the same command starts again"),
    ("twins", twins.twins, GO_ON),
    ("scrape", scrape.scrape, GO_ON),
    ("find", find.find, "the pictures marked so far are kept; the same command starts again"),
    ("build", build.build, GO_ON),
    ("clean", clean.clean, GO_ON),
    ("review", review.review, "every decision was saved as it was made"),
    ("stylize", stylize.stylize, GO_ON),
    ("pairs", pairs.pairs, GO_ON),
    (
        "train",
        train.train,
        "with a checkpoint in the run, nenrin train --resume RUN goes on; without one, start again",
    ),
    ("age", age.age, "the faces aged so far are kept; the same command starts again"),
    ("export", export.export, "no file was written; the same command starts again"),
    (
        "eval",
        evaluate.evaluate,
        "no report was written; faces aged and read so far are kept, and the same command goes on",
    ),
    ("canon", canon.canon, "the same command starts again"),
    ("serve", serve.serve, "no picture was kept"),
    ("doctor", doctor.doctor, "the same command starts again"),
)


BARE = ("demo", "serve", "doctor")  # work without arguments; the others then show their help


def _interruptible(command: Callable[..., None], kept: str) -> Callable[..., None]:
    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt as error:
            # A training says itself where it stopped.
            raise Interrupted(f"interrupted: {str(error) or kept}") from None
        except NenrinError:
            raise
        except Exception as error:
            if not _is_full_disk(error):
                raise
            where = f"to write {path}" if (path := getattr(error, "filename", None)) else "on the disk"
            raise NenrinError(f"no space left {where}: free some; {kept}") from error

    return run


for _name, _command, _kept in COMMANDS:
    app.command(_name, no_args_is_help=_name not in BARE)(_interruptible(_command, _kept))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 the work failed, 2 wrong use, 130 Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    if not debug:
        # Libraries warn about themselves, and users can do nothing about it.
        warnings.simplefilter("ignore")
    try:
        code = app(args=[a for a in arguments if a != "--debug"], prog_name="nenrin", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", 130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _say(*_explain(error))
    if code == 130:  # typer's own, from Ctrl-C before the command began
        return _say("interrupted", 130)
    return code if isinstance(code, int) else 0


def _say(message: str, code: int) -> int:
    if message:  # empty if typer has shown the help of a command without arguments
        print(f"nenrin: {' '.join(message.split())}", file=sys.stderr)
    return code


def _explain(error: Exception) -> tuple[str, int]:
    """An error's one line and its exit code."""
    if isinstance(error, NenrinError):
        return str(error), error.exit_code
    # typer's own usage errors: their class has moved between releases, but its method has not.
    if hasattr(error, "format_message"):
        return error.format_message(), 2
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror, 1
    if isinstance(error, MemoryError):
        return "not enough memory: ask for a smaller --size or batch", 1
    return f"{type(error).__name__}: {error} (unexpected; --debug shows where)", 1


def _is_full_disk(error: BaseException | None) -> bool:
    """Whether the disk is full. Arrow and safetensors say so only in text, and libraries wrap errors."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    while error is not None:
        if isinstance(error, OSError) and error.errno in full:
            return True
        if any(os.strerror(code) in str(error) for code in full):
            return True
        error = error.__cause__ or error.__context__
    return False

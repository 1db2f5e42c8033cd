"""The ground floor: what every room needs. It imports nothing of ours.

Errors with their exit codes, atomic files, seeds, progress and TOML.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import random
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import tomli_w

T = TypeVar("T")


class NenrinError(Exception):
    """The work failed. The message is one line: what is wrong and how to fix it. Exit code 1."""

    exit_code = 1


class UsageError(NenrinError, ValueError):
    """A wrong call: an unknown key, a missing file, a wrong value. Exit code 2."""

    exit_code = 2


def suggest(word: str, known: Collection[str]) -> str:
    """The end of an error message: the nearest known word, else all known words."""
    begun = [each for each in known if len(word) > 2 and each.startswith(word)]
    near = begun if len(begun) == 1 else difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def counted(number: int, noun: str) -> str:
    """ "1 face", "2 faces"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` on success and is removed on failure.

    A reader never sees half a file, whatever kills the writer: the rename is the only visible step.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_path(path) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file atomically."""
    write_bytes(path, text.encode())


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; `UsageError` in one line if it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder, not a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None


def write_toml(path: Path, data: dict[str, Any]) -> None:
    """Write a TOML file atomically. TOML has no null: leave such keys out."""
    write_text(path, tomli_w.dumps(data))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy's legacy state and torch on every device."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries draw from the legacy state
    torch.manual_seed(seed)


def computes_bf16(device: Literal["cpu", "cuda"]) -> bool:
    """Whether the device supports bf16 natively. CPUs that only emulate it, such as those with no more than
    AVX2, take up to thirty times as long as in float32."""
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Releases of torch that cannot tell count as slow: float32 is right everywhere.
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Show a progress bar with the time left on standard error while `items` are consumed.

    Quiet when standard error is not a terminal, so logs and pipes stay clean.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(
        *Progress.get_default_columns(), console=console, disable=not sys.stderr.isatty(), transient=True
    ) as progress:
        yield from progress.track(items, description=label, total=total)


@contextlib.contextmanager
def waiting(label: str) -> Iterator[None]:
    """Show on standard error what takes a moment, while the block runs; quiet where `track` is."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(label):
        yield

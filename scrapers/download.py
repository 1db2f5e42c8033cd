"""Fetch one file that is known beforehand: it appears whole and with the right checksum, or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import nenrin
from nenrin.ground import NenrinError, atomic_path

CHUNK = 2**20  # bytes read at a time
TIMEOUT = (10, 60)  # seconds to connect, and between two packets
Opener = Callable[[str], IO[bytes]]  # an address to its bytes; raises OSError where there are none


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def open_url(url: str) -> IO[bytes]:
    """The bytes behind an address, as they come. Raises `OSError` (`requests`' errors are such)."""
    import requests

    agent = f"nenrin/{nenrin.__version__} python-requests/{requests.__version__}"
    answer = requests.get(url, stream=True, timeout=TIMEOUT, headers={"User-Agent": agent})
    answer.raise_for_status()
    answer.raw.decode_content = True
    raw: Any = answer.raw
    stream: IO[bytes] = raw
    return stream


def download(
    url: str, path: Path, *, sha256: str, member: str | None = None, opener: Opener = open_url
) -> None:
    """Fetch `url` to `path`. `member` is the file's name where the address leads to a tar archive of it.

    Raises `NenrinError` in one line where it cannot be had or is another file than expected; nothing is left.
    """
    mend = f"fetch it yourself and name the file instead of {url}"
    try:
        with atomic_path(path) as part:
            with opener(url) as stream, part.open("wb") as sink:
                if member is None:
                    shutil.copyfileobj(stream, sink, CHUNK)
                else:
                    _extract(stream, member, sink)
            found = sha256_of(part)
            if found != sha256:
                raise NenrinError(
                    f"{url} gave a file of SHA-256 {found}, not {sha256}: it has changed or was damaged; "
                    "nothing was kept"
                )
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise NenrinError(f"{url} is not an archive that holds {member} ({error}): {mend}") from None
    except OSError as error:
        if error.filename is not None and str(path.parent) in str(error.filename):
            raise NenrinError(f"cannot write to {path.parent}: {error.strerror or error}") from None
        raise NenrinError(f"{url} cannot be fetched ({_short(error)}): {mend}") from None


def _extract(stream: IO[bytes], name: str, sink: IO[bytes]) -> None:
    """Copy the file in a tar archive that has this name, in whatever folder."""
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        for entry in archive:
            if Path(entry.name).name == name and (found := archive.extractfile(entry)) is not None:
                return shutil.copyfileobj(found, sink, CHUNK)
    raise KeyError("no such file in it")


def _short(error: OSError) -> str:
    """What went wrong in a few words; connection errors carry a chain of objects in theirs."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"HTTP {answer.status_code}"
    return error.strerror or type(error).__name__

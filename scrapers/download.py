"""Fetches one known file, which appears whole and with the right checksum, or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path

from nenrin.ground import NenrinError, atomic_path
from nenrin.scrapers.address import server_of
from nenrin.scrapers.client import Client, Limits
from nenrin.scrapers.errors import Refused, Unreachable, Unusable
from nenrin.scrapers.pace import Pace

_BLOCK = 2**20  # bytes copied at a time
_LIMITS = Limits(size=4 * 2**30, seconds=3600.0, attempts=3, backoff=0.5)


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(
    url: str, path: Path, *, sha256: str, member: str | None = None, client: Client | None = None
) -> None:
    """Fetch `url` to `path`. `member` is the file's name if the address leads to a tar archive.

    Raises `NenrinError` in one line, and leaves nothing, if it cannot be fetched or is not the expected file.
    """
    mend = f"fetch it yourself and name the file instead of {url}"
    # The user names the address, which may be a server in the user's own network.
    client = client or Client(pace=Pace(0.0), limits=_LIMITS, allowed=[server_of(url)])
    try:
        with atomic_path(path) as part:
            if member is None:
                client.download(url, part, picture=False)
            else:
                packed = part.with_suffix(".packed")
                try:
                    client.download(url, packed, picture=False)
                    _extract(packed, member, part)
                finally:
                    packed.unlink(missing_ok=True)
            if (found := sha256_of(part)) != sha256:
                raise NenrinError(
                    f"{url} gave a file of SHA-256 {found}, not {sha256}: it has changed or was damaged; "
                    "nothing was kept"
                )
    except (Unusable, Unreachable, Refused) as error:
        raise NenrinError(f"{error}: {mend}") from None
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise NenrinError(f"{url} is not an archive that holds {member} ({error}): {mend}") from None
    except OSError as error:
        raise NenrinError(f"cannot write to {path.parent}: {error.strerror or error}") from None


def _extract(packed: Path, name: str, path: Path) -> None:
    """Copy the file in a tar archive that has this name, in whatever folder."""
    with tarfile.open(packed, mode="r:*") as archive:
        for entry in archive:
            if Path(entry.name).name == name and (found := archive.extractfile(entry)) is not None:
                with path.open("wb") as sink:
                    return shutil.copyfileobj(found, sink, _BLOCK)
    raise KeyError("no such file in it")

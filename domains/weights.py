"""Stylising nets: known ones by name, any by path, or fetched once from an address with a checksum."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from urllib.parse import urlparse

from nenrin.ground import UsageError, suggest
from nenrin.scrapers.client import Client
from nenrin.scrapers.download import download, sha256_of


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """The format of a net's input and output pictures, as far as its file does not say."""

    channels: str = "rgb"  # or "bgr"
    low: float = -1.0  # black
    high: float = 1.0  # white
    side: int | None = None  # pixels to use if the net takes any size; None: the set's


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A published net."""

    name: str  # in the source of faces drawn by it
    url: str
    member: str | None  # its file in the archive that the address leads to
    sha256: str
    licence: str
    contract: Contract


KNOWN = {
    # Wang and Yu 2020, converted by S. Paul and M. Maynard-Reid. 224 px.
    "whitebox": Known(
        name="whitebox-cartoonization",
        url="https://github.com/sayakpaul/Adventures-in-TensorFlow-Lite/releases/download/v0.7.0/"
        "whitebox_cartoon_gan_fp16.tar.gz",
        member="whitebox_cartoon_gan_fp16.tflite",
        sha256="7ebaaf2c3e83eb8332f19b333da507aa43752d2b418df9e67808a77d8432de02",
        licence="CC BY-NC-SA 4.0",
        contract=Contract(channels="bgr"),
    ),
}


def cache_folder() -> Path:
    """Where fetched weights are kept: `$NENRIN_CACHE`, else `nenrin` in the user's cache folder."""
    if own := os.environ.get("NENRIN_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nenrin"


def known_by(sha256: str) -> Known | None:
    """The published net with this checksum, if there is one."""
    return next((known for known in KNOWN.values() if known.sha256 == sha256), None)


def obtain(
    weights: str, *, sha256: str | None = None, cache: Path | None = None, client: Client | None = None
) -> tuple[Path, str]:
    """The file of a net (a path, a name of `KNOWN` or an address) and its SHA-256.

    Fetched files are kept in `cache` and never fetched again. Raises `UsageError` for a file that is missing
    or does not match `sha256`, or an address without a checksum; `NenrinError` where fetching fails.
    """
    sha256 = sha256.lower() if sha256 is not None else None
    path = Path(weights)
    if "://" in weights or (weights in KNOWN and not path.is_file()):
        known = KNOWN.get(weights)
        url, member = (known.url, known.member) if known else (weights, None)
        expected = sha256 or (known.sha256 if known else None)
        if expected is None:
            raise UsageError(
                f"{weights}: an address needs the file's checksum too, as in --sha256 {'0f' * 4}..."
            )
        name = member or Path(urlparse(url).path).name or "weights"
        path = (cache or cache_folder()) / "weights" / expected[:16] / name
        # A file that was damaged on the disk is fetched anew.
        if not path.is_file() or sha256_of(path) != expected:
            download(url, path, sha256=expected, member=member, client=client)
        return path, expected
    if not path.is_file():
        what = "is a folder, not a net" if path.is_dir() else f"does not exist; {suggest(weights, KNOWN)}"
        raise UsageError(f"{path} {what}: give the path of a .tflite or .onnx file, an address or a name")
    found = sha256_of(path)
    if sha256 is not None and found != sha256:
        raise UsageError(f"{path} has the SHA-256 {found}, not {sha256}: it is another file, or damaged")
    return path, found

"""Files that hold many pictures: archives, PDFs, videos. Each lists its places and extracts one at a time.

Names inside an archive are text to show, never a path to write to.
"""

from __future__ import annotations

import functools
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from nenrin.ground import UsageError
from nenrin.scrapers.errors import Unusable
from nenrin.scrapers.picture import MAX_PIXELS, SUFFIXES

ARCHIVES = frozenset({".zip", ".cbz"})
VIDEOS = frozenset({".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".mpeg", ".ogv"})
READ = ARCHIVES | VIDEOS | {".pdf"}
NOT_READ = frozenset({".rar", ".cbr", ".7z", ".cb7", ".tar", ".gz"})
_SIZE = 64 * 2**20  # bytes of one picture, unpacked
_BLOCK = 2**16
_NAMES = frozenset(SUFFIXES.values()) | {".jpeg", ".tiff"}
_QUALITY = 95  # of the JPEGs that frames become


class Container(Protocol):
    """A file of pictures. Opening and extracting raise `Unusable` for what cannot be read."""

    @property
    def places(self) -> Sequence[str]:
        """The names of the pictures in it."""

    def extract(self, place: str, path: Path) -> None:
        """Write the picture at a place to `path`."""


class Zip:
    """A zip or cbz; its places are the names of the pictures in it."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise Unusable(f"is a damaged archive: {error}") from None
        names = (name for name in self._file.namelist() if PurePosixPath(name).suffix.lower() in _NAMES)
        self.places = sorted({name for name in names if not name.startswith("__MACOSX/")})

    def extract(self, place: str, path: Path) -> None:
        """Unpack one picture, up to the size limit: its declared size may be wrong."""
        size = 0
        try:
            with self._file.open(place) as stream, path.open("wb") as sink:
                while block := stream.read(_BLOCK):
                    size += len(block)
                    if size > _SIZE:
                        raise Unusable(f"is too large: above {_SIZE / 2**20:.0f} MB unpacked")
                    sink.write(block)
        except NotImplementedError as error:  # a RuntimeError too, so it comes before that
            raise Unusable(f"is packed in a way that is not read: {error}; unpack it first") from None
        except RuntimeError:
            raise Unusable("is encrypted") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            raise Unusable(f"is damaged: {error}") from None


class Pages:
    """A PDF; its places are its pages, `page=1` and on, drawn at `dpi` pixels an inch."""

    def __init__(self, path: Path, dpi: float) -> None:
        try:
            import pypdfium2
        except ModuleNotFoundError:
            raise UsageError(f"{path} is a PDF: pip install 'nenrin[pdf]' to read its pages") from None
        self._scale = dpi / 72
        self._error: type[Exception] = pypdfium2.PdfiumError
        try:
            self._file: Any = pypdfium2.PdfDocument(path)
        except self._error as error:
            raise Unusable(f"is a damaged PDF, or needs a password: {error}") from None
        self.places = [f"page={number}" for number in range(1, len(self._file) + 1)]

    def extract(self, place: str, path: Path) -> None:
        """Draw one page, as a PNG."""
        try:
            page = self._file[int(place.removeprefix("page=")) - 1]
            width, height = (round(length * self._scale) for length in page.get_size())
            if width * height > MAX_PIXELS:
                raise Unusable(f"has too many pixels: {width} x {height}; ask for a smaller dpi")
            page.render(scale=self._scale).to_pil().save(path, "PNG")
        except self._error as error:
            raise Unusable(f"is damaged: {error}") from None


class Frames:
    """A video; its places are the seconds of a frame in every `every`, `t=0.000` and on."""

    def __init__(self, path: Path, every: float) -> None:
        import cv2

        # Of a damaged file FFmpeg speaks on standard error; what matters of it is said below.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET

        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        self._rate = self._capture.get(cv2.CAP_PROP_FPS)
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if not self._capture.isOpened() or self._rate <= 0 or count <= 0:
            raise Unusable("is a video that cannot be read")
        self._next = 0  # the number of the frame that comes
        step = max(round(every * self._rate), 1)
        self.places = [f"t={number / self._rate:.3f}" for number in range(0, count, step)]

    def extract(self, place: str, path: Path) -> None:
        """Write one frame as a JPEG. Later frames than the last need no second reading."""
        import cv2

        number = round(float(place.removeprefix("t=")) * self._rate)
        if number < self._next:
            self._capture = cv2.VideoCapture(str(self._path))
            self._next = 0
        # Frames in between are read too, because seeking is not exact in every format.
        while self._next < number:
            self._next += 1
            if not self._capture.grab():
                raise Unusable("is not there: the video ends before it")
        self._next += 1
        read, frame = self._capture.read()
        if not read:
            raise Unusable("is not there: the video ends before it")
        _, encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        path.write_bytes(encoded.tobytes())


@functools.lru_cache(maxsize=1)  # the current one, whose pictures are extracted one after another
def open_container(path: Path, *, dpi: float, every: float) -> Container:
    """Open a file of one of the kinds in `READ`."""
    suffix = path.suffix.lower()
    if suffix in ARCHIVES:
        return Zip(path)
    return Pages(path, dpi) if suffix == ".pdf" else Frames(path, every)

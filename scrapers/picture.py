"""Checks that a file is a whole picture by its bytes, not by its name or the type that a server declared."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from nenrin.scrapers.errors import Unusable

MAX_PIXELS = 100_000_000  # a larger file is a mistake or a decompression bomb, as in `domains.find`
SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "AVIF": ".avif",
}


def suffix_of(path: Path) -> str:
    """The file suffix of a picture's format, after reading the whole file.

    Raises `Unusable` for anything else: another format, damage, a body that stopped early, too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of bombs and odd EXIF data; the limit is ours
            with Image.open(path, formats=tuple(SUFFIXES)) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise Unusable(
                        f"has too many pixels: {picture.width} x {picture.height}, "
                        f"more than {MAX_PIXELS // 10**6} million"
                    )
                kind = picture.format or ""
                picture.draft("RGB", (picture.width // 8, picture.height // 8))  # JPEGs decode small
                picture.load()
    except Image.DecompressionBombError:
        raise Unusable(f"has too many pixels: more than {MAX_PIXELS // 10**6} million") from None
    except UnidentifiedImageError:
        raise Unusable("is no picture") from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:  # Pillow's decoders, on damage
        raise Unusable(f"is damaged: {error}") from None
    return SUFFIXES[kind]

"""The work behind the page: from the bytes of a picture to its faces at other ages.

Nothing here knows the browser, and nothing is written to a disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import threading
import time
from collections.abc import Iterator

import numpy as np
import skimage.data
from PIL import Image, features

from nenrin.domains.align import align
from nenrin.domains.find import Finder, Found, decode_picture, main_face
from nenrin.ground import NenrinError
from nenrin.models.ager import Ager, Strip
from nenrin.pictures import draw_strip

AGES = (5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0)  # years, of the strip
SIDE = 320  # pixels of a face on the page
MOVING = 240  # pixels of a face in the animation
WORK = 1280  # pixels of the longer side of the copy in which faces are found and aged
MOST_BYTES = 20 * 10**6  # of an upload
MOST_PIXELS = 50 * 10**6  # of a picture
MOST_PASTED = 16 * 10**6  # pixels of the picture that comes back; a larger one is reduced to them
MOST_FACES = 24  # of a picture, the surest
PATIENCE = 60.0  # seconds for one request, its wait for others included
FRAME_YEARS, FRAME_MS = 5, 110  # of the animation
# Not every format that Pillow knows: some of its readers start other programs, as for PostScript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *(["AVIF"] if features.check("avif") else []))


@dataclasses.dataclass(kw_only=True, slots=True)
class Opened:
    """A picture that was dropped, and the faces in it."""

    data: bytes  # as it came, for pasting back at its own resolution
    picture: Image.Image  # RGB, at most `WORK` pixels wide and high; without any metadata
    found: list[Found]  # surest first, in pixels of `picture`
    faces: list[Image.Image]  # each of them, aligned, small
    main: int | None  # the face to begin with, None where none was found
    note: str  # what was left out of the picture, if anything


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What shall be made of a face."""

    face: int | None  # which one; None takes the whole picture as the face
    glasses: str = "keep"
    domain: str = "auto"
    gender: str = "auto"
    from_age: float | None = None  # years: how old it is in the picture; None reads that off it


@dataclasses.dataclass(kw_only=True, slots=True)
class Aged:
    """A face at the ages of the strip."""

    wish: Wish
    strip: Strip  # what the ager read off the face, for further ages
    before: Image.Image  # SIDE x SIDE
    outputs: dict[float, Image.Image]  # years -> SIDE x SIDE


class _Finds:
    """A finder that knows the answer."""

    def __init__(self, found: Found) -> None:
        self._found = found

    def find(self, pictures: object) -> list[list[Found]]:
        return [[self._found]]


class Studio:
    """One ager and one finder for all visitors, who take turns at them."""

    def __init__(self, ager: Ager, finder: Finder) -> None:
        self.ager = ager
        self._finder = finder
        self._turn = threading.Lock()

    def warm_up(self) -> None:
        """Do everything once: the first time takes several times as long, on a busy machine too long."""
        astronaut = skimage.data.astronaut()  # type: ignore[no-untyped-call]
        example = encode(Image.fromarray(astronaut), "PNG")
        with contextlib.suppress(NenrinError):
            opened = self.open(example)
            self.age(opened, Wish(face=opened.main))

    def open(self, data: bytes) -> Opened:
        """Decode a picture and find its faces. `NenrinError` in one sentence where that cannot be done."""
        if len(data) > MOST_BYTES:
            raise NenrinError(f"the file is larger than {MOST_BYTES // 10**6} MB: reduce it first")
        with self._work():
            picture = _decode(data)
            frames = _frames(data)
            picture.thumbnail((WORK, WORK), Image.Resampling.LANCZOS)
            found = self._finder.find([picture])[0][:MOST_FACES]
            faces = []
            if found:
                points = np.stack([one.points for one in found])
                pixels, _ = align([picture] * len(found), points, 96)
                faces = [Image.fromarray(face) for face in pixels]
        return Opened(
            data=data,
            picture=picture,
            found=found,
            faces=faces,
            main=_main(found, picture.size),
            note=f"This is an animation of {frames} frames; the first one is shown." if frames > 1 else "",
        )

    def age(self, opened: Opened, wish: Wish) -> Aged:
        """One face at every age of the strip."""
        with self._work() as clock:
            strip = self._read(opened, wish)
            points = None if strip.found is None else strip.found.points[None]
            if points is None:
                before = opened.picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            else:
                before = Image.fromarray(align([opened.picture], points, SIDE)[0][0])
            outputs = {}
            for years in AGES:
                clock.check()
                outputs[years] = self.ager.enlarge(opened.picture, strip, years, SIDE)
        return Aged(wish=wish, strip=strip, before=before, outputs=outputs)

    def at(self, opened: Opened, aged: Aged, years: float) -> Image.Image:
        """The face at any one age, SIDE x SIDE."""
        if years in aged.outputs:
            return aged.outputs[years]
        with self._work():
            return self.ager.enlarge(opened.picture, aged.strip, years, SIDE)

    def paste(self, opened: Opened, aged: Aged, years: float) -> Image.Image:
        """The whole picture, at its own resolution, with the face at an age in its place."""
        with self._work() as clock:
            picture = _decode(opened.data)
            if picture.width * picture.height > MOST_PASTED:
                picture = picture.reduce(int(np.ceil((picture.width * picture.height / MOST_PASTED) ** 0.5)))
            clock.check()
            strip, found = aged.strip, aged.strip.found
            if found is not None:
                scale = np.float32(picture.width / opened.picture.width)
                moved = dataclasses.replace(found, box=found.box * scale, points=found.points * scale)
                strip = dataclasses.replace(strip, found=moved)
            return self.ager.paste(picture, [strip], years)

    def animate(self, opened: Opened, aged: Aged, kind: str) -> bytes:
        """The face growing old and young again, as a GIF or WEBP file that repeats."""
        ages = range(int(AGES[0]), int(AGES[-1]) + 1, FRAME_YEARS)
        with self._work() as clock:
            frames = []
            for years in ages:
                clock.check()
                frames.append(self.ager.enlarge(opened.picture, aged.strip, years, MOVING))
        if kind == "GIF":  # one palette for all, or colours would flicker
            sheet = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames[::4]]))
            palette = sheet.quantize(256)
            frames = [frame.quantize(palette=palette) for frame in frames]
        there_and_back = frames[1:] + frames[-2:0:-1]
        more: dict[str, object] = {"quality": 85, "method": 2} if kind == "WEBP" else {"optimize": False}
        return encode(
            frames[0], kind, save_all=True, append_images=there_and_back, duration=FRAME_MS, loop=0, **more
        )

    def _read(self, opened: Opened, wish: Wish) -> Strip:
        """What the ager takes the face for; no age is made yet."""
        finder = None if wish.face is None else _Finds(opened.found[wish.face])
        one = Ager(self.ager.model, name=self.ager.name, finder=finder)
        face = "whole" if wish.face is None else "find"
        gender = None if wish.gender == "auto" else wish.gender
        return one.age(
            opened.picture,
            [],
            glasses=wish.glasses,
            domain=wish.domain,
            gender=gender,
            from_age=wish.from_age,
            face=face,
        )[0]

    @contextlib.contextmanager
    def _work(self) -> Iterator[_Clock]:
        """Wait for one's turn, and no longer than `PATIENCE`."""
        clock = _Clock()
        if not self._turn.acquire(timeout=PATIENCE):
            raise NenrinError("too many are at work here just now: try again in a moment")
        try:
            yield clock
        finally:
            self._turn.release()


class _Clock:
    """Ends what takes too long, between two steps of it."""

    def __init__(self) -> None:
        self._end = time.monotonic() + PATIENCE

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise NenrinError(f"this took longer than {PATIENCE:g} s and was stopped: try a smaller picture")


def strip_of(aged: Aged) -> Image.Image:
    """The face as it is and at every age of the strip, with captions."""
    captions = ["input", *(f"{years:g}" for years in aged.outputs)]
    return draw_strip([aged.before, *aged.outputs.values()], captions)


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file of a kind that Pillow knows."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _main(found: list[Found], size: tuple[int, int]) -> int | None:
    if not found:
        return None
    main = main_face(found, size)
    return next(number for number, one in enumerate(found) if one is main)


def _decode(data: bytes) -> Image.Image:
    return decode_picture(io.BytesIO(data), name="the file", most=MOST_PIXELS, formats=FORMATS)


def _frames(data: bytes) -> int:
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        return int(getattr(picture, "n_frames", 1)) if getattr(picture, "is_animated", False) else 1

"""Faults planted among faces, for benchmarks/clean.py: pictures are spoilt, then aligned as a build does.

Nothing here is shared with what `nenrin.domains.checks` learns from: other fonts, other shapes, other means.
Two styles, so that what was looked at while the checks were made is not what they are measured on.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from nenrin.domains.align import OUTSIDE, TEMPLATE, align, frame_mask, similarity
from nenrin.domains.face import Face, face_id
from nenrin.domains.importers import anime, utkface
from nenrin.domains.pipeline import encode

# Of the checks that the kinds name, in the order; about as many of each.
KINDS = (
    "eye_only",
    "text",
    "wrong_age",
    "not_a_face",
    "turned",
    "occluded",
    "blurred",
    "too_small",
    "near_duplicate",
    "wrong_domain",
    "wrong_gender_or_glasses",
)
_LABELS = ("wrong_age", "wrong_domain", "wrong_gender_or_glasses")
_WORDS = {
    "develop": ("SAMPLE", "what?!", "chapter 12", "(c) 2019 agency", "No way...", "www.photos.example"),
    "measure": ("PREVIEW", "Hmm... I see!", "to be continued", "stock no. 48213", "HELP ME", "breaking news"),
}
_FONT_FILES = {
    "develop": ("DejaVuSans-Bold.ttf", "DejaVuSerif.ttf"),
    "measure": (
        "DejaVuSansMono-Bold.ttf",
        "DejaVuSerif-BoldItalic.ttf",
        "STIXGeneralBol.ttf",
        "DejaVuSans.ttf",
    ),
}


@dataclasses.dataclass(kw_only=True, slots=True)
class Planter:
    """Makes faults of one style; everything follows from the generator."""

    rng: np.random.Generator
    style: str  # "develop" or "measure"
    things: list[Image.Image]  # pictures of other things than faces

    def spoil(self, face: Face, kind: str, domains: tuple[str, ...]) -> Face:
        """The face with a fault of this kind."""
        if kind in _LABELS:
            return self._mislabel(face, kind, domains)
        with Image.open(io.BytesIO(face.image)) as opened:
            picture = opened.convert("RGB")
        return _MAKERS[kind](self, face, picture)

    # Labels

    def _mislabel(self, face: Face, kind: str, domains: tuple[str, ...]) -> Face:
        if kind == "wrong_domain":
            return dataclasses.replace(
                face, domain=str(self.rng.choice([d for d in domains if d != face.domain]))
            )
        if kind == "wrong_age":
            assert face.age is not None
            return dataclasses.replace(
                face, age=float(self.rng.integers(2, 9) if face.age > 40 else self.rng.integers(55, 75))
            )
        if face.glasses is not None:
            return dataclasses.replace(face, glasses="none" if face.glasses != "none" else "clear")
        return dataclasses.replace(face, gender="male" if face.gender == "female" else "female")

    # Pictures that keep their points

    def _kept(self, face: Face, picture: Image.Image) -> Face:
        pixels = np.array(picture)
        if face.frame is not None:
            pixels[frame_mask(face.frame[None], picture.width)[0] == 0] = OUTSIDE
        return dataclasses.replace(face, id=face_id(pixels), image=encode(pixels))

    def text(self, face: Face, picture: Image.Image) -> Face:
        """Letters over the face: a mark, a caption on a bar, or a bubble."""
        side = picture.width
        way = int(self.rng.integers(3))
        words = str(self.rng.choice(_WORDS[self.style]))
        size = int(side * self.rng.uniform(*((0.11, 0.17) if self.style == "develop" else (0.09, 0.16))))
        font = self._font(size)
        layer = Image.new("RGBA", picture.size)
        pen = ImageDraw.Draw(layer)
        wide = pen.textlength(words, font=font)
        x, y = self.rng.uniform(0.42, 0.58) * side - wide / 2, self.rng.uniform(0.32, 0.72) * side
        if way == 0:  # a mark, half seen through, in rows
            for row in range(-1, 2):
                colour = (255, 255, 255, 170) if self.rng.random() < 0.6 else (20, 20, 20, 170)
                pen.text((x, y + row * size * 1.6), words, font=font, fill=colour)
            layer = layer.rotate(float(self.rng.uniform(-30, 30)), Image.Resampling.BICUBIC)
        elif way == 1:
            pen.rectangle((0, y - size * 0.3, side, y + size * 1.4), fill=(0, 0, 0, 255))
            pen.text((x, y), words, font=font, fill="white")
        else:
            pen.ellipse(
                (x - size, y - size, x + wide + size, y + size * 2.1), fill="white", outline="black", width=2
            )
            pen.text((x, y), words, font=font, fill="black")
        return self._kept(face, Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB"))

    def _font(self, size: int) -> ImageFont.FreeTypeFont:
        import matplotlib

        name = str(self.rng.choice(_FONT_FILES[self.style]))
        return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf" / name, size)

    def occluded(self, face: Face, picture: Image.Image) -> Face:
        """A third of the face or more behind a thing: a hand, a card, a cup, a black bar, a surgical mask."""
        side = picture.width
        way = int(self.rng.integers(4))
        mask = Image.new("L", picture.size)
        pen = ImageDraw.Draw(mask)
        cover = self._thing().resize(picture.size)
        if way == 0:  # a hand, its palm below
            middle = np.asarray(picture)[side * 9 // 20 : side * 11 // 20, side * 2 // 5 : side * 3 // 5]
            tone = middle.reshape(-1, 3).mean(0) * 0.9
            cover = Image.new("RGB", picture.size, tuple(int(v) for v in tone))
            x, y = self.rng.uniform(0.3, 0.6) * side, self.rng.uniform(0.5, 0.6) * side
            pen.rounded_rectangle((x - 0.16 * side, y, x + 0.2 * side, side), 20, fill=255)
            for finger in range(4):
                left = x - 0.16 * side + finger * 0.09 * side
                top = y - side * float(self.rng.uniform(0.15, 0.28))
                pen.rounded_rectangle((left, top, left + 0.08 * side, y + 20), 10, fill=255)
        elif way == 1:  # a bar over the eyes, a cloth over nose and mouth
            y = 0.36 if self.style == "develop" or self.rng.random() < 0.5 else 0.55
            tone = (0, 0, 0) if y < 0.5 else (225, 232, 238)
            cover = Image.new("RGB", picture.size, tone)
            pen.rectangle(
                (0.2 * side, y * side, 0.8 * side, (y + (0.13 if y < 0.5 else 0.27)) * side), fill=255
            )
        elif way == 2:  # a thing with straight edges
            x, y = self.rng.uniform(0.4, 0.6, 2) * side
            pen.rectangle((x - 0.18 * side, y - 0.15 * side, x + 0.18 * side, y + 0.2 * side), fill=255)
            mask = mask.rotate(float(self.rng.uniform(-40, 40)), center=(x, y))
        else:  # a round one
            x, y = self.rng.uniform(0.4, 0.6, 2) * side
            reach = self.rng.uniform(0.15, 0.2) * side
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
        mask = mask.filter(ImageFilter.GaussianBlur(1))
        return self._kept(face, Image.composite(cover, picture, mask))

    def blurred(self, face: Face, picture: Image.Image) -> Face:
        """Out of focus or moved, more than any face that one would train on."""
        side = picture.width
        amount = self.rng.uniform(*((0.022, 0.035) if self.style == "develop" else (0.02, 0.04))) * side
        if self.rng.random() < 0.6:
            return self._kept(face, picture.filter(ImageFilter.GaussianBlur(amount)))
        pixels = np.asarray(picture, dtype=np.float32)
        dx, dy = self.rng.normal(size=2)
        length = max(abs(dx), abs(dy))
        reach = int(3 * amount)
        moved = [
            np.roll(pixels, (round(dy / length * s), round(dx / length * s)), (0, 1))
            for s in range(-reach // 2, reach // 2 + 1)
        ]
        return self._kept(face, Image.fromarray(np.mean(moved, axis=0).astype(np.uint8)))

    # Pictures that are aligned anew

    def _aligned(
        self, face: Face, picture: Image.Image, points: NDArray[np.float32], *, labels: bool
    ) -> Face:
        pixels, frames = align([picture], points[None], _side(face))
        matrix = similarity(points[None], _side(face))[0]
        scores = {**face.scores, "enlarged": float(np.hypot(matrix[0, 0], matrix[1, 0]))}
        return dataclasses.replace(
            face,
            id=face_id(pixels[0]),
            image=encode(pixels[0]),
            frame=frames[0],
            points=points,
            scores=scores,
        )

    def _as_cut(self, face: Face, picture: Image.Image) -> Face:
        """A picture in which no face was found is taken as its source cuts faces."""
        nominal = (anime if face.source == "anime" else utkface).IMPORTER.nominal
        assert nominal is not None
        return self._aligned(
            face, picture, np.array(nominal, np.float32) * np.float32(picture.width), labels=False
        )

    def eye_only(self, face: Face, picture: Image.Image) -> Face:
        """One eye fills the picture, with more or less of its surroundings."""
        side = picture.width
        x, y = TEMPLATE[int(self.rng.integers(2))] * side + self.rng.normal(0, 0.02, 2) * side
        reach = self.rng.uniform(0.09, 0.16) * side
        box = (int(x - reach), int(y - reach), int(x + reach), int(y + reach))
        return self._as_cut(face, picture.crop(box).resize((200, 200), Image.Resampling.BICUBIC))

    def not_a_face(self, face: Face, picture: Image.Image) -> Face:
        """A piece of a picture of something else."""
        return self._as_cut(face, self._thing())

    def _thing(self) -> Image.Image:
        whole = self.things[int(self.rng.integers(len(self.things)))]
        side = int(min(whole.size) * self.rng.uniform(0.25, 0.9))
        left, top = (int(self.rng.integers(0, length - side + 1)) for length in whole.size)
        return whole.crop((left, top, left + side, top + side)).resize((200, 200), Image.Resampling.LANCZOS)

    def turned(self, face: Face, picture: Image.Image) -> Face:
        """The face on an ellipsoid, turned by 50 to 75 degrees, the rest of the head in its hair's colour."""
        side = picture.width
        pixels = np.asarray(picture)
        yaw = np.radians(self.rng.uniform(50, 75)) * (1 if self.rng.random() < 0.5 else -1)
        y, x = np.mgrid[0:200, 0:200].astype(np.float32) / 100 - 1
        wide, deep, high = 0.72, 0.8, 1.15
        z2 = 1 - (x / wide) ** 2 - (y / high) ** 2
        z = np.sqrt(np.clip(z2, 0, None)) * deep
        u, w = x * np.cos(yaw) + z * np.sin(yaw), -x * np.sin(yaw) + z * np.cos(yaw)
        column = np.clip((u / 0.95 * 0.36 + 0.5) * side, 0, side - 1).astype(int)
        row = np.clip((y * 0.4 + 0.55) * side, 0, side - 1).astype(int)
        hair = np.median(pixels[side // 10 : side // 5, side * 2 // 5 : side * 3 // 5].reshape(-1, 3), axis=0)
        noise = self.rng.normal(0, 14, (200, 200, 1)) + 12 * np.sin(x * 40)[..., None]
        head = np.where((w > 0.02)[..., None], pixels[row, column], np.clip(hair + noise, 0, 255))
        back = np.asarray(self._thing().filter(ImageFilter.GaussianBlur(6)))
        return self._as_cut(face, Image.fromarray(np.where((z2 > 0)[..., None], head, back).astype(np.uint8)))

    def too_small(self, face: Face, picture: Image.Image) -> Face:
        """A face of so few pixels that it is enlarged many times."""
        low, high = (22, 34) if self.style == "develop" else (20, 38)
        few = int(self.rng.integers(low, high))
        small = picture.resize((few, few), Image.Resampling.LANCZOS)
        return self._aligned(face, small, TEMPLATE * np.float32(few), labels=True)

    def near_duplicate(self, face: Face, picture: Image.Image) -> Face:
        """The same picture again: cut a little otherwise, lighter or darker, and packed hard."""
        side = picture.width
        shift = self.rng.normal(0, 0.008, 2) * side
        zoom = self.rng.uniform(0.97, 1.03)
        move = (1 / zoom, 0, shift[0], 0, 1 / zoom, shift[1])
        copy = picture.transform(
            picture.size, Image.Transform.AFFINE, move, Image.Resampling.BICUBIC, fillcolor=(OUTSIDE,) * 3
        )
        copy = ImageEnhance.Brightness(copy).enhance(self.rng.uniform(0.85, 1.2))
        if self.rng.random() < 0.3:
            copy = copy.convert("L").convert("RGB")
        stream = io.BytesIO()
        copy.save(stream, "JPEG", quality=int(self.rng.integers(35, 80)))
        return dataclasses.replace(self._kept(face, Image.open(stream).convert("RGB")), identity=None)


def _side(face: Face) -> int:
    with Image.open(io.BytesIO(face.image)) as picture:
        return picture.width


_MAKERS: dict[str, Callable[[Planter, Face, Image.Image], Face]] = {
    kind: getattr(Planter, kind) for kind in KINDS if kind not in _LABELS
}


def fits(face: Face, kind: str) -> bool:
    """Whether a fault of this kind can be planted in the face so that it is one beyond doubt."""
    if face.verdict != "keep":
        return False
    if kind == "wrong_age":  # a sixty-year-old labelled five, and the other way round
        return face.age is not None and (face.age >= 50 or 3 <= face.age <= 12)
    if kind == "wrong_gender_or_glasses":
        return face.glasses in ("none", "dark", "clear") or (
            face.gender is not None and 18 <= (face.age or 0) <= 70
        )
    return True


def chosen(faces: Iterator[Face], counts: dict[str, int], rng: np.random.Generator) -> dict[int, str]:
    """Row -> kind, drawn over all rows in which the kind can be planted."""
    rows = list(faces)
    taken: dict[int, str] = {}
    for kind, count in counts.items():
        open_rows = [i for i in rng.permutation(len(rows)).tolist() if i not in taken and fits(rows[i], kind)]
        taken |= dict.fromkeys(open_rows[:count], kind)
    return taken

"""Draw the README's pictures into docs/. No real person is in the repository: twins alone are drawn.

python docs/pictures.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nenrin.domains.face import GLASSES
from nenrin.domains.twins import draw, sample_people, sample_views
from nenrin.domains.twins.manner import TURNED, draw_freely, dyed
from nenrin.models.ager import Ager
from nenrin.pictures import PAPER, draw_strip

AGES = (5, 15, 25, 40, 60, 80)  # years
SIDE = 104  # pixels of a face
PERSON, VIEW = 11, 11  # seeds: who, and how she holds her head
FREE = 8  # seed of those in manners of their own
GAP = 6  # pixels between the rows


def draw_twins() -> Image.Image:
    """One person who never was, drawn by rule, no net involved: photograph, manga, manga with glasses."""
    count = len(AGES)
    person = sample_people(1, seed=PERSON)[np.zeros(count, int)]
    views = sample_views(1, seed=VIEW)[np.zeros(count, int)]
    rows = []
    for domain, worn in (("photo", "none"), ("manga", "none"), ("manga", "clear")):
        glasses = np.full(count, GLASSES.index(worn))
        drawn = draw(person, np.array(AGES), domain=domain, glasses=glasses, views=views, size=SIDE)
        rows.append(draw_strip([Image.fromarray(face) for face in drawn.images], [f"{age}" for age in AGES]))
    return _stack(rows)


def draw_aged() -> Image.Image:
    """Three drawn by rule at 22, each in a manner of its own, and what the shipped ager makes of them."""
    rng = np.random.default_rng(FREE)
    count = 3
    drawn = draw_freely(
        dyed(sample_people(count, seed=FREE), rng),
        np.full(count, 22.0),
        glasses=np.zeros(count, int),
        views=sample_views(count, seed=FREE, turned=TURNED),
        sitting=np.arange(count),
        alike=1,
        size=SIDE,
        rng=rng,
    )
    ager, rows = Ager.load(), []
    for face in drawn.images:
        picture = Image.fromarray(face)
        strip = ager.age(picture, AGES, domain="manga", face="whole", glasses="none")[0]
        aged = [ager.enlarge(picture, strip, age, SIDE) for age in AGES]
        rows.append(draw_strip([picture, *aged], ["drawn at 22", *(f"{age}" for age in AGES)]))
    return _stack(rows)


def _stack(rows: Sequence[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (rows[0].width, sum(row.height + GAP for row in rows) - GAP), PAPER)
    for number, row in enumerate(rows):
        whole.paste(row, (0, number * (row.height + GAP)))
    return whole


PICTURES = {"strip-twins.png": draw_twins, "strip-aged.png": draw_aged}

if __name__ == "__main__":
    for name, picture in PICTURES.items():
        path = Path(__file__).parent / name
        picture().save(path, optimize=True)  # smaller than those of `write_picture`, which hurries
        print(path)

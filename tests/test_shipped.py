"""The shipped weights: there, small, described, and they age and put glasses on a face they never saw."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

import nenrin
from nenrin.domains.face import GLASSES
from nenrin.models.ager import SHIPPED, Ager
from nenrin.models.samples import to_tensor


@pytest.fixture(scope="module")
def ager() -> Ager:
    return nenrin.load()


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    """The head of scikit-image's astronaut, public domain."""
    whole = Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]
    return whole.crop((140, 0, 320, 180))


def test_they_are_small_and_have_a_card() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 25e6
    card = (SHIPPED / "README.md").read_text()
    for word in ("research", "Learned from", "Not made for", "Known failures"):
        assert word in card


def test_the_older_is_asked_for_the_older_it_looks(ager: Ager, astronaut: Image.Image) -> None:
    (strip,) = ager.age(astronaut, [5, 25, 45, 65, 85])
    faces = to_tensor(np.stack([np.asarray(face) for face in strip.outputs.values()]))
    years = ager.estimate(faces).age
    assert (years.diff() > 0).all(), years
    assert years[-1] - years[0] > 15
    # It is still the same picture: pose, hair and background stay.
    change = np.abs(np.asarray(strip.outputs[65], float) - np.asarray(strip.input, float)).mean()
    assert 1 < change < 25  # grey levels


def test_glasses_are_a_switch(ager: Ager, astronaut: Image.Image) -> None:
    read = {}
    for glasses in GLASSES:
        (strip,) = ager.age(astronaut, [30], glasses=glasses, from_age=30)
        face = to_tensor(np.asarray(strip.outputs[30])[None])
        read[glasses] = GLASSES[int(ager.estimate(face).glasses)]
    assert read == {glasses: glasses for glasses in GLASSES}


def test_nobody_knows_how_old_drawn_characters_are(ager: Ager, astronaut: Image.Image) -> None:
    (as_photo,), (as_drawn,), (told,) = (
        ager.age(astronaut, [17], domain=domain, from_age=years)
        for domain, years in (("photo", None), ("manga", None), ("manga", 7))
    )
    assert as_photo.from_age is not None and as_photo.from_age > 20
    assert (as_drawn.from_age, told.from_age) == (16, 7)
    # So a child's age must be said: only then does it grow up.
    face = np.asarray(told.input, float)
    grown, same = (np.abs(np.asarray(one.outputs[17], float) - face).mean() for one in (told, as_drawn))
    assert grown > 5 * same

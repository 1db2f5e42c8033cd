"""Grey hair beyond the square that the ager sees: hair follows the picture, and walls stay as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.align import TEMPLATE
from nenrin.domains.find import Found
from nenrin.models import ager as agers
from nenrin.models.ager import Ager, Strip
from nenrin.models.caae import CAAE, CAAEConfig
from nenrin.models.change import Change, no_change, turned_grey
from nenrin.models.condition import Condition
from nenrin.models.hair import hair, level
from nenrin.models.toning import luma

SQUARE, LEFT, TOP = 160, 150, 130  # pixels of the picture: the aligned square's side and corner
POINTS = (TEMPLATE * SQUARE + (LEFT, TOP)).astype(np.float32)
SIZE = 460, 420  # of the picture
BROWN, SKIN, WALL = (96, 62, 34), (214, 168, 140), (120, 150, 185)
LIGHTER = 0.4  # of the range of 2

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def places(left: int = LEFT, half: float = 0.52) -> tuple[Mask, Mask]:
    """Where the hair of a head is in the picture, `half` its width, and where its face and neck are."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    x, y = (x - left) / SQUARE - 0.5, (y - TOP) / SQUARE
    face = ((x / 0.3) ** 2 + ((y - 0.55) / 0.42) ** 2 < 1) | ((abs(x) < 0.15) & (y > 0.6))
    # From the crown, which is above the square, down beside the face.
    return (((x / half) ** 2 + ((y - 0.4) / 0.6) ** 2 < 1) & ~face), face


def portrait(wall: tuple[int, int, int] = WALL, lefts: tuple[int, ...] = (LEFT,)) -> Picture:
    """Heads with brown hair before a wall, all of it a little rough."""
    rng = np.random.default_rng(0)
    pixels = np.full((SIZE[1], SIZE[0], 3), wall, float)
    for left in lefts:
        for where, colour in zip(places(left), (BROWN, SKIN), strict=True):
            pixels[where] = colour
    pixels += rng.normal(0, 4, (*pixels.shape[:2], 1))
    return pixels.round().clip(0, 255).astype(np.uint8)


def found_in_the_square(lighter: float = LIGHTER) -> torch.Tensor:
    """What `greying` finds: the hair that the square shows, (1, 1, 64, 64)."""
    seen = places()[0][TOP : TOP + SQUARE, LEFT : LEFT + SQUARE].astype(np.float32)
    small = Image.fromarray(seen).resize((64, 64), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small).copy())[None, None] * lighter


class Greying(CAAE):
    """An ager that turns the hair it sees grey, the more the older, and no skin."""

    def change(self, images: torch.Tensor, source: Condition, target: Condition) -> Change:
        change = no_change(images)
        change.grey = found_in_the_square(LIGHTER * target.age.item() / 80)
        return change


def strip(points: NDArray[np.float32] = POINTS) -> Strip:
    known = Condition.of(1, domains=("photo",), age=30)
    return Strip(
        input=Image.new("RGB", (32, 32), "grey"),
        outputs={},
        found=Found(box=np.zeros(4, np.float32), points=points, score=1.0),
        matrix=None,
        domain="photo",
        from_age=30,
        seconds=0,
        labels=(known, known),
    )


def pasted(pixels: Picture, *ages: float) -> list[Picture]:
    ager = Ager(Greying(CAAEConfig(size=32, width=0.125)), name="greying")
    return [np.asarray(made) for made in ager.pasted(Image.fromarray(pixels), [strip()], ages)]


def shares(pixels: Picture, others: tuple[NDArray[np.float32], ...] = ()) -> NDArray[np.float32]:
    """Hair's share of every pixel of the picture."""
    told = hair(Image.fromarray(pixels), POINTS, found_in_the_square(), others)
    assert told is not None
    left, top, right, bottom = told.box
    whole = np.zeros(pixels.shape[:2], np.float32)
    whole[top:bottom, left:right] = told.of(pixels[top:bottom, left:right], left, top)
    return whole


def colour(pixels: Picture) -> float:
    return float(np.ptp(pixels.astype(int), axis=-1).mean())


def test_grey_is_the_same_at_every_resolution() -> None:
    change = no_change(torch.zeros(1, 3, 32, 32))
    change.grey = torch.zeros(1, 1, 32, 32)
    change.grey[..., :16] = LIGHTER
    brown = torch.tensor(BROWN)[None, :, None, None] / 127.5 - 1
    small, large = (change.apply(brown.expand(1, 3, size, size)) for size in (32, 128))
    torch.testing.assert_close(small[..., 9, 4], large[..., 36, 18], atol=1e-4, rtol=0)
    assert (luma(small[..., 9:10, 4:5]) - luma(brown)).item() == pytest.approx(LIGHTER, abs=0.01)
    torch.testing.assert_close(small[..., 24], brown[..., 0].expand(1, 3, 32), atol=1e-2, rtol=0)
    half = change.times(0.5).apply(brown.expand(1, 3, 32, 32))
    assert (luma(half[..., 9:10, 4:5]) - luma(brown)).item() == pytest.approx(LIGHTER / 2, abs=0.01)


def test_grey_hair_keeps_its_strands_and_loses_its_colour() -> None:
    strands = torch.tensor([[0.3, 0.1, -0.2], [-0.4, -0.6, -0.8]]).T[None, :, None]  # (1, 3, 1, 2)
    grey = turned_grey(strands, torch.full((1, 1, 1, 2), LIGHTER))
    torch.testing.assert_close(luma(grey).diff(), luma(strands).diff())
    assert (grey.amax(1) - grey.amin(1) < 0.2 * (strands.amax(1) - strands.amin(1))).all()


def test_what_one_change_leaves_out_the_next_brings() -> None:
    faces = torch.zeros(1, 3, 32, 32)
    first, change = no_change(faces), no_change(faces)
    first.grey = torch.full((1, 1, 32, 32), LIGHTER)
    change.first = first
    change.shade += 0.1
    bare, grey = change.split()
    assert grey is first.grey
    torch.testing.assert_close(bare.apply(faces), faces + 0.1)
    torch.testing.assert_close(turned_grey(bare.apply(faces), first.grey), change.apply(faces))


def test_hair_beyond_the_square_turns_grey_and_the_wall_does_not() -> None:
    before = portrait()
    (after,) = pasted(before, 80)
    there, face = places()
    above = there.copy()
    above[TOP:] = False
    assert above.sum() > 2000
    lighter = (after[above].astype(int) - before[above]).mean()
    assert lighter == pytest.approx(LIGHTER * 127.5, abs=5)
    assert colour(after[above]) < 0.25 * colour(before[above])
    beside = there.copy()
    beside[:TOP] = False
    assert (after[beside].astype(int) - before[beside]).mean() == pytest.approx(lighter, abs=5)
    # A few pixels about the edges may be either.
    grown = np.asarray(Image.fromarray(there).resize((SIZE[0] // 8, SIZE[1] // 8)).resize(SIZE)) | there
    assert np.abs(after[~grown & ~face].astype(int) - before[~grown & ~face]).mean() < 0.3
    inner = np.s_[TOP + 60 : TOP + 130, LEFT + 50 : LEFT + 110]
    assert np.abs(after[inner].astype(int) - before[inner]).mean() < 0.1
    assert (after[:, :60] == before[:, :60]).all() and (after[:20] == before[:20]).all()


def test_hair_that_merges_with_the_wall_keeps_its_colour() -> None:
    before = portrait(wall=BROWN)
    assert hair(Image.fromarray(before), POINTS, found_in_the_square()) is None
    assert (pasted(before, 80)[0] == before).all()


def test_drawn_hair_may_touch_a_ground_of_its_colour() -> None:
    pixels = portrait()
    pixels[150:210, :160] = pixels[TOP + 20, LEFT + 40]
    picture, seen = Image.fromarray(pixels), found_in_the_square()
    assert hair(picture, POINTS, seen) is None and hair(picture, POINTS, seen, drawn=True) is not None
    assert hair(Image.fromarray(portrait(wall=BROWN)), POINTS, seen, drawn=True) is None


def test_grey_that_is_not_over_the_brow_is_no_hair() -> None:
    """As where a wall beside a bald head was taken for it."""
    bald = portrait()
    crown = places()[0]
    crown[TOP + 40 :] = False
    bald[crown] = SKIN
    seen = found_in_the_square()
    seen[..., :16, :] = 0
    assert hair(Image.fromarray(bald), POINTS, seen) is None


def test_a_post_beside_the_head_is_no_hair() -> None:
    pixels, found = portrait(), torch.zeros(1, 1, 64, 64)
    wide, slim = (places(half=half)[0] for half in (0.52, 0.36))
    pixels[wide & ~slim] = WALL
    post = np.s_[:, LEFT - 2 : LEFT + 12]
    pixels[post] = BROWN
    seen = slim.copy()
    seen[post] = True
    small = Image.fromarray(seen[TOP : TOP + SQUARE, LEFT : LEFT + SQUARE].astype(np.float32)).resize(
        (64, 64)
    )
    found[0, 0] = torch.from_numpy(np.asarray(small).copy()) * LIGHTER
    told = hair(Image.fromarray(pixels), POINTS, found)
    assert told is not None
    share = told.of(pixels, 0, 0)
    assert share[TOP - 10 : TOP + 10, LEFT + 70 : LEFT + 90].mean() > 0.9
    assert share[TOP + 60 :, LEFT - 2 : LEFT + 12].max() < 0.05


def test_a_picture_full_of_grey_tells_no_hair() -> None:
    tight = Image.fromarray(portrait()).crop((LEFT + 60, TOP + 60, LEFT + 100, TOP + 100))
    points = POINTS - (LEFT + 60, TOP + 60)
    assert hair(tight, points.astype(np.float32), torch.full((1, 1, 64, 64), LIGHTER)) is None


def test_nothing_found_is_no_hair() -> None:
    assert hair(Image.fromarray(portrait()), POINTS, torch.zeros(1, 1, 64, 64)) is None
    assert level(torch.zeros(1, 1, 64, 64)) == 0


def test_hair_of_a_head_that_touches_another_is_told_apart() -> None:
    lefts = LEFT, LEFT + 150
    pixels = portrait(lefts=lefts)
    beside = (TEMPLATE * SQUARE + (lefts[1], TOP)).astype(np.float32)
    alone = shares(pixels, (beside,))
    _, column = np.nonzero(alone > 0.1)
    assert column.max() < (lefts[0] + lefts[1] + SQUARE) / 2 + 2
    assert alone[places()[0]].mean() > 0.7


def test_every_age_finds_the_same_hair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def spy(*words: object, drawn: bool) -> object:
        calls.append(words)
        return hair(*words, drawn=drawn)  # type: ignore[arg-type]

    before = portrait()
    (alone,) = pasted(before, 50)
    monkeypatch.setattr(agers, "hair", spy)
    together = pasted(before, 50, 65, 80)
    assert len(calls) == 1
    assert (together[0] == alone).all()
    there = places()[0]
    lightness = [float(made[there].mean()) for made in together]
    assert before[there].mean() + 20 < lightness[0] < lightness[1] < lightness[2]


def test_a_part_of_a_picture_has_the_hair_of_the_whole() -> None:
    pixels = portrait()
    told, whole = hair(Image.fromarray(pixels), POINTS, found_in_the_square()), shares(pixels)
    assert told is not None
    part = told.of(pixels[90:200, 120:300], 120, 90)
    np.testing.assert_allclose(part, whole[90:200, 120:300], atol=0.02)


def test_turned_and_large_pictures_have_the_same_hair() -> None:
    upright = shares(portrait())
    turned = Image.fromarray(portrait()).resize((SIZE[0] * 3, SIZE[1] * 3)).rotate(90, expand=True)
    x, y = (POINTS * 3).T
    points = np.stack([y, SIZE[0] * 3 - x], -1)
    told = hair(turned, points.astype(np.float32), found_in_the_square())
    assert told is not None
    share = told.of(np.asarray(turned), 0, 0)
    back = np.asarray(Image.fromarray(share).rotate(-90, expand=True).resize(SIZE, Image.Resampling.BOX))
    assert np.abs(back - upright).mean() < 0.02

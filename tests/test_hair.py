"""Grey hair beyond the square that the ager sees: hair follows the picture, and walls stay as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from nenrin.domains.align import TEMPLATE
from nenrin.domains.find import Found
from nenrin.models import ager as agers
from nenrin.models.ager import Ager, Strip
from nenrin.models.caae import CAAE, CAAEConfig
from nenrin.models.change import Change, no_change, turned_grey
from nenrin.models.condition import Condition
from nenrin.models.hair import hair
from nenrin.models.hairnet import HairNet, shipped
from nenrin.models.toning import luma

SQUARE, LEFT, TOP = 160, 150, 130  # pixels of the picture: the aligned square's side and corner
POINTS = (TEMPLATE * SQUARE + (LEFT, TOP)).astype(np.float32)
SIZE = 460, 420  # of the picture
BROWN, SKIN, WALL = (96, 62, 34), (214, 168, 140), (120, 150, 185)
GREY = 0.5

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


class Brown(HairNet):
    """Stands for the net where its accuracy is not the question: what is brown is hair."""

    def forward(self, images: torch.Tensor, inside: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        brown = torch.tensor(BROWN)[None, :, None, None] / 127.5 - 1
        return 20 * (0.3 - (images - brown).abs().amax(1, keepdim=True))


class Greying(CAAE):
    """An ager that turns the hair it sees grey, the more the older, and no skin."""

    def change(self, images: torch.Tensor, source: Condition, target: Condition) -> Change:
        change = no_change(images)
        change.grey = torch.full((1, 1, 32, 32), GREY * target.age.item() / 80)
        return change


def strip(points: NDArray[np.float32] = POINTS) -> Strip:
    known = Condition.of(1, domains=("photo",), age=30)
    return Strip(
        input=Image.new("RGB", (32, 32), "grey"),
        seen=Image.new("RGB", (32, 32), "grey"),
        outputs={},
        found=Found(box=np.zeros(4, np.float32), points=points, score=1.0),
        matrix=None,
        domain="photo",
        from_age=30,
        seconds=0,
        labels=(known, known),
    )


@pytest.fixture(autouse=True)
def brown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agers, "shipped", Brown)


def pasted(pixels: Picture, *ages: float) -> list[Picture]:
    ager = Ager(Greying(CAAEConfig(size=32, width=0.125)), name="greying")
    return [np.asarray(made) for made in ager.pasted(Image.fromarray(pixels), [strip()], ages)]


def shares(pixels: Picture, others: tuple[NDArray[np.float32], ...] = ()) -> NDArray[np.float32]:
    """Hair's share of every pixel of the picture."""
    told = hair(Brown(), Image.fromarray(pixels), POINTS, others)
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
    change.grey[..., :16] = GREY
    brown = torch.tensor(BROWN)[None, :, None, None] / 127.5 - 1
    small, large = (change.apply(brown.expand(1, 3, size, size)) for size in (32, 128))
    torch.testing.assert_close(small[..., 9, 4], large[..., 36, 18], atol=1e-4, rtol=0)
    torch.testing.assert_close(small[..., 24], brown[..., 0].expand(1, 3, 32), atol=1e-2, rtol=0)
    half = change.times(0.5).apply(brown.expand(1, 3, 32, 32))
    lights = [luma(each[..., 9:10, 4:5]).item() for each in (brown.expand(1, 3, 32, 32), half, small)]
    assert lights[0] + 0.1 < lights[1] < lights[2] - 0.1


def test_grey_hair_keeps_its_strands_and_loses_its_colour() -> None:
    strands = torch.tensor([[-0.4, -0.6, -0.8], [-0.6, -0.8, -0.95]]).T[None, :, None]  # (1, 3, 1, 2)
    grey = turned_grey(strands, torch.full((1, 1, 1, 2), GREY))
    assert (luma(grey).diff().abs() > luma(strands).diff().abs()).all()
    assert (grey.amax(1) - grey.amin(1) < 0.2 * (strands.amax(1) - strands.amin(1))).all()
    for light in (-1.0, 0.9, 1.0):  # black hair turns grey too, and white stays white
        one = torch.full((1, 3, 1, 1), light)
        assert -1e-6 < (turned_grey(one, torch.full((1, 1, 1, 1), GREY)) - one).amin() < 0.5
        torch.testing.assert_close(turned_grey(one, torch.zeros(1, 1, 1, 1)), one)
    assert luma(turned_grey(torch.full((1, 3, 1, 1), -1.0), torch.full((1, 1, 1, 1), GREY))) > -0.8


def test_what_one_change_leaves_out_the_next_brings() -> None:
    faces = torch.zeros(1, 3, 32, 32)
    first, change = no_change(faces), no_change(faces)
    first.grey = torch.full((1, 1, 32, 32), GREY)
    change.first = first
    change.shade += 0.1
    bare, grey = change.split()
    assert grey is first.grey
    torch.testing.assert_close(bare.apply(faces), faces + 0.1)
    torch.testing.assert_close(turned_grey(faces, first.grey) + 0.1, change.apply(faces))


def test_hair_beyond_the_square_turns_grey_and_the_wall_does_not() -> None:
    before = portrait()
    (after,) = pasted(before, 80)
    there, face = places()
    above = there.copy()
    above[TOP:] = False
    assert above.sum() > 2000
    lighter = (after[above].astype(int) - before[above]).mean()
    assert 30 < lighter < 110
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


def test_nothing_found_is_no_hair() -> None:
    bald = portrait()
    bald[places()[0]] = WALL
    assert hair(Brown(), Image.fromarray(bald), POINTS) is None
    assert (pasted(bald, 80)[0] == bald).all()


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

    def spy(*words: object, seen: object) -> object:
        calls.append(words)
        assert seen is None  # in a photograph the net knows best
        return hair(*words)  # type: ignore[arg-type]

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
    told, whole = hair(Brown(), Image.fromarray(pixels), POINTS), shares(pixels)
    assert told is not None
    part = told.of(pixels[90:200, 120:300], 120, 90)
    np.testing.assert_allclose(part, whole[90:200, 120:300], atol=0.02)


def test_turned_and_large_pictures_have_the_same_hair() -> None:
    upright = shares(portrait())
    turned = Image.fromarray(portrait()).resize((SIZE[0] * 3, SIZE[1] * 3)).rotate(90, expand=True)
    x, y = (POINTS * 3).T
    points = np.stack([y, SIZE[0] * 3 - x], -1)
    told = hair(Brown(), turned, points.astype(np.float32))
    assert told is not None
    share = told.of(np.asarray(turned), 0, 0)
    back = np.asarray(Image.fromarray(share).rotate(-90, expand=True).resize(SIZE, Image.Resampling.BOX))
    assert np.abs(back - upright).mean() < 0.02


ASTRONAUT = np.float32([[204.7, 101.8], [247.5, 104.1], [225.5, 129.0], [202.7, 140.0], [245.4, 142.1]])


def test_a_brown_collar_is_no_hair() -> None:
    plain, dressed = portrait(), portrait()
    top, left = round(TOP + 1.2 * SQUARE), round(LEFT + 0.1 * SQUARE)
    dressed[top : top + 20, left : left + 60] = BROWN
    told = [hair(Brown(), Image.fromarray(picture), POINTS) for picture in (plain, dressed)]
    assert told[0] is not None and told[1] is not None
    share, other = (one.of(dressed, 0, 0) for one in told)
    assert not other[top : top + 20, left : left + 60].any()
    np.testing.assert_allclose(other[:TOP], share[:TOP], atol=1e-3)


def test_the_shipped_net_finds_the_hair_of_an_astronaut() -> None:
    picture = data.astronaut()
    told = hair(shipped(), Image.fromarray(picture), ASTRONAUT)
    assert told is not None
    share = told.of(picture, 0, 0)
    fringe, crown, beside = share[68:80, 200:240], share[25:50, 190:260], share[80:120, 160:172]
    assert min(fringe.mean(), crown.mean(), beside.mean()) > 0.75
    face, suit, wall = share[100:170, 200:255], share[170:400, 100:350], share[10:100, 20:120]
    assert max(face.mean(), wall.mean()) < 0.05
    assert not suit.any()


def test_the_shipped_net_is_not_trained_further() -> None:
    net = shipped()
    assert not list(net.parameters()) and not net.state_dict()
    square = torch.rand(2, 3, 64, 64) * 2 - 1
    assert net.square(square, torch.ones(2, 1, 64, 64)).shape == (2, 1, 64, 64)
    assert not net.square(square, torch.zeros(2, 1, 64, 64)).any()  # no pixels, no hair


def test_what_looks_like_hair_in_a_drawn_face_is_none() -> None:
    eyes, lock = (0.36, 0.42), (0.06, 0.42)  # of the square: as brown as the hair beside the face
    square = torch.tensor(SKIN)[None, :, None, None].expand(1, 3, 64, 64) / 127.5 - 1
    square = square.clone()
    for x, y in (eyes, lock):
        at = slice(round(64 * y) - 4, round(64 * y) + 4), slice(round(64 * x) - 4, round(64 * x) + 4)
        square[..., *at] = torch.tensor(BROWN)[None, :, None, None] / 127.5 - 1
    net, inside = Brown(), torch.ones(1, 1, 64, 64)
    for drawn, expected in ((False, 1.0), (True, 0.0)):
        share = net.square(square, inside, drawn=drawn)[0, 0]
        found = [float(share[round(64 * y), round(64 * x)]) for x, y in (eyes, lock)]
        assert found == pytest.approx([expected, 1.0], abs=0.05)

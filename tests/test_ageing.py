"""What ages a face in the mixed ager: mean faces on skin alone, and what twins taught for drawn faces."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nenrin.domains.faceset import FaceSet
from nenrin.domains.twins import build_twins, sample_people
from nenrin.ground import UsageError
from nenrin.models import toning
from nenrin.models.ager import Ager
from nenrin.models.change import Change, either
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.config import build, from_table, resolve
from nenrin.models.export import compact
from nenrin.models.means import MeanFaces
from nenrin.models.mixed import MixedAger
from nenrin.models.run import ORIGINS, Run
from nenrin.models.train import train

SIZE = 32
DOMAINS = ("photo", "manga")


def portrait(*colour: float) -> Tensor:
    """A disc of a colour before a bright wall, (1, 3, SIZE, SIZE)."""
    at = (torch.arange(SIZE) + 0.5) / SIZE - 0.5
    face = at[None, :].square() + (at[:, None] - 0.05).square() < 0.3**2
    return torch.where(face, torch.tensor(colour)[:, None, None], torch.tensor(0.9))[None]


def test_the_wall_behind_a_face_is_no_skin() -> None:
    for colour in ((0.4, 0.0, -0.2), (-0.5, -0.7, -0.8)):
        skin = toning.skin(portrait(*colour))
        assert skin.shape == (1, 1, SIZE, SIZE)
        assert skin[0, 0, 17, 10:22].min() > 0.99 and skin[0, 0, 0].max() < 0.01


def test_what_covers_a_part_of_the_middle_does_not_count() -> None:
    face = portrait(0.4, 0.0, -0.2)
    face[..., 19:24, :] = -0.9  # a black beard
    skin = toning.skin(face)
    assert skin[0, 0, 14, 12:20].min() > 0.9 and skin[0, 0, 21, 16] < 0.2


def test_a_face_gets_no_more_colour_and_contrast_than_it_has() -> None:
    mean = portrait(0.4, 0.0, -0.2)
    mean[..., 16:20, 12:20] -= 0.5  # a shadow, so that there is some contrast
    shade = torch.zeros_like(mean)
    shade[:, 0], shade[:, 2] = 0.3, -0.1
    torch.testing.assert_close(toning.toned(shade, mean, mean, torch.ones(())), shade)
    light = toning.luma(mean)
    grey = toning.toned(shade, light.expand_as(mean), mean, torch.ones(()))
    torch.testing.assert_close(grey, toning.luma(shade).expand_as(shade))

    pale = toning.toned(shade, light + (mean - light) / 2, mean, torch.ones(()))
    torch.testing.assert_close(toning.luma(pale), toning.luma(shade))
    colour, less = (one[0, 0, 0, 0] - one[0, 2, 0, 0] for one in (shade, pale))
    torch.testing.assert_close(less, colour / 2)
    dark = toning.toned(shade, mean / 2 - 0.5, mean, torch.ones(()))
    torch.testing.assert_close(dark, shade / 2)


@pytest.mark.parametrize("change", [-0.2, 0.2])
def test_skin_keeps_its_colour_in_shadow_and_light(change: float) -> None:
    shade, skin = torch.full((1, 3, SIZE, SIZE), change), portrait(0.0, -0.4, -0.6)  # dark and red

    def redness(faces: torch.Tensor) -> float:
        red, _, blue = (faces + 1)[0, :, 16, 16].tolist()
        return float(red / blue)

    tinted = toning.tinted(shade, skin)
    torch.testing.assert_close(toning.luma(tinted), toning.luma(shade))
    own, equally = redness(skin), redness(skin + shade)
    assert abs(redness(skin + tinted) - own) < 0.6 * abs(equally - own), "it neither glows red nor turns blue"
    grey = toning.luma(skin).expand_as(skin)
    torch.testing.assert_close(toning.tinted(shade, grey), shade)


def test_the_red_of_old_cheeks_is_less_on_dark_skin() -> None:
    mean = portrait(0.4, 0.0, -0.2)
    light, dark = (
        toning.relative_brightness(face, mean).item() for face in (mean * 0.5 + 0.5, mean * 0.5 - 0.5)
    )
    assert (light, dark) == (1.0, pytest.approx(0.5, abs=0.01))


def test_either_takes_the_finer_fields() -> None:
    def change(value: float, side: int) -> Change:
        fields = torch.full((2, 3, side, side), value)
        return Change(flow=fields[:, :2], shade=fields, detail=fields[:, :1])

    both = either(torch.tensor([True, False]), change(1.0, 4), change(2.0, 8))
    assert both.flow.shape == (2, 2, 8, 8)
    torch.testing.assert_close(both.flow.mean((1, 2, 3)), torch.tensor([1.0, 2.0]))


def ager(**settings: object) -> MixedAger:
    """An ager of photographs with ages and manga without, its weights drawn by lot."""
    torch.manual_seed(0)
    table = {"model": "mixed", "size": SIZE, "width": 8, "domains": list(DOMAINS), "net_ages": False}
    model = build(from_table({**table, "prototypes": 1.0, "twins": 1.0, **settings}))
    assert isinstance(model, MixedAger)
    with torch.no_grad():
        for weight in model.nets["twins"].parameters():
            weight.normal_(0, 0.05)
        model.nets["means"].pictures.uniform_(-0.5, 0.5)
        model.nets["means"].taught[1] = 0
    return model


def faces() -> tuple[Tensor, Condition]:
    """A photograph and a drawing of somebody of thirty."""
    images = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).mul(2).sub(1)
    source = Condition.of(2, domains=DOMAINS, age=30.0, glasses="none", gender="female")
    return images.expand(2, -1, -1, -1), source.replace(domain=torch.tensor([0, 1]))


def at(source: Condition, years: float) -> Condition:
    return source.replace(age=torch.full_like(source.age, years))


def test_drawings_age_as_twins_taught_and_photographs_by_mean_faces() -> None:
    model, (images, source) = ager(hair=0.0), faces()
    before = model.transform(images, source, at(source, 70.0))
    with torch.no_grad():
        for weight in model.nets["twins"].parameters():
            weight.neg_()
    after = model.transform(images, source, at(source, 70.0))
    assert (before[0] == after[0]).all() and (before[0] != images[0]).any()
    assert (before[1] != after[1]).any()


def test_nobody_changes_who_was_asked_no_other_age() -> None:
    model, (images, source) = ager(), faces()
    nothing = at(source, torch.nan)
    for own, target in ((source, source), (source, nothing), (nothing, nothing)):
        torch.testing.assert_close(model.transform(images, own, target), images, atol=1e-5, rtol=0)
    unknown = at(source, torch.nan)  # but of whom nobody knows the age may be another
    assert (model.transform(images, unknown, at(source, 70.0))[1] != images[1]).any()


def test_mean_faces_age_the_skin_as_often_as_is_said() -> None:
    model = ager(
        prototypes=0.5, shapes=0.5, details=1.0, near=1.0, children=1.0, colours=1.0, hair=0.0, wrinkles=0.0
    )
    means = model.nets["means"]
    assert isinstance(means, MeanFaces)
    means.shapes.uniform_(-0.1, 0.1)
    means.details.uniform_(-0.1, 0.1)
    images = portrait(0.4, 0.0, -0.2)
    source = Condition.of(1, domains=DOMAINS, age=70.0, glasses="none", gender="female", domain="photo")
    target = at(source, 30.0)
    change = model.change(images, source, target)
    difference = means.difference(source.age, target.age, source.domain, source.gender, whole=False)
    whole = difference.times(torch.tensor([0.5])).warped(means.places(images, source.domain))
    middle, wall = (slice(None), slice(None), 17, slice(12, 20)), (slice(None), slice(None), 0)
    torch.testing.assert_close(change.flow[middle], whole.flow[middle], atol=1e-4, rtol=1e-2)
    torch.testing.assert_close(change.detail[middle], whole.detail[middle], atol=1e-4, rtol=1e-2)
    for field in (change.flow, change.shade, change.detail):
        assert field[wall].abs().max() < 1e-3 < field[middle].abs().max()


def test_where_a_picture_has_no_pixels_there_is_no_skin() -> None:
    face = portrait(0.1, 0.0, -0.1)
    assert toning.skin(face)[0, 0, :10].max() > 0.9
    grey = portrait(0.02, 0.02, 0.02)  # a grey face is skin all the same
    assert toning.skin(grey)[0, 0, 12:22, 12:20].min() > 0.99
    face[..., :10, :] = torch.tensor([0.004, -0.004])[:, None].tile(5, SIZE)  # as JPEG leaves plain grey
    skin = toning.skin(face)
    assert skin[0, 0, :9].max() < 0.3 and skin[0, 0, 15, 12:20].min() > 0.99


def test_a_grey_photograph_stays_grey() -> None:
    model, images = ager(), portrait(0.1, 0.1, 0.1)
    images[..., 14, 10:22] = -0.5
    source = Condition.of(1, domains=DOMAINS, age=30.0, glasses="none", gender="female", domain="photo")
    aged = model.transform(images, source, at(source, 70.0))
    assert (aged - images).abs().max() > 0.02
    torch.testing.assert_close(aged, aged.mean(1, keepdim=True).expand_as(aged), atol=1e-4, rtol=0)


def test_a_face_ages_the_same_in_any_company() -> None:
    model, (images, source) = ager(), faces()
    target = at(source, 70.0)
    together = model.transform(images, source, target)
    for row in (0, 1):
        alone = model.transform(images[row : row + 1], source[row : row + 1], target[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)
    nobody = source.replace(domain=torch.full_like(source.domain, UNKNOWN))  # is taken for the main domain
    lost = model.transform(images, nobody, target.replace(domain=nobody.domain))
    torch.testing.assert_close(lost[1], together[0], atol=1e-5, rtol=0)


def test_what_twins_would_blur_stays_sharp() -> None:
    model, (images, source) = ager(), faces()
    with torch.no_grad():
        model.nets["twins"].field.bias[2] = -5.0
    change = model.change(images, source, at(source, 70.0))
    assert change.detail[1].min() == pytest.approx(-0.3)


def test_shapes_alone_change_further_than_twins_do() -> None:
    images, source = faces()
    once, twice = (ager(twins=strength).change(images, source, at(source, 70.0)) for strength in (1.0, 2.0))
    torch.testing.assert_close(twice.flow[1], 2 * once.flow[1])
    torch.testing.assert_close(twice.shade[1], once.shade[1])


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceSet, FaceSet]:
    folder = tmp_path_factory.mktemp("twins")
    return build_twins(
        folder / "photo", folder / "manga", people=sample_people(12, seed=0), ages_per_person=4, size=64,
        seed=0, workers=0, free=True,
    )  # fmt: skip


def _without_twins(run: Path, folder: Path) -> Path:
    """The same ager as it is where nobody ages its drawings."""
    ager = Ager.load(run)
    assert isinstance(ager.model, MixedAger)
    ager.model.config.twins = 0.0
    del ager.model.nets["twins"]
    compact(ager, folder / "plain")
    shutil.copy(run / "faces.txt", folder / "plain" / ORIGINS)
    return folder / "plain"


def test_what_twins_taught_is_taken_over(twins: tuple[FaceSet, FaceSet], tmp_path: Path) -> None:
    words = [f"size={SIZE}", "width=8", "pictures=16", "batch=8", "watch_every=0", "threads=1"]
    teaching = [*words, "told=age", "size=64", "width=32"]
    taught = train(resolve("mixed", None, teaching), twins[1:], tmp_path)
    means = train(resolve("prototypes", None, [f"size={SIZE}", "views=0"]), twins, tmp_path)
    joining = [*words, "learning_rate=0.0", "prototypes=1.0", f"means={means}", "twins=1.5"]
    with pytest.raises(UsageError, match="pupil=runs/"):
        train(resolve("mixed", None, joining), twins, tmp_path)
    with pytest.raises(UsageError, match="has model=prototypes: twins teach with model=mixed"):
        train(resolve("mixed", None, [*joining, f"pupil={means}"]), twins, tmp_path)
    with pytest.raises(UsageError, match="set prototypes as well"):
        train(resolve("mixed", None, [*words, "twins=1.0", f"pupil={taught}"]), twins, tmp_path)
    joined = train(resolve("mixed", None, [*joining, f"pupil={taught}"]), twins, tmp_path)
    assert set(Run.open(taught).seen()) <= set(Run.open(joined).seen())
    with pytest.raises(UsageError, match="say too how far"):
        train(resolve("mixed", None, [*joining, "twins=0.0", f"pupil={taught}"]), twins, tmp_path)
    teacher = Ager.load(taught)
    with pytest.raises(
        UsageError, match="pupil=runs/"
    ):  # a run without twins cannot be gone on from with some
        train(
            resolve("mixed", None, [*joining, f"start={_without_twins(joined, tmp_path)}"]), twins, tmp_path
        )
    onwards = train(resolve("mixed", None, [*joining, f"start={joined}"]), twins, tmp_path)
    again = train(resolve("mixed", None, [*joining, f"pupil={joined}"]), twins, tmp_path)
    wanted = teacher.model.nets["average"].state_dict()
    for run in (joined, onwards, again):
        held = Ager.load(run).model.nets["twins"].state_dict()
        assert all((held[name] == value).all() for name, value in wanted.items())


def _shade(means: MeanFaces, own: float, asked: float) -> torch.Tensor:
    """The brightness (S, S) that the mean face changes by."""
    labels = torch.tensor([own]), torch.tensor([asked]), torch.tensor([0]), torch.tensor([-1])
    return toning.luma(means.difference(*labels, whole=False).shade)[0, 0]


def test_smudges_of_old_mean_faces_are_left_out_and_folds_deepened() -> None:
    means = MeanFaces(1, 64)
    at = (torch.arange(64) + 0.5) / 64 - 0.5
    left = {}
    for width in (0.015, 0.1, 0.3):  # of a fold, a smudge and a shadow over half the face
        dark = 0.2 * torch.exp(-((at - 0.05) / width).square()).expand(64, 64)
        means.pictures[:, :, 14:] = -dark.half()  # from 70 years
        shade = _shade(means, 30, 80)
        left[width] = (shade.max() - shade.min()).item()
    assert left[0.015] > 0.15
    assert left[0.1] < 0.5 * left[0.015]
    assert left[0.3] < left[0.1]


def test_a_childs_fringe_darkens_no_forehead() -> None:
    means = MeanFaces(1, 64)
    rows, columns = torch.arange(64)[:, None], torch.arange(64)
    fringe, eyes = (rows == 12) & (columns > -1), (rows == 26) & (abs(columns - 23) < 6)
    means.pictures[:, :, :3] = -0.3 * (fringe | eyes).half()  # up to 10 years
    younger, older = _shade(means, 40, 5), _shade(means, 5, 40)
    assert younger[26, 23] < -0.1, "children's eyes are dark"
    assert -0.5 * older[12, 32] < younger[12, 32] < 0, "who grows up may lose a fringe"


def test_beards_and_lipstick_of_mean_faces_are_left_out() -> None:
    means = MeanFaces(1, 64)
    rows = torch.arange(64)[:, None].expand(64, 64)
    means.pictures[:, :, 14:] = (
        -0.2 * ((rows == 30) | (rows == 47)).half()
    )  # over the nose and over the mouth
    for shade in (_shade(means, 30, 80), _shade(means, 80, 30)):
        assert abs(shade[47, 32]) < 0.8 * abs(shade[30, 32])

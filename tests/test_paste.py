"""Pasting: the change is made to the picture's own pixels, and where there is none they stay as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.find import Found
from nenrin.models import paste
from nenrin.models.ager import Ager, Strip
from nenrin.models.caae import CAAE, CAAEConfig
from nenrin.models.change import Change
from nenrin.models.condition import Condition
from nenrin.models.paste import add, aligned, difference

POINTS = np.array([[420, 400], [600, 424], [505, 510], [426, 600], [570, 620]], np.float32)


def portrait(side: int = 1000) -> Image.Image:
    """Noise of one pixel on soft shapes: as sharp as a picture can be."""
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(60, 190, (9, 9, 3), dtype=np.uint8)).resize((side, side))
    sharp = np.asarray(soft).astype(int) + rng.integers(-40, 41, (side, side, 1))
    return Image.fromarray(sharp.clip(0, 255).astype(np.uint8))


def no_change() -> Change:
    return Change(
        flow=torch.zeros(1, 2, 8, 8), shade=torch.zeros(1, 3, 32, 32), detail=torch.zeros(1, 1, 8, 8)
    )


def test_a_shade_lies_where_the_face_is_and_nothing_else_changes() -> None:
    picture = portrait()
    change = no_change()
    change.shade[:, 0] = 0.2  # 25.5 grey levels of red, all over the aligned square
    made = add(picture, [(difference(aligned(picture, POINTS), change), POINTS)])
    moved = np.asarray(made).astype(int) - np.asarray(picture)
    middle = moved[500:560, 480:540]
    assert np.median(middle[..., 0]) == pytest.approx(25.5, abs=1)
    assert abs(middle[..., 1:]).max() <= 1  # no blur: the noise is still there, pixel by pixel
    assert (moved[:60] == 0).all()
    assert (moved[:, :60] == 0).all()
    # The oval has no edge to be seen.
    steps = np.abs(np.diff(np.median(moved[490:530, :, 0], axis=0)))
    assert steps.max() < 2


def test_no_change_leaves_every_pixel() -> None:
    picture = portrait(400)
    made = add(picture, [(difference(aligned(picture, POINTS * 0.4), no_change()), POINTS * 0.4)])
    assert (np.asarray(made) == np.asarray(picture)).all()


def test_a_flow_moves_the_picture_s_own_pixels() -> None:
    dot = np.zeros((800, 800, 3), np.uint8)
    dot[380:400, 380:400] = 255
    picture = Image.fromarray(dot)
    upright = np.array(
        [[292, 336], [508, 336], [400, 460], [316, 568], [484, 568]], np.float32
    )  # 800 px square
    change = no_change()
    change.flow[:, 0] = 2 * 40 / 800  # everything comes from 40 pixels to the right
    made = np.asarray(add(picture, [(difference(aligned(picture, upright), change), upright)])).astype(int)
    assert made[385:395, 345:355].min() > 240
    assert made[385:395, 385:395].max() < 15


class Red(CAAE):
    """An ager that adds red, a grey level for each year asked, as a change or as a picture."""

    changes = True

    def change(self, images: torch.Tensor, source: Condition, target: Condition) -> Change | None:
        if not self.changes:
            return None
        change = no_change()
        change.shade[:, 0] = target.age.item() / 127.5
        return change

    def transform(self, images: torch.Tensor, source: Condition, target: Condition) -> torch.Tensor:
        made = images.clone()
        made[:, 0] += target.age.item() / 127.5
        return made


def known_strip(points: NDArray[np.float32] | None) -> Strip:
    known = Condition.of(1, domains=("photo",), age=30)
    return Strip(
        input=Image.new("RGB", (32, 32), "grey"),
        seen=Image.new("RGB", (32, 32), "grey"),
        outputs={},
        found=None if points is None else Found(box=np.zeros(4, np.float32), points=points, score=1.0),
        matrix=None,
        domain="photo",
        from_age=30,
        seconds=0,
        labels=(known, known),
    )


def test_a_face_is_aligned_once_for_all_ages(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def spy(*words: object) -> torch.Tensor:
        calls.append(words)
        return aligned(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(paste, "aligned", spy)
    ager, picture = Ager(Red(CAAEConfig(size=32, width=0.125)), name="red"), portrait()
    strips = [known_strip(POINTS), known_strip(POINTS - 100)]
    made = list(ager.pasted(picture, strips, [20, 40, 60]))
    assert len(calls) == len(strips)
    assert made == [ager.paste(picture, strips, age) for age in (20, 40, 60)]


@pytest.mark.parametrize("changes", [True, False])
@pytest.mark.parametrize("points", [None, POINTS])
def test_every_ager_can_be_pasted(changes: bool, points: NDArray[np.float32] | None) -> None:
    """With a change of its own, or with what it added to its small face; found, or the whole picture."""
    model = Red(CAAEConfig(size=32, width=0.125))
    model.changes = changes
    picture = portrait()
    made = np.asarray(Ager(model, name="red").paste(picture, [known_strip(points)], 20.0)).astype(int)
    moved = (made - np.asarray(picture))[500:540, 490:530]
    assert np.median(moved[..., 0]) == pytest.approx(20, abs=1)
    assert abs(moved[..., 1:]).max() <= 1

"""Many pictures aged in batches: as one by one, in their order, with bad ones among them and flat memory."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import nenrin
from nenrin import pictures
from nenrin.cli import main
from nenrin.commands import writing
from nenrin.commands.writing import Rows, Writing
from nenrin.domains.find import NoFaceError
from nenrin.ground import NenrinError, UsageError
from nenrin.models import ager as ager_module
from nenrin.models.ager import Ager, Strip
from nenrin.models.change import Change
from nenrin.models.condition import Condition


@pytest.fixture(scope="module")
def ager() -> Ager:
    return nenrin.load()


@pytest.fixture(scope="module")
def portraits() -> list[Image.Image]:
    """The astronaut in several lights and sizes, twice in the third picture."""
    astronaut = Image.fromarray(data.astronaut()).crop((100, 0, 360, 260))
    two = Image.new("RGB", (520, 260))
    two.paste(astronaut, (0, 0))
    two.paste(astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (260, 0))
    dark = Image.eval(astronaut, lambda light: light // 2)
    return [astronaut, dark.resize((200, 200)), two, astronaut.convert("L").resize((300, 300))]


def differ(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures of one size, in grey levels."""
    assert one.size == other.size
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


def assert_same(made: Strip, known: Strip) -> None:
    assert list(made.outputs) == list(known.outputs)
    assert differ(made.input, known.input) == 0
    assert max(differ(made.outputs[age], known.outputs[age]) for age in known.outputs) <= 1
    assert (made.domain, made.gender) == (known.domain, known.gender)
    assert made.from_age == pytest.approx(known.from_age, abs=1e-2)
    if known.found is not None:
        assert made.found is not None and (made.found.points == known.found.points).all()
        assert made.matrix is not None and (made.matrix == known.matrix).all()


def test_many_are_aged_as_one_by_one(ager: Ager, portraits: list[Image.Image], tmp_path: Path) -> None:
    blank, torn = Image.new("RGB", (200, 200), "white"), tmp_path / "torn.png"
    torn.write_bytes(b"\x89PNG")
    given = [portraits[0], blank, *portraits[1:3], torn, portraits[3]]
    outcomes = list(ager.age_all(given, [12, 75]))
    assert [len(one.strips) for one in outcomes] == [1, 0, 1, 2, 0, 1]
    assert isinstance(outcomes[1].error, NoFaceError)
    assert type(outcomes[4].error) is NenrinError and "torn.png" in str(outcomes[4].error)
    assert outcomes[4].picture is None
    for picture, one in zip(given, outcomes, strict=True):
        if one.error is None:
            assert isinstance(picture, Image.Image) and one.picture is not None
            for made, known in zip(one.strips, ager.age(picture, [12, 75]), strict=True):
                assert_same(made, known)
                pasted = (ager.paste(one.picture, [strip], 75) for strip in (made, known))
                assert differ(*pasted) <= 1


@pytest.mark.parametrize("face", ["find", "whole"])
def test_strips_of_a_size_are_as_enlarged(ager: Ager, portraits: list[Image.Image], face: str) -> None:
    for one in ager.age_all(portraits, [12, 75], face=face, size=150):
        assert one.picture is not None
        for made, known in zip(one.strips, ager.age(one.picture, [12, 75], face=face), strict=True):
            assert_same(made, ager.enlarged(one.picture, known, 150))


def test_strips_of_a_size_are_aged_further_as_any(ager: Ager, portraits: list[Image.Image]) -> None:
    picture = portraits[0]
    (known,) = ager.age(picture, 75)
    (one,) = ager.age_all([picture], 75, size=150)
    for made in (*one.strips, ager.enlarged(picture, known, 150)):
        assert differ(ager.enlarge(picture, made, 40, 150), ager.enlarge(picture, known, 40, 150)) == 0
        assert differ(ager.paste(picture, [made], 40), ager.paste(picture, [known], 40)) == 0


def test_an_ager_without_changes_makes_strips_of_a_size_too(tmp_path: Path, tiny_run: Path) -> None:
    """Its pictures' difference is enlarged, and need not be made again to be pasted."""

    class Lighter(type(Ager.load(tiny_run).model)):  # type: ignore[misc]
        def change(self, images: object, source: Condition, target: Condition) -> Change | None:
            return None

        def transform(self, images: np.ndarray, source: Condition, target: Condition) -> object:
            return images + 20 / 127.5

    one = Ager.load(tiny_run)
    one.model.__class__ = Lighter
    picture = Image.new("RGB", (90, 90), (100, 100, 100))
    (outcome,) = one.age_all([picture], 30, face="whole", size=48)
    (strip,) = outcome.strips
    assert set(np.asarray(strip.outputs[30]).flat) == {120}
    assert set(np.asarray(one.paste(picture, [strip], 30)).flat) == {120}


def test_memory_stays_flat(ager: Ager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are taken as they are needed, fewer at a time for more ages or larger faces."""
    taken, batches = 0, []

    def endless() -> Iterator[Image.Image]:
        nonlocal taken
        while True:
            taken += 1
            yield Image.new("RGB", (50, 50), "tan")

    change = ager.model.change
    monkeypatch.setattr(ager.model, "change", lambda *words: batches.append(len(words[0])) or change(*words))
    for words, count in (
        ({"to": 70}, 64),
        ({"to": range(10, 26)}, 4),
        ({"to": 70, "size": 512}, 4),
        ({"to": 70, "size": 2048}, 1),
    ):
        taken = 0
        outcomes = ager.age_all(endless(), face="whole", **words)  # type: ignore[arg-type]
        assert taken == 0
        next(outcomes)
        assert taken == count
        assert len(list(itertools.islice(outcomes, count - 1))) == count - 1
        assert taken == count
    assert max(batches) == 64
    monkeypatch.setattr(ager_module, "PIXELS", 5000)  # two pictures of 50 x 50
    taken = 0
    next(ager.age_all(endless(), 70, face="whole"))
    assert taken == 2


def test_what_is_wrong_for_all_is_told_at_once(ager: Ager) -> None:
    for words in ({"to": 200}, {"glasses": "sun"}, {"domain": "foto"}, {"face": "half"}, {"gender": "none"}):
        with pytest.raises(UsageError):
            ager.age_all([], **{"to": 70} | words)  # type: ignore[arg-type]
    assert list(ager.age_all([], 70)) == []


@pytest.fixture
def folder(portraits: list[Image.Image], tmp_path: Path) -> Path:
    """0.png to 7.png, of which 2 is torn."""
    (tmp_path / "own").mkdir()
    for number, picture in enumerate(portraits * 2):
        picture.save(tmp_path / "own" / f"{number}.png")
    (tmp_path / "own" / "2.png").write_bytes(b"\x89PNG")
    return tmp_path / "own"


def test_the_command_goes_on_after_a_bad_picture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "AHEAD", 3 * 64**2)  # one picture's faces
    words = ["--to", "12,75", "--face", "whole", "-o", str(tmp_path / "out")]
    assert main(["age", str(folder), *words]) == 1
    assert (
        capsys.readouterr().err.splitlines()[0] == f"nenrin: {folder}/2.png is not a picture that can be read"
    )
    rows = json.loads((tmp_path / "out" / "ages.json").read_text())
    numbers = [number for number in range(8) if number != 2]
    assert [row["file"] for row in rows] == [
        f"{number}_to{age}.png" for number in numbers for age in (12, 75)
    ]
    # And each as alone.
    for number in (1, 7):
        alone = tmp_path / f"alone{number}"
        assert main(["age", str(folder / f"{number}.png"), *words[:-1], str(alone)]) == 0
        names = sorted(path.name for path in alone.glob("*.png"))
        assert len(names) == 4
        for name in names:
            assert differ(*(Image.open(out / name) for out in (alone, tmp_path / "out"))) <= 1


def test_ctrl_c_keeps_the_rows_of_what_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, out = pictures.write_picture, tmp_path / "out"

    def press(picture: Image.Image, path: Path) -> None:
        if path.name == "4_to75.png":
            raise KeyboardInterrupt
        write(picture, path)

    monkeypatch.setattr(pictures, "write_picture", press)
    assert main(["age", str(folder), "--to", "75", "--face", "whole", "-o", str(out)]) == 130
    files = [row["file"] for row in json.loads((out / "ages.json").read_text())]
    assert files[:3] == ["0_to75.png", "1_to75.png", "3_to75.png"]
    assert "4_to75.png" not in files
    assert all((out / name).is_file() for name in files)


def test_rows_are_in_the_order_of_the_jobs_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "AHEAD", 30)
    last, running, most = threading.Event(), 0, 0
    lock = threading.Lock()

    def job(number: int) -> Rows:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if number == 0:
            last.wait(10)  # ends after the two that began later
        if number == 2:
            last.set()
        with lock:
            running -= 1
        return [{"number": number}]

    work = Writing()
    for number in range(9):
        work.add(10, lambda number=number: job(number))  # type: ignore[misc]
    work.add(1000, lambda: job(9))  # more than may wait, so alone
    work.finish()
    work.stop()
    assert work.rows == [{"number": number} for number in range(10)]
    assert most <= 3


def test_a_job_that_fails_is_told_and_those_done_keep_their_rows() -> None:
    work = Writing()
    work.add(1, lambda: [{"number": 0}])
    work.add(1, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(ZeroDivisionError):
        work.finish()
    work.stop()
    assert work.rows == [{"number": 0}]

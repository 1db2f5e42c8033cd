"""`nenrin age` from picture to files: exactly those that are promised, none over another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from nenrin.cli import main
from nenrin.domains import find
from nenrin.domains.faceset import FaceSet
from nenrin.domains.find import open_picture
from nenrin.models.config import resolve
from nenrin.models.train import train


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a/x.png, b/x.png: the astronaut, whole and twice in one picture; c/none.png: nobody."""
    folder = tmp_path_factory.mktemp("pictures")
    astronaut = Image.fromarray(data.astronaut())
    head = astronaut.crop((130, 0, 320, 220))
    two = Image.new("RGB", (400, 220), "white")
    two.paste(head, (0, 0))
    two.paste(head, (200, 0))
    for name, picture in (("a/x", astronaut), ("b/x", two), ("c/none", Image.new("RGB", (90, 90), "navy"))):
        (folder / name).parent.mkdir()
        picture.save(folder / f"{name}.png")
    return folder


def test_files_are_those_promised(
    pictures: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [pictures / "a/x.png", pictures / "c/none.png", pictures / "b/x.png"]
    words = ["age", *map(str, files), "--to", "5,62.5", "--checkpoint", str(tiny_run)]
    assert main([*words, "-o", str(tmp_path), "--glasses", "dark", "--paste"]) == 1
    said = capsys.readouterr()
    assert said.out == f"3 faces aged, in {tmp_path}\n"
    first, last = said.err.splitlines()
    assert first.startswith(f"nenrin: {pictures}/c/none.png: no face found")
    assert last == "nenrin: 1 of 3 pictures could not be aged (named above)"

    stems = ["x", "x-2", "x-2_f2"]
    parts = ["input", "to5", "to62.5", "strip"]
    expected = {f"{stem}_{part}.png" for stem in stems for part in parts} | {"ages.json"}
    pasted = {f"{stem}_{part}_pasted.png" for stem in stems[:2] for part in parts[1:3]}
    assert {path.name for path in tmp_path.iterdir()} == expected | pasted

    rows = json.loads((tmp_path / "ages.json").read_text())
    assert [row["pasted"] for row in rows] == [
        f"{stem}_to{to}_pasted.png" for stem in ("x", "x-2", "x-2") for to in ("5", "62.5")
    ]
    assert [(row["input"], row["face"], row["to"], row["file"]) for row in rows] == [
        (str(file), face, to, f"{stem}_to{to:g}.png")
        for file, face, stem in [(files[0], 1, "x"), (files[2], 1, "x-2"), (files[2], 2, "x-2_f2")]
        for to in (5, 62.5)
    ]
    assert all(Image.open(tmp_path / row["file"]).size == (32, 32) for row in rows)
    left, top, right, bottom = rows[0]["box"]
    assert all(left < x < right and top < y < bottom for x, y in rows[0]["points"])
    # The pasted picture is the whole one, changed at the face alone.
    whole, back = data.astronaut(), np.asarray(Image.open(tmp_path / "x_to5_pasted.png"))
    assert whole.shape == back.shape
    assert (back[300:] == whole[300:]).all()
    assert (back[60:175, 182:267] != whole[60:175, 182:267]).any()


def test_whole_picture_and_given_labels(pictures: Path, tiny_run: Path, tmp_path: Path) -> None:
    words = ["age", str(pictures / "a"), "--to", "30", "--checkpoint", str(tiny_run), "-o", str(tmp_path)]
    told = ["--face", "whole", "--from", "44", "--domain", "photo", "--gender", "female"]
    assert main([*words, *told]) == 0
    (row,) = json.loads((tmp_path / "ages.json").read_text())
    assert (row["box"], row["points"], row["from"], row["pasted"]) == (None, None, 44, None)
    assert (row["domain"], row["gender"]) == ("photo", "female")
    shrunk = Image.open(pictures / "a/x.png").resize((32, 32), Image.Resampling.LANCZOS)
    assert (np.asarray(Image.open(tmp_path / "x_input.png")) == np.asarray(shrunk)).all()
    assert main([*words, "--domain", "phto"]) == 2


def test_what_the_ager_cannot_tell_is_null(pictures: Path, tiny_set: Path, tmp_path: Path) -> None:
    settings = ["size=32", "width=0.125", "batch=4", "pictures=4", "threads=1", "precision=32-true"]
    run = train(resolve("caae", None, settings), [FaceSet.open(tiny_set)], tmp_path / "runs")
    words = ["age", str(pictures / "a"), "--to", "30", "--checkpoint", str(run), "-o", str(tmp_path)]
    assert main([*words, "--face", "whole"]) == 0
    (row,) = json.loads((tmp_path / "ages.json").read_text())
    assert (row["domain"], row["gender"], row["from"]) == (None, None, None)


def test_faces_of_any_size_are_made_of_the_pictures_own_pixels(pictures: Path, tmp_path: Path) -> None:
    words = ["age", str(pictures / "a/x.png"), "--to", "38,80", "--from", "38", "--size", "200"]
    assert main([*words, "-o", str(tmp_path)]) == 0
    (own, same, old) = (
        np.asarray(Image.open(tmp_path / f"x_{name}.png")).astype(int) for name in ("input", "to38", "to80")
    )
    assert own.shape == old.shape == (200, 200, 3)
    assert np.abs(own - same).max() <= 1  # nothing was asked for, and nothing got lost
    sharp = [np.abs(np.diff(face, axis=0)).mean() for face in (own, old)]
    assert sharp[1] > 0.8 * sharp[0] and (own != old).any()
    with Image.open(tmp_path / "x_strip.png") as strip:
        assert strip.width > 600
    assert main([*words[:-1], "5000", "-o", str(tmp_path)]) == 2


def test_a_picture_is_decoded_once(
    pictures: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def spy(path: Path) -> Image.Image:
        opened.append(path.name)
        return open_picture(path)

    monkeypatch.setattr(find, "open_picture", spy)
    words = ["--to", "30", "--checkpoint", str(tiny_run), "--face", "whole", "-o", str(tmp_path)]
    assert main(["age", str(pictures / "a/x.png"), *words]) == 0
    assert main(["age", str(pictures / "a"), str(pictures / "c"), *words]) == 0
    assert opened == ["x.png", "x.png", "none.png"]


def _own(folder: Path, *names: str) -> Path:
    """A folder of the user's pictures, each of another grey."""
    folder.mkdir()
    for grey, name in enumerate(names):
        Image.new("RGB", (40, 40), (grey, grey, grey)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    "name",
    ["x_input.png", "x_to10.png", "x_strip.png", "X_F2_to10.png", "x-2_input.png", "x_to10_pasted.png"],
)
def test_no_picture_to_age_is_overwritten(
    name: str, fails: Callable[..., str], tiny_run: Path, tmp_path: Path
) -> None:
    own = _own(tmp_path / "own", "x.png", name)
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    (tmp_path / "link").symlink_to(own)
    (tmp_path / "other.png").symlink_to(own / name)
    words = ["--to", "10", "--face", "whole", "--checkpoint", tiny_run, "--paste"]
    for pictures, out in (
        ([own], own),
        ([own], tmp_path / "link"),
        ([own / "x.png", tmp_path / "other.png"], own),
    ):
        assert "would be overwritten" in fails("age", *pictures, "-o", out, *words, code=2)
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before


def test_what_was_made_before_is_made_anew_and_not_aged_itself(
    fails: Callable[..., str], tiny_run: Path, tmp_path: Path
) -> None:
    own = _own(tmp_path / "own", "x.png", "x_to20.png")
    words = ["--to", "10", "--face", "whole", "--checkpoint", str(tiny_run), "--paste"]
    for _ in range(2):
        assert main(["age", str(own), "-o", str(own), *words]) == 0
        rows = json.loads((own / "ages.json").read_text())
        assert [Path(row["input"]).name for row in rows] == ["x.png", "x_to20.png"]
    for name in ("x.png", "x_to20.png"):
        (own / name).unlink()
    assert "but those that nenrin made" in fails("age", own, "-o", own, *words, code=2)
    # Named itself, what was made is a picture as any.
    assert main(["age", str(own / "x_to10.png"), "-o", str(own), *words]) == 0


def test_a_folder_keeps_the_rows_of_every_call(tiny_run: Path, tmp_path: Path) -> None:
    own = _own(tmp_path / "own", "x.png")

    def told(*words: str) -> list[tuple[str, str]]:
        age = ["age", str(own), "-o", str(own), "--face", "whole", "--checkpoint", str(tiny_run)]
        assert main([*age, *words]) == 0
        rows = json.loads((own / "ages.json").read_text())
        return [(Path(row["input"]).name, row["file"]) for row in rows]

    old, older = ("x.png", "x_to40.png"), ("x.png", "x_to60.png")
    assert told("--to", "40", "--paste") == [old]
    assert told("--to", "60") == [old, older]
    assert told("--to", "40") == [older, old]
    (own / older[1]).unlink()
    assert told("--to", "20") == [old, ("x.png", "x_to20.png")]


@pytest.mark.parametrize("text", ["[1]", '[{"file": 1}]', '[{"file": "x.png", "pasted": 1}]', "{}", "[{"])
def test_a_file_of_rows_that_is_not_ours_is_left_alone(
    text: str, fails: Callable[..., str], tiny_run: Path, tmp_path: Path
) -> None:
    own = _own(tmp_path / "own", "x.png")
    (own / "ages.json").write_text(text)
    said = fails("age", own, "-o", own, "--to", "10", "--checkpoint", tiny_run, code=2)
    assert "ages.json is damaged, or is none that nenrin age wrote" in said
    assert (own / "ages.json").read_text() == text

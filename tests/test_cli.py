"""The command line: its words, its help, what it writes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nenrin.cli import COMMANDS, main
from nenrin.commands.words import Names, list_pictures, parse_ages, split_overrides
from nenrin.domains.overlay import mark_faces
from nenrin.ground import UsageError, counted
from nenrin.models.config import MODELS
from nenrin.pictures import draw_strip

ROOT = Path(__file__).resolve().parents[1]
NAMES = [name for name, _, _ in COMMANDS]


def test_ages_are_read_in_order_and_once() -> None:
    assert parse_ages("5, 15,2.5,15") == [5, 15, 2.5]
    assert [f"{age:g}" for age in parse_ages("-0,0")] == ["0"]


@pytest.mark.parametrize("text", ["five", "", ",", "-1", "5,121", "nan", "5;6", "33.33333331,33.33333332"])
def test_ages_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--to takes"):
        parse_ages(text)


def test_one_is_no_plural() -> None:
    assert [counted(number, "face") for number in (0, 1, 2)] == ["0 faces", "1 face", "2 faces"]


def test_names_never_meet() -> None:
    names = Names()
    given = [names.take(stem, faces) for stem, faces in [("x", 1), ("x", 2), ("X", 1), ("x_f2", 1), ("x", 2)]]
    assert given == [["x"], ["x-2", "x-2_f2"], ["X-3"], ["x_f2"], ["x-4", "x-4_f2"]]
    taken = Names()
    taken.take("x_f2", 1)
    assert taken.take("x", 2) == ["x-2", "x-2_f2"]


def test_folders_give_their_pictures(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", "deeper/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list_pictures([tmp_path, tmp_path / "b.png", tmp_path / "missing.png"])
    assert [p.name for p in found] == ["a.JPG", "b.png", "c.webp", "missing.png"]


def test_settings_are_told_from_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("size=64").mkdir()
    assert split_overrides(["photo", "steps=10", "size=64"]) == (
        [Path("photo"), Path("size=64")],
        ["steps=10"],
    )


@pytest.mark.parametrize("name", NAMES)
def test_help_fits_a_screen_and_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"Example: nenrin {name}" in said
    assert len(said.splitlines()) <= 40


def test_the_example_of_a_training_works_on_plain_sets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    (example,) = re.findall(r"Example: nenrin (train .*?-o \S+)", " ".join(capsys.readouterr().out.split()))
    assert main([*example.split(), "--dry-run", "--json"]) == 0
    (settings,) = json.loads(capsys.readouterr().out)
    assert not MODELS[settings["model"]][0].needs_pairs


def test_help_lists_every_command_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    rows = [line for line in said.splitlines() if line.startswith("│") and line.split()[1] in NAMES]
    assert [row.split()[1] for row in rows] == NAMES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["aeg"], "Did you mean 'age'?"),
        (["age", "x.png", "--tto", "5"], "--to"),
        (["age", "x.png"], "'--to'"),
        (["age", "x.png", "--to", "5", "--glasses", "drak"], "did you mean 'dark'?"),
        (["age", "x.png", "--to", "5", "--from", "nan"], "--from takes ages from 0 to 120, not nan"),
        (["age", "x.png", "--to", "5", "--from", "-5"], "--from takes ages from 0 to 120, not -5"),
        (["export", "run", "-o", "x.txt"], "an ager becomes a file that ends in .onnx, or a folder"),
        (["canon", "list", "--pictures", "nowhere"], "nowhere is no folder"),
        (["canon", "list", "--manifest", "."], ". is a folder, not a TOML file"),
        (["canon", "list", "--only", "conan"], "did you mean 'conan-shinichi'?"),
        (["age", "x.png", "--to", "5", "--face", "hole"], "did you mean 'whole'?"),
        (["age", "x.png", "--to", "5", "--gender", "femal"], "did you mean 'female'?"),
        (["twins", "--people", "many"], "--people"),
        (["twins", "--people", "0"], "--people"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("nenrin: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_debug_anywhere_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["find", str(tmp_path)]
    assert main(words) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main([*words, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_the_door_opens_without_torch() -> None:
    # What takes seconds to import is imported by the command that needs it.
    heavy = ("torch", "scipy", "sklearn", "pyarrow", "matplotlib")
    code = f"import sys, nenrin.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_comes_at_once() -> None:
    # Processor time, and the least of a few: other work on the machine must not decide.
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "nenrin", "--help"], capture_output=True, check=True)
        after = os.times()
        seconds.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    assert min(seconds) < 1.5  # 0.4 s on an idle core


def test_strip_holds_every_face_where_it_belongs() -> None:
    faces = [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue")]
    strip = np.asarray(draw_strip(faces, ["input", "5", "70"]))
    assert strip.shape[1] == 3 * 64 + 2 * 4
    for index, face in enumerate(faces):
        assert (strip[:64, index * 68 : index * 68 + 64] == np.asarray(face)).all()
    below = strip[64:].min(axis=(0, 2))  # captions are dark on white
    assert all(below[index * 68 : index * 68 + 64].min() < 128 for index in range(3))


def test_marks_lie_on_the_box_and_the_points() -> None:
    box = np.array([20, 30, 80, 90], np.float32)
    points = np.array([[40, 50], [60, 50], [50, 60], [43, 75], [57, 75]], np.float32)
    picture = Image.new("RGB", (100, 100), "white")
    marked = np.asarray(mark_faces(picture, [box], [points]))
    assert (np.asarray(picture) == 255).all()  # the original is left alone
    for x, y in [*points.astype(int), (20, 60), (80, 60), (50, 30), (50, 90)]:
        assert marked[y, x].tolist() == [255, 64, 32]


def test_a_build_says_which_layout_it_took(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--size", "32", "--finder", "nominal", "--workers", "0", "--limit", "2"]
    assert main(["build", str(crops), "-o", str(tmp_path / "set"), *words]) == 0
    assert capsys.readouterr().out.startswith(f"2 faces in {tmp_path / 'set'}, read as utkface\n")


def test_a_build_shows_how_far_it_is(crops: Path, tmp_path: Path) -> None:
    # A terminal of its own: elsewhere the bar stays away.
    ours, theirs = pty.openpty()
    words = ["build", str(crops), "-o", str(tmp_path / "set"), "--size", "256", "--finder", "nominal"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nenrin", *words, "--workers", "0"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm",
            "COLUMNS": "100",
            "OMP_NUM_THREADS": "1",
        },
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal's other end is gone
        while some := os.read(ours, 4096):
            shown += some
    os.close(ours)
    assert process.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "finding and aligning" in text
    shares = {int(share) for share in re.findall(r"(\d+)%", text)}
    assert any(0 < share < 100 for share in shares)


def test_what_takes_a_moment_is_said_on_a_terminal_alone() -> None:
    code = "from nenrin.ground import waiting\nwith waiting('opening the ager'): pass"
    leader, follower = os.openpty()
    environment = {**os.environ, "TERM": "xterm"}  # a dumb one shows no spinner
    subprocess.run([sys.executable, "-c", code], stderr=follower, env=environment, check=True)
    assert b"opening the ager" in os.read(leader, 4096)
    os.close(leader)
    os.close(follower)
    piped = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=True)
    assert piped.stderr == b""

"""The memory-mapped array: which faces are in it, and that reading them costs nothing until it is done."""

from __future__ import annotations

import dataclasses
import io
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from nenrin.domains.array import Rows, decode, pack
from nenrin.domains.decisions import Decision
from nenrin.domains.face import Face, Split, face_id
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.ground import UsageError


def make_face(seed: int, *, identity: str | None, split: Split, size: int = 32, **labels: object) -> Face:
    pixels = np.full((size, size, 3), seed, dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    values = {"domain": "photo", **labels}
    return Face(id=face_id(pixels), image=stream.getvalue(), identity=identity, split=split, **values)  # type: ignore[arg-type]


def make_set(path: Path, faces: list[Face], domains: tuple[str, ...] = ("photo",), size: int = 32) -> FaceSet:
    with SetWriter(path, name=path.name, size=size, domains=domains) as writer:
        for face in faces:
            writer.add(face)
    return FaceSet.open(path)


def test_labels_and_pixels(tmp_path: Path) -> None:
    top_missing = np.array([[0, 8], [32, 8], [32, 32], [0, 32]], dtype=np.float32)
    faces = [
        make_face(10, identity="a", split="train", age=7.0, glasses="dark", gender="male", frame=top_missing),
        make_face(20, identity=None, split="train"),
        make_face(30, identity="b", split="test"),
        make_face(40, identity="c", split="train", verdict="drop"),
    ]
    array = pack([make_set(tmp_path / "s", faces)], size=16, splits=["train"])
    assert array.ids == [faces[0].id, faces[1].id]
    assert array.pixels[:].shape == (2, 16, 16, 3)
    assert array.pixels[1][0, 0].tolist() == [20, 20, 20]
    np.testing.assert_array_equal(array.masks[0][:, 3], [0] * 4 + [255] * 12)
    assert (array.masks[1] == 255).all()
    np.testing.assert_array_equal(array.age, np.array([7, np.nan], dtype=np.float32))
    assert (array.glasses.tolist(), array.gender.tolist()) == ([2, -1], [1, -1])
    assert (array.identity.tolist(), array.identities) == ([0, -1], ("a",))


def test_selection_reads_only_what_is_asked(tmp_path: Path) -> None:
    faces = [make_face(i, identity=str(i), split="train", age=float(i)) for i in range(20)]
    array = pack([make_set(tmp_path / "s", faces)], size=32, splits=["train"])
    old = array.select(array.age >= 10).select([3, 1])
    assert old.age.tolist() == [13, 11]
    assert old.pixels[:][:, 0, 0, 0].tolist() == [13, 11]
    assert old.pixels.shape == (2, 32, 32, 3)
    assert not isinstance(old.pixels, np.ndarray)


def test_what_was_read_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map of 64 MB, read twice over, takes little of it into the process."""
    file = tmp_path / "pixels.npy"
    np.save(file, np.arange(256, dtype=np.uint8).repeat(2**18).reshape(256, 512, 512))
    monkeypatch.setattr("nenrin.domains.array.HELD", 2**22)
    rows = Rows(np.load(file, mmap_mode="r"), np.arange(256))
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(2):
        for start in range(0, 256, 4):
            read = rows[np.arange(start, start + 4)]
            assert read[:, 0, 0].tolist() == list(range(start, start + 4))
    assert process.memory_info().rss - before < 2**24


def test_what_is_packed_is_not_held_and_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given back page by page while it is written, 64 MB of faces are what they were."""
    faces = [make_face(i, identity=str(i), split="train", size=512) for i in range(85)]
    sets = [make_set(tmp_path / "s", faces, size=512)]
    monkeypatch.setattr("nenrin.domains.array.HELD", 2**22)
    process, most = psutil.Process(), list[int]()
    before = process.memory_info().rss
    monkeypatch.setattr(
        "nenrin.domains.array.decode",
        lambda *a, **k: (most.append(process.memory_info().rss), decode(*a, **k))[1],
    )
    array = pack(sets, size=512)
    assert array.pixels[:][:, 5, 500, 1].tolist() == list(range(85))
    assert (array.masks[:] == 255).all()
    assert max(most) - before < 2**25


def test_a_person_on_two_sides_leaves_the_weaker_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = make_set(
        tmp_path / "a", [make_face(1, identity="x", split="train"), make_face(2, identity="y", split="train")]
    )
    two = make_set(
        tmp_path / "b", [make_face(3, identity="x", split="test"), make_face(4, identity="z", split="judge")]
    )
    with caplog.at_level(logging.WARNING):
        train = pack([one, two], size=32, splits=["train"])
    assert [train.identities[i] for i in train.identity] == ["y"]
    assert "1 faces left out" in caplog.text
    assert len(pack([one, two], size=32, splits=["train", "test", "judge"])) == 3
    assert len(pack([one], size=32, splits=["train"])) == 2


def test_the_vocabulary_does_not_depend_on_order_or_split(tmp_path: Path) -> None:
    one = make_set(tmp_path / "a", [make_face(1, identity="x", split="train")], ("photo",))
    two = make_set(
        tmp_path / "b",
        [
            make_face(3, identity="w", split="train", domain="manga"),
            make_face(5, identity="v", split="test", domain="ink"),
        ],
        ("ink", "manga"),
    )
    for sets in ([one, two], [two, one]):
        array = pack(sets, size=32, splits=["train"])
        assert array.domains == ("photo", "manga", "ink")
        assert sorted(array.domains[i] for i in array.domain) == ["manga", "photo"]


def test_the_second_time_maps_the_first_ones_file(tmp_path: Path) -> None:
    stored = make_set(tmp_path / "s", [make_face(i, identity=str(i), split="train") for i in range(5)])
    pack([stored], size=16, splits=["train"])
    (folder,) = (tmp_path / "s" / "arrays").iterdir()
    before = (folder / "pixels.npy").stat().st_mtime_ns
    pack([stored], size=16, splits=["train"])
    pack([stored], size=32, splits=["train"])
    assert (folder / "pixels.npy").stat().st_mtime_ns == before
    assert len(list((tmp_path / "s" / "arrays").iterdir())) == 2


def test_changed_labels_make_no_new_pixels(tmp_path: Path) -> None:
    faces = [make_face(i, identity=str(i), split="train", age=5.0) for i in range(4)]
    stored = make_set(tmp_path / "s", faces)
    pack([stored], size=16)
    for age in (6, 7, 8):
        stored.decisions.add(
            Decision(id=faces[1].id, source="", source_id="", verdict="keep", labels={"age": age})
        )
        assert age in pack([FaceSet.open(stored.path)], size=16).age
    assert len(list((stored.path / "arrays").iterdir())) == 1
    # Other faces, another order, another frame are other pixels or masks.
    moved = [dataclasses.replace(face, frame=np.full((4, 2), 9, np.float32)) for face in faces]
    for i, other in enumerate((faces[:3], faces[::-1], moved)):
        pack([make_set(tmp_path / str(i), other)], size=16, cache=stored.path / "arrays")
    assert len(list((stored.path / "arrays").iterdir())) == 4


@pytest.mark.parametrize("fails", [False, True])
def test_two_at_once_pack_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    stored = make_set(tmp_path / "s", [make_face(i, identity=str(i), split="train") for i in range(6)])
    calls = list[int]()

    def slowly(*args: Any, **options: Any) -> Any:
        calls.append(threading.get_ident())
        time.sleep(0.02)
        if fails and len(calls) == 3:
            raise OSError("no space left")
        return decode(*args, **options)

    monkeypatch.setattr("nenrin.domains.array.decode", slowly)
    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(pack, [stored], size=32) for _ in range(3)]
    errors = [error for each in done if (error := each.exception()) is not None]
    assert [str(error).partition(": ")[2] for error in errors] == ["no space left"] * fails
    assert len(calls) == 6 + 3 * fails
    arrays = [each.result() for each in done if each.exception() is None]
    assert all(array.pixels[:][:, 0, 0, 0].tolist() == list(range(6)) for array in arrays)
    assert len(list((tmp_path / "s" / "arrays").iterdir())) == 1


def test_what_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    stored = make_set(tmp_path / "s", [make_face(i, identity=str(i), split="train") for i in range(3)])
    pack([stored], size=16)
    (folder,) = (stored.path / "arrays").iterdir()
    folder.rename(folder.with_name(f".part-{folder.name}"))
    folder.with_name(f".lock-{folder.name}").touch()
    assert pack([stored], size=16).pixels[:][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert list((stored.path / "arrays").iterdir()) == [folder]


@pytest.mark.parametrize(
    ("sizes", "splits", "message"),
    [(64, ["train"], "--size 64"), (32, ["judge"], "no faces in the splits judge")],
)
def test_what_cannot_be_packed(tmp_path: Path, sizes: int, splits: list[str], message: str) -> None:
    stored = make_set(tmp_path / "s", [make_face(1, identity="x", split="train")])
    with pytest.raises(UsageError, match=message):
        pack([stored], size=sizes, splits=splits)
    with pytest.raises(UsageError, match="name at least one"):
        pack([], size=16)

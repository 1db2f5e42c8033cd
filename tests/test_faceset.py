"""The set on disk: what goes in comes out, also through other tools, and whatever happens to the writer."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from nenrin.domains.face import SCHEMA, Face, face_id
from nenrin.domains.faceset import FORMAT_VERSION, FaceSet, SetWriter
from nenrin.ground import UsageError


def make_face(seed: int, **labels: object) -> Face:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return Face(**{"id": face_id(pixels), "image": stream.getvalue(), "domain": "photo", **labels})  # type: ignore[arg-type]


def write(path: Path, faces: list[Face], **options: object) -> FaceSet:
    with SetWriter(path, name="test", size=32, **options) as writer:  # type: ignore[arg-type]
        for face in faces:
            writer.add(face)
    return FaceSet.open(path)


FULL = {
    "age": 34.5,
    "age_source": "label",
    "gender": "female",
    "glasses": "dark",
    "attributes": {"smile": True, "beard": False},
    "identity": "x/1",
    "source": "somewhere",
    "source_id": "a/b.jpg",
    "url": "https://example.org/b",
    "author": "A. Painter",
    "licence": "CC BY 4.0",
    "retrieved": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    "points": np.arange(10, dtype=np.float32).reshape(5, 2),
    "frame": np.arange(8, dtype=np.float32).reshape(4, 2),
    "split": "judge",
    "scores": {"found": 0.5, "tint": 0.25},
    "verdict": "drop",
    "reason": "blurred",
}


def test_a_face_comes_back_as_it_went_in(tmp_path: Path) -> None:
    faces = [make_face(0, **FULL), make_face(1)]
    for before, after in zip(faces, write(tmp_path / "s", faces).faces(), strict=True):
        for field in dataclasses.fields(Face):
            np.testing.assert_equal(getattr(after, field.name), getattr(before, field.name))


def test_shards_keep_order_and_size(tmp_path: Path) -> None:
    faces = [make_face(i, source_id=str(i)) for i in range(600)]
    stored = write(tmp_path / "s", faces, shard_bytes=900_000)  # of 3 kB each
    assert len(stored.shards) == 3
    assert all(shard.stat().st_size < 1_000_000 for shard in stored.shards)
    assert stored.table(["source_id"])["source_id"].to_pylist() == [str(i) for i in range(600)]
    assert stored.meta.sources == {"": 600}


def test_the_table_leaves_pictures_unread(tmp_path: Path) -> None:
    stored = write(tmp_path / "s", [make_face(0)])
    assert set(stored.table().column_names) == set(SCHEMA.names) - {"image"}
    assert stored.table(["split", "id"]).column_names == ["split", "id"]
    assert stored.table(["image"])["image"][0]["bytes"].as_py() == make_face(0).image


def test_equal_faces_give_equal_bytes(tmp_path: Path) -> None:
    faces = [make_face(i) for i in range(300)]
    one, two = (write(tmp_path / name, faces) for name in ("a", "b"))
    for first, second in zip(one.path.iterdir(), two.path.iterdir(), strict=True):
        assert first.name == second.name
        assert first.read_bytes() == second.read_bytes()


def test_datasets_opens_a_set_and_sees_pictures(tmp_path: Path) -> None:
    import datasets

    stored = write(tmp_path / "s", [make_face(0, **FULL), make_face(1)])
    rows = datasets.load_dataset(
        "parquet",
        data_files=[str(shard) for shard in stored.shards],
        split="train",
        cache_dir=str(tmp_path / "c"),
    )
    with Image.open(io.BytesIO(make_face(0).image)) as picture:
        np.testing.assert_array_equal(np.asarray(rows[0]["image"]), np.asarray(picture))
    assert rows[0]["scores"] == [{"key": "found", "value": 0.5}, {"key": "tint", "value": 0.25}]
    assert rows["age"][:] == [34.5, None]


def test_several_licences_of_one_source_are_not_told_as_one(tmp_path: Path) -> None:
    faces = [make_face(n, source=f"s{n // 2}", licence=f"CC {n // 4}") for n in range(6)]
    faces[1].licence = "CC0"
    assert write(tmp_path / "set", faces).meta.licences == {
        "s0": "several: each face names its own",
        "s1": "CC 0",
        "s2": "CC 1",
    }


def test_the_card_counts(tmp_path: Path) -> None:
    faces = [make_face(i, age=5.9, split="test", source="a") for i in range(3)]
    faces += [make_face(9, verdict="drop", reason="malformed name: x", source="a")]
    card = (write(tmp_path / "s", faces, licences={"a": "CC0"}).path / "README.md").read_text()
    assert "| a | 4 | CC0 |" in card
    assert "| 00-05 | 0 | 0 | 3 | 0 | 3 |" in card
    assert "| drop | malformed name | 1 |" in card


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "has no set.toml"),
        (lambda path: _toml(path, "format_version = ["), "not valid TOML"),
        (lambda path: _toml(path, f"format_version = {FORMAT_VERSION + 1}"), "build it again"),
        (lambda path: _toml(path, f"format_version = {FORMAT_VERSION}"), "is damaged"),
    ],
)
def test_what_is_no_set_is_refused_in_one_line(tmp_path: Path, prepare: object, message: str) -> None:
    prepare(tmp_path / "s")  # type: ignore[operator]
    with pytest.raises(UsageError, match=message) as caught:
        FaceSet.open(tmp_path / "s")
    assert "\n" not in str(caught.value)


def _toml(path: Path, text: str) -> None:
    path.mkdir()
    (path / "set.toml").write_text(text)


def test_a_set_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "s", [make_face(0)])
    with pytest.raises(UsageError, match="holds a set already"):
        SetWriter(tmp_path / "s", name="again", size=32)
    assert len(FaceSet.open(tmp_path / "s")) == 1


WRITE_UNTIL_STOPPED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from nenrin.domains.faceset import SetWriter
from nenrin.ground import NenrinError
import importlib.util
spec = importlib.util.spec_from_file_location("helper", sys.argv[3])
helper = importlib.util.module_from_spec(spec); spec.loader.exec_module(helper)
writer = SetWriter(sys.argv[1], name="test", size=32, shard_bytes=int(sys.argv[4]))
{limit}
try:
    for seed in range(100_000):
        writer.add(helper.make_face(seed % 50))
except NenrinError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def _writer(path: Path, limit: str, shard_bytes: int) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[1]
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            WRITE_UNTIL_STOPPED.format(limit=limit),
            path,
            str(root),
            __file__,
            str(shard_bytes),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_while_writing_the_shards_so_far_are_a_set(tmp_path: Path) -> None:
    process = _writer(tmp_path / "s", "", 900_000)
    while not (tmp_path / "s" / "faces-00001.parquet").exists():
        assert process.poll() is None
    process.kill()
    process.communicate()
    stored = FaceSet.open(tmp_path / "s")
    assert not stored.meta.complete
    assert len(list(stored.faces())) == len(stored) >= 512


def test_no_space_left_is_one_clear_line(tmp_path: Path) -> None:
    # The limit on a file's size fails the same write call that a full disk fails.
    # Python would write the byte code that it compiles, and cut it short in its own packages.
    limit = "import sys; sys.dont_write_bytecode = True; "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    process = _writer(tmp_path / "s", limit, 100_000_000)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.startswith(f"cannot write to {tmp_path / 's'}: ")
    assert output.count("\n") == 1
    stored = FaceSet.open(tmp_path / "s")
    assert not stored.meta.complete
    assert len(stored) == 0
    assert sorted(file.name for file in stored.path.iterdir()) == ["set.toml"]


def test_a_damaged_shard_is_one_clear_line(tmp_path: Path) -> None:
    stored = write(tmp_path / "s", [make_face(0)])
    stored.shards[0].write_bytes(stored.shards[0].read_bytes()[:-20])
    with pytest.raises(Exception, match="cannot be read") as caught:
        len(stored)
    assert "\n" not in str(caught.value)


def test_the_stored_types_are_those_of_the_schema(tmp_path: Path) -> None:
    stored = write(tmp_path / "s", [make_face(0)]).table()
    for name in stored.column_names:
        kind = SCHEMA.field(name).type
        if not pa.types.is_map(kind):
            assert stored.schema.field(name).type == kind

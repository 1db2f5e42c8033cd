"""Drawn counterparts: the same faces and labels through any net, whatever it expects, whatever stops it."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import io
import os
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from nenrin.cli import main
from nenrin.domains.align import OUTSIDE, align, frame_mask
from nenrin.domains.array import decode
from nenrin.domains.build import build
from nenrin.domains.decisions import Decision
from nenrin.domains.face import face_id
from nenrin.domains.faceset import FaceSet
from nenrin.domains.stylize import stylize
from nenrin.domains.weights import KNOWN, obtain
from nenrin.ground import NenrinError, UsageError
from nenrin.scrapers.download import download, sha256_of

Fails = Callable[..., str]
Shape = list[int | str]
FIRST: Shape = ["n", 3, "h", "w"]  # channels first, any size


def write_net(
    path: Path,
    nodes: list[onnx.NodeProto],
    *,
    shape: Shape = FIRST,
    kind: int = TensorProto.FLOAT,
    inputs: int = 1,
    constants: dict[str, np.ndarray] | None = None,
) -> Path:
    """An ONNX net from x (x0, x1 ... where it takes several) to y."""
    names = ["x"] if inputs == 1 else [f"x{i}" for i in range(inputs)]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, kind, shape) for name in names],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def negative(path: Path, **options: object) -> Path:
    """The net that turns black into white in [-1, 1]."""
    return write_net(path, [helper.make_node("Neg", ["x"], ["y"])], **options)  # type: ignore[arg-type]


def identity(path: Path, **options: object) -> Path:
    return write_net(path, [helper.make_node("Identity", ["x"], ["y"])], **options)  # type: ignore[arg-type]


def pixels(faces: FaceSet) -> np.ndarray:
    return np.stack([decode(face, faces.meta.size) for face in faces.faces()]).astype(int)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


CARRIED = (
    "age",
    "age_source",
    "gender",
    "glasses",
    "attributes",
    "identity",
    "source_id",
    "url",
    "author",
    "retrieved",
    "points",
    "frame",
    "split",
    "scores",
    "verdict",
    "reason",
)


def test_row_for_row_the_same_faces(tiny_set: Path, tmp_path: Path) -> None:
    photos = FaceSet.open(tiny_set)
    net = negative(tmp_path / "inverse.onnx")
    drawn = stylize(tiny_set, tmp_path / "drawn", weights=str(net), licence="CC0", workers=0)
    assert drawn.table(CARRIED).equals(photos.table(CARRIED))
    assert len(set(photos.table(["split"])["split"].to_pylist())) == 4
    for face in drawn.faces():
        assert (face.domain, face.source) == ("cartoon", "utkface+inverse")
        assert face.licence == "non-commercial research; drawn by inverse: CC0"
    ids = [face.id for face in drawn.faces()]
    assert not set(ids) & set(photos.table(["id"])["id"].to_pylist())
    frames = np.array([face.frame for face in photos.faces()], dtype=np.float32)
    inside = frame_mask(frames, 32) > 0
    before, after = pixels(photos), pixels(drawn)
    assert np.abs(before + after - 255)[inside].mean() < 4  # both are JPEG
    assert np.abs(after - OUTSIDE)[~inside].mean() < 4
    assert drawn.meta.domains == ("cartoon",)
    assert drawn.meta.complete
    card = (drawn.path / "README.md").read_text()
    assert f"The faces of the set tiny, drawn by inverse (SHA-256 {sha256_of(net)})." in card


def test_a_drawing_has_the_labels_and_the_verdict_that_a_person_decided(
    tiny_set: Path, tmp_path: Path
) -> None:
    photos = FaceSet.open(shutil.copytree(tiny_set, tmp_path / "photos"))
    first, second, *_ = photos.faces()
    for face, verdict, labels in ((first, "drop", {}), (second, "keep", {"age": 77.0, "glasses": "dark"})):
        names = {"id": face.id, "source": face.source, "source_id": face.source_id}
        photos.decisions.add(Decision(**names, verdict=verdict, labels=labels))  # type: ignore[arg-type]
    net = negative(tmp_path / "inverse.onnx")
    drawn = stylize(photos.path, tmp_path / "drawn", weights=str(net), workers=2)
    assert drawn.table(CARRIED).equals(FaceSet.open(photos.path).table(CARRIED))


def test_the_id_is_that_of_the_drawn_pixels(tiny_set: Path, tmp_path: Path) -> None:
    # A net that paints everything white: what is stored is known to the last bit.
    white = helper.make_node("Where", ["all", "one", "x"], ["y"])
    constants = {"all": np.array(True), "one": np.array(1, np.float32)}
    net = write_net(tmp_path / "white.onnx", [white], constants=constants)
    drawn = stylize(tiny_set, tmp_path / "drawn", weights=str(net), workers=0)
    face = next(drawn.faces())
    assert face.frame is not None
    expected = np.where(frame_mask(face.frame[None], 32)[0, :, :, None] > 0, 255, OUTSIDE).repeat(3, -1)
    assert face.id == face_id(expected.astype(np.uint8))


LAST: Shape = ["n", "h", "w", 3]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, {"value_range": (0.0, 1.0)}),
        ({}, {"value_range": (0.0, 255.0), "channels": "bgr"}),
        ({}, {"side": 64}),
        ({"shape": LAST}, {}),
        ({"shape": [1, 3, 32, 32]}, {}),
        ({"shape": [4, 48, 48, 3]}, {"channels": "bgr"}),
        ({"kind": TensorProto.FLOAT16}, {}),
        ({"kind": TensorProto.UINT8, "shape": LAST}, {}),
    ],
)
def test_what_a_net_expects_is_read_or_given(
    options: dict[str, object], asked: dict[str, object], tiny_set: Path, tmp_path: Path
) -> None:
    net = identity(tmp_path / "same.onnx", **options)
    drawn = stylize(tiny_set, tmp_path / "drawn", weights=str(net), workers=0, **asked)  # type: ignore[arg-type]
    assert np.abs(pixels(drawn) - pixels(FaceSet.open(tiny_set))).mean() < 2.5  # JPEG again, perhaps resized


@pytest.mark.parametrize(("channels", "kept"), [("rgb", 0), ("bgr", 2)])
def test_channels_reach_the_net_in_its_order(
    channels: str, kept: int, tiny_set: Path, tmp_path: Path
) -> None:
    first = np.array([1, 0, 0], np.float32).reshape(1, 3, 1, 1)
    net = write_net(
        tmp_path / "first.onnx", [helper.make_node("Mul", ["x", "c"], ["y"])], constants={"c": first}
    )
    drawn = stylize(
        tiny_set, tmp_path / "drawn", weights=str(net), value_range=(0, 255), channels=channels, workers=0
    )
    inside = frame_mask(np.array([f.frame for f in drawn.faces()], dtype=np.float32), 32) > 0
    means = pixels(drawn)[inside].mean(0)
    assert means[kept] > 60
    assert all(means[other] < 20 for other in range(3) if other != kept)


def test_the_outcome_does_not_depend_on_workers_and_is_kept(tiny_set: Path, tmp_path: Path) -> None:
    net = str(negative(tmp_path / "inverse.onnx"))
    done: list[tuple[int, int]] = []
    for workers in (0, 2):
        out = tmp_path / str(workers) / "drawn"
        stylize(tiny_set, out, weights=net, workers=workers, on_progress=lambda *n: done.append(n))
    assert contents(tmp_path / "0") == contents(tmp_path / "2")
    assert done[-1] == (150, 150)
    before = (out / "faces-00000.parquet").stat().st_mtime_ns
    assert len(stylize(tiny_set, out, weights=net)) == 150
    assert (out / "faces-00000.parquet").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="holds a set of other pictures or options"):
        stylize(tiny_set, out, weights=net, domain="manga")
    with pytest.raises(UsageError, match="holds a set of other pictures or options"):
        stylize(tiny_set, tiny_set, weights=net)


def _slow_net(path: Path) -> Path:
    """The negative, after work enough that a signal comes in the midst of it."""
    nodes = [helper.make_node("Neg", ["x"], ["y0"])]
    nodes += [helper.make_node("Sin", [f"y{i}"], [f"y{i + 1}"]) for i in range(60)]
    return write_net(path, [*nodes, helper.make_node("Identity", ["y60"], ["y"])])


@pytest.fixture(scope="module")
def slow(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, bytes]]:
    """The words that draw with the slow net, and what an uninterrupted drawing leaves."""
    folder = tmp_path_factory.mktemp("slow")
    options = ["--weights", str(_slow_net(folder / "net.onnx")), "--side", "128", "--workers", "0"]
    assert main(["stylize", str(tiny_set), "-o", str(folder / "drawn"), *options]) == 0
    return options, contents(folder / "drawn")


@pytest.mark.parametrize(
    ("number", "wait_for"),
    [
        (signal.SIGINT, ".build/000000.parquet"),
        (signal.SIGKILL, ".build/fingerprint"),
        (signal.SIGKILL, ".build/000000.parquet"),
        (signal.SIGKILL, "set.toml"),
    ],
)
def test_interrupted_it_goes_on(
    number: signal.Signals,
    wait_for: str,
    command: Callable[..., subprocess.Popen[str]],
    slow: tuple[list[str], dict[str, bytes]],
    tiny_set: Path,
    tmp_path: Path,
) -> None:
    options, whole = slow
    process = command("stylize", str(tiny_set), "-o", "drawn", *options, cwd=tmp_path)
    while not (tmp_path / "drawn" / wait_for).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert said == (
            "nenrin: interrupted: what was written is kept; the same command goes on from there\n"
        )
    kept = len(list((tmp_path / "drawn" / ".build").glob("[0-9]*.parquet")))
    assert kept >= {".build/fingerprint": 0, "set.toml": 2}.get(wait_for, 1)
    if wait_for != "set.toml":
        assert not (tmp_path / "drawn" / "set.toml").exists()
    assert main(["stylize", str(tiny_set), "-o", str(tmp_path / "drawn"), *options]) == 0
    assert contents(tmp_path / "drawn") == whole


def _two_inputs(path: Path) -> Path:
    return write_net(path, [helper.make_node("Add", ["x0", "x1"], ["y"])], inputs=2)


def _flat(path: Path) -> Path:
    return write_net(path, [helper.make_node("Flatten", ["x"], ["y"])])


def _not_square(path: Path) -> Path:
    return identity(path, shape=[1, 3, 32, 48])


def _fixed(path: Path) -> Path:
    return identity(path, shape=[1, 3, 32, 32])


def _broken(path: Path) -> Path:
    """0 / 0 of whatever it is given."""
    zero = {"zero": np.array(0, np.float32)}
    nodes = [helper.make_node("Mul", ["x", "zero"], ["z"]), helper.make_node("Div", ["z", "z"], ["y"])]
    return write_net(path, nodes, constants=zero)


@pytest.mark.parametrize(
    ("make", "options", "code", "message"),
    [
        (lambda p: None, [], 2, "net.onnx does not exist"),
        (lambda p: p.mkdir(), [], 2, "is a folder, not a net"),
        (lambda p: p.write_text("a letter"), [], 2, "is not a net that can be read"),
        (lambda p: p.write_bytes(b"\x1c\0\0\0TFL3 and nothing else"), [], 2, "is not a net that can be read"),
        (_two_inputs, [], 2, "is not an image-to-image net: it takes float ("),
        (
            lambda p: identity(p, shape=["n", 10]),
            [],
            2,
            "is not an image-to-image net: it takes float (-1, 10)",
        ),
        (_flat, [], 2, "is not an image-to-image net: for (1, 3, 32, 32) it gives (1, 3072)"),
        (_not_square, [], 2, "takes pictures of 48 x 32, and faces are square"),
        (_fixed, ["--side", "64"], 2, "takes 32 px and nothing else: leave out --side"),
        (_broken, [], 1, "gave values that are no numbers"),
        (negative, ["--sha256", "0" * 64], 2, f"not {'0' * 64}: it is another file, or damaged"),
        (negative, ["--channels", "rbg"], 2, "did you mean 'rgb'?"),
        (negative, ["--range", "1,-1"], 2, "--range takes the values of black and white"),
        (negative, ["--domain", ""], 2, "--domain needs a word"),
    ],
)
def test_a_net_that_cannot_draw_is_one_clear_line(
    make: Callable[[Path], object],
    options: list[str],
    code: int,
    message: str,
    fails: Fails,
    tiny_set: Path,
    tmp_path: Path,
) -> None:
    make(tmp_path / "net.onnx")
    words = ("stylize", tiny_set, "-o", tmp_path / "drawn", "--weights", tmp_path / "net.onnx", *options)
    assert message in fails(*words, code=code)
    assert not (tmp_path / "drawn").exists()


def test_a_set_that_cannot_be_drawn(fails: Fails, tiny_set: Path, tmp_path: Path) -> None:
    options = ("-o", tmp_path / "drawn", "--weights", negative(tmp_path / "net.onnx"))
    assert "does not exist" in fails("stylize", tmp_path / "no", *options, code=2)
    assert "is no set of faces" in fails("stylize", tmp_path, *options, code=2)
    half = shutil.copytree(tiny_set, tmp_path / "half", ignore=shutil.ignore_patterns("arrays"))
    meta = (half / "set.toml").read_text()
    (half / "set.toml").write_text(meta.replace("complete = true", "complete = false"))
    assert "is unfinished" in fails("stylize", half, *options, code=2)
    assert not (tmp_path / "drawn").exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a real server of the folder `tmp_path / "web"`."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            """Quiet: standard error is what tests read."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_weights_are_fetched_once(
    server: str, tiny_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails
) -> None:
    monkeypatch.setenv("NENRIN_CACHE", str(tmp_path / "cache"))
    digest = sha256_of(negative(tmp_path / "web" / "net.onnx"))
    url = f"{server}/net.onnx"
    words = ["stylize", str(tiny_set), "--weights", url]
    assert "an address needs the file's checksum too" in fails(*words, "-o", tmp_path / "a", code=2)
    said = fails(*words, "-o", tmp_path / "a", "--sha256", "0" * 64, code=1)
    assert f"{url} gave a file of SHA-256 {digest}, not {'0' * 64}" in said
    assert "HTTP 404" in fails(*words[:3], f"{url}x", "--sha256", digest, "-o", tmp_path / "a", code=1)
    assert not (tmp_path / "a").exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert main([*words, "--sha256", digest.upper(), "-o", str(tmp_path / "a"), "--workers", "0"]) == 0
    (kept,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    # From now on no server is needed, unless the file is damaged.
    (tmp_path / "web" / "net.onnx").rename(tmp_path / "web" / "later.onnx")
    assert obtain(url, sha256=digest) == (kept, digest)
    kept.write_bytes(b"damaged")
    with pytest.raises(NenrinError, match="HTTP 404"):
        obtain(url, sha256=digest)
    (tmp_path / "web" / "later.onnx").rename(tmp_path / "web" / "net.onnx")
    assert obtain(url, sha256=digest) == (kept, digest)
    assert sha256_of(kept) == digest


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NenrinError, match=r"cannot be reached \([\w ]+\): fetch it yourself") as caught:
        obtain("http://127.0.0.1:9/net.onnx", sha256="0" * 64, cache=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_known_net_comes_out_of_its_archive(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, body = KNOWN["whitebox"], b"weights"
    assert known.member is not None
    with tarfile.open(tmp_path / "web" / "net.tar.gz", mode="w:gz") as tar:
        entry = tarfile.TarInfo(f"folder/{known.member}")
        entry.size = len(body)
        tar.addfile(entry, io.BytesIO(body))
    (tmp_path / "web" / "none.tar.gz").write_bytes(b"no archive")
    (tmp_path / "web" / "empty.tar.gz").write_bytes(b"")
    url = f"{server}/net.tar.gz"
    monkeypatch.setitem(KNOWN, "whitebox", dataclasses.replace(known, url=url))
    digest = hashlib.sha256(body).hexdigest()
    path, _ = obtain("whitebox", sha256=digest, cache=tmp_path)
    assert path.read_bytes() == body
    for name, said in (("none", "is not an archive that holds whitebox"), ("empty", "gave nothing")):
        with pytest.raises(NenrinError, match=said):
            download(f"{server}/{name}.tar.gz", tmp_path / "x", sha256=digest, member=known.member)
    with pytest.raises(NenrinError, match="is not an archive that holds other"):
        download(url, tmp_path / "x", sha256=digest, member="other")
    assert not (tmp_path / "x").exists()
    assert not list(tmp_path.glob(".x*"))


@pytest.mark.real
def test_whitebox_draws_what_it_drew(shared_data: Path, tmp_path: Path) -> None:
    """Real weights on real photographs, beside the published drawings of the same ones."""
    pytest.importorskip("ai_edge_litert", reason="the extra `stylize` is not installed")
    names = sorted(path.name for path in (shared_data / "drawn" / "cartoonised-utkface").iterdir())[
        100:3800:900
    ]
    (tmp_path / "raw").mkdir()
    for name in names:
        shutil.copy(shared_data / "photo" / "utkface" / name, tmp_path / "raw")
    photos = build([tmp_path / "raw"], tmp_path / "photo", workers=0).faces
    weights = shared_data / "weights" / "whitebox_cartoon_gan_fp16.tflite"
    drawn = stylize(photos.path, tmp_path / "drawn", weights=str(weights), workers=0)
    assert "CC BY-NC-SA 4.0" in (drawn.path / "README.md").read_text()
    for before, after in zip(photos.faces(), drawn.faces(), strict=True):
        assert after.points is not None
        assert after.frame is not None
        with Image.open(shared_data / "drawn" / "cartoonised-utkface" / after.source_id) as picture:
            (reference,), _ = align([picture.convert("RGB")], after.points[None], 256)
        inside = frame_mask(after.frame[None], 256)[0] > 0
        ours, photo, theirs = (
            pixels[inside].astype(int) for pixels in (decode(after, 256), decode(before, 256), reference)
        )
        apart = np.abs(ours - theirs).mean()
        assert apart < 20
        assert apart < np.abs(photo - theirs).mean()
        assert apart < np.abs(ours[:, ::-1] - theirs).mean()  # red is red

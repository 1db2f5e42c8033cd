"""Opening pictures of all kinds, and finding the faces in them with the real finder."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from nenrin.domains.find import Found, MTCNNFinder, as_rgb, main_face, open_picture
from nenrin.domains.mtcnn import THRESHOLDS, Cascade
from nenrin.ground import NenrinError


def png_bomb(path: Path, side: int) -> None:
    """A PNG of a hundred bytes that says it is side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_every_mode_becomes_rgb(tmp_path: Path) -> None:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        Image.new(mode, (6, 4)).save(tmp_path / "x.png")
        assert open_picture(tmp_path / "x.png").mode == "RGB"
    Image.new("CMYK", (6, 4)).save(tmp_path / "x.jpg")
    assert open_picture(tmp_path / "x.jpg").mode == "RGB"


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_a_pixel_keep_their_light(kind: str, tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / f"x.{kind}")
    read = np.asarray(open_picture(tmp_path / f"x.{kind}"))
    assert np.abs(read - grey[..., None] / 257.0).max() <= 1


def test_transparency_lies_on_white_and_exif_turns(tmp_path: Path) -> None:
    Image.new("RGBA", (6, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_picture(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.new("RGB", (6, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_picture(tmp_path / "turned.jpg").size == (4, 6)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(NenrinError, match=r"pipe.png is no regular file$"):
        open_picture(tmp_path / "pipe.png")


def test_what_is_rgb_stays_as_it_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(astronaut()[:40])
    turned.info["exif"] = exif.tobytes()
    once = as_rgb(turned)
    assert once.size == (40, 512)
    assert np.array_equal(as_rgb(once), once)
    assert turned.size == (512, 40)


def test_a_picture_without_pixels_is_one_clear_line() -> None:
    with pytest.raises(NenrinError, match="0 x 5 pixels"):
        as_rgb(Image.new("RGB", (0, 5)))


def _truncated(path: Path) -> None:
    Image.fromarray(astronaut()).save(path)
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text("no picture"), "is not a picture"),
        (lambda path: path.write_bytes(b""), "is not a picture"),
        (_truncated, "is damaged"),
        (lambda path: png_bomb(path, 30_000), "reduce it first"),
        (lambda path: png_bomb(path, 12_000), "12000 x 12000 pixels, more than 100 million"),
        (lambda path: path.mkdir(), "is a folder"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, make: object, message: str) -> None:
    make(tmp_path / "x.jpg")  # type: ignore[operator]
    with pytest.raises(NenrinError, match=message) as caught:
        open_picture(tmp_path / "x.jpg")
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def finder() -> MTCNNFinder:
    return MTCNNFinder()


# Eyes, nose and mouth corners of scikit-image's astronaut, read off the picture by eye.
ASTRONAUT = np.array([[205, 101], [248, 104], [226, 129], [203, 140], [245, 142]])


def test_the_points_are_where_they_are(finder: MTCNNFinder) -> None:
    (faces,) = finder.find([Image.fromarray(astronaut())])
    (face,) = faces
    assert face.score > 0.99
    assert np.abs(face.points - ASTRONAUT).max() < 4
    left, top, right, bottom = face.box
    assert left < face.points[:, 0].min() < face.points[:, 0].max() < right
    assert top < face.points[:, 1].min() < face.points[:, 1].max() < bottom


def test_pictures_with_and_without_faces_of_any_size_in_one_call(finder: MTCNNFinder) -> None:
    whole = Image.fromarray(astronaut())
    pictures = [
        Image.new("RGB", (300, 80), "white"),
        whole,
        whole.crop((120, 20, 330, 300)),
        Image.new("RGB", (5, 5)),
    ]
    counts = [len(faces) for faces in finder.find(pictures)]
    assert counts == [0, 1, 1, 0]
    assert finder.find([]) == []


@pytest.mark.parametrize("box", [(185, 60, 268, 160), (170, 85, 300, 200), (120, 20, 330, 300)])
def test_a_face_that_is_cut_off_keeps_its_points(finder: MTCNNFinder, box: tuple[int, ...]) -> None:
    # As tight as UTKFace's crops, without the forehead, and whole.
    crop = Image.fromarray(astronaut()).crop(box)
    scale = 200 / max(crop.size)
    ((face,),) = finder.find([crop.resize((round(crop.width * scale), round(crop.height * scale)))])
    assert np.abs(face.points / scale + box[:2] - ASTRONAUT).max() < 5


def test_faces_amid_a_picture_are_those_of_facenet_pytorch() -> None:
    from facenet_pytorch import MTCNN
    from facenet_pytorch.models.utils.detect_face import detect_face

    picture = Image.fromarray(astronaut()).crop((40, 0, 440, 400))
    batch = np.stack([np.asarray(picture), np.asarray(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))])
    nets = MTCNN()
    with torch.inference_mode():
        theirs = detect_face(
            batch, 40.0, nets.pnet, nets.rnet, nets.onet, list(THRESHOLDS), nets.factor, "cpu"
        )
    ours = Cascade()(batch, 40.0)
    for (boxes, points), its_boxes, its_points in zip(ours, *theirs, strict=True):
        np.testing.assert_allclose(boxes, its_boxes.astype(np.float32), atol=0.01)
        np.testing.assert_allclose(points, its_points.astype(np.float32), atol=0.01)


def test_grey_and_large_pictures(finder: MTCNNFinder, tmp_path: Path) -> None:
    Image.fromarray(astronaut()).convert("L").resize((1536, 1536)).save(tmp_path / "grey.png")
    ((face,),) = finder.find([open_picture(tmp_path / "grey.png")])
    assert np.abs(face.points / 3 - ASTRONAUT).max() < 4


def test_the_main_face_is_large_and_central() -> None:
    def face(left: float, top: float, side: float) -> Found:
        box = np.array([left, top, left + side, top + side], dtype=np.float32)
        return Found(box=box, points=np.zeros((5, 2), np.float32), score=1.0)

    small, side, middle = face(90, 90, 20), face(0, 0, 60), face(70, 60, 60)
    assert main_face([small, side, middle], (200, 200)) is middle

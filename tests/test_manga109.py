"""Manga109's annotations, in the shape that its makers document, and what a build makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nenrin.domains.align import TEMPLATE, frame_of, similarity
from nenrin.domains.build import build
from nenrin.domains.face import Face
from nenrin.domains.faceset import SetWriter
from nenrin.domains.importers import importer_of, manga109
from nenrin.ground import UsageError
from nenrin.scrapers.raw import Raw

ANNOTATION = """<?xml version="1.0" encoding="UTF-8"?>
<book title="ARMS">
  <characters>
    <character id="00000003" name="女1"/>
    <character id="00000010" name="男1"/>
  </characters>
  <pages>
    <page index="0" width="400" height="300"/>
    <page index="3" width="400" height="300">
      <frame id="00000001" xmin="10" ymin="10" xmax="390" ymax="290"/>
      <body id="00000002" xmin="40" ymin="40" xmax="200" ymax="280" character="00000003"/>
      <face id="00000004" xmin="60" ymin="50" xmax="120" ymax="110" character="00000003"/>
      <face id="00000005" xmin="0" ymin="200" xmax="40" ymax="240" character="00000010"/>
      <face id="00000006" xmin="90" ymin="10" xmax="90" ymax="30" character="00000010"/>
      <face id="00000007" xmin="300" ymin="200" xmax="340" ymax="240"/>
      <text id="00000008" xmin="100" ymin="50" xmax="160" ymax="80">キャーッ</text>
      <balloon id="00000009" xmin="1" ymin="1" xmax="2" ymax="2"/>
    </page>
  </pages>
</book>
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "Manga109_released"
    (root / "annotations").mkdir(parents=True)
    (root / "images" / "ARMS").mkdir(parents=True)
    (root / "books.txt").write_text("ARMS\n", encoding="utf-8")
    (root / "annotations" / "ARMS.xml").write_text(ANNOTATION, encoding="utf-8")
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    for index in (0, 3):
        Image.fromarray(pixels).save(root / "images" / "ARMS" / f"{index:03d}.jpg")
    return root


def test_all_that_is_annotated(folder: Path) -> None:
    assert manga109.titles(folder) == ["ARMS"]
    assert manga109.characters(folder, "ARMS") == {"00000003": "女1", "00000010": "男1"}
    empty, page = manga109.pages(folder, "ARMS")
    assert empty.annotations == {"frame": [], "face": [], "body": [], "text": []}
    assert page.path == folder / "images" / "ARMS" / "003.jpg" and page.size == (400, 300)
    assert {kind: len(found) for kind, found in page.annotations.items()} == {
        "frame": 1,
        "face": 3,  # one has no width
        "body": 1,
        "text": 1,
    }
    (text,) = page.annotations["text"]
    assert text.text == "キャーッ" and text.box == (100, 50, 160, 80)
    assert page.annotations["body"][0].character == page.annotations["face"][0].character == "00000003"


def test_a_row_for_each_face(folder: Path) -> None:
    importer, path = importer_of(folder)
    assert importer.name == "manga109"
    first, second, third = importer.read(path)
    assert first == Raw(
        path=folder / "images" / "ARMS" / "003.jpg",
        source="manga109",
        source_id="ARMS/003/00000004",
        box=(60, 50, 120, 110),
        identity="manga109/ARMS/00000003",
        attributes={"text_over_face": True},
    )
    assert second.attributes == {"text_over_face": False}
    assert third.identity is None


def test_a_build_looks_at_the_box_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = list(build([folder], folder.parent / "set", size=32, workers=0).faces.faces())
    assert [face.source_id for face in faces] == [f"ARMS/003/0000000{n}" for n in (4, 5, 7)]
    # In noise there is no face: the part that was looked at is kept, with half a face's side around it.
    for face, (width, height) in zip(faces, [(120, 120), (60, 80), (80, 80)], strict=True):
        assert face.reason == "no face found"
        frame = np.asarray(face.frame)
        sides = frame.max(axis=0) - frame.min(axis=0)
        assert sides[0] / sides[1] == pytest.approx(width / height, abs=0.05)


def test_points_of_a_box_go_to_the_same_box_of_another_style(folder: Path, tmp_path: Path) -> None:
    with SetWriter(tmp_path / "known", name="known", size=32, domains=("manga",)) as writer:
        for number, size in ((4, (120, 120)), (5, (60, 80)), (7, (80, 80))):
            five = TEMPLATE * 50 + np.float32(number)
            frame = frame_of(similarity(five[None], 32), [size])[0]
            writer.add(
                Face(
                    id=f"{number:016d}",
                    image=b"",
                    domain="manga",
                    source="manga109",
                    source_id=f"ARMS/003/0000000{number}",
                    points=five,
                    frame=frame,
                )
            )
    once = build([folder], tmp_path / "once", size=32, workers=0, points_from=tmp_path / "known").faces
    again = build([folder], tmp_path / "again", size=32, workers=0, points_from=once.path).faces
    corners = [(30, 20), (0, 180), (280, 180)]
    for first, second, number, corner in zip(once.faces(), again.faces(), (4, 5, 7), corners, strict=True):
        np.testing.assert_allclose(first.points, TEMPLATE * 50 + number + np.array(corner), atol=1e-3)
        np.testing.assert_allclose(second.points, first.points, atol=1e-3)
        np.testing.assert_allclose(second.frame, first.frame, atol=1e-3)


def test_a_set_without_points_gives_none(folder: Path, tmp_path: Path) -> None:
    faceless = build([folder], tmp_path / "set", size=32, workers=0, finder="nominal").faces
    with pytest.raises(
        UsageError, match="knows no points of its pictures: name a set whose faces were found"
    ):
        build([folder], tmp_path / "other", size=32, workers=0, points_from=faceless.path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "unpack the annotations beside the images"),
        ("<book", "cannot be read"),
        ('<!DOCTYPE b [<!ENTITY a "aaaa">]><book>&a;</book>', "declares entities"),
    ],
)
def test_annotations_that_cannot_be_read(folder: Path, text: str | None, said: str) -> None:
    path = folder / "annotations" / "ARMS.xml"
    if text is None:
        path.unlink()
    else:
        path.write_text(text, encoding="utf-8")
    importer, root = importer_of(folder)
    with pytest.raises(UsageError, match=said):
        list(importer.read(root))


@pytest.mark.real
def test_a_face_in_its_box_has_its_points_on_the_page(folder: Path, shared_data: Path) -> None:
    photo = sorted((shared_data / "photo" / "celeba").rglob("*.jpg"))[0]
    page = folder / "images" / "ARMS" / "003.jpg"
    canvas = Image.new("RGB", (1654, 1170), "white")
    with Image.open(photo) as portrait:
        canvas.paste(portrait, (700, 500))
    canvas.save(page)
    box = 'xmin="740" ymin="560" xmax="838" ymax="680" character="00000003"'  # where CelebA's faces are
    text = ANNOTATION.replace('xmin="60" ymin="50" xmax="120" ymax="110" character="00000003"', box)
    (folder / "annotations" / "ARMS.xml").write_text(text, encoding="utf-8")
    faces = build([folder], folder.parent / "set", size=32, workers=0).faces.faces()
    (face,) = (face for face in faces if face.verdict == "keep")
    assert face.identity == "manga109/ARMS/00000003" and face.points is not None
    assert (face.points > (740, 560)).all() and (face.points < (838, 690)).all()


def test_pages_without_a_face_are_one_clear_line(folder: Path, tmp_path: Path) -> None:
    (folder / "annotations" / "ARMS.xml").write_text("<book><pages/></book>", encoding="utf-8")
    with pytest.raises(UsageError, match=r"no picture or face is listed in .*Manga109_released"):
        build([folder], tmp_path / "set", size=32, workers=0)
    assert not (tmp_path / "set").exists()

"""Manga109 (Aizawa et al. 2020): 109 manga volumes with boxes of frames, faces, bodies and texts.

`books.txt`, `images/TITLE/000.jpg` and `annotations/TITLE.xml`, as its makers give it out for research to
those who ask. A row for each face, named by its character.
"""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from nenrin.domains.importers.base import Importer
from nenrin.ground import UsageError
from nenrin.scrapers.raw import Raw

KINDS = ("frame", "face", "body", "text")
_COVERED = 0.02  # of a face's box; a text that covers less only touches it
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """One annotated box."""

    id: str
    box: Box
    character: str | None = None  # of faces and bodies: its id within the volume
    text: str | None = None  # of texts: what is written


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MangaPage:
    """A double page and all that is annotated on it, by kind: "frame", "face", "body", "text"."""

    title: str
    path: Path
    size: tuple[int, int]  # width, height
    annotations: dict[str, list[Annotation]]


def titles(folder: Path) -> list[str]:
    """The volumes, in the order of `books.txt`."""
    return [line.strip() for line in (folder / "books.txt").read_text(encoding="utf-8").splitlines() if line]


def characters(folder: Path, title: str) -> dict[str, str]:
    """The names of a volume's characters, by their ids."""
    return {each.get("id", ""): each.get("name", "") for each in _root(folder, title).iter("character")}


def pages(folder: Path, title: str) -> Iterator[MangaPage]:
    """A volume's pages. Raises `UsageError` where its annotation is missing or cannot be read."""
    for page in _root(folder, title).iter("page"):
        annotations: dict[str, list[Annotation]] = {kind: [] for kind in KINDS}
        for node in page:
            if node.tag in annotations and (box := _box(node)) is not None:
                annotations[node.tag].append(
                    Annotation(
                        id=node.get("id", ""), box=box, character=node.get("character"), text=node.text
                    )
                )
        yield MangaPage(
            title=title,
            path=folder / "images" / title / f"{int(page.get('index', -1)):03d}.jpg",
            size=(int(page.get("width", 0)), int(page.get("height", 0))),
            annotations=annotations,
        )


def read(folder: Path) -> Iterator[Raw]:
    """Every face of every page: its box, its character, and whether text lies over it."""
    for title in titles(folder):
        for page in pages(folder, title):
            for face in page.annotations["face"]:
                covered = max((_share(face.box, text.box) for text in page.annotations["text"]), default=0.0)
                yield Raw(
                    path=page.path,
                    source="manga109",
                    source_id=f"{title}/{page.path.stem}/{face.id}",
                    box=face.box,
                    identity=f"manga109/{title}/{face.character}" if face.character else None,
                    attributes={"text_over_face": covered >= _COVERED},
                )


def _share(face: Box, text: Box) -> float:
    """How much of a face's box a text's box covers."""
    width = min(face[2], text[2]) - max(face[0], text[0])
    height = min(face[3], text[3]) - max(face[1], text[1])
    area = (face[2] - face[0]) * (face[3] - face[1])
    return max(width, 0) * max(height, 0) / area


def _box(node: ET.Element) -> Box | None:
    try:
        left, top, right, bottom = (int(node.get(side, "")) for side in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        return None
    return (left, top, right, bottom) if left < right and top < bottom else None


def _root(folder: Path, title: str) -> ET.Element:
    path = folder / "annotations" / f"{title}.xml"
    try:
        # Entities could make a small file fill the memory; Manga109's use none.
        if "<!ENTITY" in (text := path.read_text(encoding="utf-8")):
            raise UsageError(f"{path} declares entities: it is no annotation of Manga109")
        return ET.fromstring(text)
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: unpack the annotations beside the images") from None
    except (ET.ParseError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


IMPORTER = Importer(
    name="manga109",
    recognises=lambda folder: (folder / "books.txt").is_file() and (folder / "annotations").is_dir(),
    read=read,
    domain="manga",
    licence="academic research (Manga109)",
    portrait=True,
    smallest=0.25,  # of the part of a page about a face's box
)

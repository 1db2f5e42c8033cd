"""What `nenrin scrape` wrote: pictures with labels and provenance, and the crops of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nenrin.domains.importers.base import Importer
from nenrin.ground import UsageError
from nenrin.scrapers.archive import NAME, Archive, Row
from nenrin.scrapers.raw import Raw


def read(folder: Path) -> Iterator[Raw]:
    """Every picture once. Where a recipe says where the faces are, a `Raw` for each of them, and no other.

    Raises `UsageError` where there is no picture yet, or one is being written.
    """
    with Archive.reading(folder) as archive:
        if not archive.count():
            raise UsageError(f"{folder} holds no pictures yet: the command that made it fetches them")
        for row in archive.pictures():
            raw = _raw(folder, row)
            if not row.item.faces:
                yield raw
            for number, face in enumerate(row.item.faces, 1):
                # Named as the faces of one picture are named in a build, so that both sets are the same.
                name = raw.source_id if number == 1 else f"{raw.source_id}#{number}"
                points = tuple((float(x), float(y)) for x, y in face)
                yield _raw(folder, row, source_id=name, points=points)


def _raw(
    folder: Path,
    row: Row,
    *,
    source_id: str | None = None,
    points: tuple[tuple[float, float], ...] | None = None,
) -> Raw:
    item = row.item
    return Raw(
        path=folder / str(row.file),
        source=item.source,
        source_id=source_id or item.source_id,
        domain=item.domain,
        age=item.age,
        age_source=item.age_source,
        gender=item.gender,
        glasses=item.glasses,
        attributes=item.attributes,
        identity=item.identity,
        points=points,
        url=item.page or (item.url if "://" in item.url else None),
        author=item.author,
        licence=item.licence,
        retrieved=row.retrieved,
    )


IMPORTER = Importer(
    name="scraped",
    recognises=lambda folder: (folder / NAME).is_file(),
    read=read,
    domain=None,
    licence=None,
    portrait=False,
    smallest=0.06,
)

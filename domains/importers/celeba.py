"""CelebA (Liu et al. 2015), aligned crops: `attributes.csv`, or the published `list_attr_celeba.txt`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nenrin.domains.glasses import WORN
from nenrin.domains.importers.base import Importer, columns_of, flag, read_table
from nenrin.ground import UsageError
from nenrin.scrapers.local import walk
from nenrin.scrapers.raw import Raw

_PUBLISHED = "list_attr_celeba.txt"


def read(folder: Path) -> Iterator[Raw]:
    """Gender and glasses from the attributes. `young` is an attribute: CelebA tells no age.

    It does not tell dark glasses from clear ones: the aligned face does (`glasses.tint`).
    """
    attributes = _attributes(folder)
    people = _identities(folder)
    for path, name in walk(folder):
        raw = Raw(path=path, source="celeba", source_id=name, identity=people.get(path.name))
        values = attributes.get(path.name)
        if values is None:
            raw.fault = "not in the table of attributes"
        else:
            glasses, male = values.pop("eyeglasses", None), values.pop("male", None)
            raw.glasses = None if glasses is None else (WORN if glasses else "none")
            raw.gender = None if male is None else ("male" if male else "female")
            raw.attributes = values
        yield raw


def _attributes(folder: Path) -> dict[str, dict[str, bool]]:
    if (folder / "attributes.csv").is_file():
        rows = read_table(folder / "attributes.csv", required=("file",))
    elif (folder / _PUBLISHED).is_file():
        _, header, *lines = (folder / _PUBLISHED).read_text(encoding="utf-8").splitlines()
        columns = ["file", *header.split()]
        rows = [dict(zip(columns, line.split(), strict=False)) for line in lines]
    else:
        raise UsageError(f"{folder} has neither attributes.csv nor {_PUBLISHED}: CelebA's labels are in it")
    return {
        row["file"]: {
            name.lower(): value
            for name, text in row.items()
            if name != "file" and (value := flag(text)) is not None
        }
        for row in rows
    }


def _identities(folder: Path) -> dict[str, str]:
    path = folder / "identity_CelebA.txt"
    if not path.is_file():
        return {}
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {row[0]: f"celeba/{row[1]}" for row in rows if len(row) == 2}


IMPORTER = Importer(
    name="celeba",
    recognises=lambda folder: (
        {"eyeglasses", "male"} <= {name.lower() for name in columns_of(folder / "attributes.csv")}
        or (folder / _PUBLISHED).is_file()
    ),
    read=read,
    domain="photo",
    licence="non-commercial research",
    portrait=True,
    smallest=0.25,
    margin=0.0,  # there is room about every face
    # The median of what MTCNN finds in 300 of them.
    nominal=((0.394, 0.515), (0.612, 0.515), (0.5, 0.623), (0.409, 0.705), (0.598, 0.705)),
)

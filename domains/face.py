"""The one row type: an aligned face with its labels and where it came from."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Split = Literal["train", "val", "test", "judge"]
Verdict = Literal["keep", "review", "drop"]

SPLITS: tuple[Split, ...] = ("train", "val", "test", "judge")
DOMAINS = ("photo", "painting", "cartoon", "manga")  # the default vocabulary; a set may name its own
GENDERS = ("female", "male")
GLASSES = ("none", "clear", "dark")
OLDEST = 120.0  # years
AGE_SOURCES = ("label", "canon", "tag", "dated", "estimated")
POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")  # left as the viewer sees it


@dataclasses.dataclass(kw_only=True, slots=True)
class Face:
    """One aligned face. Whatever is not known is None and stays None: nothing is guessed silently."""

    id: str  # 16 hex digits of the SHA-256 of the aligned pixels, see `face_id`
    image: bytes  # the aligned face, encoded (JPEG or PNG), RGB, square at the set's resolution
    domain: str
    age: float | None = None  # years
    age_source: str | None = None
    gender: str | None = None
    glasses: str | None = None
    attributes: dict[str, bool] = dataclasses.field(default_factory=dict)
    identity: str | None = None  # person or character, unique within the set: "fgnet/001"
    # Shared by pictures of one person that differ in age and glasses alone: same pose, light, framing. Twins
    # have such pictures, and faces with what an ager made of them; hardly any others.
    view: str | None = None
    source: str = ""
    source_id: str = ""
    url: str | None = None
    author: str | None = None
    licence: str | None = None
    retrieved: datetime | None = None
    points: NDArray[np.float32] | None = None  # (5, 2) x, y pixels in the source picture, in POINTS order
    # (4, 2) the source picture's corners in the aligned face's pixels, clockwise from its top left. Pixels
    # outside are not from the picture, and are left out of losses and metrics.
    frame: NDArray[np.float32] | None = None
    split: Split = "train"
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    verdict: Verdict = "keep"
    reason: str | None = None


def face_id(pixels: NDArray[np.uint8]) -> str:
    """Name a face by its aligned pixels, (H, W, 3) uint8 RGB: 16 hex digits of their SHA-256."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


# `image` has the layout of Hugging Face's `datasets.Image`: datasets, DuckDB and pandas open a set as it is.
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("age", pa.float32()),
        pa.field("age_source", pa.string()),
        pa.field("gender", pa.string()),
        pa.field("glasses", pa.string()),
        pa.field("attributes", pa.map_(pa.string(), pa.bool_())),
        pa.field("identity", pa.string()),
        pa.field("view", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("author", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("retrieved", pa.timestamp("s", tz="UTC")),
        pa.field("points", pa.list_(pa.list_(pa.float32(), 2), 5)),
        pa.field("frame", pa.list_(pa.list_(pa.float32(), 2), 4)),
        pa.field("split", pa.string(), nullable=False),
        pa.field("scores", pa.map_(pa.string(), pa.float32())),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)


def to_row(face: Face) -> dict[str, Any]:
    """The face as a row of `SCHEMA`."""
    row = {field.name: getattr(face, field.name) for field in dataclasses.fields(face)}
    row["image"] = {
        "bytes": face.image,
        "path": f"{face.id}.jpg" if face.image[:2] == b"\xff\xd8" else f"{face.id}.png",
    }
    row["attributes"] = sorted(face.attributes.items())
    row["scores"] = sorted(face.scores.items())
    row["points"] = None if face.points is None else face.points.tolist()
    row["frame"] = None if face.frame is None else face.frame.tolist()
    return row


def from_row(row: dict[str, Any]) -> Face:
    """The face of a row of `SCHEMA` (`pyarrow.Table.to_pylist`)."""
    values = dict(row)
    values["image"] = row["image"]["bytes"]
    values["attributes"] = dict(row["attributes"] or ())
    values["scores"] = dict(row["scores"] or ())
    values["points"] = None if row["points"] is None else np.asarray(row["points"], dtype=np.float32)
    values["frame"] = None if row["frame"] is None else np.asarray(row["frame"], dtype=np.float32)
    return Face(**values)

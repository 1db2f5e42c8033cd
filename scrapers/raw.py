"""A raw picture as a source yields it: its file, its labels, its provenance."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path


@dataclasses.dataclass(kw_only=True, slots=True)
class Raw:
    """One picture that has not been opened yet. Whatever the source does not say is None."""

    path: Path
    source: str  # "utkface"
    source_id: str  # unique within the source: the path below its folder
    domain: str | None = None
    age: float | None = None  # years
    age_source: str | None = None
    gender: str | None = None
    glasses: str | None = None  # "worn" if the source does not say which kind
    attributes: dict[str, bool] = dataclasses.field(default_factory=dict)
    identity: str | None = None
    points: tuple[tuple[float, float], ...] | None = None  # five, in pixels, in the order of `face.POINTS`
    box: tuple[int, int, int, int] | None = None  # the one face's left, top, right, bottom, in pixels
    url: str | None = None
    author: str | None = None
    licence: str | None = None
    retrieved: datetime | None = None
    fault: str | None = None  # why, by the source's own data, this picture must not be used

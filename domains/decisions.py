"""A person's decisions about faces: lines of JSON in a file beside the set, kept when it is built anew."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from nenrin.domains.face import GENDERS, GLASSES, OLDEST, Face, Verdict
from nenrin.ground import NenrinError, UsageError

REVIEWED = "reviewed"  # the reason of whatever a person kept or dropped
FIXABLE = ("age", "gender", "glasses", "domain")
KEYS = ("id", "source", "source_id", "reason")  # columns that name a face, and why it was set aside
SAME = "duplicate: the same pixels as "  # the reason of a picture that a set holds under two names
DECIDED = ("verdict", "reason", *FIXABLE)  # what a decision may change


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """A person's decision on one face, which is named by its picture and by its pixels."""

    id: str
    source: str
    source_id: str
    verdict: Verdict | None  # None takes back what was decided before
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)  # corrected values of FIXABLE

    def __post_init__(self) -> None:
        if self.verdict not in (None, "keep", "drop"):
            raise UsageError(f"a person decides keep or drop, not {self.verdict!r}")
        for name, value in self.labels.items():
            if not _sound(name, value):
                raise UsageError(f"{value!r} is no {name}" if name in FIXABLE else f"{name!r} is no label")


def _sound(name: str, value: Any) -> bool:
    if name == "age":
        return value is None or (type(value) in (int, float) and 0 <= value <= OLDEST)
    if name in ("gender", "glasses"):
        return value is None or value in (GENDERS if name == "gender" else GLASSES)
    return name == "domain" and isinstance(value, str) and value != ""


def path_of(folder: Path) -> Path:
    """Where the decisions on a set lie: beside its folder, which may be removed and built anew."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.decisions.jsonl")


class Decisions:
    """All decisions on a set; of several on one face the last counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._by_picture: dict[tuple[str, str], Decision] = {}
        self._by_id: dict[str, Decision] = {}
        for number, line in enumerate(_lines(path), 1):
            try:
                values = json.loads(line)
                values.pop("at", None)
                self._take(Decision(**values))
            except (ValueError, TypeError, AttributeError) as error:
                raise UsageError(
                    f"{path}, line {number}, is no decision ({error}): remove the line"
                ) from None

    def __len__(self) -> int:
        return len(self._by_picture)

    def of(self, id: str, source: str, source_id: str, reason: str | None = None) -> Decision | None:
        """The decision on the face of this picture or, if there is none, on a face with the same pixels.

        A face that the build set aside as a copy of another (by its `reason`) is not brought back by a
        decision on that one.
        """
        named = self._by_picture.get((source, source_id))
        return named or (None if (reason or "").startswith(SAME) else self._by_id.get(id))

    def add(self, decision: Decision) -> None:
        """Write a decision to the disk, then count it. `NenrinError` where it cannot be written."""
        row = {**dataclasses.asdict(decision), "at": datetime.now(UTC).isoformat(timespec="seconds")}
        try:
            # A single write of one line, flushed to the disk, so that a kill at any point loses no decision.
            with self.path.open("ab+") as stream:
                _drop_half_a_line(stream)
                stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise NenrinError(f"cannot write to {self.path}: {error.strerror or error}") from None
        self._take(decision)

    def _take(self, decision: Decision) -> None:
        key = (decision.source, decision.source_id)
        if decision.verdict is None:
            self._by_picture.pop(key, None)
            self._by_id.pop(decision.id, None)
        else:
            self._by_picture[key] = self._by_id[decision.id] = decision

    @property
    def domains(self) -> set[str]:
        """Domains that faces were given."""
        return {d.labels["domain"] for d in self._by_picture.values() if "domain" in d.labels}

    def apply(self, face: Face) -> Face:
        """The face as decided; changed in place."""
        decision = self.of(face.id, face.source, face.source_id, face.reason)
        if decision is not None and decision.verdict is not None:
            face.verdict, face.reason = decision.verdict, REVIEWED
            for name, value in decision.labels.items():
                setattr(face, name, value)
        return face

    def apply_to(self, table: pa.Table, keys: Iterable[tuple[str, str, str, str | None]]) -> pa.Table:
        """The table with what was decided; `keys` are its rows' `KEYS`."""
        decided = {i: d for i, key in enumerate(keys) if (d := self.of(*key)) is not None}
        for name in DECIDED if decided else ():
            if name not in table.column_names:
                continue
            values = table[name].to_pylist()
            for i, decision in decided.items():
                word = {"verdict": decision.verdict, "reason": REVIEWED, **decision.labels}
                values[i] = word.get(name, values[i])
            place = table.schema.get_field_index(name)
            table = table.set_column(
                place, table.schema.field(name), pa.array(values, table.schema.field(name).type)
            )
        return table


def _lines(path: Path) -> list[bytes]:
    """The complete lines; a partial last line, left by a kill or a full disk, is ignored."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise NenrinError(f"cannot read {path}: {error.strerror or error}") from None
    lines = data.split(b"\n")
    return [line for line in lines[:-1] if line.strip()]


def _drop_half_a_line(stream: BinaryIO) -> None:
    """Cut off a partial last line that a kill left, so that the next one begins on its own line."""
    end = stream.seek(0, os.SEEK_END)
    start = max(end - 65536, 0)
    stream.seek(start)
    rest = len(stream.read().rpartition(b"\n")[2])
    if rest:
        stream.truncate(end - rest)

"""Builds a set of faces from raw pictures. After any interruption, the same call continues to the same set.

Chunks of pictures are processed by workers into files under `.build/`; when all are there, splits are decided
over the whole set and the shards are written in the order of the input.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nenrin.domains.chunk import chunk_faces, chunk_labels, chunk_unreadable
from nenrin.domains.decisions import SAME
from nenrin.domains.duplicates import HASH_BYTES, near_duplicates
from nenrin.domains.face import Face
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.finders import AUTO, NOMINAL, check_finder
from nenrin.domains.importers import importer_of
from nenrin.domains.overlay import Sample
from nenrin.domains.pipeline import Unreadable
from nenrin.domains.plan import Plan, check_domain, fractions_of, settle, splits_of
from nenrin.domains.resume import clear, finished, process, workplace
from nenrin.domains.split import assign_splits, parse_split
from nenrin.ground import NenrinError, UsageError, write_text

_REJECTS = "rejects.csv"
_OVERLAYS = "found.jpg"


@dataclasses.dataclass(kw_only=True, slots=True)
class BuildReport:
    """What a build made of its pictures."""

    faces: FaceSet
    layouts: list[str]  # importer of each folder
    kept: int
    dropped: Counter[str]  # faces set aside, by reason
    unreadable: Counter[str]  # pictures without pixels, by reason; each is named in rejects.csv


def build(
    raws: Sequence[str | Path],
    out: Path,
    *,
    name: str | None = None,
    domain: str | None = None,
    size: int = 256,
    workers: int = 2,
    finder: str = AUTO,
    split: str | None = None,
    splits_from: str | Path | None = None,
    points_from: str | Path | None = None,
    limit: int | None = None,
    ray: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> BuildReport:
    """Build a set of aligned faces from folders of pictures (`PATH`, or `KIND:PATH` to name the importer).

    `size` is the side in pixels. `finder` is auto (what suits each source), nominal (the source's own crop),
    one of `finders.FINDERS` or a file (`finders.open_finder`). `split` forces all faces into one split.
    `splits_from` is a set whose splits identities keep. `points_from` is a set of the same pictures (by
    name) in another style, whose points are used. `limit` takes that many pictures, spread over all by a
    hash. `ray` is a Ray cluster that runs the jobs instead of `workers` (`cluster.run_on_ray`), with the same
    result. `on_progress` is called with the numbers of pictures done and in all. A bad picture is counted,
    never fatal. Raises `UsageError` for a wrong call, `NenrinError` where writing fails; the same call then
    continues from there.
    """
    check_finder(finder, NOMINAL)
    if domain is not None:
        check_domain(domain)
    if not raws:
        raise UsageError("no pictures to build from: name at least one folder")
    out = Path(out)
    plan = Plan(
        sources=[importer_of(spec) for spec in raws],
        size=size,
        finder=finder,
        domain=domain,
        split=None if split is None else parse_split(split),
        inherited={} if splits_from is None else splits_of(FaceSet.open(splits_from)),
        points={} if points_from is None else fractions_of(FaceSet.open(points_from)),
    )
    for _, folder in plan.sources:
        if out.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{out} lies among the pictures of {folder}: choose a folder outside it")
    settle(plan, limit)
    done = finished(out, plan.fingerprint)
    if done is None:
        with workplace(out, plan.fingerprint) as folder:
            process(
                lambda: plan.chunks(folder),
                plan.count,
                workers=workers,
                label="finding and aligning",
                ray=ray,
                on_progress=on_progress,
            )
            done = _assemble(folder, out, name or out.name, plan)
    clear(out)
    return _report(done, [importer.name for importer, _ in plan.sources])


def _assemble(folder: Path, out: Path, name: str, plan: Plan) -> FaceSet:
    """Decide the splits over all chunks and write the set."""
    paths = sorted(folder.glob("*.parquet"))
    labels = pa.concat_tables([chunk_labels(path) for path in paths])
    hashes = np.frombuffer(b"".join(labels["hash"].to_pylist()), dtype=np.uint8).reshape(-1, HASH_BYTES)
    # Rejects may look alike without being the same picture, such as grey pages.
    rows = np.flatnonzero(pc.equal(labels["verdict"], "keep").to_numpy())
    pairs = [(int(rows[a]), int(rows[b])) for a, b in near_duplicates(hashes[rows])]
    names = zip(*(labels[column].to_pylist() for column in ("identity", "source", "source_id")), strict=True)
    keys = [identity or f"{source}/{source_id}" for identity, source, source_id in names]
    splits = assign_splits(keys, pairs, plan.inherited)
    first: dict[str, int] = {}  # id -> number of the face that is kept
    sample = Sample()
    writer = SetWriter(
        out,
        name=name,
        size=plan.size,
        domains=plan.domains,
        build=plan.fingerprint,
        replace=True,
        note=f"What was found, drawn over a sample of the pictures: {_OVERLAYS}.",
    )
    with writer:
        faces = (hashed.face for path in paths for hashed in chunk_faces(path))
        for number, (face, split) in enumerate(zip(faces, splits, strict=True)):
            face.split = plan.split or split
            if face.verdict == "keep" and (original := first.setdefault(face.id, number)) != number:
                face.verdict, face.reason = "drop", SAME + _name_of(labels, original, face)
            writer.add(face)
            sample.add(face)
        sample.write(out / _OVERLAYS, (raw for _, raw in plan.raws()))
        _write_rejects(out / _REJECTS, [row for path in paths for row in chunk_unreadable(path)])
    return FaceSet.open(out)


def _name_of(labels: pa.Table, number: int, beside: Face) -> str:
    """A face's name; with its source where `beside` has the same name."""
    source, source_id = (labels[column][number].as_py() for column in ("source", "source_id"))
    return f"{source}/{source_id}" if source_id == beside.source_id else str(source_id)


def _write_rejects(path: Path, rows: Sequence[Unreadable]) -> None:
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow([field.name for field in dataclasses.fields(Unreadable)])
    table.writerows(dataclasses.astuple(row) for row in rows)
    try:
        write_text(path, stream.getvalue())
    except OSError as error:
        raise NenrinError(f"cannot write to {path.parent}: {error.strerror or error}") from None


def _report(faces: FaceSet, layouts: list[str]) -> BuildReport:
    table = faces.table(["verdict", "reason"])
    dropped: Counter[str] = Counter()
    for verdict, reason in zip(table["verdict"].to_pylist(), table["reason"].to_pylist(), strict=True):
        if verdict != "keep":
            dropped[(reason or "no reason given").split(":")[0]] += 1
    with (faces.path / _REJECTS).open(encoding="utf-8", newline="") as stream:
        unreadable = Counter(row["reason"].split(":")[0] for row in csv.DictReader(stream))
    kept = len(table) - dropped.total()
    return BuildReport(faces=faces, layouts=layouts, kept=kept, dropped=dropped, unreadable=unreadable)

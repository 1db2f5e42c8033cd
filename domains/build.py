"""Raw pictures in, a set of faces out. Interrupted anywhere, the same call goes on, to the same set.

Chunks of pictures are processed by workers into files under `.build/`; when all are there, splits are decided
over the whole set and the shards are written in the order of the input.
"""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import hashlib
import heapq
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import nenrin
from nenrin.domains.align import similarity
from nenrin.domains.duplicates import HASH_BYTES, near_duplicates
from nenrin.domains.face import DOMAINS, Split
from nenrin.domains.faceset import FORMAT_VERSION, FaceSet, SetWriter
from nenrin.domains.importers import importer_of
from nenrin.domains.importers.base import Importer
from nenrin.domains.pipeline import FinderName, Unreadable
from nenrin.domains.split import assign_splits, parse_split
from nenrin.domains.workers import CHUNK, Chunk, chunk_faces, chunk_labels, chunk_unreadable, run_chunks
from nenrin.ground import NenrinError, UsageError, suggest, track, write_text
from nenrin.scrapers.raw import Raw

FINDERS: tuple[FinderName, ...] = ("auto", "mtcnn", "nominal")
_REJECTS = "rejects.csv"


@dataclasses.dataclass(kw_only=True, slots=True)
class BuildReport:
    """What a build made of its pictures."""

    faces: FaceSet
    kept: int
    dropped: Counter[str]  # faces set aside, by reason
    unreadable: Counter[str]  # pictures without pixels, by reason; each is named in rejects.csv


@dataclasses.dataclass(kw_only=True, slots=True)
class _Plan:
    """What is to be built, settled before anything is written."""

    sources: list[tuple[Importer, Path]]
    size: int
    finder: FinderName
    domain: str | None
    split: Split | None
    inherited: dict[str, Split]  # identity -> split
    points: dict[str, NDArray[np.float32]]  # source_id -> (5, 2) in units of the picture's sides
    count: int = 0
    domains: tuple[str, ...] = ()
    chosen: set[tuple[str, str]] | None = None  # (source, source_id); None: all
    fingerprint: str = ""

    def raws(self) -> Iterator[tuple[Importer, Raw]]:
        """The pictures to process, in order."""
        for importer, folder in self.sources:
            for raw in importer.read(folder):
                if self.chosen is None or (raw.source, raw.source_id) in self.chosen:
                    yield importer, raw

    def chunks(self, folder: Path) -> Iterator[Chunk]:
        """The pictures in chunks of one source each; the same on every run."""
        number = 0
        waiting: list[Raw] = []
        current: Importer | None = None
        for importer, raw in self.raws():
            if current is not None and (importer is not current or len(waiting) == CHUNK):
                yield self._chunk(folder, number, current, waiting)
                number, waiting = number + 1, []
            current = importer
            waiting.append(raw)
        if current is not None:
            yield self._chunk(folder, number, current, waiting)

    def _chunk(self, folder: Path, number: int, importer: Importer, raws: list[Raw]) -> Chunk:
        return Chunk(
            path=folder / f"{number:06d}.parquet",
            importer=importer.name,
            raws=raws,
            fractions=[self.points.get(raw.source_id) for raw in raws],
            size=self.size,
            finder=self.finder,
            domain=self.domain,
        )


def build(
    raws: Sequence[str | Path],
    out: Path,
    *,
    name: str | None = None,
    domain: str | None = None,
    size: int = 256,
    workers: int = 2,
    finder: FinderName = "auto",
    split: str | None = None,
    splits_from: str | Path | None = None,
    points_from: str | Path | None = None,
    limit: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> BuildReport:
    """Build a set of aligned faces from folders of pictures (`PATH`, or `KIND:PATH` to name the importer).

    `size` is the side in pixels; `split` forces all faces into one; `splits_from` is a set whose splits are
    kept, identity by identity; `points_from` is a set of the same pictures (by name) in another style, whose
    points are used; `limit` takes that many pictures, spread over all by a hash; `on_progress` is told the
    pictures done and all. A picture that is bad is counted, never fatal. Raises `UsageError` for a wrong
    call, `NenrinError` where writing fails; the same call then goes on from there.
    """
    if finder not in FINDERS:
        raise UsageError(f"unknown finder {finder!r}; {suggest(finder, FINDERS)}")
    if not raws:
        raise UsageError("no pictures to build from: name at least one folder")
    out = Path(out)
    plan = _Plan(
        sources=[importer_of(spec) for spec in raws],
        size=size,
        finder=finder,
        domain=domain,
        split=None if split is None else parse_split(split),
        inherited={} if splits_from is None else _splits_of(FaceSet.open(splits_from)),
        points={} if points_from is None else _fractions_of(FaceSet.open(points_from)),
    )
    _settle(plan, limit)
    done = _finished(out, plan)
    if done is None:
        with _locked(out) as folder:
            _prepare(folder, plan)
            _process(folder, plan, workers, on_progress)
            done = _assemble(folder, out, name or out.name, plan)
    shutil.rmtree(out / ".build", ignore_errors=True)
    return _report(done)


def _settle(plan: _Plan, limit: int | None) -> None:
    """Go over the sources once: count, vocabulary, and a fingerprint of all that decides the outcome."""
    if limit is not None:
        hashed = (
            (hashlib.sha256(f"{raw.source}/{raw.source_id}".encode()).digest(), raw.source, raw.source_id)
            for _, raw in plan.raws()
        )
        plan.chosen = {(source, source_id) for _, source, source_id in heapq.nsmallest(limit, hashed)}
    options = [
        FORMAT_VERSION,
        plan.size,
        plan.finder,
        plan.domain,
        plan.split,
        sorted(plan.inherited.items()),
    ]
    digest = hashlib.sha256(json.dumps(options).encode())
    for source_id, points in sorted(plan.points.items()):
        digest.update(source_id.encode() + points.tobytes())
    words: set[str] = set()
    for importer, raw in plan.raws():
        word = raw.domain or plan.domain or importer.domain
        if word is None:
            raise UsageError(f"{raw.path.parent} does not say what it shows: name it, as in --domain manga")
        words.add(word)
        plan.count += 1
        stat = raw.path.stat() if raw.path.is_file() else None
        known = dataclasses.replace(raw, path=Path())
        digest.update(repr((importer.name, known, stat and (stat.st_size, stat.st_mtime_ns))).encode())
    plan.domains = (*(word for word in DOMAINS if word in words), *sorted(words - set(DOMAINS)))
    plan.fingerprint = digest.hexdigest()[:32]


def _finished(out: Path, plan: _Plan) -> FaceSet | None:
    """The set itself where it is built already; `UsageError` where another one is in its place."""
    if not (out / "set.toml").is_file():
        return None
    faces = FaceSet.open(out)
    if faces.meta.build != plan.fingerprint:
        raise UsageError(
            f"{out} holds a set of other pictures or options: remove it or choose another folder"
        )
    return faces if faces.meta.complete else None


@contextmanager
def _locked(out: Path) -> Iterator[Path]:
    """The folder of the chunks, for this process alone."""
    folder = out / ".build"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise NenrinError(
            f"cannot write to {out}: {error.strerror or error}; choose another folder"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another build is writing to {out}: wait for it or choose another folder"
            ) from None
        yield folder


def _prepare(folder: Path, plan: _Plan) -> None:
    """Drop what is left of a build of something else, or by another release."""
    stamp, now = folder / "fingerprint", f"{plan.fingerprint} {nenrin.__version__}"
    if not stamp.is_file() or stamp.read_text() != now:
        for stale in folder.glob("*.parquet"):
            stale.unlink()
        write_text(stamp, now)


def _process(folder: Path, plan: _Plan, workers: int, on_progress: Callable[[int, int], None] | None) -> None:
    ready = 0
    missing = []
    for chunk in plan.chunks(folder):
        if chunk.path.is_file():
            ready += len(chunk.raws)
        else:
            missing.append(chunk.path)
    wanted = set(missing)
    todo = (chunk for chunk in plan.chunks(folder) if chunk.path in wanted)
    # A handful of pictures is done before another process has started.
    counts = run_chunks(todo, workers if len(missing) > 1 else 0)

    def pictures() -> Iterator[int]:
        yield from range(ready)
        done = ready
        for count in counts:
            for _ in range(count):
                done += 1
                yield done
            if on_progress is not None:
                on_progress(done, plan.count)

    for _ in track(pictures(), "finding and aligning", plan.count):
        pass


def _assemble(folder: Path, out: Path, name: str, plan: _Plan) -> FaceSet:
    """Decide the splits over all chunks and write the set."""
    paths = sorted(folder.glob("*.parquet"))
    labels = pa.concat_tables([chunk_labels(path) for path in paths])
    hashes = np.frombuffer(b"".join(labels["hash"].to_pylist()), dtype=np.uint8).reshape(-1, HASH_BYTES)
    # Rejects may look alike without being the same picture: a grey page, say.
    rows = np.flatnonzero(pc.equal(labels["verdict"], "keep").to_numpy())
    pairs = [(int(rows[a]), int(rows[b])) for a, b in near_duplicates(hashes[rows])]
    names = zip(*(labels[column].to_pylist() for column in ("identity", "source", "source_id")), strict=True)
    keys = [identity or f"{source}/{source_id}" for identity, source, source_id in names]
    splits = iter(assign_splits(keys, pairs, plan.inherited))
    first: dict[str, str] = {}
    writer = SetWriter(
        out, name=name, size=plan.size, domains=plan.domains, build=plan.fingerprint, replace=True
    )
    with writer:
        for path in paths:
            for hashed in chunk_faces(path):
                face = hashed.face
                split = next(splits)
                face.split = plan.split or split
                original = first.setdefault(face.id, face.source_id)
                if original != face.source_id and face.verdict == "keep":
                    face.verdict, face.reason = "drop", f"duplicate: the same pixels as {original}"
                writer.add(face)
        _write_rejects(out / _REJECTS, [row for path in paths for row in chunk_unreadable(path)])
    return FaceSet.open(out)


def _write_rejects(path: Path, rows: Sequence[Unreadable]) -> None:
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow([field.name for field in dataclasses.fields(Unreadable)])
    table.writerows(dataclasses.astuple(row) for row in rows)
    try:
        write_text(path, stream.getvalue())
    except OSError as error:
        raise NenrinError(f"cannot write to {path.parent}: {error.strerror or error}") from None


def _report(faces: FaceSet) -> BuildReport:
    table = faces.table(["verdict", "reason"])
    dropped: Counter[str] = Counter()
    for verdict, reason in zip(table["verdict"].to_pylist(), table["reason"].to_pylist(), strict=True):
        if verdict != "keep":
            dropped[(reason or "no reason given").split(":")[0]] += 1
    with (faces.path / _REJECTS).open(encoding="utf-8", newline="") as stream:
        unreadable = Counter(row["reason"].split(":")[0] for row in csv.DictReader(stream))
    kept = len(table) - dropped.total()
    return BuildReport(faces=faces, kept=kept, dropped=dropped, unreadable=unreadable)


def _splits_of(faces: FaceSet) -> dict[str, Split]:
    table = faces.table(["identity", "split"]).filter(pc.field("identity").is_valid())
    return dict(zip(table["identity"].to_pylist(), table["split"].to_pylist(), strict=True))


def _fractions_of(faces: FaceSet) -> dict[str, NDArray[np.float32]]:
    """Every picture's points in units of its width and height."""
    table = faces.table(["source_id", "points", "frame", "verdict"])
    table = table.filter(pc.field("points").is_valid() & pc.field("frame").is_valid())
    points = np.array(table["points"].to_pylist(), dtype=np.float32)
    frame = np.array(table["frame"].to_pylist(), dtype=np.float32)
    # The frame is the picture's outline at the scale of the alignment.
    scale = np.linalg.norm(similarity(points, faces.meta.size)[:, :, 0], axis=1)
    width = np.linalg.norm(frame[:, 1] - frame[:, 0], axis=1) / scale
    height = np.linalg.norm(frame[:, 3] - frame[:, 0], axis=1) / scale
    fractions = points / np.stack([width, height], -1)[:, None]
    return dict(zip(table["source_id"].to_pylist(), fractions.astype(np.float32), strict=True))

"""The plan of a build, settled and named by a fingerprint before anything is written."""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from nenrin.domains.align import similarity
from nenrin.domains.chunk import CHUNK, Chunk
from nenrin.domains.face import DOMAINS, Split
from nenrin.domains.faceset import FORMAT_VERSION, FaceSet
from nenrin.domains.finders import AUTO, NOMINAL, OURS, finder_digest
from nenrin.domains.importers.base import Importer
from nenrin.domains.importers.folder import IMPORTER as PLAIN
from nenrin.domains.pipeline import finder_for
from nenrin.ground import UsageError
from nenrin.scrapers.raw import Raw

_RECIPE = 2  # raised whenever the same pictures and options would give other faces


@dataclasses.dataclass(kw_only=True, slots=True)
class Plan:
    """The pictures of a build and the options that determine its result; `settle` completes it."""

    sources: list[tuple[Importer, Path]]
    size: int
    finder: str
    domain: str | None
    split: Split | None
    inherited: dict[str, Split]  # identity -> split
    points: dict[tuple[str, str], NDArray[np.float32]]  # see `fractions_of`
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
            fractions=[self._fractions(importer, raw) for raw in raws],
            size=self.size,
            finder=self.finder,
            domain=self.domain,
        )

    def _fractions(self, importer: Importer, raw: Raw) -> NDArray[np.float32] | None:
        # A plain folder's source is its name, and that of the drawn pictures may be called otherwise.
        anywhere = self.points.get(("", raw.source_id)) if importer is PLAIN else None
        return self.points.get((raw.source, raw.source_id), anywhere)


def check_domain(word: str) -> None:
    """Raise `UsageError` for what is no name of a domain, or a slip of the pen in one of `DOMAINS`."""
    if not word or any(letter.isspace() or letter in "/\\" for letter in word):
        raise UsageError(f"--domain {word!r}: a word without spaces and slashes, such as {DOMAINS[0]}")
    near = next((known for known in DOMAINS if _nearly(word.casefold(), known)), None)
    if near not in (None, word):
        raise UsageError(f"--domain {word!r} is unknown; did you mean {near!r}?")


def _nearly(word: str, known: str) -> bool:
    """Whether the words differ by one letter at most: one other, one more, or one less."""
    if len(word) == len(known):
        return sum(a != b for a, b in zip(word, known, strict=True)) <= 1
    short, long = sorted((word, known), key=len)
    return len(long) == len(short) + 1 and any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


def settle(plan: Plan, limit: int | None) -> None:
    """Go through the sources once for the count, the vocabulary, and a fingerprint of all inputs.

    Raises `UsageError` where there is nothing, or nobody says what a picture shows.
    """
    if limit is not None:
        hashed = (
            (hashlib.sha256(f"{raw.source}/{raw.source_id}".encode()).digest(), raw.source, raw.source_id)
            for _, raw in plan.raws()
        )
        plan.chosen = {(source, source_id) for _, source, source_id in heapq.nsmallest(limit, hashed)}
    options = [
        FORMAT_VERSION,
        _RECIPE,
        plan.size,
        finder_digest(plan.finder),
        plan.domain,
        plan.split,
        sorted(plan.inherited.items()),
    ]
    digest = hashlib.sha256(json.dumps(options).encode())
    for (source, source_id), points in sorted(plan.points.items(), key=lambda item: item[0][::-1]):
        if not source or ("", source_id) not in plan.points:  # each once
            digest.update(f"{source}{source_id}".encode() + points.tobytes())
    words: set[str] = set()
    for importer, raw in plan.raws():
        word = raw.domain or plan.domain or importer.domain
        if word is None:
            raise UsageError(f"{raw.path.parent} does not say what it shows: name it, as in --domain manga")
        words.add(word)
        plan.count += 1
        stat = raw.path.stat() if raw.path.is_file() else None
        known = dataclasses.replace(raw, path=Path())
        digest.update(
            repr((_origin(plan, importer), known, stat and (stat.st_size, stat.st_mtime_ns))).encode()
        )
    if not plan.count:
        folders = ", ".join(str(folder) for _, folder in plan.sources)
        raise UsageError(f"nothing to build from: no picture or face is listed in {folders}")
    plan.domains = (*(word for word in DOMAINS if word in words), *sorted(words - set(DOMAINS)))
    plan.fingerprint = digest.hexdigest()[:32]


def _origin(plan: Plan, importer: Importer) -> object:
    """A source's part of the fingerprint: its crop if no finder is used, our net if that is used."""
    finder = finder_for(importer, plan.finder)
    if importer.finder == NOMINAL:
        return importer.name, importer.nominal
    return (importer.name, finder_digest(finder)) if finder in (AUTO, OURS) else importer.name


def splits_of(faces: FaceSet) -> dict[str, Split]:
    """Every identity's split."""
    table = faces.table(["identity", "split"]).filter(pc.field("identity").is_valid())
    return dict(zip(table["identity"].to_pylist(), table["split"].to_pylist(), strict=True))


def fractions_of(faces: FaceSet) -> dict[tuple[str, str], NDArray[np.float32]]:
    """Every picture's points, (5, 2) in units of its width and height, by (source, source_id).

    Where no other source has a picture of that name, by ("", source_id) too. Of a picture with a box, points
    and sides are those of the part that was looked at. Raises `UsageError` where there are none.
    """
    table = faces.table(["source", "source_id", "points", "frame"])
    table = table.filter(pc.field("points").is_valid() & pc.field("frame").is_valid())
    if not len(table):
        raise UsageError(f"{faces.path} knows no points of its pictures: name a set whose faces were found")
    points = np.array(table["points"].to_pylist(), dtype=np.float32)
    frame = np.array(table["frame"].to_pylist(), dtype=np.float32)
    # The frame is the picture's outline at the scale of the alignment.
    matrices = similarity(points, faces.meta.size)
    scale = np.linalg.norm(matrices[:, :, 0], axis=1)
    width = np.linalg.norm(frame[:, 1] - frame[:, 0], axis=1) / scale
    height = np.linalg.norm(frame[:, 3] - frame[:, 0], axis=1) / scale
    # Points are in the whole picture, in which a part begins at a whole pixel.
    moved = frame[:, 0] - matrices[:, :, 2]
    corner = np.rint(np.einsum("bij,bi->bj", matrices[:, :, :2], moved) / scale[:, None] ** 2)
    fractions = (points - corner[:, None]) / np.stack([width, height], -1)[:, None]
    names = zip(table["source"].to_pylist(), table["source_id"].to_pylist(), strict=True)
    found = dict(zip(names, fractions.astype(np.float32), strict=True))
    alike = Counter(source_id for _, source_id in found)
    return found | {("", name): five for (_, name), five in found.items() if alike[name] == 1}

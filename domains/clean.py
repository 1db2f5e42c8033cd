"""Decides which faces a person should look at, and writes scores, verdicts and reasons into the set.

After any interruption, the same call continues. Scores are computed once; verdicts follow from scores and
thresholds, and are decided anew in seconds.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray, pack
from nenrin.domains.checks.checks import CHECKS, Evidence, score_all
from nenrin.domains.checks.examiner import examine
from nenrin.domains.checks.features import SIZE
from nenrin.domains.checks.scores import Scores
from nenrin.domains.checks.twice import find_twice
from nenrin.domains.checks.verdicts import SUSPICION, TWIN, Thresholds, decide
from nenrin.domains.decisions import FIXABLE
from nenrin.domains.faceset import FaceSet
from nenrin.domains.resume import clear, workplace
from nenrin.domains.rewrite import rewrite
from nenrin.domains.storage import LABELS
from nenrin.ground import UsageError, track

VERSION = 5  # of the checks; scores of another version are computed anew
EMBEDDED = 128  # px of the aligned faces given to an embedder
_FOLDER = ".clean"
_BATCH = 64
_FEW = 300  # faces: with fewer in a source, what is usual in it cannot be estimated

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # (N, 128, 128, 3) RGB to vectors (N, E)


@dataclasses.dataclass(kw_only=True, slots=True)
class CleanReport:
    """What became of the faces of some sets."""

    faces: int  # examined
    verdicts: Counter[str]
    reasons: Counter[str]  # of those not kept, by the check with the lowest score
    computed: bool  # False: the stored scores were used, and only verdicts decided anew


def clean(
    paths: Sequence[str | Path],
    *,
    thresholds: Thresholds | None = None,
    again: bool = False,
    embed: Embed | None = None,
) -> CleanReport:
    """Score the faces of one or more sets and decide which a person should look at.

    Clean the sets of a project together, because a domain is recognised by how it differs from the others.
    What a build set aside stays so. Stored scores are used, unless `again`, so that new thresholds cost only
    seconds. With `embed`, a net that tells people apart, labels are judged by its vectors as well, and scores
    are computed anew. Raises `UsageError` for a wrong call, `NenrinError` where writing fails.
    """
    if not paths:
        raise UsageError("no set to clean: name at least one")
    sets = [FaceSet.open(path) for path in dict.fromkeys(Path(p).resolve() for p in paths)]
    for faces in sets:
        if not faces.meta.complete:
            raise UsageError(
                f"{faces.path} is not complete: run the command that builds it again, it goes on"
            )
    compute = again or embed is not None or any(faces.meta.cleaned != VERSION for faces in sets)
    scores = [Scores.read(faces.stored(["scores"])["scores"]) for faces in sets]
    tables = [faces.stored([name for name in LABELS if name != "scores"]) for faces in sets]
    with workplace(sets[0].path, _fingerprint(tables), name=_FOLDER) as folder:
        if compute:
            _score(sets, tables, scores, folder, embed)
        report = _decide(sets, tables, scores, thresholds or Thresholds())
    clear(sets[0].path, name=_FOLDER)
    return dataclasses.replace(report, computed=compute)


def _fingerprint(tables: Sequence[pa.Table]) -> str:
    digest = hashlib.sha256(f"{VERSION}".encode())
    for table in tables:
        for name in table["id"].to_pylist():
            digest.update(f" {name}".encode())
    return digest.hexdigest()[:32]


def _examined(table: pa.Table, scores: Scores) -> NDArray[np.int64]:
    """The rows that the checks examine: all but those that a build set aside."""
    kept = pc.not_equal(table["verdict"], "drop").to_numpy()
    return np.flatnonzero(kept | ~np.isnan(scores.get(SUSPICION)))


def _score(
    sets: Sequence[FaceSet],
    tables: Sequence[pa.Table],
    scores: Sequence[Scores],
    folder: Path,
    embed: Embed | None,
) -> None:
    """Add the scores of all checks, and their statistics."""
    rows = [_examined(table, known) for table, known in zip(tables, scores, strict=True)]
    starts = np.cumsum([0, *map(len, tables)])
    chosen = np.concatenate([start + part for start, part in zip(starts[:-1], rows, strict=True)])
    if not len(chosen):
        raise UsageError("no faces to clean: all were set aside when the sets were built")
    faces = pack(sets, size=SIZE, cache=folder / "arrays", every=True).select(chosen)
    enlarged = np.concatenate([known.get("enlarged")[part] for known, part in zip(scores, rows, strict=True)])
    owner = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    domain = owner * len(faces.domains) + faces.domain
    source = np.unique(faces.source, return_inverse=True)[1]
    groups = domain * (source.max() + 1) + source
    few = np.bincount(groups)[groups] < _FEW
    groups = np.where(few, -1 - domain, groups)
    embedded = None
    if embed is not None:
        large = pack(sets, size=EMBEDDED, cache=folder / "arrays", every=True).select(chosen)
        embedded = _embedded(large, embed)
    evidence = Evidence(
        faces=faces,
        opinion=examine(faces, folder, embedded=embedded),
        enlarged=enlarged,
        twice=find_twice(faces, enlarged, among=domain, groups=groups),
    )
    worst = np.ones(len(chosen), dtype=np.float32)
    found = {"age.seen": evidence.opinion.age}
    for name, (values, statistic) in score_all(evidence, faces.domain).items():
        found[name], found[f"{name}.raw"] = values, statistic
        worst = np.minimum(worst, values)
    found[SUSPICION] = worst
    twin = evidence.twice.twin
    found[TWIN] = np.where(twin < 0, np.nan, chosen[twin] - starts[owner])
    for number, (known, part) in enumerate(zip(scores, rows, strict=True)):
        for name, values in found.items():
            known.put(name, values[owner == number], part)


def _embedded(faces: FaceArray, embed: Embed) -> NDArray[np.float32]:
    starts = track(range(0, len(faces), _BATCH), "embedding faces")
    return np.concatenate([embed(faces.pixels[start : start + _BATCH]) for start in starts])


def _of_checks(
    decided: Sequence[pa.Table], scores: Sequence[Scores], rows: Sequence[NDArray[np.int64]]
) -> NDArray[np.floating]:
    """The scores of the examined faces, (N, number of checks); infinite for a label that a face has not.

    Such a score may be stored from a label that has been taken back since.
    """
    parts = []
    for table, known, part in zip(decided, scores, rows, strict=True):
        values = np.stack([known.get(check.name)[part] for check in CHECKS], 1)
        for number, check in enumerate(CHECKS):
            label = check.name.removeprefix("wrong_")
            if label in FIXABLE:
                values[table[label].is_null().to_numpy()[part], number] = np.inf
        parts.append(values)
    return np.concatenate(parts)


def _decide(
    sets: Sequence[FaceSet],
    tables: Sequence[pa.Table],
    scores: Sequence[Scores],
    thresholds: Thresholds,
) -> CleanReport:
    """Decide on the rows and write them into their sets."""
    rows = [_examined(table, known) for table, known in zip(tables, scores, strict=True)]
    owner = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    place = np.concatenate(rows)
    decided = [faces.table(FIXABLE) for faces in sets]  # a person's labels, on which the statistics rest

    def row_of(face: int) -> dict[str, Any]:
        table, row = tables[owner[face]], int(place[face])
        values = scores[owner[face]].of(row)
        twin = values.get(TWIN)
        labels: dict[str, Any] = table.slice(row, 1).to_pylist()[0]
        other = None if twin is None else table["source_id"][int(twin)].as_py()
        labels.update(decided[owner[face]].slice(row, 1).to_pylist()[0])
        return {**labels, "scores": values, "twin": other}

    verdicts, reasons = decide(_of_checks(decided, scores, rows), thresholds, row_of)
    start = 0
    for faces, table, known, part in zip(sets, tables, scores, rows, strict=True):
        verdict, reason = table["verdict"].to_pylist(), table["reason"].to_pylist()
        for number, row in enumerate(part.tolist(), start):
            verdict[row], reason[row] = verdicts[number], reasons[number]
        rewrite(faces, {"scores": known, "verdict": verdict, "reason": reason}, cleaned=VERSION)
        start += len(part)
    return CleanReport(
        faces=len(place),
        verdicts=Counter(verdicts),
        reasons=Counter(
            (reason or "").split(":")[0]
            for verdict, reason in zip(verdicts, reasons, strict=True)
            if verdict != "keep"
        ),
        computed=False,
    )

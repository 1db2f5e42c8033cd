"""Which faces a person should look at: scores of every check, verdicts and reasons, written into the set.

Interrupted anywhere, the same call goes on. Scores are computed once; verdicts follow from them and from
thresholds, and are decided anew in seconds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray, pack
from nenrin.domains.checks.checks import CHECKS, Evidence, score
from nenrin.domains.checks.examiner import examine
from nenrin.domains.checks.features import SIZE
from nenrin.domains.checks.twice import find_twice
from nenrin.domains.checks.verdicts import SUSPICION, TWIN, Thresholds, decide
from nenrin.domains.faceset import FaceSet
from nenrin.domains.resume import clear, workplace
from nenrin.domains.rewrite import rewrite
from nenrin.ground import UsageError, track

VERSION = 2  # of the checks: scores of another version are computed anew
EMBEDDED = 128  # px of the aligned faces that an embedder is given
_FOLDER = ".clean"
_BATCH = 64
_FEW = 300  # faces of a source: fewer do not say what is usual among them

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # (N, 128, 128, 3) RGB to vectors (N, E)


@dataclasses.dataclass(kw_only=True, slots=True)
class CleanReport:
    """What became of the faces of some sets."""

    faces: int  # examined
    verdicts: Counter[str]
    reasons: Counter[str]  # of those not kept, by the check that likes them least
    computed: bool  # False: the scores were there, verdicts alone were decided anew


def clean(
    paths: Sequence[str | Path],
    *,
    thresholds: Thresholds | None = None,
    again: bool = False,
    embed: Embed | None = None,
) -> CleanReport:
    """Score the faces of one or more sets and decide which a person should look at.

    Sets are best cleaned together: each domain is known by its difference from the others. What a build set
    aside stays so. Scores that are there are used again, unless `again`: new thresholds cost seconds. Where
    `embed` asks a net that tells people apart, labels are judged by that as well, and scores computed anew.
    Raises `UsageError` for a wrong call, `NenrinError` where writing fails.
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
    rows = [faces.stored().to_pylist() for faces in sets]
    for row in (row for part in rows for row in part):
        row["scores"] = {entry["key"]: entry["value"] for entry in row["scores"] or ()}
    with workplace(sets[0].path, _fingerprint(rows), name=_FOLDER) as folder:
        if compute:
            _score(sets, rows, folder, embed)
        report = _decide(sets, rows, thresholds or Thresholds())
    clear(sets[0].path, name=_FOLDER)
    return dataclasses.replace(report, computed=compute)


def _fingerprint(rows: Sequence[Sequence[dict[str, Any]]]) -> str:
    ids = [row["id"] for part in rows for row in part]
    return hashlib.sha256(json.dumps([VERSION, ids]).encode()).hexdigest()[:32]


def examined(row: Mapping[str, Any]) -> bool:
    """Whether the checks have something to say of a row: what a build set aside is no face to them."""
    return row["verdict"] != "drop" or SUSPICION in row["scores"]


def _score(
    sets: Sequence[FaceSet], rows: Sequence[list[dict[str, Any]]], folder: Path, embed: Embed | None
) -> None:
    """Put the scores of all checks, and their statistics, into the `scores` of the rows."""
    flat = [row for part in rows for row in part]
    chosen = np.flatnonzero([examined(row) for row in flat])
    if not len(chosen):
        raise UsageError("no faces to clean: all were set aside when the sets were built")
    faces = pack(sets, size=SIZE, cache=folder / "arrays", every=True).select(chosen)
    enlarged = np.array([flat[i]["scores"].get("enlarged", np.nan) for i in chosen], dtype=np.float32)
    owner = np.repeat(np.arange(len(rows)), [len(part) for part in rows])[chosen]
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
        opinion=examine(faces, embedded=embedded),
        enlarged=enlarged,
        twice=find_twice(faces, enlarged, among=domain, groups=groups),
    )
    starts = np.concatenate([[0], np.cumsum([len(part) for part in rows])])
    seen = evidence.opinion.age
    for i, row in enumerate(flat[j] for j in chosen):
        row["scores"]["age.seen"] = float(seen[i])
        if evidence.twice.twin[i] >= 0:
            row["scores"][TWIN] = float(chosen[evidence.twice.twin[i]] - starts[owner[i]])
    worst = np.ones(len(chosen), dtype=np.float32)
    for check in CHECKS:
        scores, statistic = score(check, evidence, faces.domain)
        worst = np.minimum(worst, scores)
        for i, row in enumerate(flat[j] for j in chosen):
            row["scores"][check.name] = float(scores[i])
            if not np.isnan(statistic[i]):
                row["scores"][f"{check.name}.raw"] = float(statistic[i])
    for i, row in enumerate(flat[j] for j in chosen):
        row["scores"][SUSPICION] = float(worst[i])


def _embedded(faces: FaceArray, embed: Embed) -> NDArray[np.float32]:
    starts = track(range(0, len(faces), _BATCH), "embedding faces")
    return np.concatenate([embed(faces.pixels[start : start + _BATCH]) for start in starts])


def _decide(
    sets: Sequence[FaceSet], rows: Sequence[list[dict[str, Any]]], thresholds: Thresholds
) -> CleanReport:
    """Decide on the rows and write them into their sets."""
    for part in rows:
        for row in part:
            twin = row["scores"].get(TWIN)
            row["twin"] = None if twin is None else part[int(twin)]["source_id"]
    open_rows = [row for part in rows for row in part if examined(row)]
    decided = decide(open_rows, thresholds)
    for row, (verdict, reason) in zip(open_rows, decided, strict=True):
        row["verdict"], row["reason"] = verdict, reason
    for faces, part in zip(sets, rows, strict=True):
        stored = [[{"key": k, "value": v} for k, v in sorted(row["scores"].items())] for row in part]
        rewrite(
            faces,
            {
                "scores": stored,
                "verdict": [row["verdict"] for row in part],
                "reason": [row["reason"] for row in part],
            },
            cleaned=VERSION,
        )
    return CleanReport(
        faces=len(open_rows),
        verdicts=Counter(verdict for verdict, _ in decided),
        reasons=Counter((reason or "").split(":")[0] for verdict, reason in decided if verdict != "keep"),
        computed=False,
    )

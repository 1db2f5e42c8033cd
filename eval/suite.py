"""One evaluation: several agers, their floors and ceilings, the protocols asked for, one report."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nenrin.domains.face import Split
from nenrin.domains.faceset import FaceSet
from nenrin.eval import panel
from nenrin.eval.baselines import CopyAger, MeanFaceAger
from nenrin.eval.features import FeatureStore
from nenrin.eval.identity import Embedder, PixelEmbedder, embedder
from nenrin.eval.perceptual import perceptual as perceptual_of
from nenrin.eval.protocols.base import Bench, Contender, EvalProtocol, Result
from nenrin.eval.subjects import Batch, Subject
from nenrin.eval.twin_embedder import TwinEmbedder
from nenrin.ground import NenrinError, UsageError, suggest, write_text

PROTOCOLS = {"ages": "Ages", "longitudinal": "Longitudinal", "twins": "Twins"}
SCHEMA_VERSION = 1


@dataclasses.dataclass(kw_only=True, slots=True)
class Evaluation:
    """What an evaluation found, and the facts needed to find it again."""

    results: list[Result]
    notes: list[str]
    facts: dict[str, Any]  # command, seed, sets, backends, software, time

    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json.

        `schema` (int); `facts` as above; `notes` (list of text); `scores`: a list of flat rows with
        `protocol`, `domain`, `case`, `subject`, `role` (ager, floor, ceiling), `metric`, `backend`, `value`,
        `low` and `high` (the 95% interval), `n` (pictures or pairs), `identities` (persons resampled),
        `better` (1 higher, -1 lower, 0 neither) and `percent` (the value is a share); `curves`: judged age,
        mean `y` and quartiles `low` and `high`, at the asked ages `x`. An undefined number is null.
        """
        scores = [
            {
                **{k: v for k, v in _plain(score).items() if k != "estimate"},
                **_plain(score.estimate),
            }
            for result in self.results
            for score in result.scores
        ]
        return {
            "schema": SCHEMA_VERSION,
            "facts": self.facts,
            "notes": self.notes + [note for result in self.results for note in result.notes],
            "scores": scores,
            "curves": [_plain(curve) for result in self.results for curve in result.curves],
        }


def evaluate(
    agers: Sequence[Subject],
    sets: Sequence[FaceSet],
    protocols: Sequence[str],
    out: Path,
    *,
    embedders: Sequence[str] = (),
    perceptual: str = "auto",
    seed: int = 0,
    size: int | None = None,
    people: int = 160,
    shown: int = 3,
    resamples: int = 1000,
    judge_epochs: int = 30,
    trained_on: Mapping[str, Collection[str]] | None = None,
    cache: Path | None = None,
    command: str = "",
) -> Evaluation:
    """Ask the protocols of all agers side by side; writes `out`/report.html and `out`/metrics.json.

    `embedders` are words for `identity.embedder`, or "twins"; without any, the twins' own and pixels serve.
    `size` is the pixels at which faces are compared (the largest of the agers'), `people` how many of each
    domain are asked, `trained_on` the ids of the faces that each ager, by name, was trained on. Judges and
    features are kept in `cache` (by default beside `out`). Raises `UsageError` for an unknown protocol and
    `NenrinError` if an ager saw faces that it would be scored by; a protocol that these sets cannot answer
    is reported as such, and the others go on.
    """
    from nenrin.eval.report import write_report

    asked = [_protocol(name) for name in dict.fromkeys(protocols)]
    if not agers:
        raise UsageError("no ager to score: name at least one run")
    if not sets:
        raise UsageError("no set to score on: name at least one")
    names = [*(ager.name for ager in agers), CopyAger.name, MeanFaceAger.name]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two agers are called {twice.pop()!r}: rename one of the run folders")
    panel.check_apart(sets, trained_on or {})
    cache = cache or out.parent / "cache"
    size = size or max(ager.size for ager in agers)
    words = embedders or ("twins", PixelEmbedder.name)
    chosen: list[Embedder] = [_embedder(word, cache) for word in words]
    distance, missing = perceptual_of(perceptual)
    judges = panel.convene(
        sets,
        size=size,
        embedder=chosen[0],
        folder=cache / "judges",
        seed=seed,
        epochs=judge_epochs,
    )
    test = panel.split_faces(sets, size=size, split="test")
    floors, floorless = _floors(sets, size)
    bench = Bench(
        contenders=[
            *(Contender(subject=ager, role="ager") for ager in agers),
            *(Contender(subject=floor, role="floor") for floor in floors),
        ],
        faces=Batch.empty(size) if test is None else Batch.of(test),
        panel=judges,
        embedders=chosen,
        perceptual=distance,
        store=FeatureStore(cache / "features"),
        size=size,
        people=people,
        shown=shown,
        seed=seed,
        resamples=resamples,
    )
    evaluation = Evaluation(
        results=[_answer(protocol, bench) for protocol in asked],
        notes=[*filter(None, (missing, floorless)), *judges.notes],
        facts=_facts(agers, sets, bench, command),
    )
    write_text(out / "metrics.json", json.dumps(evaluation.metrics(), indent=1, allow_nan=False))
    write_report(evaluation, out / "report.html")
    return evaluation


def _answer(protocol: EvalProtocol, bench: Bench) -> Result:
    try:
        return protocol.run(bench)
    except NenrinError as error:
        return Result(
            protocol=protocol.name,
            question=protocol.question,
            method="",
            notes=[f"{protocol.name} was not answered: {error}"],
        )


def _protocol(name: str) -> EvalProtocol:
    if name not in PROTOCOLS:
        raise UsageError(f"unknown protocol {name!r}; {suggest(name, PROTOCOLS)}")
    module = importlib.import_module(f"nenrin.eval.protocols.{name}")
    protocol: EvalProtocol = getattr(module, PROTOCOLS[name])()
    return protocol


def _embedder(word: str, cache: Path) -> Embedder:
    return TwinEmbedder.kept(cache / "judges") if word == "twins" else embedder(word)


def _floors(sets: Sequence[FaceSet], size: int) -> tuple[list[Subject], str | None]:
    """Copy and mean face, or a line that says why there is no mean face.

    What is averaged is the val split, on which nobody trains, or train where a set has no other.
    """
    copy = CopyAger(size)
    splits: tuple[Split, ...] = ("val", "train")
    for split in splits:
        faces = panel.split_faces(sets, size=size, split=split)
        if faces is not None:
            return [copy, MeanFaceAger.fit(faces)], None
    return [copy], "no face is in the val or train split of these sets: there is no mean face to compare with"


def _facts(agers: Sequence[Subject], sets: Sequence[FaceSet], bench: Bench, command: str) -> dict[str, Any]:
    from nenrin import __version__

    return {
        "nenrin": __version__,
        "command": command,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": bench.seed,
        "resamples": bench.resamples,
        "size": bench.size,
        "people": bench.people,
        "agers": [ager.name for ager in agers],
        "sets": [faces.meta.name for faces in sets],
        "test_faces": {d: int((bench.faces.domain == d).sum()) for d in bench.domains()},
        "embedders": [e.name for e in bench.embedders],
        "perceptual": bench.perceptual.name,
    }


def _plain(item: Any) -> dict[str, Any]:
    """A dataclass as JSON can hold it: NaN and infinity become null."""

    def clean(value: Any) -> Any:
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        return [clean(v) for v in value] if isinstance(value, list) else value

    return {f.name: clean(getattr(item, f.name)) for f in dataclasses.fields(item)}

"""One evaluation: several agers, their floors and ceilings, the protocols asked for, one report."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nenrin.domains.array import pack
from nenrin.domains.face import Split
from nenrin.domains.faceset import FaceSet
from nenrin.eval import distributions, paired, panel
from nenrin.eval.baselines import CopyAger, MeanFaceAger
from nenrin.eval.bench import Bench, CanonOptions, Contender, EvalProtocol
from nenrin.eval.evaluation import Evaluation
from nenrin.eval.features import FeatureStore
from nenrin.eval.identity import Embedder, PixelEmbedder, embedder
from nenrin.eval.perceptual import Perceptual, UnweightedMTCNN
from nenrin.eval.perceptual import perceptual as perceptual_of
from nenrin.eval.results import Result
from nenrin.eval.subjects import Batch, Subject, fingerprint
from nenrin.eval.twin_embedder import TwinEmbedder
from nenrin.ground import NenrinError, UsageError, suggest, write_text

PROTOCOLS = {
    "canon": "Canon",
    "longitudinal": "Longitudinal",
    "twins": "Twins",
    "ages": "Ages",
    "glasses": "Glasses",
    "unseen": "Unseen",
    "ladder": "Ladder",
    "quality": "Quality",
    "audit": "Audit",
}
# These protocols use no ages, so no judge of age is trained for them.
UNJUDGED = {"canon", "longitudinal", "twins", "glasses", "audit"}
ALL = "all"
EMBEDDERS = ("twins", PixelEmbedder.name)  # used if none is named, or none of those named is available


def evaluate(
    agers: Sequence[Subject],
    sets: Sequence[FaceSet],
    protocols: Sequence[str],
    out: Path,
    *,
    embedders: Sequence[str] = (),
    perceptual: str = "auto",
    features: str = "auto",
    canon: CanonOptions | None = None,
    seed: int = 0,
    size: int | None = None,
    people: int = 160,
    shown: int = 3,
    resamples: int = 1000,
    judge_epochs: int = 30,
    trained_on: Mapping[str, Collection[str]] | None = None,
    seeds: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    cache: Path | None = None,
    command: str = "",
) -> Evaluation:
    """Ask the protocols ("all" for every one) of all agers side by side.

    Writes report.html, metrics.json and scores.csv into `out`.

    `embedders` are words for `identity.embedder`, or "twins"; the default is the twins' embedder and pixels.
    `size` is the resolution at which faces are compared (by default the largest of the agers'). `people` is
    the number of people in each domain. `trained_on` gives the ids of the faces that each ager, by name, was
    trained on, `seeds` the common name of agers that differ by their seed alone, `notes` the caller's remarks
    on the agers. Judges, aged faces and features are kept in `cache` (by default beside `out`), so that an
    evaluation that was killed can continue.

    Raises `UsageError` for an unknown word or file, and `NenrinError` if an ager saw faces that it would be
    scored by. Questions that these sets cannot answer, and missing backends, are reported in a line each, and
    the rest continues.
    """
    from nenrin.eval.report import write_report

    asked = [_protocol(name) for name in dict.fromkeys(PROTOCOLS if ALL in protocols else protocols)]
    _check_names(agers, sets)
    _check_words(features, canon or CanonOptions())
    panel.check_apart(sets, trained_on or {})
    cache = cache or out.parent / "cache"
    size = size or max(ager.size for ager in agers)
    said = list(notes)
    chosen = _embedders(embedders or EMBEDDERS, cache, said)
    distance = _perceptual(perceptual, said)
    arrays = cache / "arrays"
    judge_faces = panel.split_faces(sets, size=size, split="judge", cache=arrays)
    judges = panel.Panel(across=None, own={}, notes=[])
    if any(protocol.name not in UNJUDGED for protocol in asked):
        judges = panel.convene(
            judge_faces,
            embedder=chosen[0] if chosen else None,
            folder=cache / "judges",
            seed=seed,
            epochs=judge_epochs,
        )
    test = panel.split_faces(sets, size=size, split="test", cache=arrays)
    bench = Bench(
        contenders=_contenders(agers, sets, size, arrays, said),
        faces=Batch.empty(size) if test is None else Batch.of(test),
        panel=judges,
        labels=panel.label_panel(judge_faces, cache / "judges", seed=seed, epochs=judge_epochs),
        embedders=chosen,
        perceptual=distance,
        store=FeatureStore(cache / "features"),
        size=size,
        people=people,
        shown=shown,
        seed=seed,
        resamples=resamples,
        gather=functools.cache(functools.partial(_gather, sets, size, arrays)),
        trained_on=trained_on or {},
        canon=canon or CanonOptions(),
        distribution_features=features,
    )
    results = [_answer(protocol, bench) for protocol in asked]
    scores = [score for result in results for score in result.scores]
    for pooled in paired.pool(scores, seeds or {}, seed=seed, resamples=resamples):
        next(r for r in results if r.protocol == pooled.protocol).scores.append(pooled)
    evaluation = Evaluation(
        results=results,
        comparisons=paired.compare(scores, seed=seed, resamples=resamples, seeds=seeds),
        notes=[*said, *judges.notes],
        facts=_facts(agers, sets, bench, command),
    )
    write_text(out / "metrics.json", evaluation.json())
    write_text(out / "scores.csv", evaluation.csv())
    write_report(evaluation, out / "report.html")
    return evaluation


def _answer(protocol: EvalProtocol, bench: Bench) -> Result:
    try:
        return protocol.run(bench)
    except NenrinError as error:  # words were checked before: this is of the data, and the rest goes on
        return Result(
            protocol=protocol.name,
            question=protocol.question,
            method="",
            notes=[f"{protocol.name} was not answered: {error}"],
        )


def _protocol(name: str) -> EvalProtocol:
    if name not in PROTOCOLS:
        raise UsageError(f"unknown protocol {name!r}; {suggest(name, [*PROTOCOLS, ALL])}")
    module = importlib.import_module(f"nenrin.eval.protocols.{name}")
    protocol: EvalProtocol = getattr(module, PROTOCOLS[name])()
    return protocol


def _check_names(agers: Sequence[Subject], sets: Sequence[FaceSet]) -> None:
    if not agers:
        raise UsageError("no ager to score: name at least one run")
    if not sets:
        raise UsageError("no set to score on: name at least one")
    names = [*(ager.name for ager in agers), CopyAger.name, MeanFaceAger.name]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two agers are called {twice.pop()!r}: rename one of the run folders")


def _check_words(features: str, canon: CanonOptions) -> None:
    """Check words that only one protocol uses, so that a typo is reported before the judges are trained."""
    if features not in distributions.NAMES:
        raise UsageError(f"unknown features {features!r}; {suggest(features, distributions.NAMES)}")
    if canon.pictures is not None and not canon.pictures.is_dir():
        raise UsageError(f"{canon.pictures} does not exist: --pictures takes a folder of pictures")
    for manifest in canon.manifests:
        if not manifest.is_file():
            raise UsageError(f"{manifest} does not exist: --manifest takes a TOML file")


def _embedders(words: Sequence[str], cache: Path, notes: list[str]) -> list[Embedder]:
    """The available embedders, with a note for each other one. Raises `UsageError` for an unknown word.

    If none of them is available, `EMBEDDERS` are used instead.
    """
    found: list[Embedder] = []
    for word in dict.fromkeys(words):
        try:
            found.append(TwinEmbedder.kept(cache / "judges") if word == "twins" else embedder(word))
        except UsageError:
            raise
        except NenrinError as error:
            notes.append(f"an embedder was left out: {error}")
    if not found and tuple(words) != EMBEDDERS:
        notes.append(f"no embedder that was named could be had: {' and '.join(EMBEDDERS)} took their place")
        return _embedders(EMBEDDERS, cache, notes)
    return found


def _perceptual(name: str, notes: list[str]) -> Perceptual:
    try:
        distance, missing = perceptual_of(name)
    except UsageError:
        raise
    except NenrinError as error:
        distance, missing = UnweightedMTCNN(), f"{error}; {UnweightedMTCNN.name} took its place"
    notes += [missing] if missing else []
    return distance


def _gather(sets: Sequence[FaceSet], size: int, cache: Path) -> Any:
    try:
        return pack(sets, size=size, cache=cache)
    except UsageError:  # not one face in any split
        return None


def _contenders(
    agers: Sequence[Subject], sets: Sequence[FaceSet], size: int, cache: Path, notes: list[str]
) -> list[Contender]:
    """The agers, then the floors: copy, and the mean face if there are faces to average.

    The mean is over the val split, on which nobody trains, or train if a set has no other.
    """
    found = [Contender(subject=ager, role="ager", key=fingerprint(ager)) for ager in agers]
    found.append(Contender(subject=CopyAger(size), role="floor"))
    splits: tuple[Split, ...] = ("val", "train")
    for split in splits:
        faces = panel.split_faces(sets, size=size, split=split, cache=cache)
        if faces is not None:
            return [*found, Contender(subject=MeanFaceAger.fit(faces), role="floor")]
    notes.append("no face is in the val or train split of these sets: there is no mean face to compare with")
    return found


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

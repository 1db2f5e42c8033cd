"""How near the results come to a character's official pictures, and how many strangers are nearer."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nenrin.eval import metrics
from nenrin.eval.bench import Bench, Floats, Sheet
from nenrin.eval.cast import STRANGERS, Role
from nenrin.eval.identity import Embedder
from nenrin.eval.results import Score, Who
from nenrin.eval.stats import Estimate
from nenrin.eval.subjects import Pixels

OTHER = Who("another true picture", "ceiling")
FEW = 20  # strangers needed for a rank
Names = NDArray[np.str_]


@dataclasses.dataclass(kw_only=True, slots=True)
class Scene:
    """One character with each contender's outputs."""

    role: Role
    others: NDArray[np.intp]  # the strangers, rows of the crowd
    outputs: dict[str, Pixels]  # by contender: (I, H, H, 3)
    values: dict[tuple[Who, str, str], Floats] = dataclasses.field(default_factory=dict)
    # by whose, metric and backend: (I,), of a ceiling (R,)


def details(sheet: Sheet, scenes: Sequence[Scene]) -> list[Score]:
    """The scores of each character alone: means over its pictures, without interval, as it is one person."""
    found = []
    for scene in scenes:
        case = dataclasses.replace(sheet, case=f"{scene.role.name}: {scene.role.title}")
        for (who, metric, backend), values in scene.values.items():
            mean = Estimate(
                value=float(values.mean()), low=math.nan, high=math.nan, n=len(values), identities=1
            )
            found.append(case.score(who, metric, backend, mean))
    return found


def _put(
    sheet: Sheet, who: Who, metric: str, backend: str, scenes: Sequence[Scene], values: Sequence[Floats]
) -> None:
    """Write a mean over these characters, and keep each one's values with its scene."""
    for scene, mine in zip(scenes, values, strict=True):
        scene.values[who, metric, backend] = mine
    groups = np.concatenate([np.full(len(v), s.role.name) for s, v in zip(scenes, values, strict=True)])
    sheet.mean(who, metric, backend, np.concatenate(values), groups)


def identity(bench: Bench, sheet: Sheet, scenes: Sequence[Scene], crowd: Pixels) -> None:
    """Gains, recovery and ranks by every embedder; and distances, but only for each character alone, because
    in means they say the same as gains.

    `crowd` (C, H, H, 3) holds the strangers of all scenes, each once.
    """
    for embedder in bench.embedders:
        goals = [bench.embed(embedder, s.role.goal.pixels).astype(np.float64) for s in scenes]
        everybody = bench.embed(embedder, crowd).astype(np.float64).reshape(len(crowd), goals[0].shape[1])
        faces = [everybody[s.others] for s in scenes]
        persons = [np.full(len(s.role.start), s.role.name) for s in scenes]
        copies = [
            _alike(bench.embed(embedder, s.role.start.pixels), g) for s, g in zip(scenes, goals, strict=True)
        ]
        for c in bench.contenders:
            made = [bench.embed(embedder, s.outputs[c.name]).astype(np.float64) for s in scenes]
            alike = [_alike(m, g) for m, g in zip(made, goals, strict=True)]
            gain = [a.mean(1) - b.mean(1) for a, b in zip(alike, copies, strict=True)]
            best = [a.max(1) - b.max(1) for a, b in zip(alike, copies, strict=True)]
            _put(sheet, c.who, metrics.GAIN, embedder.name, scenes, gain)
            _put(sheet, c.who, metrics.BEST_GAIN, embedder.name, scenes, best)
            _away(c.who, embedder.name, scenes, alike)
            _recovered(bench, sheet, c.who, embedder.name, alike, copies, goals, persons)
            _ranked(sheet, c.who, embedder.name, scenes, made, alike, faces)
        _ceiling(bench, sheet, embedder, goals, faces, scenes)


def _away(who: Who, backend: str, scenes: Sequence[Scene], alike: Sequence[Floats]) -> None:
    """One minus the similarity, to the true pictures on average and to the nearest."""
    for scene, a in zip(scenes, alike, strict=True):
        scene.values[who, metrics.IDENTITY_DISTANCE, backend] = 1 - a.mean(1)
        scene.values[who, metrics.BEST_IDENTITY_DISTANCE, backend] = 1 - a.max(1)


def _alike(made: Floats, goals: Floats) -> Floats:
    """Similarity of each of I pictures to each of R true ones, (I, R)."""
    return made.astype(np.float64) @ goals.T


def _among(goals: Floats) -> float:
    """Mean similarity of one character's true pictures to each other; NaN for one picture."""
    alike = [goals[i] @ goals[j] for i, j in itertools.combinations(range(len(goals)), 2)]
    return float(np.mean(alike)) if alike else float("nan")


def _recovered(
    bench: Bench,
    sheet: Sheet,
    who: Who,
    backend: str,
    alike: Sequence[Floats],
    copies: Sequence[Floats],
    goals: Sequence[Floats],
    persons: Sequence[Names],
) -> None:
    """Recovery, over the characters with two or more true pictures."""
    rows = [i for i, goal in enumerate(goals) if len(goal) > 1]
    if rows:
        copy, out = (np.concatenate([1 - x[i].mean(1) for i in rows]) for x in (copies, alike))
        ceiling = np.concatenate([np.full(len(alike[i]), 1 - _among(goals[i])) for i in rows])
        groups = np.concatenate([persons[i] for i in rows])
        sheet.put(who, metrics.IDENTITY_RECOVERY, backend, bench.recovery(copy, out, ceiling, groups))


def _ranked(
    sheet: Sheet,
    who: Who,
    backend: str,
    scenes: Sequence[Scene],
    made: Sequence[Floats],
    alike: Sequence[Floats],
    faces: Sequence[Floats],
) -> None:
    """Each true picture is ranked alone: the nearest of several would come first more often by chance."""
    ranks, shares, ranked = [], [], []
    for scene, m, a, others in zip(scenes, made, alike, faces, strict=True):
        if len(others) >= FEW:
            true, strange = a[:, :, None], (m @ others.T)[:, None, :]  # (I, R, 1) and (I, 1, S)
            ranks.append(1 + STRANGERS * (strange > true).mean((1, 2)))
            shares.append((true > strange).mean((1, 2)))
            ranked.append(scene)
    if ranks:
        _put(sheet, who, metrics.TRUE_RANK, backend, ranked, ranks)
        _put(sheet, who, metrics.TRUE_AUC, backend, ranked, shares)


def _ceiling(
    bench: Bench,
    sheet: Sheet,
    embedder: Embedder,
    goals: Sequence[Floats],
    faces: Sequence[Floats],
    scenes: Sequence[Scene],
) -> None:
    """The ceiling: each true picture as if it were the result, against the character's other true pictures.

    Its gain is over the mean of the inputs, compared with the same other pictures.
    """
    rows = [i for i, goal in enumerate(goals) if len(goal) > 1]
    if not rows:
        return
    scenes = [scenes[i] for i in rows]
    goals = [goals[i] for i in rows]
    faces = [faces[i] for i in rows]
    others = [_others(len(goal)) for goal in goals]
    alike = [np.take_along_axis(_alike(g, g), o, 1) for g, o in zip(goals, others, strict=True)]
    gain, best = [], []
    for scene, goal, other, mine in zip(scenes, goals, others, alike, strict=True):
        copy = _alike(bench.embed(embedder, scene.role.start.pixels), goal)[:, other]  # (I, R, R - 1)
        gain.append(mine.mean(1) - copy.mean((0, 2)))
        best.append(mine.max(1) - copy.max(2).mean(0))
    _put(sheet, OTHER, metrics.GAIN, embedder.name, scenes, gain)
    _put(sheet, OTHER, metrics.BEST_GAIN, embedder.name, scenes, best)
    _away(OTHER, embedder.name, scenes, alike)
    _ranked(sheet, OTHER, embedder.name, scenes, goals, alike, faces)


def _others(count: int) -> NDArray[np.intp]:
    """(R, R - 1): for each of R pictures the rows of the others."""
    return np.array([np.delete(np.arange(count), i) for i in range(count)])


def likeness(bench: Bench, sheet: Sheet, scenes: Sequence[Scene]) -> None:
    """Perceptual distances, to each true picture on average and to the nearest."""
    several = [s for s in scenes if len(s.role.goal) > 1]
    for c in bench.contenders:
        away = [_distances(bench, s.outputs[c.name], s.role.start.masks, s.role) for s in scenes]
        _distant(bench, sheet, c.who, scenes, away)
    if several:
        goals = [_distances(bench, s.role.goal.pixels, s.role.goal.masks, s.role) for s in several]
        away = [np.take_along_axis(d, _others(len(d)), 1) for d in goals]
        _distant(bench, sheet, OTHER, several, away)


def _distant(bench: Bench, sheet: Sheet, who: Who, scenes: Sequence[Scene], away: Sequence[Floats]) -> None:
    name = bench.perceptual.name
    _put(sheet, who, metrics.DISTANCE, name, scenes, [d.mean(1) for d in away])
    _put(sheet, who, metrics.BEST_DISTANCE, name, scenes, [d.min(1) for d in away])


def _distances(bench: Bench, pixels: Pixels, masks: Pixels, role: Role) -> Floats:
    """Distances (I, R), over the area where both have pixels of their own."""
    i, r = (v.ravel() for v in np.indices((len(pixels), len(role.goal))))
    seen = np.minimum(masks[i], role.goal.masks[r])
    return bench.distance(pixels[i], role.goal.pixels[r], seen).reshape(len(pixels), -1)

"""How near the outcome comes to a character's official pictures, and who else is nearer."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nenrin.eval import metrics
from nenrin.eval.bench import Bench, Floats, Sheet
from nenrin.eval.cast import STRANGERS, Role
from nenrin.eval.results import Who
from nenrin.eval.subjects import Pixels

OTHER = Who("another true picture", "ceiling")
FEW = 20  # strangers without whom no rank is given
Names = NDArray[np.str_]


@dataclasses.dataclass(kw_only=True, slots=True)
class Scene:
    """One character with what each contender made of it."""

    role: Role
    others: NDArray[np.intp]  # the strangers, rows of the crowd
    outputs: dict[str, Pixels]  # by contender: (I, H, H, 3)
    gains: dict[str, Floats] = dataclasses.field(default_factory=dict)  # by contender: (I,)


def identity(bench: Bench, sheet: Sheet, scenes: Sequence[Scene], crowd: Pixels) -> None:
    """Gains, recovery and ranks by every embedder; the first embedder's gains are kept with the scenes.

    `crowd` (C, H, H, 3) holds the strangers of all scenes, each once.
    """
    for embedder in bench.embedders:
        goals = [bench.embed(embedder, s.role.goal.pixels).astype(np.float64) for s in scenes]
        everybody = bench.embed(embedder, crowd).astype(np.float64).reshape(len(crowd), -1)
        faces = [everybody[s.others] for s in scenes]
        persons = [np.full(len(s.role.start), s.role.name) for s in scenes]
        copies = [
            _alike(bench.embed(embedder, s.role.start.pixels), g) for s, g in zip(scenes, goals, strict=True)
        ]
        groups = np.concatenate(persons)
        for c in bench.contenders:
            made = [bench.embed(embedder, s.outputs[c.name]).astype(np.float64) for s in scenes]
            alike = [_alike(m, g) for m, g in zip(made, goals, strict=True)]
            gain = [a.mean(1) - b.mean(1) for a, b in zip(alike, copies, strict=True)]
            best = [a.max(1) - b.max(1) for a, b in zip(alike, copies, strict=True)]
            if embedder is bench.embedders[0]:
                for scene, mine in zip(scenes, gain, strict=True):
                    scene.gains[c.name] = mine
            sheet.mean(c.who, metrics.GAIN, embedder.name, np.concatenate(gain), groups)
            sheet.mean(c.who, metrics.BEST_GAIN, embedder.name, np.concatenate(best), groups)
            _recovered(bench, sheet, c.who, embedder.name, alike, copies, goals, persons)
            _ranked(sheet, c.who, embedder.name, made, alike, faces, persons)
        _ceiling(sheet, embedder.name, goals, faces, scenes)


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
    """Of the characters with two true pictures."""
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
    made: Sequence[Floats],
    alike: Sequence[Floats],
    faces: Sequence[Floats],
    persons: Sequence[Names],
) -> None:
    ranks, shares, groups = [], [], []
    for m, a, others, person in zip(made, alike, faces, persons, strict=True):
        if len(others) >= FEW:
            strange = m @ others.T  # (I, S)
            nearer = (strange > a.max(1, keepdims=True)).mean(1)
            ranks.append(1 + STRANGERS * nearer)
            shares.append((a[:, :, None] > strange[:, None, :]).mean((1, 2)))
            groups.append(person)
    if ranks:
        sheet.mean(who, metrics.TRUE_RANK, backend, np.concatenate(ranks), np.concatenate(groups))
        sheet.mean(who, metrics.TRUE_AUC, backend, np.concatenate(shares), np.concatenate(groups))


def _ceiling(
    sheet: Sheet, backend: str, goals: Sequence[Floats], faces: Sequence[Floats], scenes: Sequence[Scene]
) -> None:
    """Each true picture in the place of the outcome, against the character's other true pictures."""
    made, alike, others, persons = [], [], [], []
    for goal, strange, scene in zip(goals, faces, scenes, strict=True):
        for i in range(len(goal)) if len(goal) > 1 else ():
            made.append(goal[i : i + 1])
            alike.append(_alike(goal[i : i + 1], np.delete(goal, i, axis=0)))
            others.append(strange)
            persons.append(np.array([scene.role.name]))
    _ranked(sheet, OTHER, backend, made, alike, others, persons)


def likeness(bench: Bench, sheet: Sheet, scenes: Sequence[Scene]) -> None:
    """Perceptual distances, to each true picture on average and to the nearest."""
    name = bench.perceptual.name
    groups = np.concatenate([np.full(len(s.role.start), s.role.name) for s in scenes])
    for c in bench.contenders:
        away = [_distances(bench, s.outputs[c.name], s.role) for s in scenes]
        sheet.mean(c.who, metrics.DISTANCE, name, np.concatenate([d.mean(1) for d in away]), groups)
        sheet.mean(c.who, metrics.BEST_DISTANCE, name, np.concatenate([d.min(1) for d in away]), groups)


def _distances(bench: Bench, pixels: Pixels, role: Role) -> Floats:
    """(I, R), where both have pixels of their own."""
    i, r = (v.ravel() for v in np.indices((len(pixels), len(role.goal))))
    seen = np.minimum(role.start.masks[i], role.goal.masks[r])
    return bench.distance(pixels[i], role.goal.pixels[r], seen).reshape(len(pixels), -1)

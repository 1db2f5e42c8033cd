"""Shared by protocols that have a reference: does an ager bring the face closer to the true one?"""

from __future__ import annotations

import dataclasses

import numpy as np

from nenrin.eval.protocols.base import Bench, Result, Score, Strip, StripRow
from nenrin.eval.stats import Estimate
from nenrin.eval.subjects import Batch, Pixels, Role

GAIN = "identity gain towards the true face"
IDENTITY_RECOVERY = "identity recovery"
DISTANCE = "perceptual distance to the true face"
PERCEPTUAL_RECOVERY = "perceptual recovery"
SECOND = "second true picture"
_BETTER = {GAIN: 1, IDENTITY_RECOVERY: 1, DISTANCE: -1, PERCEPTUAL_RECOVERY: 1}


@dataclasses.dataclass(kw_only=True, slots=True)
class Task:
    """N faces to be aged towards references of the same persons."""

    domain: str
    case: str
    inputs: Batch
    references: Batch  # (N) the true face; its ages are the ages asked for
    seconds: Batch  # (N) the ceiling: another true picture at about that age
    ceiling: str = SECOND  # what to call it

    def visible(self) -> Pixels:
        """(N, H, H) where all three pictures have pixels of their own."""
        return np.minimum(np.minimum(self.inputs.masks, self.references.masks), self.seconds.masks)


def outputs_of(bench: Bench, task: Task) -> dict[str, Pixels]:
    """The task's inputs at the references' ages, by contender."""
    return {c.name: bench.aged(c, task.inputs, task.references.age) for c in bench.contenders}


def compare(bench: Bench, result: Result, task: Task, outputs: dict[str, Pixels]) -> None:
    """Score `outputs` and the task's ceiling against its references, into `result`."""
    person = task.inputs.person

    def score(subject: str, role: Role, metric: str, backend: str, estimate: Estimate) -> None:
        result.scores.append(
            Score(
                protocol=result.protocol,
                domain=task.domain,
                case=task.case,
                subject=subject,
                role=role,
                metric=metric,
                backend=backend,
                estimate=estimate,
                better=_BETTER[metric],
            )
        )

    for embedder in bench.embedders:
        truth = bench.embed(embedder, task.references.pixels)
        copy, ceiling, *outs = (
            1 - np.einsum("nd,nd->n", bench.embed(embedder, pixels), truth)
            for pixels in (task.inputs.pixels, task.seconds.pixels, *outputs.values())
        )
        for c, out in zip(bench.contenders, outs, strict=True):
            score(c.name, c.role, GAIN, embedder.name, bench.mean(copy - out, person))
            score(
                c.name, c.role, IDENTITY_RECOVERY, embedder.name, bench.recovery(copy, out, ceiling, person)
            )
        score(task.ceiling, "ceiling", GAIN, embedder.name, bench.mean(copy - ceiling, person))
        perfect = bench.recovery(copy, ceiling, ceiling, person)
        score(task.ceiling, "ceiling", IDENTITY_RECOVERY, embedder.name, perfect)

    name, seen = bench.perceptual.name, task.visible()
    copy, ceiling, *outs = (
        bench.distance(pixels, task.references.pixels, seen)
        for pixels in (task.inputs.pixels, task.seconds.pixels, *outputs.values())
    )
    for c, out in zip(bench.contenders, outs, strict=True):
        score(c.name, c.role, DISTANCE, name, bench.mean(out, person))
        score(c.name, c.role, PERCEPTUAL_RECOVERY, name, bench.recovery(copy, out, ceiling, person))
    score(task.ceiling, "ceiling", DISTANCE, name, bench.mean(ceiling, person))
    score(task.ceiling, "ceiling", PERCEPTUAL_RECOVERY, name, bench.recovery(copy, ceiling, ceiling, person))


def strip(bench: Bench, result: Result, task: Task, outputs: dict[str, Pixels], reference: str) -> None:
    """Show the first people of the task: input, what each ager made of it, and the truth."""
    names = [c.name for c in bench.contenders if c.name != "copy"]
    rows = []
    _, first = np.unique(task.inputs.person, return_index=True)
    for i in np.sort(first)[: bench.shown]:
        ages = [batch.age[i] for batch in (task.inputs, task.references, task.seconds)]
        rows.append(
            StripRow(
                label="",
                pictures=[
                    task.inputs.pixels[i],
                    *(outputs[name][i] for name in names),
                    task.references.pixels[i],
                    task.seconds.pixels[i],
                ],
                captions=[
                    f"{ages[0]:.0f} years",
                    *[f"asked {ages[1]:.0f}"] * len(names),
                    f"{ages[1]:.0f} years",
                    f"{ages[2]:.0f} years",
                ],
            )
        )
    result.strips.append(
        Strip(
            protocol=result.protocol,
            domain=task.domain,
            title=task.case,
            columns=["input", *names, reference, SECOND],
            rows=rows,
        )
    )

"""Shared by protocols that have a reference: does an ager bring the face closer to the true one?"""

from __future__ import annotations

import dataclasses

import numpy as np

from nenrin.eval.bench import Bench, Sheet
from nenrin.eval.metrics import DISTANCE, GAIN, IDENTITY_RECOVERY, PERCEPTUAL_RECOVERY
from nenrin.eval.results import Result, Strip, StripRow, Who
from nenrin.eval.subjects import Batch, Pixels
from nenrin.eval.wording import minus

SECOND = "second true picture"


@dataclasses.dataclass(kw_only=True, slots=True)
class Task:
    """N faces to be aged towards references of the same persons."""

    domain: str
    case: str
    inputs: Batch
    references: Batch  # (N) the true face; its ages are the ages asked for
    seconds: Batch  # (N) the ceiling: another true picture at about that age
    ceiling: str = SECOND  # its name

    def visible(self) -> Pixels:
        """(N, H, H) mask of where all three pictures have pixels of their own."""
        return np.minimum(np.minimum(self.inputs.masks, self.references.masks), self.seconds.masks)


def outputs_of(bench: Bench, task: Task) -> dict[str, Pixels]:
    """The task's inputs aged to the references' ages, by contender."""
    return {c.name: bench.aged(c, task.inputs, task.references.age) for c in bench.contenders}


def compare(bench: Bench, result: Result, task: Task, outputs: dict[str, Pixels]) -> None:
    """Score `outputs` and the task's ceiling against its references, into `result`."""
    person, sheet = task.inputs.person, Sheet(bench, result, task.domain, task.case)
    ceiling_of = Who(task.ceiling, "ceiling")
    for embedder in bench.embedders:
        truth, name = bench.embed(embedder, task.references.pixels), embedder.name
        copy, ceiling, *outs = (
            1 - np.einsum("nd,nd->n", bench.embed(embedder, pixels), truth)
            for pixels in (task.inputs.pixels, task.seconds.pixels, *outputs.values())
        )
        for c, out in zip(bench.contenders, outs, strict=True):
            sheet.mean(c.who, GAIN, name, copy - out, person)
            sheet.put(c.who, IDENTITY_RECOVERY, name, bench.recovery(copy, out, ceiling, person))
        sheet.mean(ceiling_of, GAIN, name, copy - ceiling, person)
        sheet.put(ceiling_of, IDENTITY_RECOVERY, name, bench.recovery(copy, ceiling, ceiling, person))

    name, seen = bench.perceptual.name, task.visible()
    copy, ceiling, *outs = (
        bench.distance(pixels, task.references.pixels, seen)
        for pixels in (task.inputs.pixels, task.seconds.pixels, *outputs.values())
    )
    for c, out in zip(bench.contenders, outs, strict=True):
        sheet.mean(c.who, DISTANCE, name, out, person)
        sheet.put(c.who, PERCEPTUAL_RECOVERY, name, bench.recovery(copy, out, ceiling, person))
    sheet.mean(ceiling_of, DISTANCE, name, ceiling, person)
    sheet.put(ceiling_of, PERCEPTUAL_RECOVERY, name, bench.recovery(copy, ceiling, ceiling, person))


def strip(bench: Bench, result: Result, task: Task, outputs: dict[str, Pixels], reference: str) -> None:
    """Show the first people of the task: input, what each ager made of it, and the truth; then the worst."""
    names = [c.name for c in bench.contenders if c.name != "copy"]
    _, first = np.unique(task.inputs.person, return_index=True)
    shown = {name: outputs[name] for name in names}
    result.strips.append(
        Strip(
            protocol=result.protocol,
            domain=task.domain,
            title=task.case,
            columns=["input", *names, reference, SECOND],
            rows=[_row(task, int(i), shown) for i in np.sort(first)[: bench.shown]],
        )
    )
    if bench.embedders:
        _worst(bench, result, task, outputs, reference)


def _worst(bench: Bench, result: Result, task: Task, outputs: dict[str, Pixels], reference: str) -> None:
    """Show the person whom each ager takes furthest away from the true face, by the first embedder."""
    embedder = bench.embedders[0]
    truth = bench.embed(embedder, task.references.pixels)
    copy = np.einsum("nd,nd->n", bench.embed(embedder, task.inputs.pixels), truth)
    for name in (c.name for c in bench.contenders if c.role == "ager"):
        gain = np.einsum("nd,nd->n", bench.embed(embedder, outputs[name]), truth) - copy
        i = int(gain.argmin())
        result.strips.append(
            Strip(
                protocol=result.protocol,
                domain=task.domain,
                title=minus(
                    f"{task.case}, least gain by {name}: {gain[i]:+.2f}, on average {gain.mean():+.2f}"
                ),
                columns=["input", name, reference, SECOND],
                rows=[_row(task, i, {name: outputs[name]})],
                worst=True,
            )
        )


def _row(task: Task, i: int, outputs: dict[str, Pixels]) -> StripRow:
    """One face of the task: the input, what was made of it, the truth and another true picture."""
    ages = [batch.age[i] for batch in (task.inputs, task.references, task.seconds)]
    made = [pixels[i] for pixels in outputs.values()]
    return StripRow(
        label="",
        pictures=[task.inputs.pixels[i], *made, task.references.pixels[i], task.seconds.pixels[i]],
        captions=[
            f"{ages[0]:.0f} years",
            *[f"asked {ages[1]:.0f}"] * len(made),
            f"{ages[1]:.0f} years",
            f"{ages[2]:.0f} years",
        ],
    )

"""`canon`: does the young character become the official older one?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nenrin.eval.bench import Bench, Sheet
from nenrin.eval.cast import STRANGERS, Role, from_manifests, from_sets, strangers
from nenrin.eval.protocols.scenes import Scene, identity, likeness
from nenrin.eval.results import Result, Strip, StripRow
from nenrin.eval.wording import minus
from nenrin.ground import NenrinError

CHARACTERS, AS_IF = "characters", "people of the sets, as if they were characters"
CHANCE = (STRANGERS + 2) / 2  # mean rank of one among so many strangers
ALL_SHOWN = 16  # characters; of the sets' people only as many as the report shows


class Canon:
    """Characters drawn at two ages by their own authors, and people of the sets in their place."""

    name = "canon"
    question = "Does the young character become the official older one?"

    def run(self, bench: Bench) -> Result:
        """See `EvalProtocol.run`."""
        result = Result(
            protocol=self.name,
            question=self.question,
            method=(
                "Every picture of a character at the first age is asked for the second age, and for the "
                "glasses of the second, and compared with each official picture of it: gain and distance are "
                "given on average over these and for the nearest. The rank is that of the nearest true "
                f"picture among {STRANGERS} strangers of the same domain and gender, the nearest in age, by "
                f"similarity to the outcome: 1 is first, {CHANCE:.0f} is chance. The last share is how often "
                "a true picture is nearer than a stranger's, 50% by chance. The ceiling is another official "
                "picture of the same age. Characters, not pictures, are resampled. Persons of the sets who "
                "have pictures at two ages are scored likewise, in tables of their own."
            ),
        )
        cast = from_manifests(bench, result.notes)
        for domain in dict.fromkeys(role.domain for role in cast):
            _answer(bench, result, domain, CHARACTERS, [r for r in cast if r.domain == domain])
        for domain in bench.domains():
            people = from_sets(bench, domain)
            if people:
                _answer(bench, result, domain, AS_IF, people)
        if not result.scores and not result.strips:
            raise NenrinError(
                "; ".join(result.notes[:3]) + ": nor has a person of the sets pictures at two ages"
            )
        return result


def _answer(bench: Bench, result: Result, domain: str, case: str, cast: Sequence[Role]) -> None:
    scenes = []
    for role in cast:
        count = len(role.start)
        glasses = np.full(count, role.glasses) if role.glasses >= 0 else None
        made = {
            c.name: bench.aged(c, role.start, np.full(count, role.age), glasses) for c in bench.contenders
        }
        others = strangers(bench.gather(), role, bench.seed) if len(role.goal) else None
        scenes.append(Scene(role=role, others=others, outputs=made))
    scored = [scene for scene in scenes if len(scene.role.goal)]
    if scored:
        sheet = Sheet(bench, result, domain, case)
        identity(bench, sheet, scored)
        likeness(bench, sheet, scored)
        result.notes += _said_of_strangers(domain, case, scored)
    shown = scenes[: bench.shown if case == AS_IF else ALL_SHOWN]
    result.strips += [_strip(bench, domain, scene) for scene in shown]


def _said_of_strangers(domain: str, case: str, scenes: Sequence[Scene]) -> list[str]:
    found = [scene.others for scene in scenes if scene.others is not None]
    if len(found) < len(scenes):
        return [
            f"{domain}, {case}: the sets have no face of that domain, so nobody is ranked among strangers"
        ]
    ages = [other.furthest for other in found]
    few = min(len(other.faces) for other in found)
    said = [f"{domain}, {case}: strangers differ in age by up to {np.nanmax(ages):.0f} years"]
    if np.isnan(ages).any():
        said = [f"{domain}, {case}: the strangers' ages are not known"]
    if few < STRANGERS:
        said.append(f"{domain}, {case}: only {few} strangers; ranks are given as if there were {STRANGERS}")
    return said


def _strip(bench: Bench, domain: str, scene: Scene) -> Strip:
    role = scene.role
    names = [c.name for c in bench.contenders if c.name != "copy"]
    goal = [role.goal.pixels[0]] if len(role.goal) else []
    return Strip(
        protocol=Canon.name,
        domain=domain,
        title=role.title if goal else f"{role.title} (no reference: shown, not scored)",
        columns=["input", *names, *["the official one" for _ in goal]],
        rows=[
            StripRow(
                label="",
                pictures=[role.start.pixels[0], *(scene.outputs[name][0] for name in names), *goal],
                captions=[
                    f"{role.start.age[0]:.0f} years",
                    *(_said_of(scene, name) for name in names),
                    *[f"{a:.0f} years" for a in role.goal.age[:1]],
                ],
            )
        ],
    )


def _said_of(scene: Scene, name: str) -> str:
    gain = scene.gains.get(name)
    return f"asked {scene.role.age:.0f}" if gain is None else minus(f"gain {gain[0]:+.2f}")

"""`canon`: does the young character become the official older one?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nenrin.eval.baselines import CopyAger
from nenrin.eval.bench import Bench, Floats, Sheet
from nenrin.eval.cast import STRANGERS, Role, Strangers, from_manifests, from_sets, strangers
from nenrin.eval.metrics import GAIN
from nenrin.eval.protocols.scenes import FEW, Scene, details, identity, likeness
from nenrin.eval.results import Result, Strip, StripRow, Who
from nenrin.eval.subjects import Batch, Pixels
from nenrin.eval.wording import minus
from nenrin.ground import NenrinError

CHARACTERS, AS_IF = "characters", "people of the sets, as if they were characters"
CHANCE = (STRANGERS + 2) / 2  # mean rank of one among so many strangers
ALL_SHOWN = 60  # characters; of the sets' people only as many as the report shows


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
                "given on average over these and for the nearest. The rank is that of each true picture "
                f"alone among {STRANGERS} strangers of the same domain and gender, the nearest in age, by "
                f"similarity to the outcome: 1 is first, {CHANCE:.0f} is chance. The last share is how often "
                "a true picture is nearer than a stranger's, 50% by chance. The ceiling puts another "
                "official picture of the same age in the place of the outcome, where there are two. "
                "Characters, not pictures, are resampled; what was found of each stands at the end. Persons "
                "of the sets who have pictures at two ages are scored likewise, in tables of their own."
            ),
        )
        try:
            cast = from_manifests(bench, result.notes)
        except NenrinError as error:  # continue with people of the sets
            result.notes.append(str(error))
            cast = []
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
    pool = bench.gather()
    hashes: dict[int, bytes] = {}
    found = [strangers(pool, role, bench.seed, hashes) for role in cast]
    rows = np.unique(np.concatenate([other.rows for other in found]))
    scenes = [
        Scene(role=role, others=np.searchsorted(rows, other.rows), outputs=_played(bench, role))
        for role, other in zip(cast, found, strict=True)
    ]
    scored = [scene for scene in scenes if len(scene.role.goal)]
    if scored:
        sheet = Sheet(bench, result, domain, case)
        crowd = Batch.empty(bench.size) if pool is None else Batch.of(pool.select(rows))
        identity(bench, sheet, scored, crowd.pixels)
        likeness(bench, sheet, scored)
        if case == CHARACTERS:
            result.details += details(sheet, scored)
        said = [o for role, o in zip(cast, found, strict=True) if len(role.goal)]
        result.notes += [f"{domain}, {case}: {text}" for text in _said_of_strangers(said)]
    shown = scenes[: bench.shown if case == AS_IF else ALL_SHOWN]
    if case == CHARACTERS and len(shown) < len(scenes):
        left = ", ".join(scene.role.name for scene in scenes[len(shown) :])
        result.notes.append(f"{domain}: the first {len(shown)} characters are shown; not {left}")
    result.strips += [_strip(bench, domain, scene) for scene in shown]
    result.strips += _worst(bench, domain, scored)


def _played(bench: Bench, role: Role) -> dict[str, Pixels]:
    """The character as each contender ages it."""
    age = np.full(len(role.start), role.age)
    glasses = np.full(len(role.start), role.glasses) if role.glasses >= 0 else None
    return {c.name: bench.aged(c, role.start, age, glasses) for c in bench.contenders}


def _said_of_strangers(found: Sequence[Strangers]) -> list[str]:
    few = min(len(other.rows) for other in found)
    if few < FEW:
        return [f"the sets have {few} strangers of that domain, {FEW} are needed to rank anybody among them"]
    ages = [other.furthest for other in found]
    if np.isnan(ages).all():
        said = ["the sets know no ages of that domain, so the strangers are of any age"]
    else:
        said = [f"strangers differ in age by up to {np.nanmax(ages):.0f} years"]
    if few < STRANGERS:
        said.append(f"only {few} strangers; ranks are given as if there were {STRANGERS}")
    return said


def _worst(bench: Bench, domain: str, scenes: Sequence[Scene]) -> list[Strip]:
    """For each ager, the character that it takes furthest away from the official pictures."""
    strips = []
    for c in (c for c in bench.contenders if c.role == "ager"):
        gains = [
            (gain.mean(), i) for i, s in enumerate(scenes) if (gain := _gain(bench, s, c.who)) is not None
        ]
        if gains:
            least, worst = min(gains)
            strip = _strip(bench, domain, scenes[worst], only=c.name)
            strip.title = minus(f"{strip.title}, least gain by {c.name}, over its pictures {least:+.2f}")
            strip.worst = True
            strips.append(strip)
    return strips


def _gain(bench: Bench, scene: Scene, who: Who) -> Floats | None:
    """The gain for each picture of the character, by the first embedder."""
    return scene.values.get((who, GAIN, bench.embedders[0].name)) if bench.embedders else None


def _strip(bench: Bench, domain: str, scene: Scene, only: str = "") -> Strip:
    role = scene.role
    shown = [c for c in bench.contenders if (c.name == only if only else c.name != CopyAger.name)]
    goal = [role.goal.pixels[0]] if len(role.goal) else []
    return Strip(
        protocol=Canon.name,
        domain=domain,
        title=role.title if goal else f"{role.title} (no reference: shown, not scored)",
        columns=["input", *(c.name for c in shown), *["the official one" for _ in goal]],
        rows=[
            StripRow(
                label="",
                pictures=[role.start.pixels[0], *(scene.outputs[c.name][0] for c in shown), *goal],
                captions=[
                    f"{role.start.age[0]:.0f} years",
                    *(_said_of(bench, scene, c.who) for c in shown),
                    *[f"{a:.0f} years" for a in role.goal.age[:1]],
                ],
            )
        ],
    )


def _said_of(bench: Bench, scene: Scene, who: Who) -> str:
    gain = _gain(bench, scene, who)
    return f"asked {scene.role.age:.0f}" if gain is None else minus(f"gain {gain[0]:+.2f}")

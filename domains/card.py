"""The data card of a set: what it holds, counted, in the README.md beside it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from nenrin.domains.face import SPLITS, Face

AGE_BINS = ((0, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, 40), (41, 50), (51, 60), (61, 70), (71, 150))


@dataclasses.dataclass(kw_only=True, slots=True)
class Tally:
    """Counts of kept faces by label and split, and of the others by reason. Its size depends on the number of
    labels, not of faces."""

    by_label: dict[str, Counter[tuple[str, str]]] = dataclasses.field(default_factory=dict)
    rejects: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)  # (verdict, reason)
    sources: Counter[str] = dataclasses.field(default_factory=Counter)
    kept: int = 0

    def add(self, face: Face) -> None:
        """Count one face."""
        self.sources[face.source] += 1
        if face.verdict != "keep":
            # The text after the colon concerns a single picture.
            self.rejects[face.verdict, (face.reason or "no reason given").split(":")[0]] += 1
            return
        self.kept += 1
        labels = {
            "Domain": face.domain,
            "Age": age_bin(face.age),
            "Gender": face.gender or "unknown",
            "Glasses": face.glasses or "unknown",
        }
        for label, value in labels.items():
            self.by_label.setdefault(label, Counter())[value, face.split] += 1


def age_bin(age: float | None) -> str:
    """CAAE's age bin for an age in years, as text."""
    if age is None:
        return "unknown"
    low, high = next((low, high) for low, high in AGE_BINS if age < high + 1)
    return f"{low:02d}-{high:02d}" if high < 150 else f"{low}+"


def data_card(
    name: str, size: int, licences: Mapping[str, str], tally: Tally, *, note: str | None = None
) -> str:
    """The card as Markdown. It holds no time and no path, so that equal sets have equal cards."""
    lines = [
        f"# {name}",
        "",
        f"{tally.kept} faces to use, {tally.rejects.total()} set aside, {size} x {size} pixels, aligned to "
        "one template by eyes, nose and mouth. Made by `nenrin`; this file is written anew each time.",
        "",
        *([note, ""] if note else []),
        "| source | faces | licence |",
        "|---|---|---|",
        *(
            f"| {source} | {count} | {licences.get(source, 'not stated')} |"
            for source, count in sorted(tally.sources.items())
        ),
        "",
    ]
    for label, counts in tally.by_label.items():
        lines += [f"| {label} | {' | '.join(SPLITS)} | all |", "|---" * (len(SPLITS) + 2) + "|"]
        for value in sorted({value for value, _ in counts}):
            row = [counts[value, split] for split in SPLITS]
            lines.append(f"| {value} | {' | '.join(map(str, row))} | {sum(row)} |")
        lines.append("")
    if tally.rejects:
        lines += [
            "Set aside, with the reason in each row:",
            "",
            "| verdict | reason | faces |",
            "|---|---|---|",
        ]
        lines += [
            f"| {verdict} | {reason} | {count} |"
            for (verdict, reason), count in sorted(tally.rejects.items())
        ]
        lines.append("")
    return "\n".join(lines)

"""What each ingredient of the mixed ager buys: the same training, one thing taken away at a time.

    python benchmarks/ingredients.py data/sets/pairs --means runs/00000-prototypes \
        --judged data/sets/photo --judged data/sets/drawn -o ingredients

Trains every variant from nothing on equally many pictures, scores them side by side with `nenrin eval`, and
prints a table. Stopped anywhere, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.models.config import resolve
from nenrin.models.train import resume, train

WHOLE = "whole"
# Name -> what is different, and the domains whose faces are taken out.
VARIANTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    WHOLE: ({}, ()),
    "no-drawings": ({}, ("cartoon", "manga")),
    "no-domain-label": ({"told": ["glasses"]}, ()),
    "no-glasses-label": ({"told": ["domain"]}, ()),
    "no-mean-faces": ({"prototypes": 0.0}, ()),
    "no-shapes": ({"shapes": 0.0}, ()),
    "no-limit": ({"most": 10.0}, ()),
    "no-skips": ({"skips": False}, ()),
    "no-average": ({"ema": 0.0}, ()),
}
AGES = ("ages", "")
COLUMNS = {  # heading -> protocol, case, metric, what the judge's name begins with
    "rank correlation": (*AGES, "rank correlation, asked and judged age", "CNN"),
    "judged years for each asked": (*AGES, "judged years for each year asked", "CNN"),
    "age error": (*AGES, "age error (years)", "CNN"),
    "same person": (*AGES, "taken for the same person, up to 20 years apart", ""),
    "glasses put on": ("glasses", "asked to put glasses on", "glasses as asked", "CNN"),
    "taken off": ("glasses", "asked to take glasses off", "glasses as asked", "CNN"),
    "of its own domain": ("quality", "", "judged to be of its own domain", "CNN"),
}


def without(faces: FaceSet, domains: tuple[str, ...], out: Path) -> FaceSet:
    """The faces of all other domains, as a set that knows the same words."""
    if not domains:
        return faces
    if not (out / "set.toml").is_file():
        meta = faces.meta
        writer = SetWriter(out, name=meta.name, size=meta.size, domains=meta.domains, licences=meta.licences)
        with writer:
            for face in faces.faces():
                if face.domain not in domains:
                    writer.add(face)
    return FaceSet.open(out)


def train_variant(name: str, options: argparse.Namespace) -> Path:
    """The finished run of a variant: gone on with, or begun, where it is not there yet."""
    changes, domains = VARIANTS[name]
    runs = options.out / "runs"
    for folder in sorted(runs.glob(f"*-{name}")):
        return resume(folder)  # which a finished one is at once
    settings = {
        "label": name,
        "pictures": options.pictures,
        "batch": options.batch,
        "threads": options.threads,
        "means": str(options.means),
        "prototypes": 5.6,
        "net_ages": False,
        "told": ["domain", "glasses"],
        "shade": 0.0,
        "checkpoint_every": 500,
        "seed": options.seed,
    }
    faces = without(FaceSet.open(options.pairs), domains, options.out / "-".join(("without", *domains)))
    return train(resolve("mixed", **(settings | changes)), [faces], runs)


def table(metrics: Path) -> str:
    """The scores of each variant in each domain, in Markdown."""
    scores = json.loads(metrics.read_text())["scores"]
    lines = []
    for domain in sorted({row["domain"] for row in scores if row["protocol"] == "ages"}, reverse=True):
        lines += [f"| {domain} | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        for name in VARIANTS:
            cells = []
            for protocol, case, metric, judge in COLUMNS.values():
                place = (protocol, domain, case, metric)
                found = [
                    row
                    for row in scores
                    if (row["protocol"], row["domain"], row["case"], row["metric"]) == place
                    and row["subject"].endswith(f"-{name}")
                    and row["backend"].startswith(judge)
                ]
                cells.append(_cell(found[0]) if found else "")
            lines.append(f"| {name.replace('-', ' ')} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    interval = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row['value']:.2f}{interval}"


def main() -> None:
    """Train what is missing, score all, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path, help="a set of `nenrin pairs --glasses`")
    parser.add_argument("--means", type=Path, required=True, help="a run of --model prototypes")
    parser.add_argument("--judged", type=Path, action="append", required=True, help="sets to score on")
    parser.add_argument("-o", "--out", type=Path, default=Path("ingredients"))
    parser.add_argument("--pictures", type=int, default=16_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--people", type=int, default=80)
    parser.add_argument("--embedder", default="pixels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    runs = [train_variant(name, options) for name in VARIANTS]
    report = options.out / "report"
    command = [sys.executable, "-m", "nenrin", "eval", *map(str, runs), "-o", str(report)]
    command += ["--protocol", "ages,glasses,quality", "--people", str(options.people)]
    command += ["--embedder", options.embedder]
    command += [word for path in options.judged for word in ("--set", str(path))]
    subprocess.run(command, check=True)
    print(table(report / "metrics.json"))


if __name__ == "__main__":
    main()

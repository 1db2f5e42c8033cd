"""How long it takes to score faces: python benchmarks/evaluate.py [--run RUN] [--faces N] [--embedder WORD]

`faces` aged faces go through everything that the protocol ages reads of them, aged by a run (or an exported
folder) or by something that costs nothing. Then the ladder asks about the same faces, and ages again: what
was made and read is kept. Processor time is printed too: unlike the clock, it means the same on a busy
machine.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from nenrin.domains.twins import build_twins, sample_people
from nenrin.eval.baselines import CopyAger
from nenrin.eval.protocols.asked import ASKED
from nenrin.eval.suite import evaluate
from nenrin.models.ager import Ager
from nenrin.models.condition import Condition

SHARE = 0.10  # of people who are in the test split


class Fast(CopyAger):
    """An ager that costs nothing, so that scoring alone is measured; with weights, or nothing is kept."""

    name = "fast"

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.model = torch.nn.Linear(1, 1)

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """A little of the age, so that no two outputs are the same picture."""
        return (images + (target.age / 1000).view(-1, 1, 1, 1)).clamp(-1, 1)


def main() -> None:
    """Print seconds, faces a second and the peak of memory, for the first time and again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--run", type=Path, help="what ages, instead of an ager that costs nothing")
    parser.add_argument("--embedder", default="twins")
    options = parser.parse_args()
    # Scored are the ager's faces and those of the two floors, in two domains.
    people = max(options.faces // (3 * 2 * len(ASKED)), 2)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        sets = build_twins(
            home / "photo",
            home / "manga",
            people=sample_people(round(people / SHARE * 1.3), seed=0),
            ages_per_person=2,
            size=options.size,
            seed=0,
        )
        ager = Ager.load(options.run) if options.run else Fast(options.size)
        for what, protocol in (("first", "ages"), ("the ladder", "ladder"), ("again", "ages")):
            clock, busy = time.perf_counter(), time.process_time()
            evaluate(
                [ager],
                sets,
                [protocol],
                home / what,
                embedders=(options.embedder,),
                people=people,
            )
            seconds, busy = time.perf_counter() - clock, time.process_time() - busy
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            count = 3 * 2 * len(ASKED) * people
            print(
                f"{what}: {count:,} faces in {seconds:.0f} s, {count / seconds:.0f}/s; "
                f"{busy:.0f} s of processor time, judges trained included; {peak:,.0f} MB at most",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""nenrin (年輪, growth rings): age faces across domains, from photograph to manga."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from nenrin.domains.find import Finder
    from nenrin.models.ager import Ager

__version__ = "0.1.0"

# onnxruntime reports to its makers, and keeps a number for this machine, from its import on; no face leaves
# it here, and nothing else shall either. Whoever has set the variable has the word.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def load(checkpoint: str | Path | None = None, *, finder: Finder | None = None) -> Ager:
    """Load an ager: a run folder or a checkpoint folder in it. `finder` finds the faces; None takes our own.

    Raises `nenrin.ground.UsageError` where there is none.
    """
    from nenrin.models.ager import Ager  # the rooms import nenrin.ground, so the door opens late

    return Ager.load(checkpoint, finder=finder)

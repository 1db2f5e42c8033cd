"""nenrin (年輪, growth rings): age faces across domains, from photograph to manga."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from nenrin.domains.find import Finder
    from nenrin.models.ager import Ager

__version__ = "0.1.0"

# From its import on, onnxruntime sends telemetry and stores an identifier of this machine. nenrin sends no
# faces, and nothing else should be sent either. If the variable is already set, it is respected.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def load(checkpoint: str | Path | None = None, *, finder: Finder | None = None) -> Ager:
    """Load an ager: a run folder or a checkpoint folder in it. `finder` finds the faces; None takes our own.

    Raises `nenrin.ground.UsageError` if there is none.
    """
    from nenrin.models.ager import Ager  # imported late, as the rooms import nenrin.ground

    return Ager.load(checkpoint, finder=finder)

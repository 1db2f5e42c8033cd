"""What was learned from a set about its faces, as input for the checks."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FAULTS = ("not_a_face", "part", "turned", "text", "occluded", "blurred")


@dataclasses.dataclass(kw_only=True, slots=True)
class Opinion:
    """Predictions for N faces. Those of labels are learned from other faces alone; those of faults also use a
    net that saw the faces."""

    fault: Floats  # (N, len(FAULTS)) how much more each looks like one with the fault than like a sound one
    age: Floats  # (N,) years
    # Log odds of each class:
    gender: Floats  # (N, len(GENDERS))
    glasses: Floats  # (N, len(GLASSES))
    domain: Floats  # (N, number of domains)

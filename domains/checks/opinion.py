"""What was learned from a set about its faces, as the checks are told of it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FAULTS = ("not_a_face", "part", "turned", "text", "occluded", "blurred")


@dataclasses.dataclass(kw_only=True, slots=True)
class Opinion:
    """Of N faces: of their labels, learned from others alone; of their faults, by a net too that saw them."""

    fault: Floats  # (N, len(FAULTS)) how much more each looks like one with the fault than like a sound one
    age: Floats  # (N,) years
    # Logarithms of how much likelier each class is than not:
    gender: Floats  # (N, len(GENDERS))
    glasses: Floats  # (N, len(GLASSES))
    domain: Floats  # (N, number of domains)

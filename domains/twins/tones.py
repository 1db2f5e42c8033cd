"""Colours: mixing them, and the scales of tones that light makes of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.twins.curves import Floats
from nenrin.domains.twins.raster import Pixels


def colours(values: NDArray[np.floating | np.uint8]) -> list[list[float]]:
    """RGB rows (N, 3) as plain numbers, which OpenCV reads faster than arrays."""
    listed: list[list[float]] = np.rint(np.clip(values, 0, 255)).tolist()
    return listed


def mix(a: Floats, b: Floats | Sequence[float], share: Floats | float) -> Floats:
    """Colours between `a` and `b`; `share` (N,) or a number is the part of `b`."""
    part = np.asarray(share, np.float32)
    part = part[:, None] if part.ndim else part
    mixed: Floats = (a * (1 - part) + np.asarray(b, np.float32) * part).astype(np.float32)
    return mixed


class Tones:
    """A rule that makes a scale of 256 tones of any colour, which itself lies at 128.

    Below it turns towards `shade` times the colour, above towards white by the part `shine`.
    """

    def __init__(self, shade: tuple[float, float, float], shine: float) -> None:
        t = np.linspace(-1, 1, 257, dtype=np.float32)[:256, None]
        low, high = np.clip(-t, 0, 1), np.clip(t, 0, 1) * np.float32(shine)
        self._times: Floats = 1 - low * (1 - np.array(shade, np.float32)) - high
        self._plus: Floats = 255 * high

    def of(self, colour: Floats) -> Pixels:
        """Scales (N, 256, 3) of N colours, RGB in [0, 255]."""
        scale: Pixels = np.minimum(colour[:, None] * self._times + self._plus, 255).astype(np.uint8)
        return scale

"""The floors, as agers: one changes nothing, the other forgets everybody."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nenrin.domains.array import FaceArray
from nenrin.eval.nets import chunks, to_tensor
from nenrin.models.condition import UNKNOWN, Condition

BANDWIDTH = 4.0  # years, standard deviation of the kernel
KNOTS = np.arange(0, 101, 5)  # years at which mean faces are kept


class _Unseeing:
    """An ager that estimates no labels."""

    domains: tuple[str, ...] = ()

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        """Everything unknown."""
        return Condition.of(len(images), domains=self.domains)


class CopyAger(_Unseeing):
    """The input, unchanged: identity perfect, age ignored."""

    name = "copy"

    def __init__(self, size: int) -> None:
        self.size = size

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """See `Subject.transform`."""
        return images


UNTOLD = 35.0  # years: used for a face of unknown age that is asked to keep its age


class MeanFaceAger(_Unseeing):
    """The domain's mean face at the requested age: the best age that a mean can show, but nobody's identity.

    Means use a Gaussian kernel over age, on a grid of five years, interpolated linearly, and only pixels that
    the pictures have. A domain without ages has one mean face for all of them.
    """

    name = "mean face"

    def __init__(self, means: Tensor, domains: tuple[str, ...]) -> None:
        self._means, self.domains = means, domains  # (D + 1, K, 3, H, H), the last for unknown domains
        self.size = means.shape[-1]

    @classmethod
    def fit(cls, faces: FaceArray) -> MeanFaceAger:
        """Average the faces of each domain around each age."""
        count, side = len(faces.domains) + 1, faces.pixels.shape[1]
        sums = torch.zeros(count, len(KNOTS), 3 * side * side, dtype=torch.float64)
        totals = torch.zeros(count, len(KNOTS), side * side, dtype=torch.float64)
        for rows in chunks(len(faces), 256):
            seen = torch.from_numpy(np.asarray(faces.masks[rows])).double().div(255).flatten(1)
            flat = to_tensor(faces.pixels[rows]).flatten(1).double() * seen.repeat(1, 3)
            age = faces.age[rows][:, None]
            kernel = np.exp(-((age - KNOTS) ** 2) / (2 * BANDWIDTH**2))
            # A face without an age has a tiny weight everywhere, which matters only if no face has an age.
            weight = torch.from_numpy(np.where(np.isnan(age), 1e-6, kernel + 1e-9)).double()
            for domain in range(count):
                member = torch.from_numpy((faces.domain[rows] == domain) | (domain == count - 1)).double()
                sums[domain] += (weight * member[:, None]).T @ flat
                totals[domain] += (weight * member[:, None]).T @ seen
        totals = totals.repeat(1, 1, 3)
        everybody = sums[-1] / totals[-1].clamp_min(1e-12)  # grey where nobody has pixels
        means = torch.where(totals > 0, sums / totals.clamp_min(1e-12), everybody)
        return cls(means.float().view(count, len(KNOTS), 3, side, side), faces.domains)

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        """See `Subject.transform`."""
        domain = torch.where(target.domain == UNKNOWN, len(self.domains), target.domain)
        years = target.age.nan_to_num(UNTOLD)
        place = years.clamp(float(KNOTS[0]), float(KNOTS[-1])) / float(KNOTS[1] - KNOTS[0])
        low = place.floor().long().clamp_max(len(KNOTS) - 2)
        mix = (place - low).view(-1, 1, 1, 1)
        return torch.lerp(self._means[domain, low], self._means[domain, low + 1], mix)

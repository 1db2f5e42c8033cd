"""Estimates labels from pixels by ridge regression: a reader for agers that train no net for it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.domains.face import GENDERS, GLASSES
from nenrin.models.augment import crop
from nenrin.models.condition import UNKNOWN, Condition
from nenrin.models.reader import CENTRE

SIDE = 24  # pixels of the part of a picture that is read, `CENTRE`
VERSION = 2  # 1, which nothing says, read whole pictures: a reader fitted on them reads nonsense here
PENALTIES = (3.0, 30.0, 300.0)  # tried on the held-out faces, in units of one standardised pixel
KEPT_BACK = 8  # every eighth face is held out


class RidgeReader(nn.Module):
    """Age, domain, glasses and gender as linear functions of a small, standardised picture.

    Each label is fitted on the faces that have it, with targets of plus or minus one for each of its values
    (regularised least squares, Rifkin et al. 2003). A label that no face has stays unknown.
    """

    def __init__(self, domains: int) -> None:
        super().__init__()
        self.words = [1, domains, len(GLASSES), len(GENDERS)]
        self.weights = nn.Buffer(torch.zeros(3 * SIDE**2 + 1, sum(self.words)))
        self.known = nn.Buffer(torch.zeros(len(self.words), dtype=torch.bool))
        self.version = nn.Buffer(torch.tensor(VERSION))

    def fit(self, faces: Iterable[tuple[Tensor, Condition]]) -> float:
        """Fit on chunks of (B, 3, S, S) faces. Returns the mean age error on held-out faces, in years."""
        chunks = [(_features(images), _targets(labels, self.words)) for images, labels in faces]
        features, targets = (torch.cat(parts) for parts in zip(*chunks, strict=True))
        kept = torch.arange(len(features)) % KEPT_BACK == 0
        edges = [0, *itertools.accumulate(self.words)]
        error = float("nan")
        for index, (left, right) in enumerate(itertools.pairwise(edges)):
            labelled = ~targets[:, left].isnan()
            fitted, back = (features[rows & labelled] for rows in (~kept, kept))
            wanted, truth = (targets[rows & labelled, left:right] for rows in (~kept, kept))
            if len(fitted) == 0 or len(back) == 0:
                continue
            gram, moment = fitted.T @ fitted, fitted.T @ wanted
            tried = {}
            for penalty in PENALTIES:
                ridge = torch.full((len(gram),), penalty)
                ridge[-1] = 1e-3  # the constant is hardly penalised
                solved = torch.linalg.solve(gram + ridge.diag(), moment)
                tried[float((back @ solved - truth).abs().mean())] = solved
            self.weights[:, left:right] = tried[min(tried)]
            self.known[index] = True
            if index == 0:
                error = min(tried)
        return error

    def forward(self, images: Tensor) -> Condition:
        """The estimated labels of (B, 3, S, S) faces in [-1, 1]."""
        age, *words = torch.split(_features(images) @ self.weights, self.words, dim=1)
        domain, glasses, gender = (
            torch.where(known, scores.argmax(1), UNKNOWN)
            for known, scores in zip(self.known[1:], words, strict=True)
        )
        years = torch.where(self.known[0], age[:, 0].clamp(0.0, 100.0), torch.nan)
        return Condition(age=years, domain=domain, glasses=glasses, gender=gender)


def _features(images: Tensor) -> Tensor:
    """(B, 3 * SIDE^2 + 1): the picture's centre, brightness and contrast normalised, and a constant."""
    small = crop(images.float(), CENTRE, SIDE).flatten(1)
    standard = (small - small.mean(1, keepdim=True)) / (small.std(1, keepdim=True) + 1e-3)
    return torch.cat([standard, torch.ones(len(images), 1, device=images.device)], dim=1)


def _targets(labels: Condition, words: list[int]) -> Tensor:
    """(B, sum of words): years, then +1 for a label's value and -1 for its other values; NaN if unknown."""
    columns = [labels.age[:, None]]
    for count, field in zip(words[1:], dataclasses.fields(Condition)[1:], strict=True):
        index = getattr(labels, field.name)
        told = F.one_hot(index.clamp(min=0), count).float() * 2 - 1
        columns.append(told.masked_fill((index == UNKNOWN)[:, None], torch.nan))
    return torch.cat(columns, dim=1)

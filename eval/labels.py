"""Judges of glasses, gender and domain: a network across all domains, and a linear judge for each domain.

Like the age judges they learn from the judge split alone, and their accuracy on real test faces is given
wherever they are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nenrin.domains.array import FaceArray
from nenrin.domains.face import GENDERS, GLASSES
from nenrin.eval import nets
from nenrin.eval.judges import hog_features

Vocabularies = Mapping[str, tuple[str, ...]]  # attribute -> its words


class LabelJudge(Protocol):
    """Estimates one attribute of faces."""

    name: str
    key: str
    words: tuple[str, ...]

    def probabilities(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) aligned faces in [-1, 1] -> (N, C) float32, rows sum to 1."""
        ...


def vocabularies(domains: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The attributes and their values (words), in the order of `FaceArray`'s indices."""
    return {"glasses": GLASSES, "gender": GENDERS, "domain": tuple(domains)}


class LabelNet(nn.Module):
    """The trunk of `nets`, and a linear head for each attribute."""

    def __init__(self, words: Vocabularies) -> None:
        super().__init__()
        self.words = dict(words)
        self.trunk = nets.Trunk()
        self.head = nn.Linear(nets.FEATURES, sum(map(len, words.values())))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 64, 64) -> the logits of all attributes, concatenated."""
        return self.head(self.trunk(x))  # type: ignore[no-any-return]

    def part(self, logits: Tensor, attribute: str) -> Tensor:
        """One attribute's logits, (N, C)."""
        return self.parts(logits)[list(self.words).index(attribute)]

    def parts(self, logits: Tensor) -> tuple[Tensor, ...]:
        """The logits of each attribute."""
        return torch.split(logits, [len(words) for words in self.words.values()], dim=1)


def train_net(faces: FaceArray, words: Vocabularies, *, seed: int, epochs: int) -> LabelNet:
    """Learn from the labels that are known."""
    images = nets.crops(faces.pixels, nets.CENTRE)
    truth = {name: torch.from_numpy(getattr(faces, name)) for name in words}
    torch.manual_seed(seed)
    net = LabelNet(words)

    def loss(output: Tensor, rows: Tensor) -> Tensor:
        losses = []
        for name, labels in truth.items():
            logits, known = net.part(output, name), labels[rows] >= 0
            if known.any():
                losses.append(F.cross_entropy(logits[known], labels[rows][known], label_smoothing=0.02))
        return torch.stack(losses).sum()

    nets.fit(
        net,
        loss,
        images,
        epochs=epochs,
        least=10 * epochs,
        weights=_balance(faces),
        label="judge of glasses, gender and domain",
        seed=seed,
    )
    return net


def _balance(faces: FaceArray) -> NDArray[np.float64]:
    """Weights (N,) that balance the cells of domain x glasses, up to a factor of eight."""
    _, member, count = np.unique(
        faces.domain * 10 + faces.glasses + 1, return_inverse=True, return_counts=True
    )
    weight = 1 / np.maximum(count[member], count.max() / 8)
    return np.asarray(weight / weight.mean(), dtype=np.float64)


class NetJudge:
    """One attribute of a `LabelNet`, averaged over the face and its mirror image."""

    def __init__(self, net: LabelNet, attribute: str, name: str, key: str) -> None:
        self._net = nets.frozen(net)
        self.name, self.key, self.words = name, f"{key} {attribute}", net.words[attribute]
        before = list(net.words)[: list(net.words).index(attribute)]
        start = sum(len(net.words[other]) for other in before)
        self.net_key, self.columns = f"{key} everything", slice(start, start + len(self.words))

    def probabilities(self, images: Tensor) -> Tensor:
        """See `LabelJudge.probabilities`."""
        return self.everything(images)[:, self.columns]

    def everything(self, images: Tensor) -> Tensor:
        """The probabilities of all attributes, concatenated; this one's are at `columns`."""
        x = nets.crop(images, nets.CENTRE)
        with torch.no_grad():
            read = [self._net.parts(self._net(side)) for side in (x, x.flip(3))]
        return torch.stack([torch.cat([p.softmax(1) for p in side], dim=1) for side in read]).mean(0)


class LinearJudge:
    """Logistic regression (scikit-learn) on histograms of gradients: a second kind of judge, for one domain.

    Stored as arrays, never pickled: softmax(((x - mean) / scale) @ weight + bias).
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], words: tuple[str, ...], name: str, key: str
    ) -> None:
        self._arrays, self.words, self.name, self.key = arrays, words, name, key

    def probabilities(self, images: Tensor) -> Tensor:
        """See `LabelJudge.probabilities`."""
        a = self._arrays
        logits = (hog_features(images) - a["mean"]) / a["scale"] @ a["weight"] + a["bias"]
        known = torch.from_numpy(logits).softmax(1).float()
        p = torch.zeros(len(images), len(self.words))
        p[:, a["classes"]] = known  # values that no face of the domain has get probability 0
        return p

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What the constructor needs to rebuild it."""
        return dict(self._arrays)

    @classmethod
    def train(
        cls,
        faces: FaceArray,
        labels: NDArray[np.int64],
        words: tuple[str, ...],
        name: str,
        key: str,
    ) -> LinearJudge:
        """Learn `labels` (N,), with at least two values, from the faces; all values get equal weight."""
        from sklearn.linear_model import LogisticRegression

        x = np.concatenate([hog_features(nets.to_tensor(faces.pixels[s])) for s in nets.chunks(len(faces))])
        mean, scale = x.mean(0), x.std(0) + 1e-6
        machine = LogisticRegression(C=1e-3, class_weight="balanced", max_iter=500)
        machine.fit((x - mean) / scale, labels)
        weight, bias = machine.coef_.T, machine.intercept_
        if len(machine.classes_) == 2:  # scikit-learn stores only the second class's logit
            weight, bias = np.hstack([0 * weight, weight]), np.concatenate([0 * bias, bias])
        arrays = {"mean": mean, "scale": scale, "weight": weight, "bias": bias, "classes": machine.classes_}
        return cls({k: np.ascontiguousarray(v) for k, v in arrays.items()}, words, name, key)

"""The judges of glasses, gender and domain of one evaluation, trained when a protocol first asks."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nenrin.domains.array import FaceArray
from nenrin.eval import nets
from nenrin.eval.keep import kept, key_of
from nenrin.eval.labels import (
    LabelJudge,
    LabelNet,
    LinearJudge,
    NetJudge,
    Vocabularies,
    train_net,
    vocabularies,
)

LEAST = 12  # faces that each of two values needs for an attribute to be learned


@dataclasses.dataclass(slots=True)
class LabelPanel:
    """The judges of labels, trained on the judge split; without `faces` there are none."""

    faces: FaceArray | None = None
    folder: Path = Path()
    seed: int = 0
    epochs: int = 0
    _net: tuple[LabelNet, str] | None = None

    def of(self, attribute: str, domain: str) -> list[LabelJudge]:
        """The judges of this attribute here: first the network across domains, then the linear judge."""
        if self.faces is None:
            return []
        across, labels = self.across(attribute), getattr(self.faces, attribute)
        judges = [] if across is None else [across]
        here = self.faces.domain == (self.faces.domains.index(domain) if domain in self.faces.domains else -2)
        if attribute != "domain" and _enough(labels[here]):
            judges.append(self._linear(attribute, domain, here & (labels >= 0)))
        return judges

    def across(self, attribute: str) -> LabelJudge | None:
        """The network that learned from all domains together, if it learned this attribute."""
        if self.faces is None or not _enough(getattr(self.faces, attribute)):
            return None
        net, key = self._trained()
        return NetJudge(net, attribute, f"CNN ({self._domains()})", key)

    def features(self) -> FaceFeatures | None:
        """The network's 192 features for distances between distributions; None without a judge split."""
        return None if self.faces is None else FaceFeatures(*self._trained())

    def _domains(self) -> str:
        assert self.faces is not None
        return " + ".join(d for i, d in enumerate(self.faces.domains) if (self.faces.domain == i).any())

    def _trained(self) -> tuple[LabelNet, str]:
        if self._net is None:
            assert self.faces is not None
            words = vocabularies(self.faces.domains)
            labels = [getattr(self.faces, name) for name in words]
            key = key_of("labels", self.faces, labels, f"{self.seed} {self.epochs}")
            train = partial(train_net, self.faces, words, seed=self.seed, epochs=self.epochs)
            tensors = kept(self.folder / f"{key}.safetensors", lambda: _state(train()))
            self._net = _net(tensors, words), key
        return self._net

    def _linear(self, attribute: str, domain: str, rows: NDArray[np.bool_]) -> LinearJudge:
        assert self.faces is not None
        faces = self.faces.select(rows)
        labels = getattr(faces, attribute)
        words = vocabularies(faces.domains)[attribute]
        name, key = f"linear ({domain})", key_of(f"linear-{attribute}", faces, [labels], "")
        arrays = kept(
            self.folder / f"{key}.safetensors",
            lambda: LinearJudge.train(faces, labels, words, name, key).tensors(),
        )
        return LinearJudge(arrays, words, name, key)


class FaceFeatures:
    """The trunk of the label judges as a feature net: features that predict glasses, gender and domain."""

    def __init__(self, net: LabelNet, key: str) -> None:
        self._net = nets.frozen(net)
        self.name, self.key = "nenrin-faces-192", f"{key} features"
        self.resize = f"the middle of the face at {nets.SIZE} px, bilinear with antialiasing"

    def extract(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 192)."""
        with torch.no_grad():
            features: Tensor = self._net.trunk(nets.crop(images, nets.CENTRE))
        return features


def _enough(labels: NDArray[np.int64]) -> bool:
    """Whether at least two values have `LEAST` faces each."""
    return int((np.bincount(labels[labels >= 0], minlength=1) >= LEAST).sum()) >= 2


def _state(net: LabelNet) -> dict[str, NDArray[Any]]:
    return {k: v.numpy() for k, v in net.state_dict().items()}


def _net(tensors: dict[str, NDArray[Any]], words: Vocabularies) -> LabelNet:
    net = LabelNet(words)
    net.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    return net

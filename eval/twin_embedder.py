"""An embedder that needs no download: a small network that learned to tell procedural people apart.

It learned from twins (bones, features, hair and skin given by parameters, growing by a published law) and has
never seen a real face. On real faces it is a weak embedder, and the `ages` protocol prints how weak beside
each use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from nenrin.domains.face import GLASSES
from nenrin.domains.twins.drawing import draw
from nenrin.domains.twins.people import sample_people, sample_views
from nenrin.eval import nets
from nenrin.ground import write_bytes

SEED = 9_150_000  # of the people it learns from, whom no training and no test draws
PEOPLE, DRAWINGS = 200, 16  # of each person, half in either domain, at ages spread over 4 to 80
DIMENSIONS = 96
_VERSION = "3"
SHIPPED = Path(__file__).parent / "weights" / "twins.safetensors"
SHIPPED_AS = (0, 4)  # seed, epochs


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nets.Trunk()
        self.head = nn.Linear(nets.FEATURES, DIMENSIONS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))  # type: ignore[no-any-return]


class TwinEmbedder:
    """Cosine classification of persons across ages, views and both domains (NormFace: Wang et al. 2017)."""

    name = "twin embedder"

    def __init__(self, net: nn.Module, key: str) -> None:
        self._net = nets.frozen(net)
        self.key = key

    def embed(self, images: Tensor) -> Tensor:
        """See `Embedder.embed`."""
        x = nets.crop(images, nets.FACE)
        with torch.no_grad():
            return F.normalize(self._net(x) + self._net(x.flip(3)), dim=1)

    @classmethod
    def kept(cls, folder: Path, *, seed: int = 0, epochs: int = 4) -> TwinEmbedder:
        """The shipped embedder, or one with another seed or number of epochs from `folder`.

        If that does not exist yet, it is trained first: half a minute on two cores.
        """
        key = f"twins-{_VERSION}-{PEOPLE}x{DRAWINGS}-{epochs}-{seed}"
        if (seed, epochs) == SHIPPED_AS:
            return cls._of(load_file(SHIPPED), f"{key}-shipped")
        path = folder / f"{key}.safetensors"
        try:
            state = load_file(path)
        except (FileNotFoundError, SafetensorError):
            trained = _train(seed=seed, epochs=epochs).state_dict()
            write_bytes(path, save({k: v.contiguous() for k, v in trained.items()}))
            state = load_file(path)
        return cls._of(state, key)

    @classmethod
    def _of(cls, state: dict[str, Tensor], key: str) -> TwinEmbedder:
        net = _Net()
        net.load_state_dict(state)
        return cls(net, key)


def retrain() -> None:
    """Train the shipped weights again, after the recipe has changed."""
    state = _train(seed=SHIPPED_AS[0], epochs=SHIPPED_AS[1]).state_dict()
    halved = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    write_bytes(SHIPPED, save({k: v.contiguous() for k, v in halved.items()}))


def _train(*, seed: int, epochs: int) -> _Net:
    images, person = drawings(PEOPLE, DRAWINGS, seed=SEED + seed)
    torch.manual_seed(seed)
    net = _Net()
    prototypes = nn.Parameter(F.normalize(torch.randn(PEOPLE, DIMENSIONS)))
    net.register_parameter("prototypes", prototypes)
    labels = torch.from_numpy(person)

    def loss(output: Tensor, rows: Tensor) -> Tensor:
        cosine = F.normalize(output) @ F.normalize(prototypes).T
        return F.cross_entropy(20 * cosine, labels[rows], label_smoothing=0.05)

    nets.fit(
        net,
        loss,
        images,
        epochs=epochs,
        weights=np.ones(len(images)),
        label="learning to tell people apart",
        seed=seed,
    )
    del net.prototypes
    return net


def drawings(people: int, each: int, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`people` x `each` drawings at 64 px for the embedder, and whose they are: (N, 64, 64, 3), (N,)."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), each)
    who = sample_people(people, seed=seed)[person]
    views, ages = sample_views(len(person), seed=seed), rng.uniform(4, 80, len(person)).astype(np.float32)
    glasses = rng.choice(len(GLASSES), size=len(person), p=(0.7, 0.2, 0.1))
    images = np.empty((len(person), nets.SIZE, nets.SIZE, 3), np.uint8)
    domains: tuple[Literal["photo", "manga"], ...] = ("photo", "manga")
    for start, domain in enumerate(domains):
        for rows in np.split(np.arange(start, len(person), 2), range(256, len(person) // 2, 256)):
            drawing = draw(
                who[rows], ages[rows], domain=domain, glasses=glasses[rows], views=views[rows], size=80
            )
            images[rows] = nets.to_pixels(nets.crop(nets.to_tensor(drawing.images), nets.FACE))
    return images, person

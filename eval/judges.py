"""Estimates age by two judges of different kinds, trained on faces that no ager may see.

The convolutional judge works on pixels; the other is scikit-learn's support vector regression on frozen
features. They fail differently, and each report measures their accuracy on real test faces. `panel` gives
them only faces with split == "judge", and refuses an ager that trained on one.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nenrin.domains.array import FaceArray
from nenrin.eval import nets
from nenrin.eval.identity import Embedder

HOG_CELLS = 1568  # 7 x 7 blocks of 2 x 2 cells in 8 orientations


class Judge(Protocol):
    """An age estimator. `name` states its kind and the domains it learned from."""

    name: str
    key: str  # distinguishes judges that learned from different faces

    def judge(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) aligned faces in [-1, 1] -> (N,) years, float32."""
        ...


BINS = torch.arange(0, 101, 4).float()  # years


class _AgeNet(nn.Module):
    """Maps pixels to a distribution over ages; the estimate is its mean (DEX: Rothe et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nets.Trunk()
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(nets.FEATURES, len(BINS)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))  # type: ignore[no-any-return]


class CNNJudge:
    """The small network of `nets` at 64 px, its answer averaged over the face and its mirror image."""

    def __init__(self, net: _AgeNet, name: str, key: str) -> None:
        self._net, self.name, self.key = nets.frozen(net), name, key

    def judge(self, images: Tensor) -> Tensor:
        """See `Judge.judge`."""
        x = nets.crop(images, nets.CENTRE)
        with torch.no_grad():
            p: Tensor = (self._net(x).softmax(1) + self._net(x.flip(3)).softmax(1)) / 2
        return p @ BINS

    @classmethod
    def train(cls, faces: FaceArray, name: str, key: str, *, seed: int, epochs: int) -> CNNJudge:
        """Learn from faces of known age, with all domains and decades drawn equally often."""
        images = nets.crops(faces.pixels, nets.CENTRE)
        age = torch.from_numpy(faces.age)
        # Labels are soft by two years either way: people do not look their age to the year.
        soft = torch.softmax(-((age[:, None] - BINS) ** 2) / (2 * 3.0**2), 1)

        def loss(output: Tensor, rows: Tensor) -> Tensor:
            off = (output.softmax(1) @ BINS - age[rows]).abs().mean()
            return F.cross_entropy(output, soft[rows]) + 0.1 * off

        torch.manual_seed(seed)
        net = _AgeNet()
        nets.fit(
            net,
            loss,
            images,
            epochs=epochs,
            least=10 * epochs,
            weights=_balance(faces),
            label=f"age judge ({name})",
            seed=seed,
        )
        return cls(net, name, key)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What `of` needs to rebuild it."""
        return {k: v.numpy() for k, v in self._net.state_dict().items()}

    @classmethod
    def of(cls, tensors: dict[str, NDArray[Any]], name: str, key: str) -> CNNJudge:
        """The judge that `tensors` came from."""
        net = _AgeNet()
        net.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
        return cls(net, name, key)


class SVRJudge:
    """Support vector regression (scikit-learn) on histograms of gradients and a frozen embedding.

    The fitted machine is stored as arrays, never pickled: f(x) = sum_i a_i exp(-g |x - s_i|^2) + b.
    """

    def __init__(
        self, arrays: dict[str, NDArray[Any]], name: str, key: str, embedder: Embedder | None
    ) -> None:
        self._arrays, self.name, self.key, self.embedder = arrays, name, key, embedder

    def judge(self, images: Tensor, vectors: NDArray[np.float32] | None = None) -> Tensor:
        """See `Judge.judge`; `vectors` (N, D) are the faces' embeddings, if already computed."""
        a = self._arrays
        if vectors is None and self.embedder is not None:
            vectors = self.embedder.embed(images).numpy()
        x = (_features(images, vectors) - a["mean"]) / a["scale"] @ a["axes"]
        squares = (x * x).sum(1)[:, None] + (a["support"] ** 2).sum(1) - 2 * x @ a["support"].T
        years = np.exp(-a["gamma"] * squares) @ a["dual"] + a["intercept"]
        return torch.from_numpy(years.clip(0, 100).astype(np.float32))

    @classmethod
    def train(cls, faces: FaceArray, name: str, key: str, *, embedder: Embedder | None) -> SVRJudge:
        """Learn from faces of known age: features are reduced to 160 axes first."""
        from sklearn.decomposition import PCA
        from sklearn.svm import SVR

        parts = []
        for rows in nets.chunks(len(faces)):
            images = nets.to_tensor(faces.pixels[rows])
            parts.append(_features(images, None if embedder is None else embedder.embed(images).numpy()))
        x = np.concatenate(parts)
        mean, scale = x.mean(0), np.ones(x.shape[1])
        for part in (slice(HOG_CELLS), slice(HOG_CELLS, None)):  # both kinds of features get equal weight
            scale[part] = np.sqrt(x[:, part].var(0).sum())
        x = (x - mean) / scale
        pca = PCA(n_components=min(160, len(x) - 1), whiten=False, svd_solver="covariance_eigh").fit(x)
        z = x @ pca.components_.T
        gamma = 1 / (2 * z.var(0).sum())
        svr = SVR(C=30, epsilon=2, gamma=gamma).fit(z, faces.age)
        arrays = {
            "mean": mean,
            "scale": scale,
            "axes": pca.components_.T,
            "support": svr.support_vectors_,
            "dual": svr.dual_coef_[0],
            "intercept": svr.intercept_,
            "gamma": np.array([gamma]),
        }
        arrays = {k: np.ascontiguousarray(v, dtype=np.float64) for k, v in arrays.items()}
        return cls(arrays, name, key, embedder)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What the constructor needs to rebuild it."""
        return self._arrays


def hog_features(images: Tensor) -> NDArray[np.float64]:
    """Histograms of oriented gradients of the 64 px face (Dalal and Triggs 2005): (N, `HOG_CELLS`)."""
    from skimage.feature import hog

    small = nets.to_pixels(nets.crop(images, nets.CENTRE))
    rows = [
        hog(face, orientations=8, pixels_per_cell=(8, 8), cells_per_block=(2, 2), channel_axis=-1)
        for face in small
    ]
    return np.asarray(rows)


def _features(images: Tensor, vectors: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """The histograms, concatenated with the embedding."""
    gradients = hog_features(images)
    return gradients if vectors is None else np.concatenate([gradients, vectors.astype(np.float64)], axis=1)


def _balance(faces: FaceArray) -> NDArray[np.float64]:
    """Weights (N,), mean 1, that balance the cells of domain x decade, up to a factor of three."""
    cell = faces.domain * 100 + np.minimum(faces.age // 10, 8).astype(np.int64)
    _, member, count = np.unique(cell, return_inverse=True, return_counts=True)
    weight = 1 / np.maximum(count[member], count.max() / 3)
    return np.asarray(weight / weight.mean(), dtype=np.float64)

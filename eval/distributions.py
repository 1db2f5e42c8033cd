"""Do the outputs look like faces of that domain? FID and KID by torch-fidelity, with intervals.

FID needs thousands of pictures and is biased upwards with fewer; KID is unbiased at any number (Binkowski et
al. 2018), so use KID below 2,000. The name of a score includes the network of its features and how pictures
were resized for it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nenrin.eval import stats
from nenrin.eval.label_panel import LabelPanel
from nenrin.eval.perceptual import patience
from nenrin.eval.stats import Estimate, Floats
from nenrin.ground import NenrinError, UsageError, suggest

OURS = "nenrin-faces-192"
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
# our name: torch-fidelity's name, the layer, and how it resizes pictures
_FIDELITY = {
    "inception": ("inception-v3-compat", "2048", "299 px, bilinear as TensorFlow 1"),
    "clip": ("clip-vit-b-32", "clip", "224 px, bilinear as TensorFlow 1"),
    "dinov2": ("dinov2-vit-b-14", "dinov2", "224 px, bilinear as TensorFlow 1"),
}
NAMES = ("auto", *_FIDELITY, OURS)


class FeatureNet(Protocol):
    """Maps pictures to features whose mean and covariance are meaningful."""

    name: str
    key: str
    resize: str  # for the report

    def extract(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, D) float32."""
        ...


class FidelityFeatures:
    """A feature extractor of torch-fidelity. Raises `NenrinError` where its weights cannot be had."""

    def __init__(self, word: str) -> None:
        from torch_fidelity.utils import create_feature_extractor

        self.name, layer, self.resize = _FIDELITY[word]
        self.key = f"torch-fidelity {self.name} {layer}"
        try:
            with patience(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._net: Any = create_feature_extractor(self.name, [layer], cuda=False, verbose=False)
        except (URLError, OSError, RuntimeError) as error:
            raise NenrinError(
                f"the weights of {self.name} could not be fetched ({str(error).splitlines()[0]}): put them "
                f"into {_hub()}, or use {OURS}"
            ) from None

    def extract(self, images: Tensor) -> Tensor:
        """See `FeatureNet.extract`."""
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        with torch.no_grad():
            features: Tensor = self._net(pixels)[0]
        return features.float()


def feature_net(word: str, labels: LabelPanel) -> tuple[FeatureNet, str | None]:
    """The net of that name, and a line for the report if "auto" falls back to our own.

    "auto" uses Inception if it is cached already, and never downloads it.
    """
    if word not in NAMES:
        raise UsageError(f"unknown features {word!r}; {suggest(word, NAMES)}")
    if word in _FIDELITY:
        return FidelityFeatures(word), None
    if word == "auto" and (_hub() / INCEPTION_FILE).is_file():
        return FidelityFeatures("inception"), None
    ours = labels.features()
    if ours is None:
        raise NenrinError("no face is in the judge split of these sets, which teaches our feature net")
    note = (
        f"Inception was not used for FID and KID: {INCEPTION_FILE} is not in torch's cache; "
        "--features inception fetches it. Numbers by our own net compare agers of this report, no others"
    )
    return ours, note if word == "auto" else None


def _hub() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def fid(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Frechet distance of two feature sets (N, D) and (M, D), by torch-fidelity (Heusel et al. 2017)."""
    from torch_fidelity import metric_fid

    both = [
        metric_fid.fid_features_to_statistics(torch.from_numpy(np.asarray(x, np.float64))) for x in (a, b)
    ]
    return float(metric_fid.fid_statistics_to_metric(*both, verbose=False)[metric_fid.KEY_METRIC_FID])


def fid_between(
    a: NDArray[np.floating], a_groups: ArrayLike, b: NDArray[np.floating], b_groups: ArrayLike, *, seed: int
) -> Estimate:
    """`fid`, and an interval from leaving out a twentieth of the persons (N,) and (M,) at a time."""
    groups = (a_groups, b_groups)
    return stats.jackknife(fid(a, b), lambda u, v: frechet(a[u], b[v]), groups, seed=seed)


def frechet(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """The same number as `fid`, many times faster if there are fewer faces than twice the features.

    It uses that the trace of the root of the product of two covariances is the sum of the singular values of
    the product of the centred features.
    """
    x, y = (np.asarray(v, np.float64) for v in (a, b))
    apart = ((x.mean(0) - y.mean(0)) ** 2).sum()
    x, y = ((v - v.mean(0)) / np.sqrt(len(v) - 1) for v in (x, y))
    if max(len(x), len(y)) <= 2 * x.shape[1]:
        root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    else:
        values, vectors = np.linalg.eigh(x.T @ x)
        half = vectors * np.sqrt(values.clip(0))
        root = np.sqrt(np.linalg.eigvalsh(half.T @ (y.T @ y) @ half).clip(0)).sum()
    return float(apart + (x * x).sum() + (y * y).sum() - 2 * root)


def kid(
    a: NDArray[np.floating],
    a_groups: ArrayLike,
    b: NDArray[np.floating],
    b_groups: ArrayLike,
    *,
    seed: int,
    resamples: int,
) -> Estimate:
    """KID of two feature sets, both (N, D), by torch-fidelity with a single subset of all faces.

    The interval resamples persons (`a_groups` and `b_groups`, (N,)) in both. A picture drawn twice is not
    compared with itself, or every resample would look less varied than the faces are.
    """
    from torch_fidelity import metric_kid

    x, y = (np.asarray(v, np.float64) for v in (a, b))
    value = metric_kid.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=len(x), verbose=False
    )[metric_kid.KEY_METRIC_KID_MEAN]
    u = stats.row_draws(a_groups, resamples=resamples, seed=seed)
    v = stats.row_draws(b_groups, resamples=resamples, seed=seed + 1)
    kernels = (metric_kid.kernel_poly(p, q) for p, q in ((x, x), (y, y), (x, y)))
    xx, yy, xy = kernels
    across = ((u @ xy) * v).sum(1) / (u.sum(1) * v.sum(1))
    resampled = mean_of_pairs(xx, u) + mean_of_pairs(yy, v) - 2 * across
    persons = len(np.unique(np.asarray(a_groups)))
    return stats.interval(float(value), resampled, n=len(x), identities=persons)


def diversity(
    outputs: NDArray[np.floating],
    inputs: NDArray[np.floating],
    groups: ArrayLike,
    *,
    seed: int,
    resamples: int,
) -> Estimate:
    """The diversity of the outputs relative to that of their inputs.

    For (N, D) and (N, D) it is the ratio of root mean square distances between two faces, near 0 if an ager
    has collapsed to one picture.
    """

    def spread(x: NDArray[np.floating], draws: Floats) -> Floats:
        x = np.asarray(x, np.float64)
        squares = (x * x).sum(1)
        distance = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0)
        np.fill_diagonal(distance, 0)
        return np.sqrt(mean_of_pairs(distance, draws))

    once = np.ones((1, len(outputs)))
    draws = stats.row_draws(groups, resamples=resamples, seed=seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float((spread(outputs, once) / spread(inputs, once))[0])
        resampled = spread(outputs, draws) / spread(inputs, draws)
    persons = len(np.unique(np.asarray(groups)))
    return stats.interval(value, resampled, n=len(outputs), identities=persons)


def mean_of_pairs(matrix: Floats, draws: Floats) -> Floats:
    """The mean of `matrix` (N, N) over pairs of different rows, weighted by `draws` (R, N) of rows: (R,)."""
    squares = draws * draws
    within = ((draws @ matrix) * draws).sum(1) - squares @ np.diagonal(matrix)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = within / (draws.sum(1) ** 2 - squares.sum(1))
    return mean


def sharpness(images: Tensor) -> Tensor:
    """The mean absolute Laplacian of the brightness of faces (N, 3, H, W): (N,). Blur lowers it."""
    grey = images.mean(1, keepdim=True)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    edges: Tensor = torch.nn.functional.conv2d(grey, kernel)
    return edges.abs().mean((1, 2, 3))

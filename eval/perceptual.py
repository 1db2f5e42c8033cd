"""Perceptual distance between two pictures: LPIPS if its backbone is available, else a named stand-in.

LPIPS (Zhang et al. 2018) needs the weights of an ImageNet network. Without them, the same formula runs with
all channel weights 1 on the convolutions of MTCNN's output network, which come with facenet-pytorch:
"unweighted-mtcnn". That network was trained to find eyes, noses and mouths, so it mostly sees the structure
of faces, and it was never fitted to human judgements of similarity. Its numbers order agers within one
report, but cannot be compared with LPIPS elsewhere.
"""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.error import URLError

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nenrin.ground import NenrinError, UsageError, suggest

Net = Literal["alex", "vgg", "squeeze"]
ALEXNET_FILE = "alexnet-owt-7be5be79.pth"  # torchvision's AlexNet_Weights.IMAGENET1K_V1 in torch's cache
DOWNLOAD_TIMEOUT = 10.0  # seconds without an answer


class Perceptual(Protocol):
    """A distance between pictures. `name` identifies it in the report."""

    name: str

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """(N, 3, H, W) and (N, 3, H, W) in [-1, 1] -> (N,) float32, 0 for equal pictures."""
        ...


@contextmanager
def patience(seconds: float = DOWNLOAD_TIMEOUT) -> Iterator[None]:
    """Limit the time that connections of libraries wait for an answer, inside the block."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


class LPIPS:
    """The `lpips` package, version 0.1 heads. `random_backbone` is its `pnet_rand`, for tests only.

    Raises `NenrinError` if the backbone is neither cached nor can be fetched.
    """

    def __init__(self, net: Net = "alex", *, random_backbone: bool = False) -> None:
        import lpips

        try:
            with patience(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # lpips still says `pretrained=` to torchvision
                self._net = lpips.LPIPS(net=net, pnet_rand=random_backbone, verbose=False)
        except (URLError, OSError, RuntimeError) as error:
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            raise NenrinError(
                f"LPIPS needs torchvision's {net} weights, which could not be fetched ({error}): "
                f"put the file in {folder}, or use --perceptual unweighted-mtcnn"
            ) from None
        self._net.requires_grad_(False)
        self.name = f"lpips-{net}-random" if random_backbone else f"lpips-{net}"

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Perceptual.distance`."""
        with torch.no_grad():
            return torch.as_tensor(self._net(a, b)).flatten()


class UnweightedMTCNN:
    """The LPIPS formula with unit weights on the first three stages of MTCNN's output network.

    d(a, b) = 1/L sum_l mean_hw 1/2 || f_l(a) / |f_l(a)| - f_l(b) / |f_l(b)| ||^2, which is the mean over
    places and L = 3 layers of 1 - cosine between channel vectors. Pictures are resized to 96 px first, so
    that the number depends on the face and not on its stored resolution.
    """

    name = "unweighted-mtcnn"
    size = 96  # px: twice what the network was trained at, so that it sees features and not whole faces

    def __init__(self) -> None:
        from facenet_pytorch.models.mtcnn import ONet

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.load without weights_only in older releases
            net: Any = ONet()
        self._stages = nn.ModuleList(
            nn.Sequential(*layers)
            for layers in (
                (net.conv1, net.prelu1),
                (net.pool1, net.conv2, net.prelu2),
                (net.pool2, net.conv3, net.prelu3),
            )
        ).requires_grad_(False)

    def _features(self, images: Tensor) -> Iterator[Tensor]:
        x = F.interpolate(images, size=(self.size, self.size), mode="bilinear", antialias=True)
        for stage in self._stages:
            x = stage(x)
            yield F.normalize(x, dim=1)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Perceptual.distance`."""
        with torch.no_grad():
            layers = [
                (1 - (fa * fb).sum(1)).mean((1, 2))
                for fa, fb in zip(self._features(a), self._features(b), strict=True)
            ]
            return torch.stack(layers).mean(0).clamp_min(0)


NAMES = ("auto", "lpips-alex", "lpips-vgg", "lpips-squeeze", UnweightedMTCNN.name)


def perceptual(name: str = "auto") -> tuple[Perceptual, str | None]:
    """The distance of that name, and a line for the report if "auto" falls back to the stand-in.

    "auto" uses LPIPS if its backbone is cached already, and never downloads it: a report must not hang, or
    change its measure, with the state of a connection. LPIPS is only fetched if it is named.
    """
    if name == "auto":
        file = ALEXNET_FILE
        if (Path(torch.hub.get_dir()) / "checkpoints" / file).is_file():
            return LPIPS(), None
        missing = f"LPIPS was not used: {file} is not in torch's cache; --perceptual lpips-alex fetches it"
        return UnweightedMTCNN(), missing
    if name == UnweightedMTCNN.name:
        return UnweightedMTCNN(), None
    nets: dict[str, Net] = {"lpips-alex": "alex", "lpips-vgg": "vgg", "lpips-squeeze": "squeeze"}
    if name not in nets:
        raise UsageError(f"unknown perceptual distance {name!r}; {suggest(name, NAMES)}")
    return LPIPS(nets[name]), None

"""Is it the same person? Face embedders, each a function from aligned faces to unit vectors.

No embedder sees the aligned face as it is stored. Recognition networks were trained on the tight five-point
crop of ArcFace, so faces are re-cropped to it by one fixed similarity between the two templates. A second
alignment would help an ager that moves the eyes.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.error import URLError

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nenrin.domains.align import similarity
from nenrin.eval.perceptual import patience
from nenrin.ground import NenrinError, UsageError, suggest

# The 112 x 112 template of ArcFace (Deng et al. 2019), as InsightFace publishes it; POINTS order.
ARCFACE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
ARCFACE_SIZE = 112


class Embedder(Protocol):
    """Maps faces to vectors whose inner product is similarity."""

    name: str  # for the report
    key: str  # for the cache: also distinguishes two files of the same name

    def embed(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) aligned faces in [-1, 1] -> (N, D) float32 of unit length."""
        ...


# (2, 3), from ArcFace's unit square back to our template's: where each pixel of the crop comes from.
_FROM_ARCFACE = similarity((ARCFACE / ARCFACE_SIZE)[None], 1)[0].astype(np.float64)


def crop_arcface(images: Tensor, size: int = ARCFACE_SIZE) -> Tensor:
    """Re-crop aligned faces to ArcFace's template, (N, 3, H, W) -> (N, 3, size, size), bilinear.

    Pictures finer than the crop are reduced with antialiasing first; outside the picture is mid-grey.
    """
    linear = _FROM_ARCFACE[:, :2]
    side = round(size / math.hypot(*linear[0]))  # the width at which the crop neither shrinks nor enlarges
    if images.shape[-1] > side:
        images = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
    # affine_grid speaks of [-1, 1]: u = 2x - 1 on both sides of the map.
    shift = 2 * _FROM_ARCFACE[:, 2] + linear.sum(axis=1) - 1
    theta = torch.from_numpy(np.column_stack([linear, shift])).to(images)
    grid = F.affine_grid(theta.expand(len(images), 2, 3), [len(images), 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class PixelEmbedder:
    """The floor: the centre of the face at 16 x 16 grey pixels, contrast normalised. Nothing is learned."""

    name = key = "pixels"

    def embed(self, images: Tensor) -> Tensor:
        """See `Embedder.embed`."""
        grey = F.interpolate(crop_arcface(images).mean(1, keepdim=True), size=(16, 16), mode="area").flatten(
            1
        )
        return F.normalize(grey - grey.mean(1, keepdim=True), dim=1)


class OnnxEmbedder:
    """Any recognition network in an ONNX file that maps one picture, (1 or N, 3, size, size), to a vector.

    The input is (x - mean) / std of a picture in [0, 1], with the order of `channels`. Raises `UsageError`
    for a missing file and `NenrinError` for one that is not such a network.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: int = ARCFACE_SIZE,
        mean: tuple[float, float, float] = (0.5, 0.5, 0.5),
        std: tuple[float, float, float] = (0.5, 0.5, 0.5),
        channels: Literal["rgb", "bgr"] = "rgb",
        flip: bool = False,
    ) -> None:
        import onnxruntime

        if not path.is_file():
            raise UsageError(f"no embedder at {path}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=onnxruntime.get_available_providers()
            )
            (entry,) = self._session.get_inputs()
        except Exception as error:  # onnxruntime has no common base of its own for its errors
            raise NenrinError(f"{path} is not a face embedder: {_first_line(error)}") from None
        shape = entry.shape
        if len(shape) != 4 or shape[1] != 3 or (isinstance(shape[2], int) and shape[2] != size):
            raise NenrinError(
                f"{path} takes pictures of shape {shape}, not (N, 3, {size}, {size}): give its size"
            )
        self._input, self._one_by_one = entry.name, shape[0] == 1
        self._size, self._channels, self._flip = size, channels, flip
        self._mean = torch.tensor(mean).view(1, 3, 1, 1)
        self._std = torch.tensor(std).view(1, 3, 1, 1)
        self.name = path.stem
        preprocessing = f"{size} {mean} {std} {channels} {flip}"
        self.key = f"{self.name} {preprocessing} {_digest(path)}"

    def embed(self, images: Tensor) -> Tensor:
        """See `Embedder.embed`. With `flip`, the mean of the face and its mirror image, as is usual."""
        faces = ((crop_arcface(images, self._size) + 1) / 2 - self._mean) / self._std
        if self._channels == "bgr":
            faces = faces.flip(1)
        vectors = self._forward(faces)
        if self._flip:
            vectors = vectors + self._forward(faces.flip(3))
        return F.normalize(vectors, dim=1)

    def _forward(self, faces: Tensor) -> Tensor:
        pieces = [faces[i : i + 1] for i in range(len(faces))] if self._one_by_one else [faces]
        outputs = [self._session.run(None, {self._input: piece.numpy()})[0] for piece in pieces]
        vectors = torch.from_numpy(np.concatenate(outputs)).flatten(1).float()
        if len(vectors) != len(faces):
            raise NenrinError(
                f"{self.name} gave {len(vectors)} vectors for {len(faces)} faces: not an embedder"
            )
        return F.normalize(vectors, dim=1)


FACENET_FILES = {
    "vggface2": "20180402-114759-vggface2.pt",
    "casia-webface": "20180408-102900-casia-webface.pt",
}


class FacenetEmbedder:
    """facenet-pytorch's InceptionResnetV1 at 160 px. Weights come from `path`, torch's cache, or a download.

    Raises `NenrinError` if they are not available.
    """

    def __init__(self, path: Path | None = None, *, trained_on: str = "vggface2") -> None:
        from facenet_pytorch import InceptionResnetV1

        if trained_on not in FACENET_FILES:
            raise UsageError(f"unknown facenet weights {trained_on!r}; {suggest(trained_on, FACENET_FILES)}")
        if path is not None and not path.is_file():
            raise UsageError(f"no facenet weights at {path}")
        try:
            with patience(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._net = InceptionResnetV1(pretrained=None if path else trained_on)
                if path:
                    state = torch.load(path, weights_only=True, map_location="cpu")
                    # The published files include the classifier of their training, which we leave out.
                    state = {k: v for k, v in state.items() if not k.startswith("logits.")}
                    self._net.load_state_dict(state)
        except (URLError, OSError) as error:
            raise NenrinError(
                f"facenet's {trained_on} weights could not be fetched ({_first_line(error)}): "
                f"get {FACENET_FILES[trained_on]} and give its path, or use another embedder"
            ) from None
        except Exception as error:  # a damaged file fails in as many ways as pickle has opcodes
            raise NenrinError(f"{path} does not hold facenet's weights: {_first_line(error)}") from None
        self._net.eval().requires_grad_(False)
        self.name = f"facenet-{path.stem if path else trained_on}"
        self.key = f"{self.name} {_digest(path)}" if path else self.name

    def embed(self, images: Tensor) -> Tensor:
        """See `Embedder.embed`."""
        with torch.no_grad():
            vectors: Tensor = self._net(crop_arcface(images, 160))
        return F.normalize(vectors, dim=1)


class MTCNNEmbedder:
    """The penultimate layer (256 numbers) of MTCNN's output network, trained to place eyes and mouths.

    It comes with facenet-pytorch and was not trained on identity, so it distinguishes looks alone.
    """

    name = key = "mtcnn-256"

    def __init__(self) -> None:
        from facenet_pytorch.models.mtcnn import ONet

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.load without weights_only in older releases
            net: Any = ONet()
        self._net = net.eval().requires_grad_(False)

    def embed(self, images: Tensor) -> Tensor:
        """See `Embedder.embed`."""
        net, x = self._net, F.interpolate(crop_arcface(images), size=(48, 48), mode="area")
        with torch.no_grad():
            x = net.pool1(net.prelu1(net.conv1(x)))
            x = net.pool2(net.prelu2(net.conv2(x)))
            x = net.pool3(net.prelu3(net.conv3(x)))
            x = net.prelu4(net.conv4(x)).permute(0, 3, 2, 1).flatten(1)
            return F.normalize(net.prelu5(net.dense5(x)), dim=1)


IMAGENET: Mapping[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "mobilefacenet": IMAGENET,
    "arcface": {},  # InsightFace's networks: RGB, (x - 127.5) / 127.5
}


def embedder(spec: str) -> Embedder:
    """An embedder by word or file: "pixels", "mtcnn", "facenet", facenet's FILE.pt, or FILE.onnx.

    An ONNX file named after a preset gets the preset's preprocessing, any other that of ArcFace. Raises
    `UsageError` and `NenrinError` as the classes do, and `NenrinError` for one that does not embed faces.
    """
    opened = _open(spec)
    try:
        vectors = opened.embed(torch.zeros(2, 3, ARCFACE_SIZE, ARCFACE_SIZE))
    except NenrinError:
        raise
    except Exception as error:  # whatever the runtime raises for a network that cannot take a face
        raise NenrinError(f"{spec} cannot be run on a face: {_first_line(error)}") from None
    if vectors.ndim != 2 or len(vectors) != 2 or vectors.shape[1] < 2 or not vectors.isfinite().all():
        raise NenrinError(f"{spec} gave {list(vectors.shape)} numbers for 2 faces: not an embedder")
    return opened


def _open(spec: str) -> Embedder:
    path = Path(spec)
    if spec == PixelEmbedder.name:
        return PixelEmbedder()
    if spec == "mtcnn":
        return MTCNNEmbedder()
    if spec == "facenet":
        return FacenetEmbedder()
    if path.suffix == ".onnx":
        return OnnxEmbedder(path, **PRESETS.get(path.stem, PRESETS["arcface"]))
    if path.suffix in (".pt", ".pth"):
        return FacenetEmbedder(path)
    known = (PixelEmbedder.name, "mtcnn", "facenet", "twins", "FILE.onnx", "FILE.pt")
    raise UsageError(f"unknown embedder {spec!r}; {suggest(spec, known)}")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""MTCNN's three nets and their cascade (Zhang et al. 2016), with the weights of facenet-pytorch's package.

That package's own cascade finds the same faces (a test compares them). But where a face extends over the edge
of its picture, it stretches the visible part to the whole face and misplaces the points, by a quarter of the
distance between the eyes on crops as tight as UTKFace's. Its import also loads torchvision and torch's
compiler: four seconds and 200 MB for each worker of a build.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from nenrin.ground import NenrinError

THRESHOLDS = (0.6, 0.7, 0.7)  # of the three nets, as published
_FACTOR = 0.709  # from one scale of the pyramid to the next: half the area
_CELL, _STRIDE = 12, 2  # pixels: the first net's receptive field and stride
_BATCH = 32  # candidates at a time: 512 are no faster, and take 150 MB more

Floats = NDArray[np.float32]


class PNet(nn.Module):
    """Looks everywhere at once: (B, 3, H, W) to probabilities (B, 2, h, w) and moves (B, 4, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x).softmax(1), self.conv4_2(x)


class RNet(nn.Module):
    """Refines candidates (B, 3, 24, 24): probabilities (B, 2) and moves (B, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(x.permute(0, 3, 2, 1).flatten(1)))  # the weights count columns first
        return self.dense5_1(x).softmax(1), self.dense5_2(x)


class ONet(nn.Module):
    """Decides on candidates (B, 3, 48, 48): probabilities (B, 2), moves (B, 4), points (B, 10: x, then y)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def textures(self, x: Tensor) -> Tensor:
        """Features of textures, translation-equivariant, (B, 64, 10, 10)."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        found: Tensor = self.pool2(self.prelu2(self.conv2(x)))
        return found

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From `textures` to the last features with positions (B, 1152), and the final features (B, 256)."""
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).flatten(1)
        return x, self.prelu5(self.dense5(x))

    def decide(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From the final features to the net's outputs."""
        return self.dense6_1(x).softmax(1), self.dense6_2(x), self.dense6_3(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.decide(self.features(self.textures(x))[1])


def load(net: nn.Module, name: str) -> None:
    """Give a net of MTCNN its weights: "pnet", "rnet" or "onet". Raises `NenrinError` where they are not."""
    spec = importlib.util.find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        raise NenrinError("facenet-pytorch is not installed: MTCNN's weights are in its package")
    net.load_state_dict(torch.load(Path(spec.origin).parent / "data" / f"{name}.pt", weights_only=True))
    net.eval()


class Cascade:
    """The three nets in sequence, each on the candidates left by the one before."""

    def __init__(self) -> None:
        self._pnet, self._rnet, self._onet = PNet(), RNet(), ONet()
        for name, net in (("pnet", self._pnet), ("rnet", self._rnet), ("onet", self._onet)):
            load(net, name)
            # Pools twice as fast. (torch takes the format alone too, its stubs do not.)
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, pictures: NDArray[np.uint8], smallest: float) -> list[tuple[Floats, Floats]]:
        """Boxes (N, 5: left, top, right, bottom, score) and points (N, 5, 2) of each of (B, H, W, 3) RGB.

        Faces of fewer than `smallest` pixels are not looked for.
        """
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()  # stays channels last
        owner, boxes = self._propose(images, smallest)
        for net, side, threshold in ((self._rnet, 24, THRESHOLDS[1]), (self._onet, 48, THRESHOLDS[2])):
            boxes = _square(boxes)
            owner, boxes, crops = _crop(images, owner, boxes, side)
            answers = [net(crops[i : i + _BATCH]) for i in range(0, len(crops), _BATCH)]
            if not answers:
                return [(np.empty((0, 5), np.float32), np.empty((0, 5, 2), np.float32)) for _ in pictures]
            probability, moves, *more = (torch.cat(part).cpu().numpy() for part in zip(*answers, strict=True))
            sure = probability[:, 1] > threshold
            owner, boxes, moves = owner[sure], boxes[sure], moves[sure]
            boxes[:, 4] = probability[sure, 1]
            if not more:
                kept = _suppress(owner, boxes, 0.7)
                owner, boxes = owner[kept], _move(boxes[kept], moves[kept])
                continue
            extent = boxes[:, 2:4] - boxes[:, :2] + 1
            points = (
                more[0][sure].reshape(-1, 2, 5).transpose(0, 2, 1) * extent[:, None] + boxes[:, None, :2] - 1
            )
            boxes = _move(boxes, moves)
            kept = _suppress(owner, boxes, 0.7, smaller=True)
            owner, boxes, points = owner[kept], boxes[kept], points[kept]
        return [(boxes[owner == i], points[owner == i]) for i in range(len(pictures))]

    def _propose(self, images: Tensor, smallest: float) -> tuple[NDArray[np.int64], Floats]:
        """Candidates by the first net over an image pyramid: the index of each picture, and (N, 5) boxes."""
        height, width = images.shape[2:]
        owners, found = [np.empty(0, np.int64)], [np.empty((0, 5), np.float32)]
        moved = [np.empty((0, 4), np.float32)]
        scale = _CELL / smallest
        while min(height, width) * scale >= _CELL:
            small = interpolate(images, (int(height * scale + 1), int(width * scale + 1)), mode="area")
            probability, moves = self._pnet((small - 127.5) * 0.0078125)
            hits = probability[:, 1] >= THRESHOLDS[0]
            picture, y, x = hits.nonzero(as_tuple=True)
            corner = torch.stack([x, y], 1).float() * _STRIDE + 1
            corners = torch.cat([(corner / scale).floor(), ((corner + _CELL - 1) / scale).floor()], 1)
            boxes = torch.cat([corners, probability[:, 1][hits][:, None]], 1).cpu().numpy()
            owner = picture.cpu().numpy()
            kept = _suppress(owner, boxes, 0.5)
            owners.append(owner[kept])
            found.append(boxes[kept])
            moved.append(moves.permute(0, 2, 3, 1)[hits].cpu().numpy()[kept])
            scale *= _FACTOR
        owner, boxes, shifts = np.concatenate(owners), np.concatenate(found), np.concatenate(moved)
        kept = _suppress(owner, boxes, 0.7)
        owner, boxes, shifts = owner[kept], boxes[kept], shifts[kept]
        extent = np.tile(boxes[:, 2:4] - boxes[:, :2], 2)
        boxes[:, :4] += shifts * extent
        return owner, boxes


def _crop(
    images: Tensor, owner: NDArray[np.int64], boxes: Floats, side: int
) -> tuple[NDArray[np.int64], Floats, Tensor]:
    """The content of each box at `side` pixels, (N, 3, side, side); empty boxes are left out.

    Outside a picture the content is black, as published; cropping to the picture would move the points.
    """
    height, width = images.shape[2:]
    corners = boxes[:, :4].astype(np.int64) - np.array([1, 1, 0, 0])  # boxes count pixels from one
    low, high = corners[:, :2].clip(0), corners[:, 2:].clip(max=[width, height])
    some = np.flatnonzero((low < high).all(1))
    crops = []
    for i in some:
        (left, top), (right, bottom) = low[i], high[i]
        crop = images[owner[i], :, top:bottom, left:right]
        before, after = low[i] - corners[i, :2], corners[i, 2:] - high[i]
        if before.any() or after.any():
            crop = pad(crop, (before[0], after[0], before[1], after[1]))
        crops.append(interpolate(crop[None], (side, side), mode="area"))
    stacked = torch.cat(crops) if crops else images.new_empty((0, 3, side, side))
    return owner[some], boxes[some], (stacked - 127.5) * 0.0078125


def _square(boxes: Floats) -> Floats:
    """The boxes, extended to squares about their centres."""
    extent = boxes[:, 2:4] - boxes[:, :2]
    side = extent.max(1, keepdims=True)
    corner = boxes[:, :2] + extent * np.float32(0.5) - side * np.float32(0.5)
    return np.concatenate([corner, corner + side, boxes[:, 4:]], 1)


def _move(boxes: Floats, moves: Floats) -> Floats:
    """The boxes with their edges moved by fractions of their sides."""
    extent = np.tile(boxes[:, 2:4] - boxes[:, :2] + 1, 2)
    return np.concatenate([boxes[:, :4] + moves * extent, boxes[:, 4:]], 1)


def _suppress(
    owner: NDArray[np.int64], boxes: Floats, threshold: float, *, smaller: bool = False
) -> NDArray[np.int64]:
    """Non-maximum suppression of one picture's boxes: the rows to keep.

    Overlap is relative to the union, or to the smaller box, where pixels count at both ends, as published.
    """
    end = 1 if smaller else 0
    kept: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for picture in sorted(set(owner.tolist())):  # `np.unique` would import masked arrays
        rows = np.flatnonzero(owner == picture)
        rows = rows[np.argsort(-boxes[rows, 4], kind="stable")]
        left, top, right, bottom = boxes[rows, :4].T
        area = (right - left + end) * (bottom - top + end)
        across = np.minimum(right[:, None], right) - np.maximum(left[:, None], left) + end
        down = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top) + end
        both = across.clip(0) * down.clip(0)
        whole = np.minimum(area[:, None], area) if smaller else area[:, None] + area - both
        overlaps = both > threshold * whole
        alive = np.ones(len(rows), dtype=bool)
        for i in range(len(rows)):
            if alive[i]:
                alive[i + 1 :] &= ~overlaps[i, i + 1 :]
        kept.append(rows[alive])
    return np.concatenate(kept)

"""External detectors from a file: OpenCV's cascades, YOLO nets and YuNet as ONNX.

For a detector that gives boxes alone, our net marks the points in them; without its weights the template's
points are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.align import TEMPLATE
from nenrin.domains.find import Found
from nenrin.domains.finder.boxes import BOX, Floats, overlap
from nenrin.domains.finder.finder import NetFinder
from nenrin.domains.finder.look import WEIGHTS
from nenrin.ground import UsageError

_SURE = 0.4  # least score of a detection; nobody can know what an unknown net's scores mean
_ONE_FACE = 0.45  # IoU above which two boxes of an external net are one face
_CASCADE_LEAST = 24  # pixels, the smallest window of such cascades


class CascadeFinder:
    """A cascade of OpenCV 4, such as `lbpcascade_animeface.xml`, on grey pictures. It gives boxes, and no
    scores."""

    def __init__(self, path: Path, *, smallest: float = 0.04) -> None:
        try:
            self._cascade = cv2.CascadeClassifier(str(path))
        except (cv2.error, SystemError):
            self._cascade = cv2.CascadeClassifier()
        if self._cascade.empty():
            raise UsageError(f"{path} is no cascade that OpenCV can read")
        self._smallest = smallest
        self._points = NetFinder() if WEIGHTS.is_file() else None

    def find(self, pictures: Sequence[Image.Image]) -> list[list[Found]]:
        """Faces of each RGB picture, the largest first; each scores 1."""
        return [self._find(picture) for picture in pictures]

    def _find(self, picture: Image.Image) -> list[Found]:
        grey = cv2.equalizeHist(np.asarray(picture.convert("L")))
        least = max(round(self._smallest * max(picture.size)), _CASCADE_LEAST)
        found = self._cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in found], np.float32).reshape(-1, 4)
        order = np.argsort(-(boxes[:, 2] - boxes[:, 0]), kind="stable")
        return [Found(box=box, points=_points(self._points, picture, box), score=1.0) for box in boxes[order]]


class OnnxFinder:
    """An ONNX net of one of two layouts, recognised by its outputs.

    YOLO (5 to 11): one output (1, 4 + K, N) or (1, N, 4 + K) of centre, width and height in pixels of the
    input, and a score for each class; with fifteen more values (five points as x, y and visibility) if K is
    16, or ten more if K is 11. YOLO 5 with one class is (1, N, 6), with an objectness score before it.
    YuNet: OpenCV's `FaceDetectorYN`, which gives points too. Raises `UsageError` for any other.
    """

    def __init__(self, path: Path, *, smallest: float = 0.04, sure: float = _SURE) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no class
            raise UsageError(
                f"{path} is no ONNX net that can be read: {str(error).splitlines()[0]}"
            ) from None
        self._path, self._session, self._sure, self._smallest = path, session, sure, smallest
        (first, *others) = session.get_inputs()
        if others or len(first.shape) != 4 or first.shape[1] != 3:
            raise UsageError(f"{path} is no detector: it takes {[i.shape for i in session.get_inputs()]}")
        self._name = first.name
        self._type = np.float16 if first.type == "tensor(float16)" else np.float32
        height, width = first.shape[2:]
        self._size = (width, height) if isinstance(width, int) and isinstance(height, int) else (640, 640)
        self._yunet: Any = None
        if "kps_8" in {output.name for output in session.get_outputs()}:
            self._yunet = cv2.FaceDetectorYN.create(str(path), "", self._size, sure)
        self._points = NetFinder() if WEIGHTS.is_file() else None

    def find(self, pictures: Sequence[Image.Image]) -> list[list[Found]]:
        """Faces of each RGB picture, surest first."""
        return [self._find(picture) for picture in pictures]

    def _find(self, picture: Image.Image) -> list[Found]:
        scale = min(self._size[0] / picture.width, self._size[1] / picture.height)
        small = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
        canvas = np.full((self._size[1], self._size[0], 3), 114, np.uint8)
        canvas[: small[1], : small[0]] = np.asarray(picture.resize(small, Image.Resampling.BILINEAR))
        rows = self._look_yunet(canvas) if self._yunet is not None else self._look(canvas)
        rows[:, [0, 1, 2, 3, *range(5, rows.shape[1])]] /= np.float32(scale)
        rows = rows[np.ptp(rows[:, [0, 2]], axis=1) >= self._smallest * max(picture.size)]
        found = []
        for row in rows[_distinct(rows)]:
            points = row[5:].reshape(5, 2) if len(row) > 5 else _points(self._points, picture, row[:4])
            found.append(Found(box=row[:4], points=points, score=float(row[4])))
        return found

    def _look_yunet(self, canvas: NDArray[np.uint8]) -> Floats:
        _, found = self._yunet.detect(canvas[..., ::-1])
        if found is None:
            return np.empty((0, 15), np.float32)
        box = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], 1)
        return np.concatenate([box, found[:, 14:15], found[:, 4:14]], 1).astype(np.float32)

    def _look(self, canvas: NDArray[np.uint8]) -> Floats:
        pixels = (canvas.transpose(2, 0, 1)[None] / 255).astype(self._type)
        try:
            answer = np.asarray(self._session.run(None, {self._name: pixels})[0], np.float32)
        except Exception as error:  # onnxruntime's errors share no class
            raise UsageError(f"{self._path} fails on a picture: {str(error).splitlines()[0]}") from None
        if answer.ndim != 3 or len(answer) != 1 or min(answer.shape[1:]) < 5:
            raise UsageError(f"{self._path} gives {answer.shape}: neither YOLO's layout nor YuNet's")
        # The longer axis is that of the candidates; in YOLO 5 they are rows.
        in_rows = answer.shape[1] > answer.shape[2]
        rows = answer[0] if in_rows else answer[0].T
        half = rows[:, 2:4] / 2
        width = rows.shape[1]
        points = rows[:, :0]
        if width == 6 and in_rows:
            score = rows[:, 4] * rows[:, 5]
        elif width == 15:
            score, points = rows[:, 4], rows[:, 5:]
        elif width == 20:
            score, points = rows[:, 4], rows[:, 5:].reshape(-1, 5, 3)[..., :2].reshape(-1, 10)
        else:
            score = rows[:, 4:].max(1)
        table = np.concatenate([rows[:, :2] - half, rows[:, :2] + half, score[:, None], points], 1)
        sure: Floats = table[score >= self._sure]
        return sure


def _points(net: NetFinder | None, picture: Image.Image, box: Floats) -> Floats:
    """Our net's points in the box, else where the template has them."""
    points = None if net is None else net.points_in(picture, box)
    if points is not None:
        return points
    share = (TEMPLATE - BOX[:2]) / (BOX[2:] - BOX[:2])
    placed: Floats = (box[:2] + share * (box[2:] - box[:2])).astype(np.float32)
    return placed


def _distinct(rows: Floats) -> list[int]:
    """Non-maximum suppression of rows (N, 5 ...): the surest of overlapping boxes, surest first."""
    kept: list[int] = []
    for row in np.argsort(-rows[:, 4], kind="stable"):
        if not kept or overlap(rows[[row], :4], rows[kept, :4])[0].max() <= _ONE_FACE:
            kept.append(int(row))
    return kept

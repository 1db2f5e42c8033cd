"""From the net's outputs to faces: the candidates of one look, and merging those of several sizes."""

from __future__ import annotations

import dataclasses
import multiprocessing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.finder.boxes import Floats, overlap
from nenrin.ground import NenrinError

DOMAINS = ("photo", "cartoon", "manga")  # what the net tells apart
WEIGHTS = Path(__file__).parent / "weights" / "finder.onnx"

_ONE_FACE = 0.35  # IoU above which two boxes are one face
_INSIDE = 0.7  # also one face: boxes of which one holds this much of the other
_AGREES = 0.6  # IoU above which boxes are averaged


@dataclasses.dataclass(kw_only=True, slots=True)
class Seen:
    """N faces of one picture, in its pixels, surest first."""

    boxes: Floats  # (N, 4) left, top, right, bottom
    points: Floats  # (N, 5, 2)
    scores: Floats  # (N,) in [0, 1]
    domains: Floats  # (N, 3) probabilities of `DOMAINS`


class Eyes:
    """The shipped net: an ONNX file, run by onnxruntime, on one thread in a build's workers (of which there
    are as many as cores), else on all.

    Raises `NenrinError` for a file that is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        if not path.is_file():
            raise NenrinError(
                f"{path.name} is not there: train it (benchmarks/train_finder.py), or use mtcnn"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if multiprocessing.parent_process() else 0
        # Waiting threads do not spin, as two nets take turns and cores are often shared.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no class
            raise NenrinError(
                f"{path} does not hold the finder's net: {str(error).splitlines()[0]}"
            ) from None

    def look(self, pixels: NDArray[np.uint8], least: float) -> list[Floats]:
        """Candidates in (B, H, W, 3) RGB pictures, sides multiples of 32: for each picture (M, 18) with a
        score of at least `least`: box, score, points, probabilities of the domains."""
        (answers,) = self._session.run(None, {"pixels": pixels})
        logit = np.log(least / (1 - least))
        return [_candidates(answer[answer[:, 0] >= logit]) for answer in answers]

    def answers(self, pixels: NDArray[np.uint8]) -> Floats:
        """All N candidates of each picture, (B, N, 18), in the order of `look`."""
        (answers,) = self._session.run(None, {"pixels": pixels})
        return np.stack([_candidates(answer) for answer in answers])


def _candidates(rows: Floats) -> Floats:
    """The net's rows (M, 18) in the order of `Eyes.look`, with logits turned into probabilities."""
    score = 1 / (1 + np.exp(-rows[:, :1]))
    domain = np.exp(rows[:, 15:] - rows[:, 15:].max(1, keepdims=True))
    return np.concatenate([rows[:, 1:5], score, rows[:, 5:15], domain / domain.sum(1, keepdims=True)], 1)


def merge(rows: Floats) -> Seen:
    """Merge candidates (M, 18) into faces: those that overlap the surest one are averaged with it."""
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    faces = [np.empty((0, 15 + len(DOMAINS)), np.float32)]
    while len(rows):
        shared, inside = overlap(rows[:1, :4], rows[:, :4])
        votes = rows[(shared[0] > _AGREES) & (rows[:, 4] > 0.5 * rows[0, 4])]
        weight = votes[:, 4:5] ** 2
        face = (votes * weight).sum(0) / weight.sum()
        face[4] = rows[0, 4]
        faces.append(face.astype(np.float32)[None])
        rows = rows[(shared[0] <= _ONE_FACE) & (inside[0] <= _INSIDE)]
    found = np.concatenate(faces)
    return Seen(
        boxes=found[:, :4], points=found[:, 5:15].reshape(-1, 5, 2), scores=found[:, 4], domains=found[:, 15:]
    )

"""Nets that turn a photograph into a drawing, whatever format they come in, behind one call."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.weights import Contract
from nenrin.ground import NenrinError, UsageError

Pixels = NDArray[np.uint8]
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class Net(Protocol):
    """An image-to-image net: (B, H, W, 3), or (B, 3, H, W) where `channels_first`, to the same kind."""

    channels_first: bool
    side: int | None  # pixels, where the net takes one size only
    batch: int | None  # pictures, where it takes one number only
    dtype: Any

    def __call__(self, pictures: NDArray[Any]) -> NDArray[Any]: ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StylizerSpec:
    """All that determines what a stylizer draws. It is sent to other processes, which load the net."""

    path: Path
    sha256: str
    contract: Contract
    name: str
    licence: str | None


class Stylizer:
    """Draws aligned faces. Raises `UsageError` for a file that is not an image-to-image net."""

    def __init__(self, spec: StylizerSpec) -> None:
        self._path = spec.path
        self._contract = spec.contract
        self._net = _load(spec.path)
        if self._net.dtype == np.uint8:  # such a net scales pictures itself
            self._contract = dataclasses.replace(spec.contract, low=0.0, high=255.0)
        if None not in (self._net.side, spec.contract.side) and self._net.side != spec.contract.side:
            raise UsageError(f"{spec.path} takes {self._net.side} px and nothing else: leave out --side")

    def draw(self, faces: Pixels) -> Pixels:
        """The faces (B, S, S, 3) uint8 RGB as drawings of the same shape."""
        size = faces.shape[1]
        step = self._net.batch or len(faces)
        drawn = []
        for start in range(0, len(faces), step):
            some = faces[start : start + step]
            # A net with a fixed batch size gets the last face repeated to fill the batch.
            full = np.concatenate([some, np.repeat(some[-1:], step - len(some), axis=0)])
            drawn.append(self._batch(full)[: len(some)])
        return np.stack([_resize(picture, size) for picture in np.concatenate(drawn)])

    def _batch(self, faces: Pixels) -> Pixels:
        low, high = self._contract.low, self._contract.high
        side = self._net.side or self._contract.side or faces.shape[1]
        shares = np.stack([_resize(face, side) for face in faces]).astype(np.float32) / np.float32(255)
        values = self._turn(shares * np.float32(high - low) + np.float32(low))
        if self._net.channels_first:
            values = values.transpose(0, 3, 1, 2)
        if self._net.dtype == np.uint8:
            values = values.round()
        try:
            answer = self._net(np.ascontiguousarray(values, dtype=self._net.dtype))
        except Exception as error:  # each runtime has errors of its own
            raise UsageError(
                f"{self._path} does not take {side} px pictures ({_first_line(error)}): try another --side"
            ) from None
        answer = np.asarray(answer, dtype=np.float32)
        if answer.ndim != 4 or len(answer) != len(faces) or 3 not in (answer.shape[1], answer.shape[3]):
            raise UsageError(
                f"{self._path} is not an image-to-image net: for {values.shape} it gives {answer.shape}"
            )
        if not np.isfinite(answer).all():
            raise NenrinError(f"{self._path} gave values that are no numbers: the file is damaged")
        if answer.shape[3] != 3:
            answer = answer.transpose(0, 2, 3, 1)
        answer = (self._turn(answer) - low) / (high - low) * 255
        done: Pixels = answer.round().clip(0, 255).astype(np.uint8)
        return done

    def _turn(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """RGB to the net's channel order, and back."""
        return values[..., ::-1] if self._contract.channels == "bgr" else values


def _resize(picture: Pixels, side: int) -> Pixels:
    if picture.shape[:2] == (side, side):
        return picture
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def _load(path: Path) -> Net:
    with path.open("rb") as stream:
        start = stream.read(8)
    return _LiteRTNet(path) if start[4:] == b"TFL3" else _OnnxNet(path)


class _LiteRTNet:
    """A TensorFlow Lite file, run by `ai-edge-litert`."""

    dtype: Any = np.float32
    batch: int | None = 1  # more at a time are no faster on a CPU

    def __init__(self, path: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise UsageError(f"{path.name} needs ai-edge-litert: pip install 'nenrin[stylize]'") from None
        try:
            with _quiet():
                self._interpreter = Interpreter(model_path=str(path), num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UsageError(f"{path} is not a net that can be read: {_first_line(error)}") from None
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        kinds = [(detail["shape"].tolist(), np.dtype(detail["dtype"]).name) for detail in inputs]
        self.channels_first, self.side = _layout(path, kinds)

    def __call__(self, pictures: NDArray[Any]) -> NDArray[Any]:
        self._interpreter.set_tensor(self._input, pictures)
        self._interpreter.invoke()
        answer: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return answer


class _OnnxNet:
    """An ONNX file, run by onnxruntime."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # there are as many processes as cores already
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its classes come from C++ and have no base of their own
            raise UsageError(f"{path} is not a net that can be read: {_first_line(error)}") from None
        inputs = self._session.get_inputs()
        kinds = [
            ([n if isinstance(n, int) else -1 for n in each.shape], each.type.removeprefix("tensor("))
            for each in inputs
        ]
        self.channels_first, self.side = _layout(path, [(shape, kind.rstrip(")")) for shape, kind in kinds])
        self.dtype = _TYPES[inputs[0].type]
        self.batch = kinds[0][0][0] if kinds[0][0][0] > 0 else None
        self._name = inputs[0].name

    def __call__(self, pictures: NDArray[Any]) -> NDArray[Any]:
        answer: NDArray[Any] = self._session.run(None, {self._name: pictures})[0]
        return answer


def _layout(path: Path, inputs: list[tuple[list[int], str]]) -> tuple[bool, int | None]:
    """Whether the channels come first, and the side; from each input's shape (-1: any) and type."""
    shown = ", ".join(f"{kind} {tuple(shape)}" for shape, kind in inputs)
    problem = UsageError(f"{path} is not an image-to-image net: it takes {shown or 'nothing'}")
    if len(inputs) != 1:
        raise problem
    shape, kind = inputs[0]
    if (
        len(shape) != 4
        or 3 not in (shape[1], shape[3])
        or kind not in ("float32", "float", "float16", "uint8")
    ):
        raise problem
    channels_first = shape[1] == 3
    height, width = shape[2:] if channels_first else shape[1:3]
    if height != width and -1 not in (height, width):
        raise UsageError(f"{path} takes pictures of {width} x {height}, and faces are square")
    side = max(height, width)
    return channels_first, side if side > 0 else None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep messages of LiteRT's C++ off standard error, where the progress bar and errors go."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

"""How training pictures look: patterned grounds, the outlines of what is pasted, and the wear of scans and
screens."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def pattern(size: int, rng: Generator) -> Pixels:
    """A ground (size, size, 3) of gradients or noise at some scale, often with stripes, dots, shapes or
    text."""
    cells = int(rng.choice([1, 2, 4, 16, 64]))
    few = rng.integers(0, 256, (cells, cells, 3)).astype(np.float32)
    calm = rng.random()
    few = few.mean() + (few - few.mean()) * calm
    if rng.random() < 0.2:
        few[:] = rng.choice([0, 255, 245])
    how = cv2.INTER_CUBIC if rng.random() < 0.8 else cv2.INTER_NEAREST
    ground = cv2.resize(few.reshape(cells, cells, 3), (size, size), interpolation=how)
    canvas: Pixels = ground.clip(0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 4))):
        _scribble(canvas, rng)
    return canvas


def _scribble(canvas: Pixels, rng: Generator) -> None:
    """Draw shapes of one kind over the canvas."""
    size = canvas.shape[0]
    kind = int(rng.integers(5))
    thick = int(rng.integers(1, 4))
    if kind == 0:  # hatching or speed lines
        step, lean = int(rng.integers(4, 40)), int(rng.integers(-size, size))
        ink = _ink(rng)
        for x in range(-size, 2 * size, step):
            cv2.line(canvas, (x, 0), (x + lean, size), ink, thick, cv2.LINE_AA)
        return
    for _ in range(int(rng.integers(1, 14))):
        x, y, w, h = (int(v) for v in rng.integers(0, size, 4))
        ink = _ink(rng)
        fill = -1 if rng.random() < 0.5 else thick
        if kind == 1:
            cv2.ellipse(canvas, (x, y), (w // 4 + 1, h // 4 + 1), x, 0, 360, ink, fill, cv2.LINE_AA)
        elif kind == 2:
            cv2.rectangle(canvas, (x, y), (x + w // 2, y + h // 2), ink, fill)
        elif kind == 3:
            cv2.polylines(
                canvas, [rng.integers(0, size, (5, 2)).astype(np.int32)], False, ink, thick, cv2.LINE_AA
            )
        else:
            text = "".join(chr(c) for c in rng.integers(33, 126, 8))
            cv2.putText(
                canvas, text, (x - 40, y), int(rng.integers(8)), 0.3 + h / size, ink, thick, cv2.LINE_AA
            )


def _ink(rng: Generator) -> tuple[int, int, int]:
    if rng.random() < 0.4:
        return (0, 0, 0) if rng.random() < 0.6 else (255, 255, 255)
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
    return red, green, blue


def tiles(piece: Pixels, rng: Generator) -> Pixels:
    """A piece repeated over the canvas, smaller, as a texture."""
    size = piece.shape[0]
    side = size // int(rng.choice([2, 3, 4]))
    small = cv2.resize(piece, (side, side), interpolation=cv2.INTER_AREA)
    count = -(-size // side)
    return np.ascontiguousarray(np.tile(small, (count, count, 1))[:size, :size])


def outline(mask: Pixels, box: NDArray[np.float32], shape: str, rng: Generator) -> None:
    """Fill an oval or a rectangle about the face's box in the mask, from tight to wide."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    low = middle - half * rng.uniform(1.0, 2.2, 2)
    high = middle + half * rng.uniform(1.0, 2.2, 2)
    corners = [(int(x), int(y)) for x, y in (low, high)]
    if shape == "square":
        cv2.rectangle(mask, corners[0], corners[1], 255, -1)
    else:
        centre, axes = (low + high) / 2, (high - low) / 2 * 1.1
        cv2.ellipse(mask, (int(centre[0]), int(centre[1])), (int(axes[0]), int(axes[1])), 0, 0, 360, 255, -1)


def blend(under: Pixels, over: Pixels, alpha: Pixels) -> Pixels:
    """`over` where the mask (S, S) is 255, `under` where it is 0."""
    share = alpha[..., None].astype(np.uint16)
    mixed = over * share + under * (255 - share)
    return (mixed // 255).astype(np.uint8)


def weather(pixels: Pixels, rng: Generator) -> Pixels:
    """The picture with other light and colours, grey, in screentone, blurred, noisy or compressed."""
    values: NDArray[np.float32] = pixels.astype(np.float32)
    if rng.random() < 0.6:
        values = (values - 128) * rng.uniform(0.5, 1.3) + 128 + rng.normal(0, 25)
    if rng.random() < 0.4:
        values *= rng.uniform(0.75, 1.25, 3).astype(np.float32)
    if rng.random() < 0.15:
        values = values[..., rng.permutation(3)]
    if rng.random() < 0.3:
        values = np.repeat((values @ np.array([0.299, 0.587, 0.114], np.float32))[..., None], 3, 2)
        if rng.random() < 0.3:
            values = _screentone(values, rng)
        if rng.random() < 0.2:  # one colour of print
            values = values * rng.uniform(0.5, 1, 3).astype(np.float32) + rng.uniform(0, 90)
    if rng.random() < 0.15:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 1.6)).astype(np.float32, copy=False)
    if rng.random() < 0.25:
        grain = rng.standard_normal((*values.shape[:2], int(rng.choice([1, 3]))), dtype=np.float32)
        values += grain * np.float32(rng.uniform(2, 18))
    done = values.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))]
        printed = cv2.imdecode(cv2.imencode(".jpg", done, quality)[1], cv2.IMREAD_UNCHANGED)
        assert printed is not None, "it was encoded a line before"
        done = printed.astype(np.uint8, copy=False)
    return np.ascontiguousarray(done)


def _screentone(values: NDArray[np.float32], rng: Generator) -> NDArray[np.float32]:
    """Grey as dots of black on white, by a threshold that waves across the page."""
    size = values.shape[0]
    y, x = np.mgrid[:size, :size].astype(np.float32)
    pitch, angle = rng.uniform(2.2, 5), rng.uniform(0, np.pi / 2)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    wave = np.cos(2 * np.pi * u / pitch) + np.cos(2 * np.pi * v / pitch)
    sharp = rng.uniform(1, 6)
    toned: NDArray[np.float32] = (values - 128 - wave[..., None] * rng.uniform(25, 60)) * sharp + 128
    return toned.clip(0, 255)

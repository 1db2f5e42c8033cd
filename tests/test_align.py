"""Alignment: five points to one template, whatever the picture's scale, turn and place."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.transform import estimate_transform

from nenrin.domains.align import OUTSIDE, TEMPLATE, align, frame_mask, similarity, transform


def face_picture(size: int) -> np.ndarray:
    """A smooth picture whose five points are discs of their own colours, at the template's places."""
    y, x = np.mgrid[:size, :size] + 0.5
    picture = np.stack([40 + 100 * x / size, 60 + 80 * y / size, np.full_like(x, 90)], -1)
    for k, (px, py) in enumerate(TEMPLATE * size):
        picture[np.hypot(x - px, y - py) < size * 0.03] = (250, 50 * k, 255 - 50 * k)
    return picture.round().astype(np.uint8)


def moved(
    size: int, angle: float, scale: float, shift: tuple[float, float]
) -> tuple[Image.Image, np.ndarray]:
    """That picture turned, scaled and shifted onto a canvas of 400 x 320, and its points there."""
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]], [0, 0, 1]])
    inverse = np.linalg.inv(matrix)
    picture = Image.fromarray(face_picture(size)).transform(
        (400, 320), Image.Transform.AFFINE, inverse[:2].ravel().tolist(), Image.Resampling.BICUBIC
    )
    return picture, transform(matrix[None, :2].astype(np.float32), TEMPLATE[None] * size)[0]


@pytest.mark.parametrize(
    ("angle", "scale", "shift"),
    [(0, 1, (100, 60)), (0.3, 1.2, (120, 30)), (-0.5, 0.7, (110, 160)), (0.1, 1.9, (40, -20))],
)
def test_alignment_undoes_a_known_move(angle: float, scale: float, shift: tuple[float, float]) -> None:
    picture, points = moved(160, angle, scale, shift)
    aligned, frames = align([picture], points[None], 160)
    inside = frame_mask(frames, 160)[0] > 0
    difference = np.abs(aligned[0].astype(int) - face_picture(160)).mean(-1)
    # Edges of the discs are softened twice; the shift of a pixel would cost more than 3.
    assert inside.mean() > 0.7
    assert difference[inside].mean() < 1.5


def test_a_large_picture_is_reduced_without_aliasing() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), 1000)[None, :, None].repeat(2000, 0).repeat(3, 2)
    aligned, _ = align([Image.fromarray(stripes)], TEMPLATE[None] * 2000, 100)
    assert aligned.std() < 3  # to mean grey; picking pixels would leave stripes or one of the two colours
    assert abs(aligned.mean() - 127.5) < 2


def test_similarity_is_umeyamas() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 5, 2)) * 30 + 100
    ours = similarity(points, 128)
    for five, matrix in zip(points, ours, strict=True):
        reference = estimate_transform("similarity", five, TEMPLATE.astype(float) * 128)
        np.testing.assert_allclose(matrix, reference.params[:2], atol=1e-3)


def test_the_frame_marks_what_the_picture_does_not_have() -> None:
    white = Image.new("RGB", (100, 80), "white")
    points = TEMPLATE[None] * 100 - np.array([0, 20])  # the top fifth of the square lies above the picture
    aligned, frames = align([white], points, 50)
    mask = frame_mask(frames, 50)[0]
    assert (mask[:10] == 0).all()
    assert (mask[10:] == 255).all()
    assert (aligned[0][mask == 255] == 255).all()
    assert (aligned[0][mask == 0] == OUTSIDE).all()


def test_a_batch_of_mixed_sizes_equals_one_at_a_time() -> None:
    moves = [(0.0, 1.0, (100.0, 60.0)), (0.3, 1.2, (120.0, 30.0)), (-0.5, 0.7, (110.0, 160.0))]
    pictures, points = zip(*(moved(160, *move) for move in moves), strict=True)
    together, _ = align(pictures, np.stack(points), 64)
    for picture, five, row in zip(pictures, points, together, strict=True):
        alone, _ = align([picture], five[None], 64)
        np.testing.assert_array_equal(alone[0], row)

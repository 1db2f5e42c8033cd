"""The features of a drawn head as curves, in units of the picture's side."""

from __future__ import annotations

import numpy as np

from nenrin.domains.twins.anatomy import (
    CLOTH,
    EAR,
    EAR_SHAPE,
    FACE,
    NECK,
    NOSE,
    NOSE_BASE,
    WRINKLE_DEPTH,
    WRINKLE_ONSET,
    WRINKLES,
)
from nenrin.domains.twins.curves import Floats, ellipse, ramp, spline
from nenrin.domains.twins.frame import Frame


class Head(Frame):
    """N heads, ready to be drawn."""

    def face(self) -> Floats:
        """Outline of the face (N, 64, 2), clockwise from the top."""
        return spline(self.place(FACE), 64, closed=True)

    def ears(self) -> Floats:
        """Both ears (N, 2, 20, 2). They grow all life long (Heathcote, BMJ 311, 1995)."""
        size = 0.9 + 0.06 * self.people.ear_size + 0.0035 * np.maximum(self.age.years - 20, 0)
        size = size * (1 + 0.12 * (1 - self.age.grown))
        shape = spline(EAR_SHAPE, 20, closed=True) * size[:, None, None]
        return self.pair(EAR, shape)

    def neck(self) -> Floats:
        """Neck and shoulders (N, 48, 2)."""
        return self._body(NECK)

    def cloth(self) -> Floats:
        """Clothes (N, 48, 2)."""
        return self._body(CLOTH)

    def _body(self, template: Floats) -> Floats:
        points = np.repeat(template[None], len(self.people), axis=0)
        young = 1 - self.age.grown
        slim = 1 - 0.16 * (1 - np.maximum(self.age.masculine, 0)) - 0.24 * young
        points[..., 0] *= slim[:, None]
        points[..., 1] -= 9 * young[:, None]  # a child has hardly any neck
        return spline(self.place(points, body=True), 48, closed=True)

    def eye_size(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Half width and half height of the opening, then of the iris: (N,) each, mm."""
        people, age, style = self.people, self.age, self.style
        own = 1 + 0.07 * people.eye_size
        female = 1 - 0.05 * age.masculine * style.eye_dimorphism
        open_ = age.eyes**style.eye_growth
        width = 15.4 * own * style.eye_width * (1 + 0.42 * (age.eyes - 1))
        height = 5.6 * own * female * style.eye_height * open_
        iris = 6.6 * own**0.5 * age.iris
        return (
            width,
            height,
            iris * style.iris_width,
            iris * style.iris_height * np.minimum(open_, 1.6) ** 0.8,
        )

    def lids(self) -> tuple[Floats, Floats]:
        """Edges of the upper and lower lids of both eyes, left to right, (N, 2, 13, 2) each."""
        width, height, _, _ = (v[:, None] for v in self.eye_size())
        t = np.linspace(-1, 1, 13, dtype=np.float32)  # from the inner to the outer corner
        droop = ramp(self.age.years, 38, 90)[:, None]
        tilt = (1.3 * self.people.eye_tilt - 2.0 * ramp(self.age.years, 40, 90))[:, None] + 1.0
        upper = -1.12 * height * (1 - np.abs(t + 0.08 * t * t) ** 2.3).clip(0) ** 0.85
        upper = upper * (1 - 0.35 * droop * ramp(t, -0.1, 0.8))
        lower = 0.88 * height * (1 - t * t) ** 0.9
        lean = -tilt * t
        right = [np.stack([width * t, edge + lean], axis=-1) for edge in (upper, lower)]
        flip = np.array([-1, 1], np.float32)
        edges = [
            np.concatenate(
                [self.attach(self.eyes[:, :1], (e * flip)[:, ::-1]), self.attach(self.eyes[:, 1:], e)], axis=1
            )
            for e in right
        ]
        return edges[0], edges[1]

    def iris(self, size: float = 1.0, *, shift: tuple[float, float] = (0, 0)) -> Floats:
        """Discs as large as the iris times `size`, moved by `shift` radii: (N, 2, 20, 2)."""
        _, _, width, height = self.eye_size()
        radii = np.stack([width, height], axis=1)[:, None]
        gaze = self.views.gaze[:, None] * np.array([2.2, 0.8], np.float32)
        return self.attach(self.eyes, (ellipse(20) * size + np.array(shift, np.float32)) * radii + gaze)

    def brows(self) -> Floats:
        """Middle lines of both brows from the inner to the outer end, (N, 2, 9, 2)."""
        people, age = self.people, self.age
        rise = self.style.brow_rise + 1.6 * people.brow_height - 3.0 * age.masculine
        rise = rise + 2.0 * (1 - age.grown) - 2.0 * age.sag
        tilt = (1.0 * people.brow_tilt + 0.6 * age.masculine) * (0.3 + 0.7 * age.grown) - 1.2 * (
            1 - age.grown
        )
        arch = 2.6 + 1.2 * people.brow_arch - 1.2 * age.masculine
        points = np.empty((len(people), 5, 3), np.float32)
        for i, (x, up, lean) in enumerate(
            [(13, 0.0, -1), (22, 0.45, -0.5), (33, 0.9, 0), (43, 0.7, 0.6), (51, -0.5, 1)]
        ):
            points[:, i] = np.stack(
                [
                    np.full_like(rise, x),
                    -22.5 - rise - arch * up - tilt * lean,
                    np.full_like(rise, 86 - 0.6 * (x - 12)),
                ],
                1,
            )
        points[..., 0] *= 1 + 0.03 * people.eye_spacing[:, None]
        flip = points * np.array([-1, 1, 1], np.float32)
        return np.stack([spline(self.place(flip), 9), spline(self.place(points), 9)], axis=1)

    def nose_tip(self) -> Floats:
        """Where the tip of the nose lies, (N, 1, 2)."""
        return self.place(NOSE[None])

    def wing_size(self) -> Floats:
        """Half width of the nose, (N,) mm. Noses keep growing, and children's are short and flat."""
        people, age = self.people, self.age
        grown = 1 + 0.004 * np.maximum(age.years - 25, 0) - 0.16 * (1 - age.grown)
        wide = 16.5 * (1 + 0.1 * people.nose_width + 0.05 * age.masculine) * grown * self.style.nose
        return wide.astype(np.float32, copy=False)

    def mouth_lines(self) -> tuple[Floats, Floats, Floats]:
        """Upper edge, line between the lips, lower edge: (N, 11, 2) each, left corner to right corner."""
        people, age, views = self.people, self.age, self.views
        smile = views.smile[:, None]
        half = (23.5 * (1 + 0.08 * people.mouth_width + 0.03 * age.masculine) * self.style.mouth)[:, None]
        half = half * (1 + 0.1 * smile) * (0.84 + 0.16 * age.grown[:, None])
        full = (1 + 0.2 * people.lips - 0.08 * age.masculine - 0.55 * age.thin_lips - 0.2 * (1 - age.grown))[
            :, None
        ]
        t = np.linspace(-1, 1, 11, dtype=np.float32)
        corner = (3.2 * age.sag - 0.8)[:, None] - 7.0 * smile
        line = corner * (t * t - 0.35) + 0.9 * np.cos(np.pi * 2 * t) * (1 - np.abs(t))
        body = (1 - t * t) ** 0.75
        bow = 1 - 0.28 * np.exp(-((t / 0.16) ** 2))
        upper = line - 6.0 * full * body * bow
        lower = line + 8.4 * full * body**1.1
        x = half * t
        edges = self.attach(
            self.mouth, np.concatenate([np.stack([x, y], -1) for y in (upper, line, lower)], 1)
        )[:, 0]
        return edges[:, :11], edges[:, 11:22], edges[:, 22:]

    def nose_wings(self) -> Floats:
        """Lines around the wings of the nose, left and right, (N, 2, 7, 2)."""
        wide = self.wing_size()[:, None]
        t = np.linspace(0, 1, 7, dtype=np.float32)
        x = wide * (0.82 + 0.2 * np.sin(np.pi * np.minimum(t * 1.2, 1)))
        x[:, -1] = 0.72 * wide[:, 0]
        return self.pair(NOSE_BASE, np.stack([x, np.broadcast_to(-9 + 11.5 * t, x.shape)], -1))

    def nostrils(self) -> Floats:
        """Left and right, (N, 2, 10, 2)."""
        hole = np.repeat(ellipse(10)[None] * np.array([3.6, 1.7], np.float32), len(self.people), axis=0)
        return self.pair(
            NOSE_BASE, hole + np.stack([0.42 * self.wing_size(), np.full(len(hole), 0.6)], 1)[:, None]
        )

    def fold_depth(self, *, delay: float = 0.0) -> Floats:
        """How deep each wrinkle is, (N, S): 0 before its age, about 1 in the end; `delay` in years."""
        people, years = self.people, self.age.years[:, None]
        depth = np.clip((years - WRINKLE_ONSET - delay) / (92 - WRINKLE_ONSET - delay) + 0.03, 0, 1)
        deep: Floats = WRINKLE_DEPTH * np.power(depth, 0.85) * (1 + 0.12 * people.wrinkling[:, None])
        return deep

    def folds(self) -> Floats:
        """Lines of the wrinkles, right and left, (N, S, 2, 9, 2)."""
        controls = self.place(WRINKLES.reshape(-1, 3)).reshape(-1, *WRINKLES.shape[:3], 2)
        return spline(controls, 9)

    def lenses(self, size: float = 1.0) -> Floats:
        """Rims of glasses, (N, 2, 28, 2): superellipses about the eyes."""
        power = np.array([2.0, 2.6, 4.5], np.float32)[self.people.rim][:, None]
        width = np.array([22.5, 26, 26], np.float32)[self.people.rim][:, None]
        height = np.array([22.5, 18, 18.5], np.float32)[self.people.rim][:, None]
        height = height * (1 + 0.3 * (self.style.eye_height > 1)) * (1 + 0.12 * (1 - self.age.grown[:, None]))
        t = np.linspace(0, 2 * np.pi, 28, endpoint=False, dtype=np.float32)
        x, y = (np.sign(f(t)) * np.abs(f(t)) ** (2 / power) for f in (np.cos, np.sin))
        return self.attach(self.eyes, np.stack([x * width * size, y * height * size + 2], -1))

    def gleam(self) -> Floats:
        """The light on both lenses, above and to the left, (N, 2, 10, 2)."""
        rim, inside = self.lenses(0.8)[:, :, 15:20], self.lenses(0.62)[:, :, 15:20]
        return np.concatenate([rim, inside[:, :, ::-1]], axis=2)

    def points(self) -> Floats:
        """The five points (N, 5, 2) in POINTS order."""
        _, line, _ = self.mouth_lines()
        return np.concatenate([self.eyes, self.nose_tip(), line[:, :1], line[:, -1:]], axis=1)

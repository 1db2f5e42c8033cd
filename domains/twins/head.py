"""The drawn head: grown, turned, brought to the template, and its features as curves.

Everything here is in units of the picture's side, [0, 1], so that the same curves are drawn at any size.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from nenrin.domains.align import TEMPLATE
from nenrin.domains.twins.curves import Floats, ellipse, mirror, ramp, spline
from nenrin.domains.twins.growth import Age, grow
from nenrin.domains.twins.people import People, View


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Proportions:
    """What a style of drawing does to a face, relative to life."""

    eye_width: float = 1.0
    eye_height: float = 1.0
    eye_growth: float = 1.0  # exponent on the law that makes young eyes large
    iris_width: float = 1.0
    iris_height: float = 1.0
    nose: float = 1.0
    mouth: float = 1.0
    pointed: float = 0.0
    brow: float = 1.0
    brow_rise: float = 0.0  # millimetres


LIFE = Proportions()
MANGA = Proportions(
    eye_width=1.28, eye_height=2.0, eye_growth=1.35, iris_width=1.5, iris_height=1.8, nose=0.7, mouth=0.6,
    pointed=0.5, brow=0.6, brow_rise=7.0,
)  # fmt: skip

_EYES = np.array([[-31.5, 0, 75], [31.5, 0, 75]], np.float32)
_MOUTH = np.array([0, 68, 92], np.float32)
_NOSE = np.array([0, 36, 112], np.float32)
_FACE = mirror(
    np.array(
        [
            [0, 112, 86], [13, 111, 80], [26, 105, 66], [40, 92, 46], [51, 74, 26], [59, 50, 16], [65, 24, 12],
            [67, 0, 8], [66, -22, 6], [63, -46, 6], [56, -68, 8], [42, -90, 8], [22, -106, 4], [0, -112, 0],
        ],
        np.float32,
    )
)[1:]  # fmt: skip
_EAR = np.array([[74, 16, -4], [-74, 16, -4]], np.float32)
_EAR_SHAPE = np.array(
    [[-4, -21], [3, -24], [9, -20], [11, -10], [9, 2], [6, 12], [2, 21], [-4, 22], [-6, 10], [-6, -8]],
    np.float32,
)
_NECK = np.array(
    [[-46, 60, 0], [-44, 95, 0], [-46, 120, 0], [-62, 132, 0], [-110, 146, 0], [-150, 200, 0], [150, 200, 0],
     [110, 146, 0], [62, 132, 0], [46, 120, 0], [44, 95, 0], [46, 60, 0]], np.float32
)  # fmt: skip
_CLOTH = np.array(
    [[-58, 122, 0], [-66, 132, 0], [-110, 143, 0], [-165, 175, 0], [-165, 290, 0], [165, 290, 0], [165, 175, 0],
     [110, 143, 0], [66, 132, 0], [58, 122, 0], [34, 150, 0], [0, 164, 0], [-34, 150, 0]], np.float32
)  # fmt: skip


def _wrinkles() -> Floats:
    """The folds of an old face, (S, 2, 3, 3): right and left, three points each, on the adult template."""
    right = [
        [[8, -47, 84], [26, -49, 80], [46, -45, 62]],  # forehead
        [[9, -57, 78], [26, -59, 74], [44, -55, 58]],
        [[8, -67, 70], [24, -69, 66], [40, -65, 52]],
        [[4, -24, 90], [5.5, -16, 91], [4.5, -8, 90]],  # glabella
        [[50, -4, 62], [57, -9, 52], [63, -11, 42]],  # crow's feet
        [[51, 1, 62], [58, 1, 52], [65, 2, 40]],
        [[49, 6, 62], [56, 11, 52], [62, 15, 42]],
        [[19, 9, 78], [30, 15, 78], [45, 10, 70]],  # under the eye
        [[17, 13, 78], [29, 22, 78], [43, 19, 68]],
        [[18, 38, 92], [27, 50, 88], [34, 66, 80]],  # nasolabial
        [[29, 76, 84], [33, 86, 80], [33, 97, 74]],  # marionette
        [[46, 40, 60], [51, 54, 52], [50, 70, 46]],  # cheek
    ]
    both = np.stack([np.array(right), np.array(right) * [-1, 1, 1]], axis=1)
    return both.astype(np.float32)


WRINKLES = _wrinkles()
# The age at which each fold begins to show, and how deep it is in the end.
WRINKLE_ONSET = np.array([28, 36, 48, 34, 32, 38, 46, 34, 52, 25, 42, 58], np.float32)
WRINKLE_DEPTH = np.array([0.8, 0.75, 0.6, 0.7, 0.7, 0.7, 0.6, 0.6, 0.6, 1, 0.9, 0.6], np.float32)


class Head:
    """N grown, posed and aligned heads."""

    def __init__(self, people: People, age: Age, views: View, style: Proportions) -> None:
        self.people, self.age, self.views, self.style = people, age, views, style
        # Both styles share one frame: that of the lifelike head, whose eyes and mouth centre fit the template.
        self._turn = _rotation(views.yaw, views.pitch, views.roll)
        eyes = np.repeat(_EYES[None], len(people), axis=0)
        eyes[..., 0] *= 1 + 0.03 * people.eye_spacing[:, None]
        eyes[..., 1] += 1.2 * people.eye_height[:, None]
        self._anchor = np.concatenate([eyes, np.broadcast_to([_MOUTH, _NOSE], (len(people), 2, 3))], 1)
        grown = grow(self._anchor, people, age)
        flat = (grown @ self._turn)[..., :2]
        target = np.stack([TEMPLATE[0], TEMPLATE[1], TEMPLATE[3:].mean(axis=0)])
        self._linear, self._shift = _similarity(flat[:, :3], target)
        #: Length of an adult's millimetre on this face: soft parts scale with the distance of the eyes.
        self.unit: Floats = (grown[:, 1, 0] - grown[:, 0, 0]) / (63 * (1 + 0.03 * people.eye_spacing))
        self.scale: Floats = np.hypot(self._linear[:, 0, 0], self._linear[:, 1, 0])  # picture sides per mm
        self.eyes = flat[:, :2] @ self._linear + self._shift  # (N, 2, 2)
        self.mouth = flat[:, 2:3] @ self._linear + self._shift  # (N, 1, 2)

    def place(self, points: Floats, *, body: bool = False) -> Floats:
        """Template points (M, 3) or (N, M, 3) in the picture, (N, M, 2). The `body` does not turn along."""
        grown = grow(points, self.people, self.age, pointed=self.style.pointed)
        turned = grown[..., :2] if body else (grown @ self._turn)[..., :2]
        return turned @ self._linear + self._shift

    def attach(self, centres: Floats, offsets: Floats) -> Floats:
        """Flat shapes, `offsets` (N, K, 2) in adult millimetres about each of `centres` (N, E, 2): (N, E, K, 2)."""
        turned = offsets @ self._turn[:, :2, :2]
        return centres[:, :, None] + ((turned @ self._linear) * self.unit[:, None, None])[:, None]

    # -- features -----------------------------------------------------------------------------------------

    def face(self) -> Floats:
        """Outline of the face (N, 64, 2), clockwise from the top."""
        return spline(self.place(_FACE), 64, closed=True)

    def ears(self) -> Floats:
        """Both ears (N, 2, 20, 2). They grow all life long (Heathcote, BMJ 311, 1995)."""
        size = 0.9 + 0.06 * self.people.ear_size + 0.0035 * np.maximum(self.age.years - 20, 0)
        size = size * (1 + 0.12 * (1 - self.age.grown))
        shape = spline(_EAR_SHAPE, 20, closed=True) * size[:, None, None]
        centres = self.place(_EAR)
        both = np.concatenate(
            [
                self.attach(centres[:, :1], shape),
                self.attach(centres[:, 1:], shape * np.array([-1, 1], np.float32)),
            ],
            axis=1,
        )
        return both

    def neck(self) -> Floats:
        """Neck and shoulders (N, 48, 2)."""
        return self._body(_NECK)

    def cloth(self) -> Floats:
        """Clothes (N, 48, 2)."""
        return self._body(_CLOTH)

    def _body(self, template: Floats) -> Floats:
        points = np.repeat(template[None], len(self.people), axis=0)
        young = 1 - self.age.grown
        slim = 1 - 0.16 * (1 - np.maximum(self.age.masculine, 0)) - 0.24 * young
        points[..., 0] *= slim[:, None]
        points[..., 1] -= 9 * young[:, None]  # a child has hardly any neck
        return spline(self.place(points, body=True), 48, closed=True)

    def eye_size(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Half width and half height of the opening, half width and half height of the iris: (N,) each, mm."""
        people, age, style = self.people, self.age, self.style
        own = 1 + 0.07 * people.eye_size
        female = 1 - 0.05 * np.maximum(age.masculine, 0) + 0.05 * np.maximum(-age.masculine, 0)
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
        return self.place(_NOSE[None])

    def wing_size(self) -> Floats:
        """Half width of the nose, (N,) mm. Noses keep growing, and children's are short and flat."""
        people, age = self.people, self.age
        grown = 1 + 0.004 * np.maximum(age.years - 25, 0) - 0.16 * (1 - age.grown)
        return 16.5 * (1 + 0.1 * people.nose_width + 0.05 * age.masculine) * grown * self.style.nose

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
        edges = self.attach(self.mouth, np.concatenate([np.stack([x, y], -1) for y in (upper, line, lower)], 1))[:, 0]
        return edges[:, :11], edges[:, 11:22], edges[:, 22:]

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


def _rotation(yaw: Floats, pitch: Floats, roll: Floats) -> Floats:
    """Matrices (N, 3, 3) that turn row vectors: first pitch, then yaw, then roll."""
    (a, b, c) = (np.deg2rad(angle) for angle in (yaw, pitch, roll))
    zero, one = np.zeros_like(a), np.ones_like(a)

    def matrix(*rows: list[Floats]) -> Floats:
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    about_x = matrix([one, zero, zero], [zero, np.cos(b), -np.sin(b)], [zero, np.sin(b), np.cos(b)])
    about_y = matrix([np.cos(a), zero, -np.sin(a)], [zero, one, zero], [np.sin(a), zero, np.cos(a)])
    about_z = matrix([np.cos(c), np.sin(c), zero], [-np.sin(c), np.cos(c), zero], [zero, zero, one])
    return (about_x @ about_y @ about_z).astype(np.float32)


def _similarity(source: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Least-squares similarities (Umeyama 1991) from `source` (N, M, 2) to `target` (M, 2): A, b of p A + b."""
    middle, goal = source.mean(axis=1, keepdims=True), target.mean(axis=0)
    p, q = source - middle, target - goal
    norm = (p * p).sum(axis=(1, 2))
    cos = (p * q).sum(axis=(1, 2)) / norm
    sin = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(axis=1) / norm
    linear = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], axis=-2).astype(np.float32)
    return linear, (goal - middle @ linear).astype(np.float32)

"""The pictures that the demo model learns: one or two flat shapes on a plain background.

A `Scene` says what is in a picture; `render` draws it, anti-aliased, with NumPy. Whether a
combination is held out of training is a fixed property of the combination.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]

IMAGE_SIZE_PX = 64
SHAPES = ("circle", "square", "triangle", "star")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 165, 60),
    "blue": (40, 80, 225),
    "yellow": (245, 215, 40),
    "orange": (245, 130, 25),
    "purple": (135, 55, 175),
    "cyan": (40, 200, 215),
    "pink": (245, 130, 190),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
}
SIZES = ("small", "medium", "large")
RADIUS_PX = (7.5, 10.5, 14.0)
PAIR_RADIUS_PX = (7.5, 9.2, 11.0)
DIAGONAL_RADIUS_PX = (7.5, 8.7, 10.0)
CELLS = (
    "top left",
    "top",
    "top right",
    "left",
    "centre",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)
CELL_CENTRES_PX = (18.0, 32.0, 46.0)
CELL_BORDERS_PX = (25.0, 39.0)
PAIR_CENTRES_PX = (16.5, 47.5)
JITTER_PX = 1.5
RADIUS_JITTER = 0.07
OUTER_RADIUS = 1.3
"""How far the corners of a triangle and the points of a star reach, in radii."""
HELD_OUT_SHARE = 10
"""One combination in this many is held out of training."""

# Arrangements of two shapes: which cell the first and the second one take.
ARRANGEMENTS: dict[str, tuple[int, int]] = {
    "side by side": (3, 5),
    "one above the other": (1, 7),
    "falling": (0, 8),
    "rising": (6, 2),
}

_COLOUR_RGB = np.array(list(COLOURS.values()), np.float32)
_BACKGROUND_RGB = np.array(list(BACKGROUNDS.values()), np.float32)
_CENTRES = np.arange(IMAGE_SIZE_PX, dtype=np.float32) + 0.5


@dataclass(frozen=True)
class Shape:
    """One shape of a scene: indices into COLOURS, SHAPES, SIZES and CELLS."""

    colour: int
    shape: int
    size: int
    cell: int

    @property
    def kind(self) -> tuple[int, int]:
        return self.colour, self.shape


@dataclass(frozen=True)
class Scene:
    """What a picture shows. `arrangement` is a key of ARRANGEMENTS for two shapes, else None."""

    background: int
    shapes: tuple[Shape, ...]
    arrangement: str | None = None

    @property
    def is_held_out(self) -> bool:
        """Whether this combination is held out of training, to measure generalization."""
        if len(self.shapes) == 1:
            s = self.shapes[0]
            key = f"one {s.colour} {s.shape} {s.size} {s.cell}"
        else:
            key = "two {} {}".format(*sorted(s.kind for s in self.shapes))
        return int(hashlib.sha256(key.encode()).hexdigest(), 16) % HELD_OUT_SHARE == 0


def sample_scene(
    rng: np.random.Generator, *, held_out: bool = False, pair_share: float = 0.38
) -> Scene:
    """A random scene from the training combinations, or from the held-out ones."""
    while True:
        background = int(rng.integers(3))
        if rng.random() >= pair_share:
            cell = 4 if rng.random() < 0.15 else int(rng.integers(9))
            shape = Shape(int(rng.integers(8)), int(rng.integers(4)), int(rng.integers(3)), cell)
            scene = Scene(background, (shape,))
        else:
            arrangement = str(rng.choice(list(ARRANGEMENTS), p=[0.38, 0.38, 0.12, 0.12]))
            first, second = ARRANGEMENTS[arrangement]
            size = int(rng.integers(3))
            a = (int(rng.integers(8)), int(rng.integers(4)))
            b = a if rng.random() < 0.25 else (int(rng.integers(8)), int(rng.integers(4)))
            scene = Scene(
                background, (Shape(*a, size, first), Shape(*b, size, second)), arrangement
            )
        if scene.is_held_out == held_out:
            return scene


def render(scenes: list[Scene], rng: np.random.Generator) -> Images:
    """Pictures float32[n, 64, 64, 3] with values 0..255; position and size vary a little."""
    drawings: list[list[tuple[int, int, float, float, float]]] = []
    for scene in scenes:
        row: list[tuple[int, int, float, float, float]] = []
        for s in scene.shapes:
            x, y, radius = _position(scene, s)
            dx, dy = rng.uniform(-JITTER_PX, JITTER_PX, 2)
            radius *= 1 + rng.uniform(-RADIUS_JITTER, RADIUS_JITTER)
            row.append((s.colour, s.shape, x + dx, y + dy, radius))
        drawings.append(row)
    return _draw([s.background for s in scenes], drawings)


def render_clutter(count: int, rng: np.random.Generator) -> Images:
    """Pictures with one to four shapes anywhere, so that the autoencoder learns more positions."""
    drawings: list[list[tuple[int, int, float, float, float]]] = []
    for _ in range(count):
        drawings.append(
            [
                (
                    int(rng.integers(8)),
                    int(rng.integers(4)),
                    float(rng.uniform(8, 56)),
                    float(rng.uniform(8, 56)),
                    float(rng.uniform(5.5, 14.5)),
                )
                for _ in range(int(rng.integers(1, 5)))
            ]
        )
    return _draw([int(rng.integers(3)) for _ in range(count)], drawings)


def surroundings(scene: Scene, grid: int, margin_px: float = 4.0) -> NDArray[np.bool_]:
    """Which positions of a grid are on a shape or next to one, bool[grid, grid]."""
    centres = (np.arange(grid, dtype=np.float32) + 0.5) * (IMAGE_SIZE_PX / grid)
    near = np.zeros((grid, grid), np.bool_)
    for shape in scene.shapes:
        x, y, radius = _position(scene, shape)
        distance = np.hypot((centres - x)[None, :], (centres - y)[:, None])
        near |= distance <= OUTER_RADIUS * radius + margin_px
    return near


def coverage(shape: int, x: float, y: float, radius: float) -> Images:
    """How much of every pixel a shape covers, float32[64, 64] in 0..1."""
    dx, dy = (_CENTRES - x)[None, :], (_CENTRES - y)[:, None]
    name = SHAPES[shape]
    if name == "circle":
        distance = np.hypot(dx, dy) - radius
    elif name == "square":
        distance = np.maximum(np.abs(dx), np.abs(dy)) - 0.9 * radius
    elif name == "triangle":
        inradius = OUTER_RADIUS * radius / 2
        slope = math.sqrt(3) / 2
        sides = np.maximum(-0.5 * dy + slope * dx, -0.5 * dy - slope * dx)
        distance = np.maximum(dy, sides) - inradius
    else:
        distance = _star_distance(dx, dy, OUTER_RADIUS * radius)
    return np.clip(0.5 - distance, 0, 1).astype(np.float32)


def _star_distance(dx: Images, dy: Images, outer: float) -> Images:
    """Signed distance to the edge lines of a five-pointed star that points up."""
    inner = 0.45 * outer
    sector = 2 * math.pi / 5
    angle = np.abs((np.arctan2(dx, -dy) + sector / 2) % sector - sector / 2)
    r = np.hypot(dx, dy)
    px, py = r * np.cos(angle), r * np.sin(angle)
    edge_x = inner * math.cos(sector / 2) - outer
    edge_y = inner * math.sin(sector / 2)
    length = math.hypot(edge_x, edge_y)
    return (((px - outer) * edge_y - py * edge_x) / length).astype(np.float32)


def _position(scene: Scene, shape: Shape) -> tuple[float, float, float]:
    column, row = shape.cell % 3, shape.cell // 3
    if scene.arrangement is None:
        return CELL_CENTRES_PX[column], CELL_CENTRES_PX[row], RADIUS_PX[shape.size]
    if scene.arrangement in ("falling", "rising"):
        radius = DIAGONAL_RADIUS_PX[shape.size]
        return CELL_CENTRES_PX[column], CELL_CENTRES_PX[row], radius
    middle = IMAGE_SIZE_PX / 2
    x = middle if column == 1 else PAIR_CENTRES_PX[column // 2]
    y = middle if row == 1 else PAIR_CENTRES_PX[row // 2]
    return x, y, PAIR_RADIUS_PX[shape.size]


def _draw(
    backgrounds: list[int], drawings: list[list[tuple[int, int, float, float, float]]]
) -> Images:
    size = IMAGE_SIZE_PX
    images = np.empty((len(drawings), size, size, 3), np.float32)
    for i, (background, shapes) in enumerate(zip(backgrounds, drawings, strict=True)):
        images[i] = _BACKGROUND_RGB[background]
        for colour, shape, x, y, radius in shapes:
            cover = coverage(shape, x, y, radius)[..., None]
            images[i] += cover * (_COLOUR_RGB[colour] - images[i])
    return images

"""Scores a picture against its prompt, by geometry alone, without a learned model.

A pixel belongs to a shape if its colour is far from the background's. Shapes are connected
components, classified by their area relative to their bounding box and convex hull.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export.demo import scenes
from model_export.demo.captions import Said

FOREGROUND_DISTANCE = 55.0
"""A pixel further than this from the background (Euclidean, RGB) belongs to a shape."""
SMALLEST_AREA_PX = 14
BACKGROUND_TOLERANCE = 40.0
STAR_SOLIDITY = 0.80
SQUARE_FILL = 0.90
CIRCLE_FILL = 0.68
APART_PX = 8.0

_PALETTE = np.array(list(scenes.COLOURS.values()), np.float32)
_BACKGROUND_PALETTE = np.array(list(scenes.BACKGROUNDS.values()), np.float32)


@dataclass(frozen=True)
class Found:
    """One shape found in a picture: palette index, shape index, centre and area in pixels."""

    colour: int
    shape: int
    x: float
    y: float
    area: float
    outline: float
    """Overlap (intersection over union) with a perfect shape of that name, area and centre."""

    @property
    def cell(self) -> int:
        low, high = scenes.CELL_BORDERS_PX
        column, row = (0 if v < low else 2 if v > high else 1 for v in (self.x, self.y))
        return row * 3 + column


@dataclass(frozen=True)
class Analysis:
    """What a picture shows: background index, its distance from the palette, shapes by area."""

    background: int
    background_distance: float
    shapes: tuple[Found, ...]


Scores = dict[str, list[bool]]
"""Attribute name to one verdict for each request of it."""


def analyse(picture: NDArray[np.uint8]) -> Analysis:
    """Find background and shapes in a picture uint8[64, 64, 3]."""
    from scipy import ndimage

    pixels = picture.astype(np.float32)
    strips = (pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:])
    border = np.concatenate([strip.reshape(-1, 3) for strip in strips])
    background = np.median(border, axis=0)
    distances = np.linalg.norm(_BACKGROUND_PALETTE - background, axis=1)
    mask = np.linalg.norm(pixels - background, axis=-1) > FOREGROUND_DISTANCE
    labelled: Any = ndimage.label(mask)
    labels, count = labelled
    found = [
        _describe(pixels, background, labels == label)
        for label in range(1, count + 1)
        if (labels == label).sum() >= SMALLEST_AREA_PX
    ]
    found.sort(key=lambda shape: -shape.area)
    return Analysis(int(distances.argmin()), float(distances.min()), tuple(found))


def score(picture: NDArray[np.uint8], said: Said) -> Scores:
    """Compare a picture with what its prompt states. A missing shape fails all its attributes."""
    seen = analyse(picture)
    scores: Scores = {"count": [len(seen.shapes) == len(said.shapes)]}
    if said.background is not None:
        scores["background"] = [
            seen.background == said.background and seen.background_distance < BACKGROUND_TOLERANCE
        ]
    matched = _match(seen.shapes[: len(said.shapes)], said)
    for (colour, shape), found in zip(said.shapes, matched, strict=True):
        if colour is not None:
            scores.setdefault("colour", []).append(found is not None and found.colour == colour)
        if shape is not None:
            scores.setdefault("shape", []).append(found is not None and found.shape == shape)
            scores.setdefault("crisp", []).append(found is not None and found.outline > 0.85)
    if said.cell is not None:
        found = matched[0]
        scores["position"] = [found is not None and found.cell == said.cell]
    if said.arrangement is not None:
        scores["arrangement"] = [_is_arranged(matched, said)]
    names = ("colour", "shape", "count", "position", "background", "arrangement")
    scores["everything"] = [all(v for name in names for v in scores.get(name, []))]
    return scores


def percentages(scores: Sequence[Scores]) -> dict[str, tuple[float, int]]:
    """For every attribute, (percent right, number of requests)."""
    gathered: Scores = {}
    for one in scores:
        for name, verdicts in one.items():
            gathered.setdefault(name, []).extend(verdicts)
    return {name: (100 * float(np.mean(v)), len(v)) for name, v in gathered.items()}


def _describe(
    pixels: NDArray[np.float32], background: NDArray[np.float32], mask: NDArray[np.bool_]
) -> Found:
    from scipy import ndimage
    from scipy.spatial import ConvexHull

    core: NDArray[np.bool_] = np.asarray(ndimage.binary_erosion(mask), bool)
    rgb = np.median(pixels[core if core.sum() >= 4 else mask], axis=0)
    colour = int(np.linalg.norm(_PALETTE - rgb, axis=1).argmin())
    cover = _cover(pixels, background, rgb, mask)
    rows, columns = np.indices(mask.shape) + 0.5
    area = float(cover.sum())
    x, y = float((cover * columns).sum() / area), float((cover * rows).sum() / area)

    ys, xs = np.nonzero(mask)
    box = (xs.max() - xs.min() + 1) * (ys.max() - ys.min() + 1)
    corners = np.concatenate([np.stack([xs + a, ys + b], 1) for a in (0, 1) for b in (0, 1)])
    fill, solidity = len(xs) / box, len(xs) / ConvexHull(corners).volume
    name = (
        "star"
        if solidity < STAR_SOLIDITY
        else "square"
        if fill > SQUARE_FILL
        else "circle"
        if fill > CIRCLE_FILL
        else "triangle"
    )
    shape = scenes.SHAPES.index(name)
    ideal = scenes.coverage(shape, x, y, float(np.sqrt(area / _UNIT_AREAS[shape])))
    outline = float(np.minimum(ideal, cover).sum() / np.maximum(ideal, cover).sum())
    return Found(colour, shape, x, y, area, outline)


def _cover(
    pixels: NDArray[np.float32],
    background: NDArray[np.float32],
    rgb: NDArray[np.float32],
    mask: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """How much of each pixel the shape covers, from how far its colour is from the background."""
    from scipy import ndimage

    towards = rgb - background
    share = ((pixels - background) @ towards) / max(1.0, float(towards @ towards))
    near = ndimage.binary_dilation(mask, iterations=2)
    return np.where(near, np.clip(share, 0, 1), 0).astype(np.float32)


def _match(found: Sequence[Found], said: Said) -> list[Found | None]:
    """The assignment of found shapes to requested ones that gets most colours and shapes right."""
    padded: list[Found | None] = [*found, *([None] * (len(said.shapes) - len(found)))]

    def agreement(order: tuple[Found | None, ...]) -> int:
        pairs = zip(order, said.shapes, strict=True)
        return sum((f.colour == c) + (f.shape == s) for f, (c, s) in pairs if f is not None)

    return list(max(permutations(padded), key=agreement))


def _is_arranged(matched: Sequence[Found | None], said: Said) -> bool:
    first, second = matched
    if first is None or second is None:
        return False
    is_alike = said.shapes[0] == said.shapes[1]
    if is_alike and first.x + first.y > second.x + second.y:
        first, second = second, first
    dx, dy = second.x - first.x, second.y - first.y
    if said.arrangement == "side by side":
        return dx > APART_PX and abs(dy) < APART_PX
    if said.arrangement == "one above the other":
        return dy > APART_PX and abs(dx) < APART_PX
    if said.arrangement == "falling":
        return dx > APART_PX and dy > APART_PX
    return min(abs(dx), abs(dy)) > APART_PX and dx * dy < 0 and (is_alike or dx > 0)


_UNIT_AREAS = [
    float(scenes.coverage(shape, 32, 32, 16).sum()) / 16**2 for shape in range(len(scenes.SHAPES))
]

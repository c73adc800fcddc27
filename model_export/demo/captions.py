"""Captions for scenes: the wordings the demo model is trained on, and held-out ones for scoring.

A caption states part of what its picture shows; `Said` records which part. Training captions come
from a grammar with many word orders, synonyms and fillers. Held-out captions put the same content
words into sentence frames and carrier words that training never sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model_export.demo.scenes import BACKGROUNDS, CELLS, COLOURS, SHAPES, Scene, Shape

_COLOURS, _BACKGROUNDS = tuple(COLOURS), tuple(BACKGROUNDS)
_SIZES = (
    ("small", "tiny", "little"),
    ("medium", "medium-sized", "medium sized"),
    ("large", "big", "huge"),
)
_CELLS: tuple[tuple[str, ...], ...] = (
    (
        "in the top left corner",
        "in the upper left corner",
        "at the top left",
        "in the top left",
        "top left",
        "in the upper left",
    ),
    ("at the top", "near the top", "on top", "in the top middle", "top", "at the top centre"),
    (
        "in the top right corner",
        "in the upper right corner",
        "at the top right",
        "in the top right",
        "top right",
        "in the upper right",
    ),
    ("on the left", "at the left", "on the left side", "to the left", "left", "at the left edge"),
    ("in the centre", "in the center", "in the middle", "centred", "centered", "centre", "middle"),
    (
        "on the right",
        "at the right",
        "on the right side",
        "to the right",
        "right",
        "at the right edge",
    ),
    (
        "in the bottom left corner",
        "in the lower left corner",
        "at the bottom left",
        "in the bottom left",
        "bottom left",
        "in the lower left",
    ),
    ("at the bottom", "near the bottom", "on the bottom", "in the bottom middle", "bottom"),
    (
        "in the bottom right corner",
        "in the lower right corner",
        "at the bottom right",
        "in the bottom right",
        "bottom right",
        "in the lower right",
    ),
)
_OPENINGS = (
    "a picture of",
    "an image of",
    "a drawing of",
    "there is",
    "a photo of",
    "draw",
    "show",
    "make",
    "a simple picture of",
    "a painting of",
    "an icon of",
    "i see",
    "i want",
    "please draw",
    "a flat design of",
    "an illustration of",
    "generate",
    "here is",
)
_ENDINGS = (".", "!", ", simple", ", flat colours", ", clean", ", minimal", ", geometric shapes")
_BACKGROUND_PHRASES = (
    " on a {} background",
    " on a {} background",
    " on a {} background",
    " on {}",
    " on {}",
    ", {} background",
    " with a {} background",
    " over {}",
    " against a {} backdrop",
    " on a plain {} background",
    ", background {}",
    ", background: {}",
    " and a {} background",
    ", the background is {}",
    " in front of a {} background",
    " against {}",
    " on top of a {} surface",
    ". the background is {}",
)
_CELL_JOINTS = (
    " ",
    " ",
    " ",
    " ",
    ", ",
    " placed ",
    " located ",
    " which is ",
    " drawn ",
    ". it is ",
)


@dataclass(frozen=True)
class Said:
    """What a caption states; None for what it leaves out. Indices as in `Shape`."""

    shapes: tuple[tuple[int | None, int | None], ...]
    """(colour, shape) of each shape, in the scene's order."""
    background: int | None = None
    size: int | None = None
    cell: int | None = None
    """The cell of a single shape."""
    arrangement: str | None = None
    """The arrangement of two shapes."""


def caption(scene: Scene, rng: np.random.Generator, *, complete: bool = False) -> tuple[str, Said]:
    """A training wording for a scene. `complete` captions leave nothing out.

    The position is left out only if it is the expected one: the middle, or side by side in the
    order named. Otherwise the model would have to choose a position from noise alone, and would
    draw a shape twice or mix two shapes.
    """
    words = _Words(scene, rng, complete)
    text = words.pair() if len(scene.shapes) == 2 else words.single()
    return text, words.said()


def held_out_caption(scene: Scene, rng: np.random.Generator) -> tuple[str, Said]:
    """A wording that no training caption has. It states everything about a scene, except for the
    positions of a pair."""
    background = _BACKGROUNDS[scene.background]
    first = scene.shapes[0]
    size = _SIZES[first.size][0]
    if len(scene.shapes) == 1:
        colour, shape = _COLOURS[first.colour], SHAPES[first.shape]
        cell = _CELLS[first.cell][0 if first.cell % 2 == 0 and first.cell != 4 else 1]
        frames = (
            f"could you sketch {_article(size)} {colour} {shape} {cell} "
            f"of {_article(background)} sheet",
            f"{colour}-toned {shape}, {size}, sits {cell}, {background} wallpaper",
            f"minimalist poster featuring {_article(size)} {colour} {shape} {cell}, "
            f"with {background} behind everything",
            f"my kid's {size} {colour} {shape}, stuck {cell} onto {background} paper",
            f"vector art where {_article(colour)} {size} {shape} appears {cell} of the frame, "
            f"canvas {background}",
            f"logo idea: {shape} coloured {colour}, {size}, {cell}, all of it upon {background}",
        )
        said = Said(((first.colour, first.shape),), scene.background, first.size, first.cell)
    else:
        second = scene.shapes[1]
        one = f"{_COLOURS[first.colour]} {SHAPES[first.shape]}"
        two = f"{_COLOURS[second.colour]} {SHAPES[second.shape]}"
        if first.kind == second.kind:
            frames = (
                f"could you sketch two {size} {one}s upon {_article(background)} sheet",
                f"vector art featuring exactly two {one}s, {size}, {background} wallpaper",
                f"poster with two identical {size} {one}s, {background} behind everything",
            )
        else:
            frames = (
                f"could you sketch {_article(size)} {one} together with {_article(size)} {two} "
                f"upon {_article(background)} sheet",
                f"{one} plus {two}, both {size}, {background} wallpaper",
                f"minimalist poster featuring both {_article(one)} and {_article(two)}, "
                f"with {background} behind everything",
                f"vector art where {_article(one)} meets {_article(two)}, canvas {background}",
            )
        kinds = ((first.colour, first.shape), (second.colour, second.shape))
        said = Said(kinds, scene.background)
    return _pick(rng, frames), said


class _Words:
    """Builds one caption: what it states, and the random choices of wording."""

    def __init__(self, scene: Scene, rng: np.random.Generator, complete: bool) -> None:
        self._scene, self._rng = scene, rng
        self._says_background = complete or rng.random() < 0.65
        self._says_size = complete or rng.random() < 0.45
        self._says_position = complete or rng.random() < 0.25 or not self._is_as_expected()
        self._says_colour = complete or rng.random() < 0.92
        self._says_shape = complete or rng.random() < 0.97
        self._is_bare = rng.random() < 0.15

    def said(self) -> Said:
        first = self._scene.shapes[0]
        kinds = tuple(
            (s.colour if self._says_colour else None, s.shape if self._says_shape else None)
            for s in self._scene.shapes
        )
        single = len(kinds) == 1
        return Said(
            kinds,
            self._scene.background if self._says_background else None,
            first.size if self._says_size else None,
            first.cell if single and self._says_position else None,
            self._scene.arrangement if self._says_position else None,
        )

    def _is_as_expected(self) -> bool:
        if self._scene.arrangement is None:
            return self._scene.shapes[0].cell == CELLS.index("centre")
        return self._scene.arrangement == "side by side"

    def single(self) -> str:
        shape = self._scene.shapes[0]
        draw = self._rng.random()
        if draw < 0.08:
            return self._list(shape)
        if draw < 0.16:
            return self._sentences(shape)
        subject = self._subject(shape)
        position = self._choose(_CELLS[shape.cell]) if self._says_position else ""
        background = self._background()
        if position:
            order = self._rng.random()
            if order < 0.15:
                text = f"{position}, {subject}{background}"
            elif order < 0.25 and background:
                text = f"{subject}{background}, {position}"
            else:
                text = f"{subject}{self._choose(_CELL_JOINTS)}{position}{background}"
        else:
            text = subject + background
        return self._framed(text)

    def pair(self) -> str:
        first, second = self._scene.shapes
        if first.kind == second.kind:
            return self._framed(self._two_alike(first) + self._background())
        swapped = self._rng.random() < 0.5 and self._says_position
        a, b = (second, first) if swapped else (first, second)
        one, two = self._subject(a), self._subject(b)
        if not self._says_position:
            joint = self._choose(
                (
                    " and ",
                    " and ",
                    " and ",
                    " with ",
                    " next to ",
                    ", ",
                    " beside ",
                    " plus ",
                    " & ",
                )
            )
            text = f"{one}{joint}{two}"
        elif self._rng.random() < 0.5 or self._scene.arrangement in ("falling", "rising"):
            joint = self._choose((" and ", " and ", ", "))
            where_a, where_b = self._choose(_CELLS[a.cell]), self._choose(_CELLS[b.cell])
            text = f"{one} {where_a}{joint}{two} {where_b}"
        else:
            text = f"{one} {self._relation(swapped)} {two}"
        return self._framed(text + self._background())

    def _relation(self, swapped: bool) -> str:
        if self._scene.arrangement == "side by side":
            side = "right" if swapped else "left"
            return self._choose((f"to the {side} of", f"{side} of", f"on the {side} of"))
        below = ("below", "under", "beneath", "underneath")
        return self._choose(below if swapped else ("above", "on top of", "over"))

    def _two_alike(self, shape: Shape) -> str:
        count = self._choose(("two", "two", "two", "a pair of", "2", "both"))
        if count == "both":
            count = "two"
        text = f"{count} {self._noun(shape, plural=True)}"
        if not self._says_position:
            return text
        where = {
            "side by side": (
                " side by side",
                " next to each other",
                " in a row",
                " left and right",
            ),
            "one above the other": (
                " above each other",
                " stacked",
                " one above the other",
                " top and bottom",
            ),
            "falling": (" top left and bottom right",),
            "rising": (" bottom left and top right",),
        }
        return text + self._choose(where[self._scene.arrangement or ""])

    def _subject(self, shape: Shape) -> str:
        noun = self._noun(shape)
        if self._is_bare:
            return noun
        draw = self._rng.random()
        if draw < 0.08:
            return f"one {noun}"
        if draw < 0.14:
            return f"the {noun}"
        if draw < 0.18:
            return f"a single {noun}"
        return _article(noun)

    def _noun(self, shape: Shape, *, plural: bool = False) -> str:
        name = (
            SHAPES[shape.shape] if self._says_shape else self._choose(("shape", "thing", "figure"))
        )
        name += "s" if plural else ""
        size = self._choose(_SIZES[shape.size]) if self._says_size else ""
        colour = _COLOURS[shape.colour] if self._says_colour else ""
        if colour:
            draw = self._rng.random()
            if draw < 0.05:
                colour = f"{colour}-{self._choose(('coloured', 'colored'))}"
            elif draw < 0.10:
                name, colour = f"{name} in {colour}", ""
            elif draw < 0.13 and not plural:
                name, colour = f"{name} that is {colour}", ""
            elif draw < 0.17:
                colour = f"{self._choose(('bright', 'solid', 'flat', 'plain'))} {colour}"
        if size and colour and self._rng.random() < 0.12:
            size, colour = colour, size
        return " ".join(w for w in (size, colour, name) if w)

    def _background(self) -> str:
        if not self._says_background:
            return ""
        return self._choose(_BACKGROUND_PHRASES).format(self._background_word())

    def _background_word(self) -> str:
        word = _BACKGROUNDS[self._scene.background]
        return "gray" if word == "grey" and self._rng.random() < 0.5 else word

    def _list(self, shape: Shape) -> str:
        """Attributes separated by commas, in any order, with or without their names."""
        parts: list[tuple[str, str]] = []
        if self._says_shape:
            parts.append(("shape", SHAPES[shape.shape]))
        if self._says_colour:
            parts.append((self._choose(("colour", "color")), _COLOURS[shape.colour]))
        if self._says_size:
            parts.append(("size", self._choose(_SIZES[shape.size])))
        if self._says_position:
            parts.append(("position", self._choose(_CELLS[shape.cell])))
        named = self._rng.random() < 0.5
        texts = [f"{k}: {v}" if named else v for k, v in parts]
        if self._says_background:
            word = self._background_word()
            texts.append(f"background: {word}" if named else f"{word} background")
        return ", ".join(texts[int(i)] for i in self._rng.permutation(len(texts)))

    def _sentences(self, shape: Shape) -> str:
        name = SHAPES[shape.shape] if self._says_shape else "shape"
        said: list[str] = []
        if self._says_colour:
            said.append(
                f"{self._choose(('it is', 'the ' + name + ' is'))} {_COLOURS[shape.colour]}"
            )
        if self._says_size:
            said.append(f"it is {self._choose(_SIZES[shape.size])}")
        if self._says_position:
            said.append(f"it is {self._choose(_CELLS[shape.cell])}")
        if self._says_background:
            said.append(f"the background is {self._background_word()}")
        order = [said[int(i)] for i in self._rng.permutation(len(said))]
        joint = self._choose((". ", ", ", " and "))
        return joint.join([_article(name), *order])

    def _framed(self, text: str) -> str:
        if self._rng.random() < (0.1 if self._is_bare else 0.4):
            text = f"{self._choose(_OPENINGS)} {text}"
        return text + self._choose(_ENDINGS) if self._rng.random() < 0.12 else text

    def _choose(self, options: Sequence[str]) -> str:
        return _pick(self._rng, options)


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun

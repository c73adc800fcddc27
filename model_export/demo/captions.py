"""Captions for scenes: a grammar with many word orders, synonyms and fillers, for training.

A caption states part of what its picture shows; `Said` records which part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model_export.demo.scenes import CELLS, SHAPES, Scene, Shape
from model_export.demo.wordings import (
    ARRANGEMENT_PHRASES,
    BACKGROUND_NAMES,
    BACKGROUND_PHRASES,
    CELL_JOINTS,
    CELL_WORDS,
    COLOUR_NAMES,
    ENDINGS,
    OPENINGS,
    PAIR_JOINTS,
    SIZE_WORDS,
    a_or_an,
    pick,
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
        position = self._choose(CELL_WORDS[shape.cell]) if self._says_position else ""
        background = self._background()
        if position:
            order = self._rng.random()
            if order < 0.15:
                text = f"{position}, {subject}{background}"
            elif order < 0.25 and background:
                text = f"{subject}{background}, {position}"
            else:
                text = f"{subject}{self._choose(CELL_JOINTS)}{position}{background}"
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
            text = f"{one}{self._choose(PAIR_JOINTS)}{two}"
        elif self._rng.random() < 0.5 or self._scene.arrangement in ("falling", "rising"):
            joint = self._choose((" and ", " and ", ", "))
            where_a, where_b = (
                self._choose(CELL_WORDS[a.cell]),
                self._choose(CELL_WORDS[b.cell]),
            )
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
        return text + self._choose(ARRANGEMENT_PHRASES[self._scene.arrangement or ""])

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
        return a_or_an(noun)

    def _noun(self, shape: Shape, *, plural: bool = False) -> str:
        name = (
            SHAPES[shape.shape] if self._says_shape else self._choose(("shape", "thing", "figure"))
        )
        name += "s" if plural else ""
        size = self._choose(SIZE_WORDS[shape.size]) if self._says_size else ""
        colour = COLOUR_NAMES[shape.colour] if self._says_colour else ""
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
        return self._choose(BACKGROUND_PHRASES).format(self._background_word())

    def _background_word(self) -> str:
        word = BACKGROUND_NAMES[self._scene.background]
        return "gray" if word == "grey" and self._rng.random() < 0.5 else word

    def _list(self, shape: Shape) -> str:
        """Attributes separated by commas, in any order, with or without their names."""
        parts: list[tuple[str, str]] = []
        if self._says_shape:
            parts.append(("shape", SHAPES[shape.shape]))
        if self._says_colour:
            parts.append((self._choose(("colour", "color")), COLOUR_NAMES[shape.colour]))
        if self._says_size:
            parts.append(("size", self._choose(SIZE_WORDS[shape.size])))
        if self._says_position:
            parts.append(("position", self._choose(CELL_WORDS[shape.cell])))
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
                f"{self._choose(('it is', 'the ' + name + ' is'))} {COLOUR_NAMES[shape.colour]}"
            )
        if self._says_size:
            said.append(f"it is {self._choose(SIZE_WORDS[shape.size])}")
        if self._says_position:
            said.append(f"it is {self._choose(CELL_WORDS[shape.cell])}")
        if self._says_background:
            said.append(f"the background is {self._background_word()}")
        order = [said[int(i)] for i in self._rng.permutation(len(said))]
        joint = self._choose((". ", ", ", " and "))
        return joint.join([a_or_an(name), *order])

    def _framed(self, text: str) -> str:
        if self._rng.random() < (0.1 if self._is_bare else 0.4):
            text = f"{self._choose(OPENINGS)} {text}"
        return text + self._choose(ENDINGS) if self._rng.random() < 0.12 else text

    def _choose(self, options: Sequence[str]) -> str:
        return pick(self._rng, options)

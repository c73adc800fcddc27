"""The words and phrases that captions are made of.

What stands several times in a list is chosen as much more often.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model_export.demo.scenes import BACKGROUNDS, COLOURS

COLOUR_NAMES, BACKGROUND_NAMES = tuple(COLOURS), tuple(BACKGROUNDS)
SIZE_WORDS = (
    ("small", "tiny", "little"),
    ("medium", "medium-sized", "medium sized"),
    ("large", "big", "huge"),
)
CELL_WORDS: tuple[tuple[str, ...], ...] = (
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
OPENINGS = (
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
ENDINGS = (".", "!", ", simple", ", flat colours", ", clean", ", minimal", ", geometric shapes")
BACKGROUND_PHRASES = (
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
CELL_JOINTS = (
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
PAIR_JOINTS = (
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
ARRANGEMENT_PHRASES = {
    "side by side": (" side by side", " next to each other", " in a row", " left and right"),
    "one above the other": (
        " above each other",
        " stacked",
        " one above the other",
        " top and bottom",
    ),
    "falling": (" top left and bottom right",),
    "rising": (" bottom left and top right",),
}
"""Of two shapes alike."""


def pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def a_or_an(noun: str) -> str:
    """The noun, or what stands before it, with its article."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun

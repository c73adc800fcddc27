"""Captions for scoring: the words of training in sentence frames that training never sees."""

from __future__ import annotations

import numpy as np

from model_export.demo.captions import Said
from model_export.demo.scenes import SHAPES, Scene
from model_export.demo.wordings import (
    BACKGROUND_NAMES,
    CELL_WORDS,
    COLOUR_NAMES,
    SIZE_WORDS,
    a_or_an,
    pick,
)


def held_out_caption(scene: Scene, rng: np.random.Generator) -> tuple[str, Said]:
    """A wording that no training caption has. It states everything about a scene, except for the
    positions of a pair."""
    background = BACKGROUND_NAMES[scene.background]
    first = scene.shapes[0]
    size = SIZE_WORDS[first.size][0]
    if len(scene.shapes) == 1:
        colour, shape = COLOUR_NAMES[first.colour], SHAPES[first.shape]
        cell = CELL_WORDS[first.cell][0 if first.cell % 2 == 0 and first.cell != 4 else 1]
        frames = (
            f"could you sketch {a_or_an(size)} {colour} {shape} {cell} "
            f"of {a_or_an(background)} sheet",
            f"{colour}-toned {shape}, {size}, sits {cell}, {background} wallpaper",
            f"minimalist poster featuring {a_or_an(size)} {colour} {shape} {cell}, "
            f"with {background} behind everything",
            f"my kid's {size} {colour} {shape}, stuck {cell} onto {background} paper",
            f"vector art where {a_or_an(colour)} {size} {shape} appears {cell} of the frame, "
            f"canvas {background}",
            f"logo idea: {shape} coloured {colour}, {size}, {cell}, all of it upon {background}",
        )
        said = Said(((first.colour, first.shape),), scene.background, first.size, first.cell)
    else:
        second = scene.shapes[1]
        one = f"{COLOUR_NAMES[first.colour]} {SHAPES[first.shape]}"
        two = f"{COLOUR_NAMES[second.colour]} {SHAPES[second.shape]}"
        if first.kind == second.kind:
            frames = (
                f"could you sketch two {size} {one}s upon {a_or_an(background)} sheet",
                f"vector art featuring exactly two {one}s, {size}, {background} wallpaper",
                f"poster with two identical {size} {one}s, {background} behind everything",
            )
        else:
            frames = (
                f"could you sketch {a_or_an(size)} {one} together with {a_or_an(size)} {two} "
                f"upon {a_or_an(background)} sheet",
                f"{one} plus {two}, both {size}, {background} wallpaper",
                f"minimalist poster featuring both {a_or_an(one)} and {a_or_an(two)}, "
                f"with {background} behind everything",
                f"vector art where {a_or_an(one)} meets {a_or_an(two)}, canvas {background}",
            )
        kinds = ((first.colour, first.shape), (second.colour, second.shape))
        said = Said(kinds, scene.background)
    return pick(rng, frames), said

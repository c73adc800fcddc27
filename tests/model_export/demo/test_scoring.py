"""The score is perfect for perfect drawings, and notices every kind of mistake."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model_export.demo import captions, scenes, scoring
from model_export.demo.captions import Said
from model_export.demo.scenes import Scene, Shape

BLUE_STAR = Scene(1, (Shape(2, 3, 2, 0),))
SAID = Said(((2, 3),), background=1, size=2, cell=0)


def picture(scene: Scene) -> np.ndarray:
    return scenes.render([scene], np.random.default_rng(0))[0].round().astype(np.uint8)


def verdict(scene: Scene, said: Said, attribute: str) -> bool:
    return all(scoring.score(picture(scene), said)[attribute])


def test_clean_drawings_score_full_marks() -> None:
    rng = np.random.default_rng(0)
    drawn = [scenes.sample_scene(rng) for _ in range(300)]
    pictures = scenes.render(drawn, rng).round().astype(np.uint8)
    said = [captions.caption(scene, rng, complete=True)[1] for scene in drawn]
    scores = [scoring.score(p, s) for p, s in zip(pictures, said, strict=True)]
    percentages = scoring.percentages(scores)
    assert {"colour", "shape", "count", "position", "background"} <= percentages.keys()
    for name, (percent, _) in percentages.items():
        assert percent >= 99.5, name


@pytest.mark.parametrize("attribute", ["colour", "shape", "count", "position", "background"])
def test_a_right_picture_is_right_in_everything(attribute: str) -> None:
    assert verdict(BLUE_STAR, SAID, attribute)


@pytest.mark.parametrize(
    ("attribute", "scene"),
    [
        ("colour", Scene(1, (Shape(5, 3, 2, 0),))),
        ("shape", Scene(1, (Shape(2, 0, 2, 0),))),
        ("shape", Scene(1, (Shape(2, 1, 2, 0),))),
        ("shape", Scene(1, (Shape(2, 2, 2, 0),))),
        ("position", Scene(1, (Shape(2, 3, 2, 1),))),
        ("background", Scene(0, (Shape(2, 3, 2, 0),))),
        ("count", Scene(1, (Shape(2, 3, 0, 0), Shape(2, 3, 0, 8)), "falling")),
    ],
)
def test_each_mistake_is_noticed(attribute: str, scene: Scene) -> None:
    assert not verdict(scene, SAID, attribute)


def test_swapped_colours_of_a_pair_are_noticed() -> None:
    scene = Scene(0, (Shape(0, 0, 1, 3), Shape(2, 1, 1, 5)), "side by side")
    assert verdict(scene, Said(((0, 0), (2, 1))), "colour")
    swapped = scoring.score(picture(scene), Said(((2, 0), (0, 1))))
    assert not (all(swapped["colour"]) and all(swapped["shape"]))


@pytest.mark.parametrize("arrangement", list(scenes.ARRANGEMENTS))
def test_arrangements_are_distinguished(arrangement: str) -> None:
    first, second = scenes.ARRANGEMENTS[arrangement]
    scene = Scene(0, (Shape(0, 0, 0, first), Shape(2, 1, 0, second)), arrangement)
    said = Said(((0, 0), (2, 1)))
    for asked in scenes.ARRANGEMENTS:
        right = verdict(scene, replace(said, arrangement=asked), "arrangement")
        assert right == (asked == arrangement)


def test_an_empty_picture_fails_everything() -> None:
    empty = np.zeros((64, 64, 3), np.uint8)
    scores = scoring.score(empty, SAID)
    assert not any(any(scores[a]) for a in ("colour", "shape", "count", "position"))

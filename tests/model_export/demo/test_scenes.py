"""Pictures are drawn as the scene says, and held-out combinations really are held out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from model_export.demo import scenes, scoring
from model_export.demo.scenes import Scene, Shape


def draw(scene: Scene) -> np.ndarray:
    return scenes.render([scene], np.random.default_rng(0))[0]


def test_a_large_blue_star_on_black_is_blue_in_the_middle_and_black_at_the_edges() -> None:
    picture = draw(Scene(1, (Shape(2, 3, 2, 4),)))
    assert tuple(picture[32, 32]) == scenes.COLOURS["blue"]
    assert not picture[0].any() and not picture[:, -1].any()


@pytest.mark.parametrize("shape", range(4))
def test_coverage_is_antialiased_and_as_large_as_the_shape(shape: int) -> None:
    radius = 10.0
    cover = scenes.coverage(shape, 32.2, 31.7, radius)
    inradius = 1.3 * radius / 2
    outer, inner = 1.3 * radius, 0.45 * 1.3 * radius
    exact = (
        np.pi * radius**2,
        (1.8 * radius) ** 2,
        3 * np.sqrt(3) * inradius**2,
        5 * outer * inner * np.sin(np.pi / 5),
    )[shape]
    assert cover.sum() == pytest.approx(exact, rel=0.02)
    assert ((cover > 0) & (cover < 1)).any()


@pytest.mark.parametrize("cell", range(9))
def test_a_shape_lies_in_its_cell(cell: int) -> None:
    picture = draw(Scene(0, (Shape(0, 0, 0, cell),)))
    ys, xs = np.nonzero(picture[..., 1] < 128)
    x, y = scenes.CELL_CENTRES_PX[cell % 3], scenes.CELL_CENTRES_PX[cell // 3]
    assert abs(xs.mean() + 0.5 - x) < 2 and abs(ys.mean() + 0.5 - y) < 2


def test_surroundings_contain_the_shapes_and_at_most_half_of_the_picture() -> None:
    rng = np.random.default_rng(2)
    drawn = [scenes.sample_scene(rng) for _ in range(100)]
    for picture, scene in zip(scenes.render(drawn, rng), drawn, strict=True):
        near = scenes.surroundings(scene, 16)
        shaped = (np.abs(picture - picture[0, 0]) > 1).any(-1)
        outside = shaped & ~near.repeat(4, axis=0).repeat(4, axis=1)
        assert outside.sum() <= 0.01 * shaped.sum(), scene
        assert near.mean() <= 0.5


def test_two_shapes_never_touch() -> None:
    rng = np.random.default_rng(4)
    pairs = [scenes.sample_scene(rng, pair_share=1.0) for _ in range(200)]
    for picture, scene in zip(scenes.render(pairs, rng), pairs, strict=True):
        assert len(scoring.analyse(picture.round().astype(np.uint8)).shapes) == 2, scene


def test_training_scenes_are_never_held_out_and_held_out_ones_always_are() -> None:
    rng = np.random.default_rng(1)
    assert not any(scenes.sample_scene(rng).is_held_out for _ in range(500))
    assert all(scenes.sample_scene(rng, held_out=True).is_held_out for _ in range(200))


def test_a_pair_is_held_out_in_either_order() -> None:
    kinds = [(colour, shape) for colour in range(8) for shape in range(4)]
    held_out = 0
    for first, second in itertools.combinations(kinds, 2):
        one, two = Shape(*first, 0, 3), Shape(*second, 0, 5)
        a, b = Scene(0, (one, two), "side by side"), Scene(1, (two, one), "one above the other")
        assert a.is_held_out == b.is_held_out
        held_out += a.is_held_out
    assert 20 < held_out < 100, "of 496 pairs about one in ten"

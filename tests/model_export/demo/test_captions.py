"""The captions: they say what the scene shows, and held-out wording is not in training."""

from __future__ import annotations

import numpy as np

from model_export.demo import captions, scenes
from model_export.demo.held_out_captions import held_out_caption
from model_export.demo.scenes import Scene, Shape

CARRIERS = ("sketch", "wallpaper", "poster", "vector art", "logo", "canvas", "sheet", "kid")


def test_a_complete_caption_names_everything() -> None:
    rng = np.random.default_rng(0)
    scene = Scene(1, (Shape(2, 3, 2, 0),))
    for _ in range(200):
        text, said = captions.caption(scene, rng, complete=True)
        assert "blue" in text and "star" in text and "black" in text
        assert any(word in text for word in ("large", "big", "huge"))
        assert "left" in text and ("top" in text or "upper" in text)
        assert said == captions.Said(((2, 3),), 1, 2, 0, None)


def test_said_claims_only_what_the_caption_says() -> None:
    rng = np.random.default_rng(0)
    silent = 0
    for _ in range(500):
        scene = scenes.sample_scene(rng)
        text, said = captions.caption(scene, rng)
        for (colour, shape), drawn in zip(said.shapes, scene.shapes, strict=True):
            assert colour is None or list(scenes.COLOURS)[colour] in text
            assert shape is None or scenes.SHAPES[shape] in text
            assert colour in (None, drawn.colour) and shape in (None, drawn.shape)
        if said.background is None:
            silent += 1
            assert not any(f"{name} background" in text for name in scenes.BACKGROUNDS)
    assert silent > 50


def test_held_out_wording_uses_carrier_words_that_training_never_says() -> None:
    rng = np.random.default_rng(0)
    trained = " ".join(captions.caption(scenes.sample_scene(rng), rng)[0] for _ in range(5000))
    for word in CARRIERS:
        assert word not in trained
    for _ in range(200):
        text, _ = held_out_caption(scenes.sample_scene(rng), rng)
        assert any(word in text for word in CARRIERS), text


def test_a_caption_leaves_out_only_the_expected_position() -> None:
    rng = np.random.default_rng(9)
    silent = 0
    for _ in range(400):
        scene = scenes.sample_scene(rng)
        text, said = captions.caption(scene, rng)
        if said.cell is None and said.arrangement is None:
            silent += 1
            first, *others = scene.shapes
            assert scene.arrangement == "side by side" if others else first.cell == 4, text
            if others and said.shapes[0][1] != said.shapes[1][1] and said.shapes[0][1] is not None:
                names = [scenes.SHAPES[s.shape] for s in scene.shapes]
                assert text.index(names[0]) < text.index(names[1]), text
    assert silent > 20

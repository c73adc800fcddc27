"""The captions: they say what the scene shows, and held-out wording is not in training."""

from __future__ import annotations

import numpy as np
import pytest

from model_export.demo import captions, networks, scenes
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


def test_what_is_not_said_is_not_claimed() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        scene = scenes.sample_scene(rng)
        text, said = captions.caption(scene, rng)
        for (colour, shape), drawn in zip(said.shapes, scene.shapes, strict=True):
            assert colour is None or list(scenes.COLOURS)[colour] in text
            assert shape is None or scenes.SHAPES[shape] in text
            assert colour in (None, drawn.colour) and shape in (None, drawn.shape)
        if said.background is None:
            assert not any(f"{name} background" in text for name in scenes.BACKGROUNDS)


def test_held_out_wording_uses_carrier_words_that_training_never_says() -> None:
    rng = np.random.default_rng(0)
    trained = " ".join(captions.caption(scenes.sample_scene(rng), rng)[0] for _ in range(5000))
    for word in CARRIERS:
        assert word not in trained
    for _ in range(200):
        text, _ = captions.held_out_caption(scenes.sample_scene(rng), rng)
        assert any(word in text for word in CARRIERS), text


def test_tokens_are_those_of_kerascvs_tokenizer() -> None:
    from keras_cv.src.models.stable_diffusion.clip_tokenizer import SimpleTokenizer

    reference = SimpleTokenizer(str(captions.BPE_PATH))
    rng = np.random.default_rng(3)
    for _ in range(200):
        text = captions.caption(scenes.sample_scene(rng), rng)[0]
        wanted = reference.encode(text)
        row = captions.tokens(text)
        assert row.shape == (77,)
        assert list(row[: len(wanted)]) == wanted
        assert set(row[len(wanted) :]) <= {captions.END_TOKEN}


def test_a_long_text_is_cut_at_77_tokens_with_the_end_kept() -> None:
    row = captions.tokens("red " * 200)
    assert row.shape == (77,) and row[0] == captions.START_TOKEN and row[-1] == captions.END_TOKEN


@pytest.mark.slow
def test_the_stored_vocabulary_is_the_one_of_the_grammar() -> None:
    assert np.array_equal(networks.read_vocabulary(), captions.vocabulary())


def test_as_many_training_captions_as_asked_leave_nothing_out() -> None:
    scene = Scene(0, (Shape(0, 0, 0, 4),))
    named = ("red", "circle", "white")
    words = [set(captions.tokens(name)) - {captions.END_TOKEN} for name in named]

    def share(complete_share: float) -> float:
        rng = np.random.default_rng(8)
        rows = [
            captions.training_tokens(scene, rng, empty_share=0.1, complete_share=complete_share)
            for _ in range(400)
        ]
        return float(np.mean([all(word <= set(row) for word in words) for row in rows]))

    assert share(0.0) < 0.7 < share(1.0)


def test_a_caption_leaves_the_place_out_only_where_it_is_the_one_to_expect() -> None:
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

"""The token ids of captions: CLIP's own, with the end kept and unknown words among them."""

from __future__ import annotations

import numpy as np
import pytest

from model_export.demo import captions, clip_tokens, networks, scenes
from model_export.demo.scenes import Scene, Shape
from model_export.vocabulary import END_OF_TEXT, START_OF_TEXT

pytestmark = pytest.mark.slow


def test_tokens_are_those_of_kerascvs_tokenizer() -> None:
    from keras_cv.src.models.stable_diffusion.clip_tokenizer import SimpleTokenizer

    reference = SimpleTokenizer(str(clip_tokens.BPE_PATH))
    rng = np.random.default_rng(3)
    for _ in range(200):
        text = captions.caption(scenes.sample_scene(rng), rng)[0]
        wanted = reference.encode(text)
        row = clip_tokens.encode(text)
        assert row.shape == (77,)
        assert list(row[: len(wanted)]) == wanted
        assert set(row[len(wanted) :]) <= {END_OF_TEXT}


def test_a_long_text_is_cut_at_77_tokens_with_the_end_kept() -> None:
    row = clip_tokens.encode("red " * 200)
    assert row.shape == (77,) and row[0] == START_OF_TEXT and row[-1] == END_OF_TEXT


@pytest.mark.slow
def test_the_stored_vocabulary_is_the_one_of_the_grammar() -> None:
    assert np.array_equal(networks.read_vocabulary(), clip_tokens.vocabulary())


def test_as_many_training_captions_as_asked_leave_nothing_out() -> None:
    scene = Scene(0, (Shape(0, 0, 0, 4),))
    named = ("red", "circle", "white")
    words = [set(clip_tokens.encode(name)) - {END_OF_TEXT} for name in named]

    def share(complete_share: float) -> float:
        rng = np.random.default_rng(8)
        rows = [
            clip_tokens.training_tokens(scene, rng, empty_share=0.1, complete_share=complete_share)
            for _ in range(400)
        ]
        return float(np.mean([all(word <= set(row) for word in words) for row in rows]))

    assert share(0.0) < 0.7 < share(1.0)

"""TAESD's decoder against diffusers' AutoencoderTiny.

data/tiny_decoder.npz has what diffusers 0.42.1 draws with the weights of `random_tensors(7)`:
latent [1, 4, 6, 4], picture [1, 32, 48, 3].
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_export.tiny_decoder import architecture
from model_export.tiny_decoder.weights import random_tensors

VECTORS = Path(__file__).parents[1] / "data" / "tiny_decoder.npz"


@pytest.fixture(scope="module")
def vectors() -> dict[str, np.ndarray]:
    with np.load(VECTORS) as stored:
        return {key: stored[key] for key in stored.files}


def drawn(latent: np.ndarray, precision: str = "float32") -> np.ndarray:
    import tensorflow as tf

    from model_export.tiny_decoder.network import TinyDecoder

    return TinyDecoder(random_tensors(7), precision)(tf.constant(latent)).numpy()


def test_it_has_taesds_tensors() -> None:
    shapes = architecture.shapes()
    assert len(shapes) == 67
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 1_222_531
    assert architecture.diffusers_name("3.conv.0.weight") == "decoder.layers.2.conv.0.weight"


def test_it_draws_what_diffusers_draws(vectors: dict[str, np.ndarray]) -> None:
    picture = drawn(vectors["latent"])
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture, vectors["picture"], rtol=0, atol=2e-5)


def test_in_bfloat16_it_draws_nearly_the_same(vectors: dict[str, np.ndarray]) -> None:
    error = drawn(vectors["latent"], "bfloat16") - vectors["picture"]
    assert np.sqrt(np.mean(error**2)) < 0.03 * vectors["picture"].std()


@pytest.mark.parametrize("latent", [-1e9, 1e9, 3.0])
def test_a_latent_of_any_size_gives_finite_colours(latent: float) -> None:
    assert np.isfinite(drawn(np.full((1, 2, 2, 4), latent, np.float32))).all()


def test_every_row_of_a_batch_is_drawn_alone(vectors: dict[str, np.ndarray]) -> None:
    latent = vectors["latent"]
    both = drawn(np.concatenate([latent, -latent]))
    np.testing.assert_allclose(both[:1], vectors["picture"], rtol=0, atol=2e-5)
    assert np.abs(both[1] - both[0]).max() > 0.1

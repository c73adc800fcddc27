"""The demo model's previews: small pictures of what it is drawing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.model_export.chunked import drawn_in_chunks

pytestmark = pytest.mark.slow

PROMPTS = (
    "a medium green star on a black background",
    "a large purple circle on a white background",
    "two orange squares on a grey background",
    "a blue triangle above a red circle",
)
STEPS = 8
MOST_OF_ONE_COLOUR = 0.5
"""A preview's error at most, as a share of that of the one colour that fits all pictures best."""
LEAST_CORRELATION = 0.6
"""Of the deviations from a picture's mean colour: it says that the shapes can be seen."""


@pytest.fixture(scope="module")
def drawn(demo_model: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """(the pictures downscaled to a preview's size, the previews after each of some chunks)"""
    import tensorflow as tf

    signatures: Any = tf.saved_model.load(str(demo_model / "1")).signatures
    count = len(PROMPTS)
    asked = {
        "prompt": tf.constant(PROMPTS),
        "negative_prompt": tf.constant([""] * count),
        "num_steps": tf.fill([count], STEPS),
        "guidance_scale": tf.fill([count], 3.0),
        "seed": tf.range(count, dtype=tf.int64),
    }
    finished, answers = drawn_in_chunks(
        lambda name, **inputs: dict(signatures[name](**inputs)), asked, [0, 4, STEPS]
    )
    whole = signatures["serving_default"](**asked)
    assert finished["image_bytes"].numpy().tolist() == whole["image_bytes"].numpy().tolist()
    pictures = pixels(whole["image_bytes"])
    previews = [pixels(answer["preview"]) for answer in answers]
    small = pictures.reshape(count, 16, 4, 16, 4, 3).mean(axis=(2, 4))
    return small, previews


def pixels(pngs: Any) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(png)), float) for png in pngs.numpy()])


def error(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.sqrt(np.mean((first - second) ** 2)))


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    a, b = (one - one.mean(axis=(1, 2), keepdims=True) for one in (first, second))
    axes = (1, 2, 3)
    return (a * b).sum(axes) / np.sqrt((a * a).sum(axes) * (b * b).sum(axes))


def test_a_finished_pictures_preview_resembles_the_picture(drawn: Any) -> None:
    pictures, previews = drawn
    one_colour = error(pictures, pictures.mean(axis=(0, 1, 2)))
    found = error(previews[-1], pictures), correlations(previews[-1], pictures)
    print(f"error {found[0]:.1f} of 255, one colour {one_colour:.1f}, correlations {found[1]}")
    assert found[0] < MOST_OF_ONE_COLOUR * one_colour
    assert found[1].min() > LEAST_CORRELATION


def test_half_way_the_preview_resembles_the_finished_picture(drawn: Any) -> None:
    pictures, previews = drawn
    one_colour = error(pictures, pictures.mean(axis=(0, 1, 2)))
    assert error(previews[1], pictures) < MOST_OF_ONE_COLOUR * one_colour
    assert correlations(previews[1], pictures).min() > LEAST_CORRELATION


def test_before_the_first_step_there_is_nothing_to_see(drawn: Any) -> None:
    _, previews = drawn
    assert previews[0].std(axis=(0, 1, 2)).max() == 0

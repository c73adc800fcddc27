"""Winograd's convolutions give what plain ones give."""

from __future__ import annotations

import numpy as np
import pytest

ERRORS = {2: 1e-6, 4: 3e-6}
"""The root mean square, relative to the outputs' own. Float32's is 6e-8 for each operation."""


def plain(inputs: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """In float64, from the definition."""
    padded = np.pad(inputs.astype(float), [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("bhwcij,ijck->bhwk", windows, kernel.astype(float), optimize=True)


@pytest.mark.parametrize(("channels", "filters", "m"), [(64, 80, 4), (640, 640, 2)])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 20)])
@pytest.mark.parametrize("rows", [1, 3])
def test_the_outputs_are_those_of_a_plain_convolution(
    rows: int, height: int, width: int, channels: int, filters: int, m: int
) -> None:
    import tensorflow as tf

    from model_export.sd14 import winograd

    random = np.random.default_rng(0)
    inputs = random.standard_normal((rows, height, width, channels)).astype(np.float32)
    kernel = random.standard_normal((3, 3, channels, filters)).astype(np.float32)
    transformed = winograd.transformed(tf.constant(kernel))
    assert transformed.m == m
    assert transformed.values.shape == [(m + 2) ** 2, channels, filters]
    signature = [tf.TensorSpec([None, height, width, channels])]
    convolve = tf.function(lambda x: winograd.convolve(x, transformed), input_signature=signature)

    outputs, expected = convolve(inputs).numpy(), plain(inputs, kernel)
    assert outputs.shape == expected.shape
    error = np.sqrt(np.mean((outputs - expected) ** 2)) / np.sqrt(np.mean(expected**2))
    assert error < ERRORS[m]


@pytest.mark.parametrize(
    ("kernel_shape", "side", "wanted"),
    [
        ((3, 3, 320, 320), 48, True),
        ((3, 3, 64, 64), 16, True),
        ((3, 3, 1920, 640), 24, True),
        ((1, 1, 320, 320), 48, False),  # nothing to save
        ((3, 3, 4, 320), 48, False),  # few channels
        ((3, 3, 320, 4), 48, False),
        ((3, 3, 640, 640), 12, False),  # few positions
        ((3, 3, 1280, 1280), 24, False),  # much memory
        ((3, 3, 320, 320), 18, False),  # no whole number of tiles
    ],
)
def test_it_is_used_where_it_pays(kernel_shape: tuple[int, ...], side: int, wanted: bool) -> None:
    from model_export.sd14 import winograd

    assert winograd.fits(kernel_shape, side) is wanted

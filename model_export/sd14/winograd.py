"""Convolutions 3 by 3 with fewer multiplications: Winograd's minimal filtering.

Lavin and Gray (arXiv:1509.09308): of a tile of m by m outputs, F(m × m, 3 × 3) multiplies (m + 2)²
numbers for each pair of channels, instead of 9 m². The tile and the kernel are transformed first,
and the products back. The order of float operations differs from a plain convolution's.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

_KERNEL = 3
_POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 0.75, -0.75, 1.5, -1.5)}
"""Where the polynomials are evaluated, besides infinity, for each m. The error depends on them
(Barabasz et al., arXiv:1803.10986): with these of m = 4 it is half of that with 0, ±1 and ±2."""
_MIN_CHANNELS = 64
"""With fewer, the transformations take as long as the multiplications that they save."""
_MIN_POSITIONS = 256
"""With fewer, reading the weights takes longest, and there are more of them."""
_MAX_CHANNEL_PAIRS = 1920 * 640
"""The many kernels that have more would add half a GB to the model."""
_LARGE_TILE = 4
_LARGE_TILE_CHANNEL_PAIRS = 960 * 320
"""With more, m is 2: the larger tile takes four times the memory of the kernel, instead of 1.8."""


@dataclass(frozen=True)
class Kernel:
    """values: [(m + 2)², C, K], a transformed kernel. m: of the tiles."""

    values: tf.Variable | tf.Tensor
    m: int


def fits(kernel_shape: tuple[int, ...], side: int) -> bool:
    """Whether it pays, for a kernel [a, b, C, K] and outputs of side × side positions."""
    height, width, *channels = kernel_shape
    saves_time = min(channels) >= _MIN_CHANNELS and side * side >= _MIN_POSITIONS
    is_small = math.prod(channels) <= _MAX_CHANNEL_PAIRS
    return height == width == _KERNEL and saves_time and is_small and not side % _LARGE_TILE


def transformed(kernel: tf.Tensor) -> Kernel:
    """Of a float32 [3, 3, C, K]."""
    channels = kernel.shape[2:]
    m = 4 if channels.num_elements() <= _LARGE_TILE_CHANNEL_PAIRS else 2
    matrix = tf.constant(_for_two_axes(_matrices(m).kernel))
    flat = tf.reshape(kernel, [_KERNEL**2, -1])
    return Kernel(tf.reshape(matrix @ flat, [-1, *channels]), m)


def convolve(inputs: Any, kernel: Kernel) -> Any:
    """inputs float32 [B, h, w, C], padded with zeros so that the outputs are [B, h, w, K]."""
    _, height, width, channels = inputs.shape
    filters = kernel.values.shape[2]
    places = _places(kernel.m, height, width)
    matrices = _matrices(kernel.m)
    padded = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
    by_position = tf.transpose(tf.reshape(padded, [-1, places.padded, channels]), [1, 0, 2])
    tiles = tf.reshape(tf.gather(by_position, places.of_tiles), [places.of_tiles.shape[0], -1])
    tiles = tf.constant(_for_two_axes(matrices.inputs)) @ tiles
    products = tf.reshape(tiles, [tiles.shape[0], -1, channels]) @ kernel.values
    outputs = tf.constant(_for_two_axes(matrices.outputs)) @ tf.reshape(
        products, [products.shape[0], -1]
    )
    by_tile = tf.reshape(outputs, [height * width, -1, filters])
    ordered = tf.transpose(tf.gather(by_tile, places.of_outputs), [1, 0, 2])
    return tf.reshape(ordered, [-1, height, width, filters])


@dataclass(frozen=True)
class _Matrices:
    """For one axis: the transformations of m + 2 inputs, of 3 weights and to m outputs."""

    inputs: np.ndarray
    kernel: np.ndarray
    outputs: np.ndarray


@cache
def _matrices(m: int) -> _Matrices:
    """By Toom and Cook: polynomials are multiplied by their values at some points.

    Filtering is the transpose of that multiplication.
    """
    size = m + _KERNEL - 1

    def values(coefficients: int) -> np.ndarray:
        at_infinity = np.eye(coefficients)[-1:]
        at_points = np.vander(_POINTS[m], coefficients, increasing=True)
        return np.concatenate([at_points, at_infinity])

    return _Matrices(np.linalg.inv(values(size)).T, values(_KERNEL), values(m).T)


def _for_two_axes(matrix: np.ndarray) -> np.ndarray:
    return np.kron(matrix, matrix).astype(np.float32)


@dataclass(frozen=True)
class _Places:
    """padded: how many positions the padded inputs have.

    of_tiles: [(m + 2)², tiles], the padded position of each place in each tile. of_outputs: [h·w],
    for each position its place and tile, in the order [m², tiles].
    """

    padded: int
    of_tiles: np.ndarray
    of_outputs: np.ndarray


def _places(m: int, height: int, width: int) -> _Places:
    positions = np.arange((height + 2) * (width + 2), dtype=np.int32).reshape(height + 2, width + 2)
    windows = np.lib.stride_tricks.sliding_window_view(positions, (m + 2, m + 2))[::m, ::m]
    of_tiles = windows.transpose(2, 3, 0, 1).reshape((m + 2) ** 2, -1)
    outputs = np.arange(height * width, dtype=np.int32)
    by_tile = outputs.reshape(m, m, height // m, width // m).transpose(2, 0, 3, 1)
    return _Places(positions.size, of_tiles, by_tile.reshape(-1))

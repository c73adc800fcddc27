"""TAESD's files: the original's and diffusers', and what is none of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_export.download import WeightsError
from model_export.tiny_decoder import architecture, weights
from tests.model_export.checkpoints.state_dicts import write, write_raw, write_shapes

TENSORS = weights.random_tensors(7)
OF_DIFFUSERS = {architecture.diffusers_name(name): values for name, values in TENSORS.items()}
ENCODER = {"encoder.layers.0.weight": np.ones((64, 3, 3, 3), np.float32)}


@pytest.mark.parametrize("tensors", [TENSORS, OF_DIFFUSERS, OF_DIFFUSERS | ENCODER])
def test_every_layout_gives_the_same_decoder(
    tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    found = weights.read(write(tmp_path / "taesd.safetensors", tensors))
    assert found.keys() == TENSORS.keys()
    assert all((found[name] == values).all() for name, values in TENSORS.items())


def test_a_file_in_half_precision_is_read_too(tmp_path: Path) -> None:
    found = weights.read(write(tmp_path / "taesd.safetensors", TENSORS, "F16"))
    for name, values in TENSORS.items():
        np.testing.assert_array_equal(found[name], values.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"1.weight": (64, 16, 3, 3)},  # of SD 3 and Flux, whose latents have 16 channels
        {"19.bias": (4,)},
        {"8.conv.2.weight": None},
    ],
)
def test_another_decoder_is_refused_before_its_data_is_read(
    change: dict[str, tuple[int, ...] | None], tmp_path: Path
) -> None:
    shapes = {n: s for n, s in (architecture.shapes() | change).items() if s is not None}
    path = write_shapes(tmp_path / "other.safetensors", shapes)
    with pytest.raises(WeightsError, match=r"other.safetensors is no decoder of TAESD for") as said:
        weights.read(path)
    assert next(iter(change)) in str(said.value) and "\n" not in str(said.value)


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no \.safetensors file, or damaged"):
        weights.read(write_raw(tmp_path / "taesd.safetensors", b"{}{}"))

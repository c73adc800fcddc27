"""One model in every layout that docs/own-model.md names fills the networks with the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model_export.checkpoints.architecture import GUIDANCE_EMBEDDING, PARTS, UNET
from model_export.checkpoints.checkpoint import open_checkpoint
from model_export.checkpoints.names import ema_name
from model_export.spec import ModelSpec
from tests.model_export import torch_process
from tests.model_export.checkpoints.stand_ins import filled
from tests.model_export.checkpoints.state_dicts import (
    TINY,
    Tensors,
    all_parts,
    as_ldm,
    guidance_embedding,
    write,
    write_folder,
)
from tests.model_export.checkpoints.test_checkpoint import LAYOUTS
from tests.model_export.torch_process import needs_torch

pytestmark = pytest.mark.usefixtures("tiny", "own_cache")

PARTS_OF = all_parts(TINY)


def networks(path: Path) -> dict[str, Tensors]:
    spec = ModelSpec.for_family("sd14", weights=str(path), accept_licence="own")
    return filled(spec)[0]


def assert_same_bits(path: Path) -> None:
    found = networks(path)
    for part in PARTS:
        for name, values in PARTS_OF[part].items():
            np.testing.assert_array_equal(found[part][name], values, err_msg=name, strict=True)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_fills_the_networks_with_the_same_bits(
    layout: Callable[[Path], Path], tmp_path: Path
) -> None:
    assert_same_bits(layout(tmp_path))


def full_lcm(folder: Path) -> Path:
    prefix = "model.diffusion_model."
    return write(
        folder / "model.safetensors",
        {**as_ldm(PARTS_OF), prefix + GUIDANCE_EMBEDDING: guidance_embedding(TINY)},
    )


def full_lcm_in_a_folder(folder: Path) -> Path:
    unet = {**PARTS_OF[UNET], GUIDANCE_EMBEDDING: guidance_embedding(TINY)}
    return write_folder(folder / "model", {**PARTS_OF, UNET: unet})


def assert_full_lcm(path: Path) -> None:
    embedding = open_checkpoint(path).guidance_embedding
    assert embedding is not None
    np.testing.assert_array_equal(embedding.read(), guidance_embedding(TINY), strict=True)
    assert_same_bits(path)


@pytest.mark.parametrize("layout", [full_lcm, full_lcm_in_a_folder])
def test_a_full_latent_consistency_model_has_its_embedding_in_either_layout(
    layout: Callable[[Path], Path], tmp_path: Path
) -> None:
    assert_full_lcm(layout(tmp_path))


@pytest.fixture(scope="module")
def by_diffusers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that diffusers wrote. Its average is the model; beside it, everything is zero."""
    folder = tmp_path_factory.mktemp("diffusers")
    tensors = as_ldm(PARTS_OF)
    tensors |= {ema_name(name): values for name, values in PARTS_OF[UNET].items()}
    file = write(folder / "model.safetensors", tensors)
    torch_process.run("checkpoints.torch_layouts", file, folder)
    return folder


WRITTEN = (
    "whole",
    "shards",
    "halves",
    "shards of halves",
    "converted",
    "converted from the average",
)


@pytest.mark.slow
@pytest.mark.long
@needs_torch
@pytest.mark.parametrize("layout", WRITTEN)
def test_a_folder_that_diffusers_wrote_fills_the_networks_with_the_same_bits(
    layout: str, by_diffusers: Path
) -> None:
    assert_same_bits(by_diffusers / layout)


@pytest.mark.slow
@pytest.mark.long
@needs_torch
def test_a_full_latent_consistency_model_that_diffusers_wrote_is_known_as_one(
    by_diffusers: Path,
) -> None:
    assert_full_lcm(by_diffusers / "full lcm")

"""A full latent consistency model, known by its guidance embedding, brings its own ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export.spec import ModelSpec
from tests.model_export.checkpoints.state_dicts import TINY, all_parts, as_ldm, write

EMBEDDING = "model.diffusion_model.time_embedding.cond_proj.weight"


def spec_of(folder: Path, *, is_full: bool = True, **values: Any) -> ModelSpec:
    tensors = as_ldm(all_parts(TINY))
    if is_full:
        tensors[EMBEDDING] = np.ones((TINY.timestep, 256), np.float32)
    path = write(folder / "model.safetensors", tensors)
    given = {"weights": str(path), "accept_licence": "own"} | values
    return ModelSpec.for_family("sd14", **given)


@pytest.mark.usefixtures("tiny", "own_cache")
def test_it_draws_in_few_steps_and_is_told_the_guidance(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    assert (spec.sampler, spec.steps, spec.max_steps) == ("lcm", 4, 8)
    assert (spec.guidance_scale, spec.max_guidance_scale) == (8.0, 15.0)


@pytest.mark.usefixtures("tiny", "own_cache")
def test_its_values_can_be_chosen_like_any_others(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, steps=6, guidance_scale=5.0, max_guidance_scale=10)
    assert (spec.steps, spec.guidance_scale, spec.max_guidance_scale) == (6, 5.0, 10.0)


@pytest.mark.usefixtures("tiny", "own_cache")
def test_another_checkpoint_is_an_ordinary_model(tmp_path: Path) -> None:
    assert not spec_of(tmp_path, is_full=False).is_distilled


@pytest.mark.usefixtures("own_cache")
def test_a_file_that_is_not_there_is_not_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    spec = ModelSpec.for_family("sd14", weights=str(path), accept_licence="own")
    assert not spec.is_distilled

"""A distilled model stores weights as it computes with them, and answers as diffusers does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export.checkpoints import architecture
from model_export.networks import Networks
from model_export.spec import ModelSpec
from tests.model_export.checkpoints.drawn import noise
from tests.model_export.checkpoints.pictures import SIZE
from tests.model_export.checkpoints.state_dicts import NARROW, all_parts, as_ldm, write
from tests.model_export.checkpoints.test_narrow_model import differences
from tests.model_export.narrow_networks import narrow

pytestmark = pytest.mark.slow

MAX_DIFFERENCE = {"float32": 1e-5, "bfloat16": 0.04}
"""Relative to the size of diffusers' answer: less than with keras_cv's approximated GELU."""


@pytest.fixture(autouse=True)
def convolves_few_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    from model_export.sd14 import winograd

    monkeypatch.setattr(winograd, "_MIN_CHANNELS", 32)  # the narrow model has no more


def filled(precision: str, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Any, ModelSpec]:
    """keras_cv's narrow models with rewritten layers, and a spec of a distilled model."""
    from model_export.sd14 import networks
    from model_export.sd14.layers import rewrite

    patch.setattr(architecture, "SD1", NARROW)
    path = write(folder / "model.safetensors", as_ldm(all_parts()), "F16")
    chosen = {"weights": str(path), "accept_licence": "own", "sampler": "lcm"}
    spec = ModelSpec.for_family("sd14", image_size=SIZE, precision=precision, **chosen)
    with narrow():
        models = networks.build(SIZE, precision)
    networks.fill(models, spec, lambda _done: None)
    rewrite(models.unet, models.decoder)
    return models, spec


def changes(models: Any, made: Networks) -> tuple[list[Any], list[Any]]:
    """The models' variables that are not read, and the variables that are read instead."""
    all_variables = [one for model in models.all() for one in model.variables]
    known, read = {id(one.value) for one in all_variables}, {id(one) for one in made.variables}
    unread = [one for one in all_variables if id(one.value) not in read]
    return unread, [one for one in made.variables if id(one) not in known]


@pytest.mark.parametrize(
    ("precision", "convolutions"),
    [
        ("float32", 20),  # of ten residual blocks
        pytest.param("bfloat16", 0, marks=pytest.mark.long),
    ],
)
def test_the_noise_is_diffusers_without_the_original_weights(
    precision: str, convolutions: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_export.sd14 import networks

    models, spec = filled(precision, tmp_path, monkeypatch)
    made = networks.as_networks(models, spec, are_rewritten=True)
    unread, added = changes(models, made)
    assert len(unread) == 3 + 16 * 2 + convolutions  # upsamplings; gates, with their biases
    assert len(added) == 3 * 4 + 16 * 4 + convolutions
    assert {one.dtype.name for one in added} == {precision}
    sizes = [np.prod(one.shape) for model in models.all() for one in model.variables]
    assert made.parameter_count == sum(sizes)
    for one in unread:
        one.assign(one * 0)
    assert differences({"noise": noise(made)}, "plain")["noise"] < MAX_DIFFERENCE[precision]

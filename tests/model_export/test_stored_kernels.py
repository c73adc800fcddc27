"""A distilled model stores the kernels that it computes with, and answers as the others do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from model_export.networks import Networks
from model_export.spec import ModelSpec
from tests.model_export.narrow_networks import narrow

pytestmark = pytest.mark.slow

SIZE = 256


@dataclass(frozen=True)
class Made:
    """The same models as they are usually, and as a distilled model."""

    models: Any
    usual: Networks
    distilled: Networks


def made(precision: str) -> Made:
    from model_export.sd14 import networks
    from model_export.sd14.layers import rewrite

    def of(**values: Any) -> Networks:
        spec = ModelSpec.for_family(
            "sd14", weights="random:7", image_size=SIZE, precision=precision, **values
        )
        return networks.as_networks(models, spec, are_rewritten=True)

    with narrow():
        models = networks.build(SIZE, precision)
    random = np.random.default_rng(0)
    for variable in models.unet.variables:
        variable.assign(random.normal(0, 0.05, variable.shape))
    rewrite(models.unet, models.decoder)
    return Made(models, of(), of(sampler="lcm"))


@pytest.fixture(autouse=True, scope="module")
def few_channels() -> Iterator[None]:
    from model_export.sd14 import winograd

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "_MIN_CHANNELS", 32)  # the narrow model has no more
        yield


def drawing(networks: Networks) -> Any:
    """A function without arguments that returns the noise which the U-Net predicts."""
    import tensorflow as tf

    context = tf.random.stateless_normal((1, 77, 768), [0, 1])
    latent = tf.random.stateless_normal((1, *networks.latent_shape), [0, 2])
    embedding = tf.random.stateless_normal((1, networks.timestep_embedding_width), [0, 3])
    return tf.function(
        lambda: networks.unet(latent, embedding, networks.condition(context)), autograph=False
    )


def changes(made: Made) -> tuple[list[Any], list[Any]]:
    """The variables that only the usual model has, and those that only the distilled one has."""
    usual, distilled = made.usual.variables, made.distilled.variables
    before, after = ({id(one) for one in some} for some in (usual, distilled))
    dropped = [one for one in usual if id(one) not in after]
    return dropped, [one for one in distilled if id(one) not in before]


@pytest.mark.parametrize(
    ("precision", "convolutions"),
    [
        ("float32", 20),
        pytest.param("bfloat16", 0, marks=pytest.mark.long),
    ],
)
def test_the_answer_is_the_same_without_the_original_kernels(
    precision: str, convolutions: int
) -> None:
    """In float32 also those of ten residual blocks are stored, of two convolutions each."""
    from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D

    both = made(precision)
    assert both.distilled.parameter_count == both.usual.parameter_count
    dropped, added = changes(both)
    assert len(dropped) == 3 + convolutions  # there are three upsamplings, of four kernels each
    assert len(added) == 12 + convolutions
    assert {one.dtype.name for one in added} == {precision}
    if precision != "float32":
        return
    usual, draw = drawing(both.usual)().numpy(), drawing(both.distilled)
    assert usual.std() > 0.01
    difference = np.abs(usual - draw().numpy()).max()
    assert 0 < difference <= 2e-5 * np.abs(usual).max()

    kernels = {
        id(layer.conv2d.kernel.value): layer.conv2d.kernel
        for layer in both.models.unet._flatten_layers()
        if isinstance(layer, PaddedConv2D)
    }
    answer = draw().numpy()
    for one in dropped:
        kernels[id(one)].assign(kernels[id(one)] * 0)
    np.testing.assert_array_equal(draw().numpy(), answer)

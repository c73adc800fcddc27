"""Stable Diffusion 1.4's networks behind the exporter's interface.

They are keras_cv's own `TextEncoder`, `DiffusionModel` and `Decoder`. TensorFlow and Keras are
imported inside the functions that need them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from model_export import decoders
from model_export.ingredients import Ingredient
from model_export.profiles import PROFILES
from model_export.sd14 import own_files, weights
from model_export.spec import MAX_PROMPT_TOKENS, ModelSpec

if TYPE_CHECKING:
    import tensorflow as tf

    from model_export.networks import Networks

LATENT_SCALE = 8
"""Pixels per latent position, in each direction."""
LATENT_CHANNELS = 4
TIMESTEP_EMBEDDING_WIDTH = 320


@dataclass(frozen=True)
class Sd14Models:
    """keras_cv's three models."""

    text_encoder: Any
    unet: Any
    decoder: Any

    def all(self) -> tuple[Any, Any, Any]:
        """In the order of `weights.PARTS`."""
        return self.text_encoder, self.unet, self.decoder


def load(spec: ModelSpec, on_progress: Callable[[float], None] = lambda _done: None) -> Networks:
    """The networks with the spec's weights, in its size and precision.

    on_progress gets the fraction that is done, from 0 to 1. Weights that need a download must be in
    the cache already (`weights.fetch`).
    """
    from model_export.sd14.layers import rewrite
    from model_export.tiny_decoder import weights as tiny_weights

    models = build(spec.image_size, spec.precision)
    made_of = (*fill(models, spec, on_progress), *tiny_weights.ingredients(spec))
    rewrite(models.unet, models.decoder)
    networks = as_networks(models, spec, are_rewritten=True)
    return own_files.with_guidance_embedding(replace(networks, made_of=made_of), spec)


def fill(
    models: Sd14Models, spec: ModelSpec, on_progress: Callable[[float], None]
) -> tuple[Ingredient, ...]:
    """Fills the models with the spec's weights. Returns what these are made of."""
    if not own_files.are_used(spec):
        weights.fill(models.all(), spec, on_progress)
        return ()
    if not spec.loras or spec.precision == "float32":
        return own_files.fill(models.all(), spec, on_progress)
    # Changes are added in float32, and the sums rounded once.
    exact = build(spec.image_size, "float32")
    made_of = own_files.fill(exact.all(), spec, on_progress)
    for model, source in zip(models.all(), exact.all(), strict=True):
        for variable, value in zip(model.variables, source.variables, strict=True):
            variable.assign(value)
    return made_of


def as_networks(models: Sd14Models, spec: ModelSpec, *, are_rewritten: bool = False) -> Networks:
    """The models behind the exporter's interface, with keras_cv's layers or with rewritten ones.

    A rewritten distilled model reads some weights in the form that it computes with.
    """
    import tensorflow as tf

    from model_export.cached_unet import cut_in_two
    from model_export.networks import Conditioning, Networks, unet_inputs
    from model_export.sd14 import precompute, stored_weights
    from model_export.tiny_decoder import weights as tiny_weights
    from model_export.tiny_decoder.networks import with_tiny_decoder

    is_stored = are_rewritten and spec.is_distilled
    stored = stored_weights.of(models.unet) if is_stored else stored_weights.NONE
    positions = tf.range(MAX_PROMPT_TOKENS, dtype=tf.int32)[tf.newaxis]

    def text_encoder(tokens: tf.Tensor) -> tf.Tensor:
        rows = tf.repeat(positions, tf.shape(tokens)[0], axis=0)
        return _float32(models.text_encoder([tokens, rows], training=False))

    def condition(context: tf.Tensor) -> Conditioning:
        if are_rewritten:
            return precompute.condition(models.unet, context, stored.by_layer)
        return Conditioning(context)

    def run(
        model: Any,
        latent: tf.Tensor,
        embedding: tf.Tensor,
        conditioning: Conditioning,
        *feature: tf.Tensor,
    ) -> Any:
        if are_rewritten:
            with precompute.provided(models.unet, conditioning, stored.by_layer):
                return model([latent, embedding, conditioning.context, *feature], training=False)
        inputs = unet_inputs(latent, embedding, conditioning, *feature)
        return model(inputs, training=False)

    def unet(*inputs: Any) -> tf.Tensor:
        return _float32(run(models.unet, *inputs))

    def decoder(latent: tf.Tensor) -> tf.Tensor:
        return _float32(models.decoder(latent, training=False))

    shortcuts = PROFILES[spec.profile]
    cached_unet = None
    if shortcuts is not None:
        with _dtype_policy(spec.precision):
            cached_unet = cut_in_two(models.unet, shortcuts.cut, run, _float32)

    variables = [variable.value for model in models.all() for variable in model.variables]
    side = spec.image_size // LATENT_SCALE
    networks = Networks(
        text_encoder=text_encoder,
        unet=unet,
        decoder=decoder,
        variables=variables,
        latent_shape=(side, side, LATENT_CHANNELS),
        timestep_embedding_width=TIMESTEP_EMBEDDING_WIDTH,
        parameter_count=sum(variable.shape.num_elements() for variable in variables),
        cached_unet=cached_unet,
        condition=condition,
    )
    if decoders.is_tiny(spec.decoder):
        replaced = [variable.value for variable in models.decoder.variables]
        tensors = tiny_weights.tensors(spec, weights.cache_folder())
        networks = with_tiny_decoder(networks, replaced, tensors, spec.precision)
    return stored.put_into(networks)


def build(image_size: int, precision: str) -> Sd14Models:
    """keras_cv's models with fresh weights. In bfloat16 they store weights and compute in it."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    from keras_cv.src.models.stable_diffusion.decoder import Decoder
    from keras_cv.src.models.stable_diffusion.diffusion_model import DiffusionModel
    from keras_cv.src.models.stable_diffusion.text_encoder import TextEncoder

    with _dtype_policy(precision):
        return Sd14Models(
            text_encoder=TextEncoder(MAX_PROMPT_TOKENS, download_weights=False),
            unet=DiffusionModel(image_size, image_size, MAX_PROMPT_TOKENS, download_weights=False),
            decoder=Decoder(image_size, image_size, download_weights=False),
        )


@contextlib.contextmanager
def _dtype_policy(precision: str) -> Iterator[None]:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _float32(tensor: tf.Tensor) -> tf.Tensor:
    """The sampler computes in float32, whatever the networks' precision."""
    import tensorflow as tf

    return tf.cast(tensor, tf.float32)

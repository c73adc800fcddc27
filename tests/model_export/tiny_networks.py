"""Networks of a few variables: fast, deterministic, and sensitive to every input."""

from __future__ import annotations

import numpy as np

from model_export.networks import CachedUnet, Conditioning, Networks, repeated
from model_export.spec import ModelSpec

CONTEXT_WIDTH = 6
EMBEDDING_WIDTH = 8
LATENT_SHAPE = (8, 8, 4)


def tiny_networks(spec: ModelSpec | None = None) -> Networks:
    """Made-up networks for the demo's shapes. Equal in every process."""
    import tensorflow as tf

    random = np.random.default_rng(5)

    def variable(name: str, *shape: int) -> tf.Variable:
        values = random.standard_normal(shape) / np.sqrt(shape[-2])
        return tf.Variable(values, dtype=tf.float32, name=name)

    embedding = variable("token_embedding", 49408, CONTEXT_WIDTH)
    from_context = variable("from_context", CONTEXT_WIDTH, 4)
    from_time = variable("from_time", EMBEDDING_WIDTH, 4)
    kernel = tf.Variable(random.standard_normal((3, 3, 4, 4)) / 6, dtype=tf.float32, name="kernel")
    to_pixels = variable("to_pixels", 4, 8 * 8 * 3)

    def text_encoder(tokens: tf.Tensor) -> tf.Tensor:
        return tf.gather(embedding, tokens)

    def above(
        latent: tf.Tensor, embedding: tf.Tensor, conditioning: Conditioning, mixed: tf.Tensor
    ) -> tf.Tensor:
        shift = tf.reduce_mean(conditioning.context, axis=1) @ from_context + embedding @ from_time
        return tf.tanh(0.7 * latent + 0.3 * mixed + shift[:, tf.newaxis, tf.newaxis])

    def whole(
        latent: tf.Tensor, embedding: tf.Tensor, conditioning: Conditioning
    ) -> tuple[tf.Tensor, tf.Tensor]:
        mixed = tf.nn.conv2d(repeated(latent, conditioning), kernel, strides=1, padding="SAME")
        return above(latent, embedding, conditioning, mixed), mixed

    def unet(latent: tf.Tensor, embedding: tf.Tensor, conditioning: Conditioning) -> tf.Tensor:
        return whole(latent, embedding, conditioning)[0]

    def decoder(latent: tf.Tensor) -> tf.Tensor:
        return tf.tanh(0.2 * tf.nn.depth_to_space(tf.tensordot(latent, to_pixels, 1), 8))

    variables = [embedding, from_context, from_time, kernel, to_pixels]
    return Networks(
        text_encoder=text_encoder,
        unet=unet,
        decoder=decoder,
        variables=variables,
        latent_shape=LATENT_SHAPE,
        timestep_embedding_width=EMBEDDING_WIDTH,
        parameter_count=sum(int(np.prod(v.shape)) for v in variables),
        cached_unet=CachedUnet(whole, above, LATENT_SHAPE, "float32"),
    )

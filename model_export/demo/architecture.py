"""The demo model's networks, built from keras_cv's own Stable Diffusion layers at small width.

The shapes and roles are Stable Diffusion's: a causal text encoder over CLIP token ids, a U-Net that
predicts the noise in a 16x16x4 latent, a decoder that draws the 64 px picture. TensorFlow and Keras
are imported inside the functions that need them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model_export.demo.layers import (
    group_norm,
    position_embedding,
    precondition_layer,
    resnet_block,
    with_groups,
)
from model_export.demo.noise_schedule import TIMESTEP_EMBEDDING_WIDTH
from model_export.spec import MAX_PROMPT_TOKENS

if TYPE_CHECKING:
    import keras

LATENT_SHAPE = (16, 16, 4)
TEXT_WIDTH = 128
TEXT_LAYERS = 3
TEXT_HEADS = 4
CELL_TOKENS = slice(-10, -1)
"""The positions in the text encoder's output that each describe one cell of the picture, row by
row. The last position, after them, describes everything."""
UNET_CHANNELS = (48, 96, 128)
UNET_HEADS = 4
UNET_EMBEDDING_WIDTH = 256
SKETCH_WIDTH = 128
DECODER_CHANNELS = (64, 48, 16)
ENCODER_CHANNELS = (32, 64)
CLIP_VOCABULARY_SIZE = 49408


@dataclass(frozen=True)
class DemoModels:
    """The trainable Keras models. `velocity` and `unet` share every weight."""

    text_encoder: keras.Model
    velocity: keras.Model
    unet: keras.Model
    decoder: keras.Model

    def trained(self) -> Sequence[keras.Model]:
        """The models whose weights are stored, in the order of the weights file."""
        return self.text_encoder, self.velocity, self.decoder


def build(vocabulary: NDArray[np.int32]) -> DemoModels:
    """The models with fresh weights, for a text encoder with these token ids."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    velocity, unet = _build_unet()
    return DemoModels(
        text_encoder=_build_text_encoder(vocabulary),
        velocity=velocity,
        unet=unet,
        decoder=_build_decoder(),
    )


def encoder() -> keras.Model:
    """The autoencoder's other half, float32[n,64,64,3] in -1..1 to 4 channels. Training only."""
    import keras
    from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D

    picture = keras.Input((64, 64, 3), name="picture")
    x: Any = picture
    for channels in ENCODER_CHANNELS:
        # As in Stable Diffusion: padded on the right and at the bottom only.
        below: Any = ((0, 1), (0, 1))
        x = PaddedConv2D(channels, 3, padding=below, strides=2)(x)
        x = resnet_block(channels)(x)
    x = keras.layers.Activation("swish")(resnet_block(ENCODER_CHANNELS[-1])(x))
    x = PaddedConv2D(LATENT_SHAPE[2], 3, padding=1)(x)
    flat = PaddedConv2D(LATENT_SHAPE[2], 1)(keras.layers.AveragePooling2D(4)(picture))
    return keras.Model(picture, x + flat, name="encoder")


def _build_text_encoder(vocabulary: NDArray[np.int32]) -> keras.Model:
    import keras
    from keras_cv.src.models.stable_diffusion.text_encoder import (
        CLIPEmbedding,
        CLIPEncoderLayer,
        quick_gelu,
    )

    remap = np.zeros(CLIP_VOCABULARY_SIZE, np.int32)
    remap[vocabulary] = np.arange(1, len(vocabulary) + 1)

    class KnownTokens(keras.layers.Layer):
        """CLIP token ids to rows of the embedding; 0 stands for every word not trained on."""

        def call(self, tokens: Any) -> Any:
            return keras.ops.take(keras.ops.convert_to_tensor(remap), tokens, axis=0)

    tokens = keras.Input((MAX_PROMPT_TOKENS,), dtype="int32", name="tokens")
    positions = keras.Input((MAX_PROMPT_TOKENS,), dtype="int32", name="positions")
    x = CLIPEmbedding(len(vocabulary) + 1, TEXT_WIDTH, MAX_PROMPT_TOKENS)(
        [KnownTokens()(tokens), positions]
    )
    for _ in range(TEXT_LAYERS):
        x = CLIPEncoderLayer(TEXT_WIDTH, TEXT_HEADS, activation=quick_gelu)(x)
    x = keras.layers.LayerNormalization(epsilon=1e-5)(x)
    return keras.Model([tokens, positions], x, name="text_encoder")


def _build_unet() -> tuple[keras.Model, keras.Model]:
    """(velocity model, noise model) over inputs latent, timestep embedding and context."""
    import keras
    from keras_cv.src.models.stable_diffusion.diffusion_model import (
        PaddedConv2D,
        ResBlock,
        SpatialTransformer,
        Upsample,
    )

    def block(x: Any, channels: int) -> Any:
        x = with_groups(ResBlock(channels))([x, t])
        if channels == UNET_CHANNELS[0]:
            # Attention over 256 positions costs more than it gains; the sketch replaces it.
            return x + PaddedConv2D(channels, 1)(sketch)
        transformer = SpatialTransformer(UNET_HEADS, channels // UNET_HEADS)
        return with_groups(transformer)([x, context])

    latent = keras.Input(LATENT_SHAPE, name="latent")
    embedding = keras.Input((TIMESTEP_EMBEDDING_WIDTH,), name="timestep_embedding")
    context: Any = keras.Input((MAX_PROMPT_TOKENS, TEXT_WIDTH), name="context")
    scale, skip, out_scale = precondition_layer()(embedding)

    t = keras.layers.Dense(UNET_EMBEDDING_WIDTH)(embedding)
    t = keras.layers.Activation("swish")(t)
    t = keras.layers.Dense(UNET_EMBEDDING_WIDTH)(t)
    # As in SDXL (arXiv 2307.01952, section 2.2), the pooled text is added to the timestep's
    # embedding, so it reaches every level of the U-Net. It is the last token's, as in CLIP.
    summary = keras.layers.Dense(UNET_EMBEDDING_WIDTH, activation="swish")(context[:, -1])
    t = t + keras.layers.Dense(UNET_EMBEDDING_WIDTH)(summary)

    # A sketch of the caption's layout over the whole latent: a learned stamp for each of the 3x3
    # cells, 8 positions wide, at a stride of 4, which covers 16 positions.
    cells = keras.layers.Dense(SKETCH_WIDTH)(context[:, CELL_TOKENS])
    cells = cells + keras.layers.Dense(SKETCH_WIDTH)(summary)[:, None]
    cells = keras.layers.Reshape((3, 3, SKETCH_WIDTH))(keras.layers.Activation("swish")(cells))
    sketch = keras.layers.Conv2DTranspose(UNET_CHANNELS[0], 8, strides=4)(cells)

    x = PaddedConv2D(UNET_CHANNELS[0], 3, padding=1)(latent * scale) + sketch
    x = position_embedding()(x)
    outputs = [x]
    for channels in UNET_CHANNELS:
        x = block(x, channels)
        outputs.append(x)
        if channels != UNET_CHANNELS[-1]:
            x = position_embedding()(PaddedConv2D(channels, 3, strides=2, padding=1)(x))
            outputs.append(x)

    x = block(x, UNET_CHANNELS[-1])
    x = with_groups(ResBlock(UNET_CHANNELS[-1]))([x, t])

    for level, channels in reversed(list(enumerate(UNET_CHANNELS))):
        for _ in range(2):
            x = keras.layers.Concatenate()([x, outputs.pop()])
            x = block(x, channels)
        if level > 0:
            x = Upsample(UNET_CHANNELS[level - 1])(x)

    x = group_norm()(x)
    x = keras.layers.Activation("swish")(x)
    velocity = PaddedConv2D(LATENT_SHAPE[2], 3, padding=1, name="velocity")(x)
    noise = latent * skip + velocity * out_scale
    inputs = [latent, embedding, context]
    return keras.Model(inputs, velocity, name="velocity"), keras.Model(inputs, noise, name="unet")


def _build_decoder() -> keras.Model:
    import keras
    from keras_cv.src.models.stable_diffusion.attention_block import AttentionBlock
    from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D

    first, *rest = DECODER_CHANNELS
    latent = keras.Input(LATENT_SHAPE, name="latent")
    z: Any = PaddedConv2D(LATENT_SHAPE[2], 1, name="rescale")(latent)
    x: Any = resnet_block(first)(PaddedConv2D(first, 3, padding=1)(z))
    x = resnet_block(first)(with_groups(AttentionBlock(first))(x))
    for channels in rest:
        x = PaddedConv2D(channels, 3, padding=1)(keras.layers.UpSampling2D(2)(x))
        if channels != rest[-1]:
            x = resnet_block(channels)(x)
    # No norm here: over few channels it destroys the flat colours that these pictures consist of.
    swish = keras.layers.Activation("swish")
    x = PaddedConv2D(3, 3, padding=1)(swish(PaddedConv2D(rest[-1], 3, padding=1)(swish(x))))
    flat = keras.layers.UpSampling2D(4)(PaddedConv2D(3, 1)(z))
    return keras.Model(latent, x + flat, name="decoder")

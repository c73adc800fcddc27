"""The demo model's networks, built from keras_cv's own Stable Diffusion layers at small width.

The shapes and roles are Stable Diffusion's: a causal text encoder over CLIP token ids, a U-Net that
predicts the noise in a 16x16x4 latent, a decoder that draws the 64 px picture. TensorFlow and Keras
are imported inside the functions that need them.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model_export.profiles import PROFILES
from model_export.spec import MAX_PROMPT_TOKENS, ModelSpec

if TYPE_CHECKING:
    import keras

    from model_export.networks import Networks

WEIGHTS_PATH = Path(__file__).with_name("weights.npz")
VOCABULARY_PATH = Path(__file__).with_name("vocabulary.txt")

LATENT_SHAPE = (16, 16, 4)
LATENT_SCALE = 0.4
"""Standard deviation of the latents. At 1, a layout can still be read from the noise at the last
timestep, and the model learns to rely on that instead of on the text."""
TIMESTEP_EMBEDDING_WIDTH = 128
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
PREVIEW_PROMPTS = (
    "a large red circle on a white background",
    "a small blue star on a black background",
    "a large green square on a grey background",
    "a small yellow triangle on a white background",
    "a large purple star on a black background",
    "a small orange circle on a grey background",
    "a large cyan triangle on a white background",
    "a small pink square on a black background",
    "a large blue circle on a grey background",
    "a large yellow square on a black background",
    "a small red star on a grey background",
    "a large pink triangle on a white background",
)
NORM_GROUPS = 8
"""keras_cv's 32 groups would normalize every channel alone here, which loses the mean colour."""

TRAINED_TIMESTEPS = 1000
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


@cache
def weights_sha256() -> str:
    """Checksum of the weights and of the vocabulary that they depend on."""
    digest = hashlib.sha256()
    for path in (WEIGHTS_PATH, VOCABULARY_PATH):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def load(spec: ModelSpec) -> Networks:
    """The trained networks behind the exporter's interface, weights as `spec.precision`."""
    import tensorflow as tf

    from model_export.cached_unet import cut_in_two
    from model_export.networks import Conditioning, Networks, repeated

    if spec.family != "demo":
        raise ValueError(f"not a demo model: {spec.family}")
    models = build(read_vocabulary())
    read_weights(models)
    positions = tf.range(MAX_PROMPT_TOKENS, dtype=tf.int32)[None]

    def text_encoder(tokens: tf.Tensor) -> tf.Tensor:
        rows = tf.repeat(positions, tf.shape(tokens)[0], axis=0)
        return models.text_encoder([tokens, rows], training=False)

    def run(
        model: Any,
        latent: tf.Tensor,
        embedding: tf.Tensor,
        conditioning: Conditioning,
        *feature: tf.Tensor,
    ) -> Any:
        inputs = [
            repeated(latent, conditioning),
            repeated(embedding, conditioning),
            conditioning.context,
            *feature,
        ]
        return model(inputs, training=False)

    def decoder(latent: tf.Tensor) -> tf.Tensor:
        return models.decoder(latent, training=False)

    shortcuts = PROFILES[spec.profile]
    cached_unet = shortcuts and cut_in_two(models.unet, shortcuts.cut, run, tf.identity)
    variables = [v.value for m in models.trained() for v in m.variables]
    return Networks(
        text_encoder=text_encoder,
        unet=functools.partial(run, models.unet),
        decoder=decoder,
        variables=variables,
        latent_shape=LATENT_SHAPE,
        timestep_embedding_width=TIMESTEP_EMBEDDING_WIDTH,
        parameter_count=sum(int(np.prod(v.shape)) for v in variables),
        cached_unet=cached_unet,
        preview_prompts=PREVIEW_PROMPTS,
    )


def read_vocabulary() -> NDArray[np.int32]:
    """The CLIP token ids that the text encoder was trained on, ascending."""
    return np.loadtxt(VOCABULARY_PATH, dtype=np.int32, comments="#")


def write_vocabulary(vocabulary: NDArray[np.int32], path: Path = VOCABULARY_PATH) -> None:
    """Store the token ids that `read_vocabulary` reads."""
    np.savetxt(path, vocabulary, fmt="%d", header="CLIP token ids known to the model")


def read_weights(models: DemoModels, path: Path = WEIGHTS_PATH) -> None:
    """Fill the models from a weights file (float16 arrays named model/index)."""
    with np.load(path) as stored:
        for name, model in zip(("text", "unet", "decoder"), models.trained(), strict=True):
            names = [f"{name}/{i}" for i in range(len(model.weights))]
            if not set(names) <= set(stored.files):
                raise ValueError(f"{path.name} holds the weights of another {name} network")
            model.set_weights([stored[n].astype(np.float32) for n in names])


def write_weights(models: DemoModels, path: Path = WEIGHTS_PATH) -> None:
    """Store the models' weights as float16. Equal weights give an equal file."""
    arrays = {
        f"{name}/{i}": np.asarray(w, np.float16)
        for name, model in zip(("text", "unet", "decoder"), models.trained(), strict=True)
        for i, w in enumerate(model.get_weights())
    }
    temporary = path.with_name(path.name + ".tmp.npz")
    np.savez(temporary, **arrays)  # pyright: ignore[reportArgumentType]
    temporary.replace(path)


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


def alphas_cumprod() -> NDArray[np.float64]:
    """Stable Diffusion's noise schedule ("scaled linear" betas), float64[1000]."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, TRAINED_TIMESTEPS, dtype=np.float64) ** 2
    return np.cumprod(1 - betas, dtype=np.float64)


def preconditioning() -> NDArray[np.float64]:
    """Rows (input scale, skip, output scale) for every timestep, float64[1000, 3].

    With latents of standard deviation s, x = a*s*z + b*e (a^2 = alphas_cumprod, b^2 = 1 - a^2) has
    variance n^2 = a^2 s^2 + b^2. The network sees x/n = a'z + b'e and predicts the velocity
    v = a'e - b'z (Salimans and Ho 2022, arXiv 2202.00512, appendix D), which has unit variance at
    every timestep; the noise is then e = b' x/n + a' v.
    """
    a = np.sqrt(alphas_cumprod()) * LATENT_SCALE
    b = np.sqrt(1 - alphas_cumprod())
    n = np.sqrt(a * a + b * b)
    return np.stack([1 / n, b / n**2, a / n], axis=1)


def timestep_embedding(timesteps: NDArray[np.int64]) -> NDArray[np.float32]:
    """keras_cv's sinusoidal embedding, float32[n, 128]: cosines, then sines."""
    angles = timesteps[:, None] * _embedding_frequencies()[None]
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


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
        x = _resnet_block(channels)(x)
    x = keras.layers.Activation("swish")(_resnet_block(ENCODER_CHANNELS[-1])(x))
    x = PaddedConv2D(LATENT_SHAPE[2], 3, padding=1)(x)
    flat = PaddedConv2D(LATENT_SHAPE[2], 1)(keras.layers.AveragePooling2D(4)(picture))
    return keras.Model(picture, x + flat, name="encoder")


def _embedding_frequencies() -> NDArray[np.float64]:
    half = TIMESTEP_EMBEDDING_WIDTH // 2
    return np.exp(-np.log(10000.0) * np.arange(half) / half)


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
        x = _with_groups(ResBlock(channels))([x, t])
        if channels == UNET_CHANNELS[0]:
            # Attention over 256 positions costs more than it gains; the sketch replaces it.
            return x + PaddedConv2D(channels, 1)(sketch)
        transformer = SpatialTransformer(UNET_HEADS, channels // UNET_HEADS)
        return _with_groups(transformer)([x, context])

    latent = keras.Input(LATENT_SHAPE, name="latent")
    embedding = keras.Input((TIMESTEP_EMBEDDING_WIDTH,), name="timestep_embedding")
    context: Any = keras.Input((MAX_PROMPT_TOKENS, TEXT_WIDTH), name="context")
    scale, skip, out_scale = _precondition_layer()(embedding)

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
    x = _position_embedding()(x)
    outputs = [x]
    for channels in UNET_CHANNELS:
        x = block(x, channels)
        outputs.append(x)
        if channels != UNET_CHANNELS[-1]:
            x = _position_embedding()(PaddedConv2D(channels, 3, strides=2, padding=1)(x))
            outputs.append(x)

    x = block(x, UNET_CHANNELS[-1])
    x = _with_groups(ResBlock(UNET_CHANNELS[-1]))([x, t])

    for level, channels in reversed(list(enumerate(UNET_CHANNELS))):
        for _ in range(2):
            x = keras.layers.Concatenate()([x, outputs.pop()])
            x = block(x, channels)
        if level > 0:
            x = Upsample(UNET_CHANNELS[level - 1])(x)

    x = _group_norm()(x)
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
    x: Any = _resnet_block(first)(PaddedConv2D(first, 3, padding=1)(z))
    x = _resnet_block(first)(_with_groups(AttentionBlock(first))(x))
    for channels in rest:
        x = PaddedConv2D(channels, 3, padding=1)(keras.layers.UpSampling2D(2)(x))
        if channels != rest[-1]:
            x = _resnet_block(channels)(x)
    # No norm here: over few channels it destroys the flat colours that these pictures consist of.
    swish = keras.layers.Activation("swish")
    x = PaddedConv2D(3, 3, padding=1)(swish(PaddedConv2D(rest[-1], 3, padding=1)(swish(x))))
    flat = keras.layers.UpSampling2D(4)(PaddedConv2D(3, 1)(z))
    return keras.Model(latent, x + flat, name="decoder")


def _precondition_layer() -> Any:
    """A layer from the timestep embedding to the timestep's `preconditioning` row."""
    import keras

    slowest = float(_embedding_frequencies()[-1])
    table = preconditioning().astype(np.float32)

    class Precondition(keras.layers.Layer):
        def call(self, embedding: Any) -> Any:
            # The slowest sine stays within its first quarter period, so it determines the timestep.
            timestep: Any = keras.ops.arcsin(embedding[:, -1])
            index = keras.ops.cast(keras.ops.round(timestep / slowest), "int32")
            index = keras.ops.clip(index, 0, TRAINED_TIMESTEPS - 1)
            rows: Any = keras.ops.take(keras.ops.convert_to_tensor(table), index, axis=0)
            rows = rows[:, None, None, :]
            return rows[..., 0:1], rows[..., 1:2], rows[..., 2:3]

    return Precondition(name="precondition")


def _position_embedding() -> Any:
    """A layer that adds a learned vector, initially zero, to every position of a feature map.

    Convolutions and attention know positions only by the padding at the borders. Without this the
    model reads the layout from the noise, long before it learns to read it from the text.
    """
    import keras

    # Its name is in the exported graph: renaming it changes the graph.
    class PlaceEmbedding(keras.layers.Layer):
        def build(self, input_shape: Any) -> None:
            shape = (1, *input_shape[1:])
            self.embedding = self.add_weight(shape=shape, initializer="zeros", name="embedding")

        def call(self, features: Any) -> Any:
            return features + self.embedding

    return PlaceEmbedding()


def _group_norm() -> Any:
    import keras

    return keras.layers.GroupNormalization(groups=NORM_GROUPS, epsilon=1e-5)


def _resnet_block(channels: int) -> Any:
    from keras_cv.src.models.stable_diffusion.resnet_block import ResnetBlock

    return _with_groups(ResnetBlock(channels))


def _with_groups(layer: Any) -> Any:
    import keras

    for part in layer._flatten_layers():
        if isinstance(part, keras.layers.GroupNormalization):
            part.groups = NORM_GROUPS
    return layer

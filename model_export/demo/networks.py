"""The demo model's trained networks, and the files that their weights are in."""

from __future__ import annotations

import functools
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model_export.demo.architecture import LATENT_SHAPE, DemoModels, build
from model_export.demo.noise_schedule import TIMESTEP_EMBEDDING_WIDTH
from model_export.profiles import PROFILES
from model_export.spec import MAX_PROMPT_TOKENS, ModelSpec

if TYPE_CHECKING:
    from model_export.networks import Networks

WEIGHTS_PATH = Path(__file__).with_name("weights.npz")
VOCABULARY_PATH = Path(__file__).with_name("vocabulary.txt")
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
    from model_export.networks import Networks, unet_inputs

    if spec.family != "demo":
        raise ValueError(f"not a demo model: {spec.family}")
    models = build(read_vocabulary())
    read_weights(models)
    positions = tf.range(MAX_PROMPT_TOKENS, dtype=tf.int32)[None]

    def text_encoder(tokens: tf.Tensor) -> tf.Tensor:
        rows = tf.repeat(positions, tf.shape(tokens)[0], axis=0)
        return models.text_encoder([tokens, rows], training=False)

    def run(model: Any, *inputs: Any) -> Any:
        return model(unet_inputs(*inputs), training=False)

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

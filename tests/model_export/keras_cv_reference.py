"""keras_cv's own `StableDiffusion.generate_image`, run with given models."""

from __future__ import annotations

from typing import Any

import numpy as np

UNET_INPUTS = ("latent", "timestep_embedding", "context")
TEXT_INPUTS = ("tokens", "positions")


class _ByPosition:
    """keras_cv calls its models with dictionaries, which Keras sorts by key since 3.4."""

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        model.compile(jit_compile=False)
        self._model, self._names = model, names

    def predict_on_batch(self, inputs: dict[str, Any]) -> Any:
        return self._model.predict_on_batch([np.asarray(inputs[name]) for name in self._names])


def drawer(models: Any, image_size: int) -> Any:
    """keras_cv's `StableDiffusion` around these models."""
    import keras_cv

    stable_diffusion = keras_cv.models.StableDiffusion(image_size, image_size, jit_compile=False)
    stable_diffusion._text_encoder = _ByPosition(models.text_encoder, TEXT_INPUTS)
    stable_diffusion._diffusion_model = _ByPosition(models.unet, UNET_INPUTS)
    models.decoder.compile(jit_compile=False)
    stable_diffusion._decoder = models.decoder
    return stable_diffusion


def picture(
    models: Any, image_size: int, *, tokens: Any, num_steps: int, guidance_scale: float, seed: int
) -> np.ndarray:
    """uint8 [H, W, 3] for one row of token ids, against the empty negative prompt."""
    stable_diffusion = drawer(models, image_size)
    positions = stable_diffusion._get_pos_ids()
    context = stable_diffusion.text_encoder.predict_on_batch(
        {"tokens": tokens, "positions": positions}
    )
    pictures = stable_diffusion.generate_image(
        context,
        num_steps=num_steps,
        unconditional_guidance_scale=guidance_scale,
        seed=seed,
    )
    return pictures[0]

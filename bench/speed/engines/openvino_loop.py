"""keras_cv's networks compiled by OpenVINO, driven by this project's sampler in NumPy."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.speed.contenders import Contender
from bench.speed.models import openvino_folder, openvino_parts
from model_export import samplers
from model_export.spec import ModelSpec
from model_export.vocabulary import END_OF_TEXT, START_OF_TEXT

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_EMBEDDING_HALF = 160
_GUIDANCE_SCALE = 7.5


def load(contender: Contender, folder: Path, image_size: int) -> Callable[[int], None]:
    import openvino as ov
    from PIL import Image

    core = ov.Core()
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[contender.precision],
    }
    models = openvino_folder(folder, image_size)
    is_alone = bool(contender.sampler)
    text_encoder, unet, decoder = (
        core.compile_model(models / f"{name}.xml", "CPU", options)
        for name in openvino_parts(contender)
    )
    empty = [START_OF_TEXT] + [END_OF_TEXT] * 76
    prompt = [START_OF_TEXT, 320, 27111, 9038] + [END_OF_TEXT] * 73
    tokens = np.array([prompt] if is_alone else [empty, prompt], np.int32)
    sampler = contender.sampler or ModelSpec().sampler
    frequencies = np.exp(-np.log(10000.0) * np.arange(_EMBEDDING_HALF) / _EMBEDDING_HALF)
    side = image_size // 8

    def draw(num_steps: int) -> None:
        context = text_encoder([tokens])[0]
        random = np.random.default_rng(1)
        latent = random.standard_normal((1, side, side, 4)).astype(np.float32)
        clean_before = np.zeros_like(latent)
        for row in samplers.coefficients(sampler, num_steps):
            timestep, p, q, a, b, c, d = row.astype(np.float32)
            angles = timestep * frequencies
            embedding = np.concatenate([np.cos(angles), np.sin(angles)]).astype(np.float32)
            texts = len(tokens)
            eps = unet([np.repeat(latent, texts, 0), np.stack([embedding] * texts), context])[0]
            if not is_alone:
                unconditional, conditional = np.split(eps, 2)
                eps = unconditional + _GUIDANCE_SCALE * (conditional - unconditional)
            clean = p * latent - q * eps
            latent = a * latent + b * clean + c * clean_before
            clean_before = clean
            if d:
                latent += d * random.standard_normal(latent.shape, np.float32)
        image = np.clip(np.round((decoder([latent])[0][0] + 1.0) * 127.5), 0, 255)
        Image.fromarray(image.astype(np.uint8)).save(io.BytesIO(), "PNG")

    return draw

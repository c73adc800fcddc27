"""The contenders' models: SavedModels with one set of random weights, and OpenVINO's own files.

    python -m bench.speed.models FOLDER IMAGE_SIZE CONTENDER...

The contenders have one precision, or OpenVINO's. One process makes all of their models, because
building the networks takes longest.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.export_cost import RANDOM_WEIGHTS
from bench.speed.contenders import CONTENDERS, EXPORTS, FLOAT32, TUTORIAL, Contender
from model_export.decoders import TINY
from model_export.families import family
from model_export.few_steps import MAX_INSTANT_GUIDANCE
from model_export.manifest import MANIFEST_NAME
from model_export.spec import ModelSpec

OPENVINO_PARTS = ("text_encoder", "unet", "decoder")
OPENVINO_FEW_STEP_PARTS = ("text_encoder_alone", "unet_alone", "tiny_decoder")
"""For the prompt alone."""
OPENVINO_INT8_PARTS = ("text_encoder_alone_int8", "unet_alone_int8", "tiny_decoder")
MAX_FEW_STEPS = 8
"""Enough to tell a step's time from the decoder's."""


def spec(contender: Contender, image_size: int) -> ModelSpec:
    """The spec that a served contender is exported from."""
    few = {
        "sampler": contender.sampler,
        "max_steps": MAX_FEW_STEPS,
        "max_guidance_scale": MAX_INSTANT_GUIDANCE,
        "decoder": TINY,
    }
    default = ModelSpec.for_family(
        "sd14",
        image_size=image_size,
        precision=contender.precision,
        weights=RANDOM_WEIGHTS,
        steps=contender.steps,
        profile=contender.profile,
        **(few if contender.sampler else {}),
    )
    return replace(default, sampler="ddim_tutorial") if contender is TUTORIAL else default


def folder_of(contender: Contender, folder: Path, image_size: int) -> Path:
    """Where a served contender's model is, or will be. The name ends in its fingerprint."""
    from model_export.families import fingerprint

    return folder / f"{contender.key}-{fingerprint(spec(contender, image_size))}"


def openvino_folder(folder: Path, image_size: int) -> Path:
    return folder / f"openvino-{image_size}"


def openvino_parts(contender: Contender) -> tuple[str, ...]:
    """The names of a contender's files: its text encoder, its U-Net and its decoder."""
    if contender.has_int8_weights:
        return OPENVINO_INT8_PARTS
    return OPENVINO_FEW_STEP_PARTS if contender.sampler else OPENVINO_PARTS


def made_in(contender: Contender) -> str:
    """The precision of the networks that a contender's models are made from."""
    return contender.precision if contender.engine == "served" else FLOAT32


def missing(folder: Path, image_size: int, some: Sequence[Contender]) -> list[Contender]:
    """Those of some whose models are not made yet."""

    def files(contender: Contender) -> list[Path]:
        if contender.engine == "served":
            return [folder_of(contender, folder, image_size) / MANIFEST_NAME]
        if contender.engine == "openvino_loop":
            models = openvino_folder(folder, image_size)
            return [models / f"{name}.xml" for name in openvino_parts(contender)]
        return []

    return [one for one in some if not all(file.exists() for file in files(one))]


def make(folder: Path, image_size: int, some: Sequence[Contender]) -> None:
    """Makes what is missing. OpenVINO gets keras_cv's own layers, before they are rewritten."""
    from model_export.export import export
    from model_export.sd14 import networks, weights
    from model_export.sd14.layers import rewrite

    wanted = missing(folder, image_size, some)
    if not wanted:
        return
    served = [one for one in wanted if one.engine == "served"]
    models = networks.build(image_size, made_in(wanted[0]))
    first = spec(EXPORTS[0], image_size)
    weights.fill(models.all(), first, lambda _done: None)
    for parts in dict.fromkeys(openvino_parts(one) for one in wanted if one not in served):
        is_alone = parts == OPENVINO_FEW_STEP_PARTS
        chosen = replace(first, decoder=TINY) if is_alone else first
        target = openvino_folder(folder, image_size)
        _convert(networks.as_networks(models, chosen), target, parts, texts=1 if is_alone else 2)
    linked: Path | None = None
    for contender in sorted(served, key=lambda one: one is not TUTORIAL):
        chosen = spec(contender, image_size)
        if contender is not TUTORIAL:
            rewrite(models.unet, models.decoder)
        target = folder_of(contender, folder, image_size)
        shutil.rmtree(target, ignore_errors=True)  # what an interrupted run left
        export(
            chosen,
            target,
            networks=networks.as_networks(models, chosen, are_rewritten=contender is not TUTORIAL),
            weights_sha256=family(chosen.family).weights_sha256(chosen),
        )
        linked = share_variables(target, linked)


def share_variables(model: Path, other: Path | None) -> Path:
    """Stores shards that two models have in common only once, as hard links."""
    ours = model / "1" / "variables"
    if other is None:
        return model
    for shard in (other / "1" / "variables").glob("variables.data-*"):
        own = ours / shard.name  # the tiny decoder's models have fewer shards, named otherwise
        if own.is_file() and filecmp.cmp(shard, own, shallow=False):
            own.unlink()
            own.hardlink_to(shard)
    return other


def _convert(networks: Any, folder: Path, names: Sequence[str], texts: int) -> None:
    """keras_cv's networks as OpenVINO models with static shapes: so many texts, one picture.

    names: of the files, in the order of text encoder, U-Net and decoder. OpenVINO's precision is
    chosen when it compiles them, so the float32 files serve both.
    """
    import openvino as ov
    import tensorflow as tf

    latent = networks.latent_shape
    shapes = (
        [tf.TensorSpec([texts, 77], tf.int32)],
        [
            tf.TensorSpec([texts, *latent], tf.float32),
            tf.TensorSpec([texts, networks.timestep_embedding_width], tf.float32),
            tf.TensorSpec([texts, 77, 768], tf.float32),
        ],
        [tf.TensorSpec([1, *latent], tf.float32)],
    )
    folder.mkdir(parents=True, exist_ok=True)

    def unet(latent: Any, embedding: Any, context: Any) -> Any:
        return networks.unet(latent, embedding, networks.condition(context))

    parts = (networks.text_encoder, unet, networks.decoder)
    for name, part, signature in zip(names, parts, shapes, strict=True):
        function = tf.function(part, input_signature=signature)
        converted = ov.convert_model(function.get_concrete_function())
        ov.save_model(converted, folder / f"{name}.xml", compress_to_fp16=False)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    base, size, *keys = sys.argv[1:]
    make(Path(base), int(size), [one for one in CONTENDERS if one.key in keys])

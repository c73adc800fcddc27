"""The contenders' models: SavedModels with one set of random weights, and OpenVINO's own files.

    python -m bench.speed.models FOLDER IMAGE_SIZE PRECISION [openvino]

One process makes all models of a precision, because building the networks takes longest.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.export_cost import RANDOM_WEIGHTS
from bench.speed.contenders import EXPORTS, TUTORIAL, Contender
from model_export.manifest import MANIFEST_NAME
from model_export.spec import ModelSpec

OPENVINO_PARTS = ("text_encoder", "unet", "decoder")


def spec(contender: Contender, image_size: int) -> ModelSpec:
    """The spec that a served contender is exported from."""
    default = ModelSpec.for_family(
        "sd14",
        image_size=image_size,
        precision=contender.precision,
        weights=RANDOM_WEIGHTS,
        steps=contender.steps,
        profile=contender.profile,
    )
    return replace(default, sampler="ddim_tutorial") if contender is TUTORIAL else default


def folder_of(contender: Contender, folder: Path, image_size: int) -> Path:
    """Where a served contender's model is, or will be. The name ends in its fingerprint."""
    from model_export.families import fingerprint

    return folder / f"{contender.key}-{fingerprint(spec(contender, image_size))}"


def openvino_folder(folder: Path, image_size: int) -> Path:
    return folder / f"openvino-{image_size}"


def missing(folder: Path, image_size: int, precision: str) -> list[Contender]:
    """The served contenders of this precision that are not exported yet."""
    return [
        contender
        for contender in (TUTORIAL, *EXPORTS)
        if contender.precision == precision
        and not (folder_of(contender, folder, image_size) / MANIFEST_NAME).exists()
    ]


def has_openvino(folder: Path, image_size: int) -> bool:
    names = [f"{name}.xml" for name in OPENVINO_PARTS]
    return all((openvino_folder(folder, image_size) / name).exists() for name in names)


def make(folder: Path, image_size: int, precision: str, *, with_openvino: bool) -> None:
    """Exports what is missing. OpenVINO gets keras_cv's own layers, before they are rewritten."""
    from model_export.export import export
    from model_export.sd14 import networks, weights
    from model_export.sd14.layers import rewrite

    wanted = missing(folder, image_size, precision)
    models = networks.build(image_size, precision)
    first = spec(EXPORTS[0], image_size)
    weights.fill(models.all(), first, lambda _done: None)
    if with_openvino:
        _convert(networks.as_networks(models, first), openvino_folder(folder, image_size))
    linked: Path | None = None
    for contender in sorted(wanted, key=lambda one: one is not TUTORIAL):
        chosen = spec(contender, image_size)
        if contender is not TUTORIAL:
            rewrite(models.unet, models.decoder)
        target = folder_of(contender, folder, image_size)
        shutil.rmtree(target, ignore_errors=True)  # what an interrupted run left
        export(
            chosen,
            target,
            networks=networks.as_networks(models, chosen, are_rewritten=contender is not TUTORIAL),
            weights_sha256=weights.checksum(chosen),
        )
        linked = _share_variables(target, linked)


def _share_variables(model: Path, other: Path | None) -> Path:
    """Stores shards that two models have in common only once, as hard links."""
    ours = model / "1" / "variables"
    if other is None:
        return model
    for shard in (other / "1" / "variables").glob("variables.data-*"):
        if filecmp.cmp(shard, ours / shard.name, shallow=False):
            (ours / shard.name).unlink()
            (ours / shard.name).hardlink_to(shard)
    return other


def _convert(networks: Any, folder: Path) -> None:
    """keras_cv's networks as OpenVINO models with static shapes: a guidance pair, one picture.

    OpenVINO's precision is chosen when it compiles them, so the float32 files serve both.
    """
    import openvino as ov
    import tensorflow as tf

    latent = networks.latent_shape
    shapes = {
        "text_encoder": [tf.TensorSpec([2, 77], tf.int32)],
        "unet": [
            tf.TensorSpec([2, *latent], tf.float32),
            tf.TensorSpec([2, networks.timestep_embedding_width], tf.float32),
            tf.TensorSpec([2, 77, 768], tf.float32),
        ],
        "decoder": [tf.TensorSpec([1, *latent], tf.float32)],
    }
    folder.mkdir(parents=True, exist_ok=True)

    def unet(latent: Any, embedding: Any, context: Any) -> Any:
        return networks.unet(latent, embedding, networks.condition(context))

    parts = {"text_encoder": networks.text_encoder, "unet": unet, "decoder": networks.decoder}
    for name in OPENVINO_PARTS:
        function = tf.function(parts[name], input_signature=shapes[name])
        converted = ov.convert_model(function.get_concrete_function())
        ov.save_model(converted, folder / f"{name}.xml", compress_to_fp16=False)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    base, size, chosen_precision, *more = sys.argv[1:]
    make(Path(base), int(size), chosen_precision, with_openvino=more == ["openvino"])

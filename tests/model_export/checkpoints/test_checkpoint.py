"""Checkpoints in every layout give the same tensors, bit for bit; broken ones are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export.checkpoints.architecture import (
    DECODER,
    GUIDANCE_EMBEDDING,
    PARTS,
    TEXT_ENCODER,
    UNET,
)
from model_export.checkpoints.checkpoint import open_checkpoint, open_vae
from model_export.checkpoints.names import ema_name, ldm_name
from model_export.download import WeightsError
from model_export.prediction_types import EPSILON, V
from tests.model_export.checkpoints.state_dicts import (
    TINY,
    Tensors,
    all_parts,
    as_diffusers,
    as_ldm,
    state_dict,
    write,
    write_folder,
)

pytestmark = pytest.mark.usefixtures("tiny")

PARTS_OF = all_parts(TINY)
FILE = "model.safetensors"


def renamed(tensors: Tensors, old: str, new: str) -> Tensors:
    return {name.replace(old, new): values for name, values in tensors.items()}


def single(folder: Path) -> Path:
    return write(folder / FILE, as_ldm(PARTS_OF))


def half(folder: Path) -> Path:
    return write(folder / FILE, as_ldm(PARTS_OF), "F16")


def brain(folder: Path) -> Path:
    return write(folder / FILE, as_ldm(PARTS_OF), "BF16")


def mixed(folder: Path) -> Path:
    def kind(name: str) -> str:
        return "F32" if name.startswith("first_stage") else "BF16" if "norm" in name else "F16"

    return write(folder / FILE, as_ldm(PARTS_OF), kind)


def with_all_that_training_leaves(folder: Path) -> Path:
    """Buffers, the VAE's encoder, and numbers of no use."""
    more = {
        "cond_stage_model.transformer.text_model.embeddings.position_ids": np.zeros((1, 7)),
        "cond_stage_model.transformer.text_projection.weight": np.zeros((6, 6)),
        "cond_stage_model.logit_scale": np.zeros(()),
        "first_stage_model.encoder.conv_in.weight": np.zeros((4, 3, 3, 3)),
        "first_stage_model.quant_conv.weight": np.zeros((8, 8, 1, 1)),
        "first_stage_model.loss.logvar": np.zeros(()),
        "betas": np.zeros(1000),
        "alphas_cumprod": np.zeros(1000),
        "embedding_manager.none": np.zeros(1),
        "model_ema.decay": np.zeros(()),
        "model_ema.num_updates": np.zeros(()),
    }
    return write(folder / FILE, {**as_ldm(PARTS_OF), **more})


def early(folder: Path) -> Path:
    """The text encoder's names of 2022."""
    prefix = "cond_stage_model.transformer."
    tensors = renamed(as_ldm(PARTS_OF), f"{prefix}text_model.", prefix)
    return write(folder / FILE, tensors)


def linear(folder: Path) -> Path:
    """Convolutions of 1 x 1 as linear layers, and of one axis."""
    tensors = as_ldm(PARTS_OF)
    for name, values in tensors.items():
        if "proj_in" in name and values.ndim == 4:
            tensors[name] = values[:, :, 0, 0]
        if "attn_1.q.weight" in name:
            tensors[name] = values[:, :, :, 0]
    return write(folder / FILE, tensors)


def averaged(folder: Path) -> Path:
    """With a moving average, which is the one to use: here the other one is zero."""
    tensors = as_ldm({**PARTS_OF, UNET: {n: 0 * v for n, v in PARTS_OF[UNET].items()}})
    tensors |= {ema_name(name): values for name, values in PARTS_OF[UNET].items()}
    return write(folder / FILE, tensors)


def in_diffusers_names(parts: Mapping[str, Tensors]) -> Tensors:
    tensors = {f"unet.{name}": values for name, values in parts[UNET].items()}
    tensors |= {f"vae.{name}": values for name, values in parts[DECODER].items()}
    text = as_diffusers(TEXT_ENCODER, parts[TEXT_ENCODER])
    return tensors | {f"text_encoder.{n}": v for n, v in text.items()}


def diffusers_names(folder: Path) -> Path:
    return write(folder / FILE, in_diffusers_names(PARTS_OF))


def a_folder(folder: Path) -> Path:
    return write_folder(folder / "model", PARTS_OF)


def a_folder_of_halves(folder: Path) -> Path:
    return write_folder(folder / "model", PARTS_OF, "F16", variant=".fp16")


def a_folder_of_shards(folder: Path) -> Path:
    return cut(a_folder(folder), "diffusion_pytorch_model.safetensors.index.json")


def a_folder_of_shards_of_halves(folder: Path) -> Path:
    path = a_folder_of_halves(folder)
    return cut(path, "diffusion_pytorch_model.safetensors.index.fp16.json", "F16")


def a_folder_of_early_shards_of_halves(folder: Path) -> Path:
    path = a_folder_of_halves(folder)
    return cut(path, "diffusion_pytorch_model.fp16.safetensors.index.json", "F16")


def cut(path: Path, index: str, dtype: str = "F32") -> Path:
    """The same folder with the U-Net in three files."""
    (whole,) = (path / "unet").glob("*.safetensors")
    whole.unlink()
    shards: dict[str, Tensors] = {}
    for number, (name, values) in enumerate(PARTS_OF[UNET].items()):
        shards.setdefault(f"unet-{number % 3}.safetensors", {})[name] = values
    for shard, tensors in shards.items():
        write(path / "unet" / shard, tensors, dtype)
    weight_map = {name: shard for shard, tensors in shards.items() for name in tensors}
    (path / "unet" / index).write_text(json.dumps({"weight_map": weight_map}))
    return path


def a_folder_of_transformers_5(folder: Path) -> Path:
    """Its text encoder has no text_model."""
    path = a_folder(folder)
    write(path / "text_encoder" / FILE, PARTS_OF[TEXT_ENCODER])
    return path


def a_folder_with_an_early_vae(folder: Path) -> Path:
    path = a_folder(folder)
    tensors = as_diffusers(DECODER, PARTS_OF[DECODER])
    for new, old in {
        "to_q": "query",
        "to_k": "key",
        "to_v": "value",
        "to_out.0": "proj_attn",
    }.items():
        tensors = renamed(tensors, f"attentions.0.{new}", f"attentions.0.{old}")
    write(path / "vae" / "diffusion_pytorch_model.safetensors", tensors)
    return path


LAYOUTS: tuple[Callable[[Path], Path], ...] = (
    single,
    half,
    brain,
    mixed,
    with_all_that_training_leaves,
    early,
    linear,
    averaged,
    diffusers_names,
    a_folder,
    a_folder_of_halves,
    a_folder_of_shards,
    a_folder_of_shards_of_halves,
    a_folder_of_early_shards_of_halves,
    a_folder_of_transformers_5,
    a_folder_with_an_early_vae,
)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_gives_the_same_tensors(
    layout: Callable[[Path], Path], tmp_path: Path
) -> None:
    found = open_checkpoint(layout(tmp_path))
    assert tuple(found.parts) == PARTS
    for part, tensors in PARTS_OF.items():
        assert list(found.parts[part]) == list(tensors)
        for name, values in tensors.items():
            read = found.parts[part][name].read()
            assert read.dtype == np.float32
            np.testing.assert_array_equal(read, values, err_msg=name)
    assert found.has_ema == (layout is averaged)
    assert found.guidance_embedding is None


def test_a_checkpoint_says_its_formats_and_its_licence(tmp_path: Path) -> None:
    path = write(tmp_path / FILE, as_ldm(PARTS_OF), "F16", {"modelspec.license": "MIT"})
    assert (open_checkpoint(path).formats, open_checkpoint(path).licence) == ("F16", "MIT")
    folder = a_folder(tmp_path)
    assert open_checkpoint(folder).licence == ""
    card = "---\ntags:\n- x\nlicense: creativeml-openrail-m\n---\n# Me\n"
    (folder / "README.md").write_text(card)
    assert open_checkpoint(folder).licence == "creativeml-openrail-m"


def test_the_guidance_embedding_of_a_full_latent_consistency_model_is_found(
    tmp_path: Path,
) -> None:
    embedding = np.arange(4 * 256, dtype=np.float32).reshape(4, 256)
    tensors = {**as_ldm(PARTS_OF), f"model.diffusion_model.{GUIDANCE_EMBEDDING}": embedding}
    found = open_checkpoint(write(tmp_path / FILE, tensors)).guidance_embedding
    assert found is not None
    np.testing.assert_array_equal(found.read(), embedding)


def test_an_incomplete_moving_average_is_not_used(tmp_path: Path) -> None:
    tensors = as_ldm(PARTS_OF)
    tensors |= {ema_name(name): 0 * values for name, values in [*PARTS_OF[UNET].items()][1:]}
    found = open_checkpoint(write(tmp_path / FILE, tensors))
    assert not found.has_ema
    name = "conv_in.bias"
    np.testing.assert_array_equal(found.parts[UNET][name].read(), PARTS_OF[UNET][name])


VAES: dict[str, Callable[[Path, Tensors], Path]] = {
    "in LDM's names": lambda path, tensors: write(
        path / "vae.safetensors", {ldm_name(DECODER, n): v for n, v in tensors.items()}
    ),
    "in diffusers' names": lambda path, tensors: write(
        path / "vae.safetensors", as_diffusers(DECODER, tensors)
    ),
    "of a folder": lambda path, tensors: (
        write(
            path / "vae" / "diffusion_pytorch_model.safetensors", as_diffusers(DECODER, tensors)
        ).parent
    ),
}


@pytest.mark.parametrize("layout", VAES)
def test_a_vae_of_its_own_is_read(layout: str, tmp_path: Path) -> None:
    tensors = {name: values + 1 for name, values in state_dict(DECODER, TINY).items()}
    found = open_vae(VAES[layout](tmp_path, tensors))
    for name, values in tensors.items():
        np.testing.assert_array_equal(found[name].read(), values)


def test_a_model_without_a_vae_needs_one(tmp_path: Path) -> None:
    parts = {part: PARTS_OF[part] for part in (TEXT_ENCODER, UNET)}
    path = write(tmp_path / FILE, as_ldm(parts))
    with pytest.raises(WeightsError, match="has no VAE decoder: name one in the setting vae"):
        open_checkpoint(path)
    assert DECODER not in open_checkpoint(path, has_own_decoder=False).parts


def test_a_model_without_a_text_encoder_is_refused(tmp_path: Path) -> None:
    parts = {part: PARTS_OF[part] for part in (UNET, DECODER)}
    with pytest.raises(WeightsError, match="has no text encoder: use a file with all parts"):
        open_checkpoint(write(tmp_path / FILE, as_ldm(parts)))


@pytest.mark.parametrize(
    ("mark", "said", "expected"),
    [
        (False, "", ""),
        (False, "epsilon", EPSILON),
        (False, "v", V),
        (False, "v_prediction", V),
        (False, "\x1bsomething else", ""),
        (True, "", V),
        (True, "epsilon", V),
    ],
)
@pytest.mark.parametrize("layout", [as_ldm, in_diffusers_names])
def test_a_file_may_say_what_its_unet_predicts(
    layout: Callable[[Any], Tensors], mark: bool, said: str, expected: str, tmp_path: Path
) -> None:
    tensors = layout(PARTS_OF) | ({"v_pred": np.zeros(0)} if mark else {})
    metadata = {"modelspec.prediction_type": said} if said else None
    found = open_checkpoint(write(tmp_path / FILE, tensors, metadata=metadata))
    assert found.prediction_type == expected


@pytest.mark.parametrize(("said", "expected"), [("", ""), (EPSILON, EPSILON), (V, V)])
def test_a_folders_scheduler_may_say_what_its_unet_predicts(
    said: str, expected: str, tmp_path: Path
) -> None:
    path = a_folder(tmp_path)
    scheduler = path / "scheduler" / "scheduler_config.json"
    if said:
        scheduler.write_text(json.dumps({"prediction_type": said}))
    assert open_checkpoint(path).prediction_type == expected
    scheduler.unlink()
    assert open_checkpoint(path).prediction_type == ""


def test_a_pickled_vae_is_no_obstacle_where_another_is_used(tmp_path: Path) -> None:
    path = a_folder(tmp_path)
    whole = path / "vae" / "diffusion_pytorch_model.safetensors"
    whole.rename(whole.with_suffix(".bin"))
    with pytest.raises(WeightsError, match="has pickles"):
        open_checkpoint(path)
    found = open_checkpoint(path, has_own_decoder=False)
    assert DECODER not in found.parts and set(found.parts) == {TEXT_ENCODER, UNET}


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = as_ldm(PARTS_OF)
    del tensors["model.diffusion_model.middle_block.2.in_layers.2.bias"]
    with pytest.raises(WeightsError, match=r"1 tensors are missing \(mid_block\.resnets\.1\.conv1"):
        open_checkpoint(write(tmp_path / FILE, tensors))


def test_a_tensor_more_in_the_unet_is_named(tmp_path: Path) -> None:
    tensors = {**as_ldm(PARTS_OF), "model.diffusion_model.adapter.weight": np.zeros(1)}
    with pytest.raises(WeightsError, match=r"1 tensors that .* \(model\.diffusion_model\.adapter"):
        open_checkpoint(write(tmp_path / FILE, tensors))


def test_a_wrong_shape_is_named_with_the_right_one(tmp_path: Path) -> None:
    tensors = as_ldm(PARTS_OF)
    name = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    tensors[name] = np.zeros((51, 6), np.float32)
    with pytest.raises(WeightsError, match=re.escape("has the shape [51, 6], and Stable")) as error:
        open_checkpoint(write(tmp_path / FILE, tensors))
    assert "1.x has [50, 6]" in str(error.value)


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionXLPipeline"}, "StableDiffusionXLPip"),
        ("model_index.json", {"_class_name": "StableDiffusionInpaintPipeline"}, "InpaintPipeline"),
        ("unet/config.json", {"attention_head_dim": [5, 10, 20, 20]}, "attention_head_dim"),
        ("text_encoder/config.json", {"hidden_act": "gelu"}, "hidden_act is gelu"),
        ("vae/config.json", {"scaling_factor": 0.13025}, "scaling_factor is 0.13025"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "linear"}, "beta_schedule is linear"),
        ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": True}, "zero_snr is True"),
        (
            "scheduler/scheduler_config.json",
            {"prediction_type": "sample"},
            "prediction_type is s",
        ),
        ("scheduler/scheduler_config.json", {"prediction_type": ["x"]}, "prediction_type is ['x']"),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    file: str, change: dict[str, object], expected: str, tmp_path: Path
) -> None:
    path = a_folder(tmp_path)
    config = json.loads((path / file).read_text())
    (path / file).write_text(json.dumps(config | change))
    with pytest.raises(WeightsError, match=re.escape(expected)):
        open_checkpoint(path)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000])
def test_a_configuration_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    path = a_folder(tmp_path)
    (path / "unet" / "config.json").write_text(content)
    with pytest.raises(WeightsError, match=r"is not (JSON|a JSON object): download"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/b", "a\\b", "..", "", None, 7, [], "model.bin"]
)
def test_a_shard_outside_its_folder_is_refused(name: object, tmp_path: Path) -> None:
    path = a_folder_of_shards(tmp_path)
    (index,) = (path / "unet").glob("*.index.json")
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": name}}))
    with pytest.raises(WeightsError, match=r"which is no \.safetensors file of"):
        open_checkpoint(path)


def test_a_folder_of_pickles_is_refused(tmp_path: Path) -> None:
    path = a_folder(tmp_path)
    (path / "unet" / "diffusion_pytorch_model.safetensors").rename(path / "unet" / "model.bin")
    with pytest.raises(WeightsError, match="has pickles"):
        open_checkpoint(path)

"""Files of other models: each is called by its name, with what to do, before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_export.checkpoints.architecture import DECODER, UNET, Shape
from model_export.checkpoints.checkpoint import open_checkpoint, open_vae
from model_export.checkpoints.names import LDM_PREFIXES, ldm_name
from model_export.download import WeightsError
from tests.model_export.checkpoints.state_dicts import TINY, write_shapes

pytestmark = pytest.mark.usefixtures("tiny")

_PREFIX = LDM_PREFIXES[UNET]
MODEL: dict[str, Shape] = {
    LDM_PREFIXES[part] + ldm_name(part, name): shape
    for part in (UNET, DECODER)
    for name, shape in TINY.tensors(part).items()
}


def first_layer(channels: int, width: int = 4) -> dict[str, Shape]:
    return {f"{_PREFIX}input_blocks.0.0.weight": (width, channels, 3, 3)}


def attending(context: int) -> dict[str, Shape]:
    return {
        name: (shape[0], context) if name.endswith("attn2.to_k.weight") else shape
        for name, shape in MODEL.items()
    }


ONE = (1,)
KINDS: dict[str, tuple[dict[str, Shape], str]] = {
    "lora": ({"lora_unet_mid_block.lora_down.weight": ONE}, "list a LoRA in the setting loras"),
    "peft": ({"unet.x.lora_A.weight": ONE}, "list a LoRA in the setting loras"),
    "loha": ({"lycoris_x.hada_w1_a": ONE}, "list a LoRA in the setting loras"),
    "sd3": ({"model.diffusion_model.joint_blocks.0.x": ONE}, "a Stable Diffusion 3 model"),
    "flux": ({"double_blocks.0.img_attn.qkv.weight": ONE}, "a Flux model"),
    "flux in diffusers": ({"single_transformer_blocks.0.x": ONE}, "a Flux model"),
    "sdxl": ({**MODEL, "conditioner.embedders.1.model.x": ONE}, "an SDXL model"),
    "sdxl by its context": (attending(2048), "an SDXL model"),
    "refiner": (attending(1280), "an SDXL refiner"),
    "refiner by its width": (first_layer(4, 384), "an SDXL refiner"),
    "controlnet": ({"control_model.input_blocks.0.0.weight": ONE}, "a ControlNet"),
    "animatediff": ({"down_blocks.0.motion_modules.0.x": ONE}, "a video model"),
    "svd": ({f"{_PREFIX}input_blocks.1.0.time_stack.x": ONE}, "a video model"),
    "inpainting": ({**MODEL, **first_layer(9)}, "an inpainting model"),
    "instruct": ({**MODEL, **first_layer(8)}, "an instruct-pix2pix model"),
    "depth": ({**MODEL, **first_layer(5)}, "a depth-to-image model"),
    "upscaler": ({**MODEL, **first_layer(7)}, "an upscaler"),
    "unclip": ({**MODEL, "embedder.model.ln_final.weight": ONE}, "an unCLIP model"),
    "zero terminal snr": (
        {**MODEL, "v_pred": (0,), "ztsnr": (0,)},
        "a model with a noise schedule of zero terminal SNR",
    ),
    "altdiffusion": ({**MODEL, "cond_stage_model.roberta.x": ONE}, "an AltDiffusion model"),
    "sd2": (attending(1024), "a Stable Diffusion 2 model"),
    "sd turbo": (
        {**MODEL, "conditioner.embedders.0.model.ln_final.weight": ONE},
        "a Stable Diffusion 2 model",
    ),
    "textual inversion": ({"emb_params": (1, 768)}, "a textual inversion"),
    "vae": (
        {ldm_name(DECODER, name): shape for name, shape in TINY.tensors(DECODER).items()},
        "a VAE without a U-Net: name it in the setting vae",
    ),
    "text encoder": ({"text_model.final_layer_norm.weight": ONE}, "no model with a U-Net"),
    "tiny": (
        {name: shape for name, shape in MODEL.items() if "middle_block" not in name},
        "a model with a smaller U-Net",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_file_is_called_by_its_name(kind: str, tmp_path: Path) -> None:
    shapes, expected = KINDS[kind]
    path = write_shapes(tmp_path / f"{kind}.safetensors", shapes)
    with pytest.raises(WeightsError) as error:
        open_checkpoint(path)
    message = str(error.value)
    assert message.startswith(f"{path} is {expected}") or expected in message
    assert "\n" not in message


@pytest.mark.parametrize("dtype", ["F8_E4M3", "U8", "I8"])
def test_quantised_weights_are_refused(dtype: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"quantised .*float16 or float32"):
        open_checkpoint(write_shapes(tmp_path / "m.safetensors", MODEL, dtype))


def test_a_file_quantised_by_comfyui_is_refused(tmp_path: Path) -> None:
    shapes = {**MODEL, f"{_PREFIX}out.2.comfy_quant": ONE}
    with pytest.raises(WeightsError, match="quantised"):
        open_checkpoint(write_shapes(tmp_path / "m.safetensors", shapes))


def test_what_is_no_vae_is_refused_as_one(tmp_path: Path) -> None:
    path = write_shapes(tmp_path / "m.safetensors", {"lora_unet_x.lora_down.weight": ONE})
    with pytest.raises(WeightsError, match="is no VAE of Stable Diffusion"):
        open_vae(path)
    path = write_shapes(tmp_path / "taesd.safetensors", {"1.weight": (64, 4, 3, 3)})
    with pytest.raises(WeightsError, match="is no VAE of Stable Diffusion"):
        open_vae(path)

"""LoRAs by every tool give the same change; what cannot be merged is refused by its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.checkpoints import architecture
from model_export.checkpoints.architecture import TEXT_ENCODER, UNET
from model_export.checkpoints.names import ldm_name
from model_export.download import WeightsError
from model_export.lora.files import open_lora
from model_export.lora.keys import Layer
from tests.model_export.checkpoints.state_dicts import TINY, Tensors, write
from tests.model_export.lora.loras import DETAIL, STYLE, Lora


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "SD1", TINY)


def changes(path: Path) -> dict[Layer, np.ndarray]:
    return dict(open_lora(path).changes())


def expected(lora: Lora) -> dict[Layer, np.ndarray]:
    """Σ over the rank of up · down, by the definition of each kind of layer."""
    found: dict[Layer, np.ndarray] = {}
    for (part, module), factors in lora.factors(TINY):
        down, up = factors["down"], factors["up"]
        shape = TINY.tensors(part)[f"{module}.weight"]
        scale = (lora.alpha or lora.rank) / lora.rank
        if len(shape) == 4:
            product = np.einsum("orxy,rihw->oihw", up, down)
        else:
            product = np.einsum("or,ri->oi", up, down)
        found[Layer(part, module)] = scale * product
    return found


def spelled(name: Callable[[str, str], str], down: str, up: str) -> Tensors:
    """STYLE's tensors by another tool, which stores the scale in the factor where it has none."""
    return replace(STYLE, alpha=None).spelled(name, down, up, TINY)


def flat(prefixes: Mapping[str, str], part: str, module: str) -> str:
    return prefixes[part] + module.replace(".", "_")


KOHYA = {UNET: "lora_unet_", TEXT_ENCODER: "lora_te_text_model_"}
DOTTED = {UNET: "unet.", TEXT_ENCODER: "text_encoder.text_model."}


def processor(part: str, module: str) -> str:
    """diffusers' names of 2023 for attention."""
    names = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
    before, _, last = module.removesuffix(".0").rpartition(".")
    if part == UNET and last.startswith("to_"):
        return f"unet.{before}.processor.{last}"
    return f"{DOTTED[part]}{before}.{names.get(last, last)}"


SPELLINGS: dict[str, Tensors] = {
    "kohya": spelled(lambda *at: flat(KOHYA, *at), ".lora_down.weight", ".lora_up.weight"),
    "kohya, te1": spelled(
        lambda *at: flat({**KOHYA, TEXT_ENCODER: "lora_te1_text_model_"}, *at),
        ".lora_down.weight",
        ".lora_up.weight",
    ),
    "kohya on LDM's names": spelled(
        lambda part, module: flat(KOHYA, part, ldm_name(part, module)),
        ".lora_down.weight",
        ".lora_up.weight",
    ),
    "diffusers": spelled(
        lambda part, module: DOTTED[part] + module, ".lora_A.weight", ".lora_B.weight"
    ),
    "diffusers of 2023": spelled(processor, "_lora.down.weight", "_lora.up.weight"),
    "diffusers, linear layers": spelled(
        lambda part, module: DOTTED[part] + module,
        ".lora_linear_layer.down.weight",
        ".lora_linear_layer.up.weight",
    ),
    "diffusers, lora.down": spelled(
        lambda part, module: DOTTED[part] + module, ".lora.down.weight", ".lora.up.weight"
    ),
    "peft": spelled(
        lambda part, module: f"base_model.model.{'' if part == UNET else 'text_model.'}{module}",
        ".lora_A.default.weight",
        ".lora_B.default.weight",
    ),
    "simpletuner": spelled(
        lambda *at: flat({UNET: "lycoris_", TEXT_ENCODER: "lycoris_te_"}, *at),
        ".lora_down.weight",
        ".lora_up.weight",
    ),
}


@pytest.mark.parametrize("tool", SPELLINGS)
def test_every_tools_names_give_the_same_change(tool: str, tmp_path: Path) -> None:
    path = write(tmp_path / "lora.safetensors", SPELLINGS[tool])
    found, wanted = changes(path), expected(replace(STYLE, alpha=None))
    assert found.keys() == wanted.keys()
    for layer, change in wanted.items():
        assert found[layer].dtype == np.float32
        np.testing.assert_allclose(found[layer], change, rtol=1e-5, atol=1e-6)
    assert open_lora(path).key_count == 2 * len(wanted)


def test_alpha_scales_the_change_and_is_the_rank_where_there_is_none(tmp_path: Path) -> None:
    for lora in (STYLE, DETAIL):
        found = changes(write(tmp_path / "lora.safetensors", lora.as_kohya(TINY)))
        for layer, change in expected(lora).items():
            np.testing.assert_allclose(found[layer], change, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_factors_of_half_precision_multiply_in_float32(dtype: str, tmp_path: Path) -> None:
    whole = changes(write(tmp_path / "a.safetensors", STYLE.as_kohya(TINY)))
    half = changes(write(tmp_path / "b.safetensors", STYLE.as_kohya(TINY), dtype))
    assert all((whole[layer] == half[layer]).all() for layer in whole)


def test_a_convolution_with_a_factor_between_is_multiplied(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    down, up = random.random((2, 4, 1, 1)), random.random((4, 3, 1, 1))
    middle = random.random((3, 2, 3, 3))
    key = "lora_unet_down_blocks_0_downsamplers_0_conv"
    tensors = {
        f"{key}.lora_down.weight": down,
        f"{key}.lora_mid.weight": middle,
        f"{key}.lora_up.weight": up,
    }
    (change,) = changes(write(tmp_path / "lora.safetensors", tensors)).values()
    wanted = np.einsum("op,pqyx,qi->oiyx", up[..., 0, 0], middle, down[..., 0, 0])
    np.testing.assert_allclose(change, wanted, rtol=1e-5)


@pytest.mark.parametrize(("rslora", "factor"), [(False, 8 / 4), (True, 8 / 2)])
def test_a_folder_of_peft_has_its_scale_beside_it(
    rslora: bool, factor: float, tmp_path: Path
) -> None:
    write(tmp_path / "adapter_model.safetensors", SPELLINGS["peft"])
    config = {"lora_alpha": 8, "r": 4, "use_rslora": rslora}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    found = changes(tmp_path)
    for layer, change in expected(replace(STYLE, alpha=None)).items():
        np.testing.assert_allclose(found[layer], factor * change, rtol=1e-5, atol=1e-6)
    assert len(open_lora(tmp_path).paths) == 2
    by_its_file = changes(tmp_path / "adapter_model.safetensors")
    assert all((found[layer] == change).all() for layer, change in by_its_file.items())


@pytest.mark.parametrize(("rslora", "factor"), [(False, 2 / 4), (True, 2 / 2)])
def test_diffusers_keeps_the_scale_in_the_metadata(
    rslora: bool, factor: float, tmp_path: Path
) -> None:
    config = {"unet.lora_alpha": 2, "unet.r": 4, "unet.use_rslora": rslora}
    metadata = {"lora_adapter_metadata": json.dumps(config)}
    path = write(tmp_path / "lora.safetensors", SPELLINGS["diffusers"], metadata=metadata)
    found = changes(path)
    for layer, change in expected(replace(STYLE, alpha=None)).items():
        scale = factor if layer.part == UNET else 1.0
        np.testing.assert_allclose(found[layer], scale * change, rtol=1e-5, atol=1e-6)


def test_a_linear_layer_given_as_a_convolution_is_read(tmp_path: Path) -> None:
    tensors = {
        name: values[:, :, None, None] if values.ndim == 2 else values
        for name, values in STYLE.as_kohya(TINY).items()
    }
    found = changes(write(tmp_path / "lora.safetensors", tensors))
    for layer, change in expected(STYLE).items():
        np.testing.assert_allclose(found[layer], change, rtol=1e-5, atol=1e-6)


_KEY = "lora_unet_mid_block_attentions_0_proj_in"
OTHERS = {
    "DoRA": (f"{_KEY}.dora_scale", "a DoRA, whose changes do not add up"),
    "DoRA of peft": (f"{_KEY}.lora_magnitude_vector", "a DoRA"),
    "LoHa": (f"{_KEY}.hada_w1_a", "a LoHa"),
    "LoKr": (f"{_KEY}.lokr_w1", "a LoKr"),
    "IA3": (f"{_KEY}.on_input", "an (IA)³"),
    "OFT": (f"{_KEY}.oft_blocks", "an OFT"),
    "GLoRA": (f"{_KEY}.a1.weight", "a GLoRA"),
    "a difference": (f"{_KEY}.diff", "a LoRA with other changes beside it"),
    "a bias": (f"unet.{_KEY}.lora_B.bias", "a LoRA with other changes beside it"),
    "a norm": (f"{_KEY}.w_norm", "a LoRA with other changes beside it"),
    "replaced weights": (f"{_KEY}.set_weight", "a LoRA that replaces weights"),
    "ControlLoRA": ("lora_controlnet", "a ControlLoRA"),
    "textual inversion": ("emb_params", "a textual inversion"),
    "SDXL": ("lora_te2_text_model_x.lora_down.weight", "a LoRA for SDXL"),
    "Flux": ("lora_unet_double_blocks_0.lora_down.weight", "a LoRA for another family"),
    "a checkpoint": ("model.diffusion_model.out.0.bias", "a whole model, to be named in weights"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_kind_of_change_is_called_by_its_name(kind: str, tmp_path: Path) -> None:
    name, what = OTHERS[kind]
    path = write(tmp_path / "other.safetensors", {**STYLE.as_kohya(TINY), name: np.zeros(1)})
    with pytest.raises(WeightsError) as error:
        open_lora(path)
    assert str(error.value).startswith(f"{path} is {what}") and "\n" not in str(error.value)


def test_a_dora_of_peft_is_refused_by_its_configuration(tmp_path: Path) -> None:
    write(tmp_path / "adapter_model.safetensors", SPELLINGS["peft"])
    (tmp_path / "adapter_config.json").write_text(json.dumps({"use_dora": True}))
    with pytest.raises(WeightsError, match="is a DoRA"):
        open_lora(tmp_path)


def test_a_key_that_fits_no_layer_is_an_error_with_the_count_and_the_first_five(
    tmp_path: Path,
) -> None:
    tensors = STYLE.as_kohya(TINY)
    tensors |= {f"lora_unet_nowhere_{i}.lora_down.weight": np.zeros((1, 1)) for i in range(7)}
    path = write(tmp_path / "lora.safetensors", tensors)
    with pytest.raises(WeightsError) as error:
        open_lora(path)
    count = len(tensors)
    assert f"7 of {count} keys fit no layer of Stable Diffusion 1.x" in str(error.value)
    assert "nowhere_4" in str(error.value) and "nowhere_5" not in str(error.value)


@pytest.mark.parametrize(("context", "family"), [(1024, "Stable Diffusion 2"), (2048, "SDXL")])
def test_a_lora_for_another_family_is_told_by_the_text_it_attends_to(
    context: int, family: str, tmp_path: Path
) -> None:
    key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {
        f"{key}.lora_down.weight": np.zeros((4, context)),
        f"{key}.lora_up.weight": np.zeros((16, 4)),
    }
    with pytest.raises(WeightsError, match=f"the LoRA is for {family}; use one for Stable"):
        open_lora(write(tmp_path / "lora.safetensors", tensors))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({f"{_KEY}.lora_up.weight": np.zeros((16, 3, 1, 1))}, "do not fit"),
        ({f"{_KEY}.lora_down.weight": np.zeros((0, 16, 1, 1))}, "do not fit"),
        ({f"{_KEY}.lora_down.weight": np.zeros(16)}, "do not fit"),
        ({f"{_KEY}.lora_up.weight": None}, "lacks a factor"),
        ({f"{_KEY}.alpha": np.zeros(2)}, "has a factor in F32"),
        (
            {"unet.mid_block.attentions.0.proj_in.lora_A.weight": np.zeros((2, 16, 1, 1))},
            "changes mid_block.attentions.0.proj_in twice",
        ),
    ],
)
def test_damaged_factors_are_refused(
    change: dict[str, np.ndarray | None], expected: str, tmp_path: Path
) -> None:
    tensors: dict[str, np.ndarray | None] = {
        f"{_KEY}.lora_down.weight": np.zeros((2, 16, 1, 1)),
        f"{_KEY}.lora_up.weight": np.zeros((16, 2, 1, 1)),
        **change,
    }
    given = {name: values for name, values in tensors.items() if values is not None}
    with pytest.raises(WeightsError, match=expected):
        open_lora(write(tmp_path / "lora.safetensors", given))


@pytest.mark.parametrize("content", [None, "", "[]", '{"alpha_pattern": {"to_q": 3}}'])
def test_a_folder_without_a_usable_configuration_is_refused(
    content: str | None, tmp_path: Path
) -> None:
    write(tmp_path / "adapter_model.safetensors", SPELLINGS["peft"])
    if content is not None:
        (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(WeightsError, match=r"adapter_config|cannot be read|scale for single"):
        open_lora(tmp_path)


@pytest.mark.parametrize("alpha", ["NaN", "-Infinity", "1" + "0" * 1000, "1e999", '"8"', "[8]"])
def test_a_scale_that_is_no_number_is_refused(alpha: str, tmp_path: Path) -> None:
    write(tmp_path / "adapter_model.safetensors", SPELLINGS["peft"])
    (tmp_path / "adapter_config.json").write_text(f'{{"lora_alpha": {alpha}}}')
    with pytest.raises(WeightsError, match="has a lora_alpha that is no number"):
        open_lora(tmp_path)


def test_an_empty_file_changes_nothing_and_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="0 of 0 keys"):
        open_lora(write(tmp_path / "lora.safetensors", {}))

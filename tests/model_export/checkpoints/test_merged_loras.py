"""Two LoRAs merged into a checkpoint give the weights that diffusers' `fuse_lora` gives.

`fused_weights.npz` is what `torch_fused.py` writes for kohya's names with diffusers 0.42.1 and peft
0.21.2. The text encoder, convolutions and time projections are among the layers; no alpha is the
rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from model_export.spec import ModelSpec
from tests.model_export import torch_process
from tests.model_export.checkpoints.stand_ins import filled
from tests.model_export.checkpoints.state_dicts import TINY, all_parts, as_ldm, state_dict, write
from tests.model_export.lora.loras import PAIR, Layer
from tests.model_export.lora.written import TOOLS
from tests.model_export.torch_process import needs_torch

FUSED = Path(__file__).parent / "fused_weights.npz"
UNIT_ROUNDOFF = 2.0**-24
"""Half the distance from 1 to the next float32."""
OTHER_ROUNDINGS = 4
"""Of a product: two scales are rounded to float32, and multiplied by."""

pytestmark = pytest.mark.usefixtures("tiny", "own_cache")


def merged(folder: Path, loras: Iterable[tuple[Path, float]]) -> dict[str, np.ndarray]:
    """The weights of the layers that the LoRAs change, by part and name."""
    path = write(folder / "model.safetensors", as_ldm(all_parts(TINY)))
    named = ", ".join(f"{file}:{strength}" for file, strength in loras)
    spec = ModelSpec.for_family("sd14", weights=str(path), loras=named, accept_licence="own")
    values, made_of = filled(spec)
    assert len(made_of) == 1 + named.count(":")
    return {f"{part}/{module}.weight": values[part][f"{module}.weight"] for part, module in LAYERS}


LAYERS = PAIR[0].layers


def bound(layer: Layer) -> np.ndarray:
    """How far two merges in float32 can be from each other.

    A product of rank r has r roundings of at most |up|·|down|, and each sum has one of the weights.
    Both merges have them, in orders of their own. (Higham, Accuracy and Stability of Numerical
    Algorithms, section 3.1, without terms of the second order.)
    """
    part, module = layer
    weight = np.abs(state_dict(part, TINY)[f"{module}.weight"])
    of_products, of_sums = np.zeros_like(weight), len(PAIR) * weight
    for lora in PAIR:
        factors = dict(lora.factors(TINY))[layer]
        down, up = np.abs(factors["down"]), np.abs(factors["up"])
        rank = down.shape[0]
        assert lora.alpha is not None and lora.alpha != rank
        scale = abs(lora.strength) * lora.alpha / rank
        change = scale * (up.reshape(-1, rank) @ down.reshape(rank, -1)).reshape(weight.shape)
        of_products += (rank + OTHER_ROUNDINGS) * change
        of_sums += len(PAIR) * change
    return 2 * UNIT_ROUNDOFF * (of_products + of_sums)


def assert_equal_within_rounding(
    found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]
) -> None:
    assert found.keys() == wanted.keys()
    for part, module in LAYERS:
        name = f"{part}/{module}.weight"
        values = wanted[name].reshape(found[name].shape)
        assert found[name].dtype == values.dtype == np.float32
        assert (np.abs(found[name] - values) <= bound((part, module))).all(), name
        unchanged = state_dict(part, TINY)[f"{module}.weight"]
        assert np.median(np.abs(values - unchanged) / bound((part, module))) > 1e4


@pytest.mark.parametrize("tool", TOOLS)
def test_two_loras_merged_equal_diffusers_fused_weights_within_float32s_rounding(
    tool: str, tmp_path: Path
) -> None:
    files = [
        (path, lora.strength) for lora in PAIR for path in TOOLS[tool](lora, tmp_path / lora.name)
    ]
    assert_equal_within_rounding(merged(tmp_path, files), np.load(FUSED))


@pytest.fixture(scope="module")
def written_by_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    torch_process.run("lora.torch_fused", folder)
    return folder


@pytest.mark.slow
@pytest.mark.long
@needs_torch
@pytest.mark.parametrize("tool", TOOLS)
def test_two_loras_in_a_tools_own_files_equal_its_own_merge_within_float32s_rounding(
    tool: str, written_by_tools: Path, tmp_path: Path
) -> None:
    folder = written_by_tools / tool
    files = [
        (path, lora.strength)
        for lora in PAIR
        for path in (
            (folder / lora.name).iterdir()
            if tool == "peft"
            else (folder / lora.name).glob("*.safetensors")
        )
    ]
    assert_equal_within_rounding(merged(tmp_path, files), np.load(folder / "fused.npz"))

"""A checkpoint of the real size with random weights: its export's memory, diffusers' picture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench import export_cost
from bench.export_cost import measured
from model_export.manifest import MANIFEST_NAME, Manifest
from tests.model_export.checkpoints import full_size
from tests.model_export.checkpoints.pictures import are_equal, compared
from tests.model_export.torch_process import needs_torch

NEEDED_BYTES = 10e9
MAX_PEAK_BYTES = 10e9

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,  # test_narrow_model.py is its narrow twin
    pytest.mark.timeout(3000),
    pytest.mark.skipif(
        psutil.virtual_memory().available < NEEDED_BYTES,
        reason=f"the full-size model needs {NEEDED_BYTES / 1e9:.0f} GB of free memory",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a checkpoint and two LoRAs."""
    made = tmp_path_factory.mktemp("own")
    full_size.write_checkpoint(made / "model.safetensors")
    full_size.write_loras(made)
    return made


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_export_with_loras_takes_less_than_10_gb(
    precision: str, folder: Path, tmp_path: Path
) -> None:
    loras = f"{folder / 'style.safetensors'}:0.8, {folder / 'detail.safetensors'}:-0.5"
    flags = ("--accept-licence", "own", "--loras", loras)
    checkpoint = str(folder / "model.safetensors")
    exported, usage = export_cost.export(tmp_path, 256, precision, *flags, weights=checkpoint)
    print(f"{precision}: {usage.seconds:.0f} s, peak {usage.peak_bytes / 1e9:.2f} GB")
    assert usage.peak_bytes < MAX_PEAK_BYTES
    manifest = Manifest.from_bytes((exported / MANIFEST_NAME).read_bytes())
    assert [one.kind for one in manifest.made_of] == ["weights", "lora", "lora"]
    assert "39 of 39 keys applied" in usage.output


@needs_torch
def test_it_draws_what_diffusers_draws_with_guidance_and_in_few_steps(
    folder: Path, tmp_path: Path
) -> None:
    modules = "tests.model_export.checkpoints"
    ours, theirs = tmp_path / "ours.npz", tmp_path / "theirs.npz"
    checkpoint = str(folder / "model.safetensors")
    measured([sys.executable, "-m", f"{modules}.full_size", "draw", checkpoint, str(ours)])
    measured([sys.executable, "-m", f"{modules}.torch_pictures", str(theirs), "--full-size"])
    drawn, wanted = np.load(ours), np.load(theirs)
    for name in full_size.RECIPES:
        share, largest = compared(drawn[name], wanted[name])
        print(f"{name}: {share:.4%} within 1 of 255, at most {largest:.0f}")
        assert are_equal(drawn[name], wanted[name])

"""Writes a checkpoint of the real size and two LoRAs, with random weights that draw noise.

python -m tests.model_export.checkpoints.full_size FOLDER
python -m tests.model_export.checkpoints.full_size draw CHECKPOINT OUT.npz
"""

from __future__ import annotations

import gc
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from model_export.checkpoints.architecture import PARTS, SD1
from model_export.checkpoints.names import LDM_PREFIXES, ldm_name
from model_export.spec import ModelSpec
from tests.model_export.checkpoints import pictures
from tests.model_export.checkpoints.pictures import MORE_RECIPES, SIZE, Recipe
from tests.model_export.checkpoints.state_dicts import Tensors, write
from tests.model_export.lora.loras import DETAIL, STYLE

_DISTILLED = ("lcm", "tcd", "euler")
RECIPES = {
    "guided": MORE_RECIPES["guided"],
    **{name: pictures.RECIPES[name] for name in _DISTILLED},
}
"""What is drawn with it."""

_BLOCK = 2**22
_BYTES = 2


def write_checkpoint(path: Path) -> Path:
    """In float16, 2.1 GB, one tensor at a time."""
    header: dict[str, object] = {}
    end = 0
    for part in PARTS:
        for name, shape in SD1.tensors(part).items():
            begin, end = end, end + prod(shape) * _BYTES
            header[LDM_PREFIXES[part] + ldm_name(part, name)] = {
                "dtype": "F16",
                "shape": list(shape),
                "data_offsets": [begin, end],
            }
    encoded = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for part in PARTS:
            for _, values in _random(part):
                file.write(values.tobytes())
    return path


def tensors(part: str) -> Tensors:
    """What the checkpoint has, in float32 and by canonical name."""
    return {name: values.astype(np.float32) for name, values in _random(part)}


def _random(part: str) -> Iterator[tuple[str, np.ndarray]]:
    """Numbers of Glorot's range; biases and scales near their usual value."""
    block = np.random.default_rng(0).random(_BLOCK, np.float32) * 2 - 1
    for name, shape in SD1.tensors(part).items():
        start = zlib.crc32(f"{part}.{name}".encode()) % (_BLOCK // 2)
        values = np.resize(block[start:], shape)
        if len(shape) > 1:
            values *= sqrt(6 / (prod(shape[2:]) * (shape[0] + shape[1])))
        else:
            values = 0.1 * values + ("norm" in name and name.endswith("weight"))
        yield name, values.astype(np.float16)


def write_loras(folder: Path) -> list[Path]:
    return [
        write(folder / f"{lora.name}.safetensors", lora.as_kohya(SD1), "F16")
        for lora in (STYLE, DETAIL)
    ]


def draw(checkpoint: Path, out: Path) -> None:
    """Pictures from the checkpoint, by this project's networks."""
    from model_export.sd14.networks import load

    def spec(recipe: Recipe) -> ModelSpec:
        own = {"weights": str(checkpoint), "accept_licence": "own"}
        return ModelSpec.for_family("sd14", image_size=SIZE, **own, **recipe.settings())

    drawn: dict[str, np.ndarray] = {}
    # Distilled models have their weights in another form.
    for names in (("guided",), _DISTILLED):
        networks = load(spec(RECIPES[names[0]]))
        for name in names:
            drawn[name] = pictures.draw(networks, spec(RECIPES[name]), RECIPES[name])
        del networks
        gc.collect()  # the next ones are as large
    arrays: Any = drawn
    np.savez(out, **arrays)


if __name__ == "__main__":
    if sys.argv[1] == "draw":
        draw(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        target = Path(sys.argv[1])
        target.mkdir(parents=True, exist_ok=True)
        for written in (write_checkpoint(target / "model.safetensors"), *write_loras(target)):
            print(written)

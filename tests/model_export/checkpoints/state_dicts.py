"""Random checkpoints in every layout that people have, and a writer of files, sound or not.

Needs neither TensorFlow nor PyTorch: both sides of a comparison draw the same numbers here.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model_export.checkpoints.architecture import (
    DECODER,
    GUIDANCE_WIDTH,
    PARTS,
    TEXT_ENCODER,
    UNET,
    Architecture,
    Shape,
)
from model_export.checkpoints.names import LDM_PREFIXES, ldm_name

NARROW = Architecture(unet=(32, 64, 128, 128), decoder=(64, 64, 32, 32), text_layers=2)
"""What `tests.model_export.narrow_networks` builds."""

TINY = Architecture(
    unet=(4, 8, 16, 16),
    decoder=(16, 16, 8, 4),
    timestep=4,
    embedding=8,
    context=6,
    text_layers=2,
    vocabulary=50,
    positions=7,
)
"""For what needs no network."""

Tensors = dict[str, np.ndarray]

_MANY_ROWS = 5_000
_LEAST_NORMAL_FLOAT16 = 2.0**-14
_DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}


def random_tensor(name: str, shape: Shape) -> np.ndarray:
    """Numbers of this name alone, of a size that keeps signals alive; exact in every format."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    # A vocabulary repeats: fewer numbers to draw.
    drawn = (min(shape[0], _MANY_ROWS), *shape[1:])
    values = 2 * random.random(drawn, np.float32) - 1
    if len(shape) > 1:
        values *= np.sqrt(3 / np.prod(shape[1:]))
    else:
        values = 0.1 * values + ("norm" in name and name.endswith("weight"))
    values = (values.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
    return np.resize(np.where(np.abs(values) < _LEAST_NORMAL_FLOAT16, np.float32(0), values), shape)


def state_dict(part: str, architecture: Architecture = NARROW) -> Tensors:
    """A part's tensors by canonical name."""
    shapes = architecture.tensors(part)
    return {name: random_tensor(f"{part}.{name}", shape) for name, shape in shapes.items()}


def guidance_embedding(architecture: Architecture = NARROW) -> np.ndarray:
    """What a full latent consistency model has more in its U-Net."""
    return random_tensor("guidance embedding", (architecture.timestep, GUIDANCE_WIDTH))


def all_parts(architecture: Architecture = NARROW) -> dict[str, Tensors]:
    return {part: state_dict(part, architecture) for part in PARTS}


def as_ldm(parts: Mapping[str, Tensors]) -> Tensors:
    """All parts in one file, as the original repository names them."""
    return {
        LDM_PREFIXES[part] + ldm_name(part, name): values
        for part, tensors in parts.items()
        for name, values in tensors.items()
    }


def as_diffusers(part: str, tensors: Tensors) -> Tensors:
    """One part as diffusers has it: the decoder's attention is linear."""
    prefix = "text_model." if part == TEXT_ENCODER else ""
    return {
        prefix + name: values[:, :, 0, 0]
        if ".attentions." in name and part == DECODER and values.ndim == 4
        else values
        for name, values in tensors.items()
    }


def write(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    dtype: str | Callable[[str], str] = "F32",
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A sound .safetensors file. dtype may depend on the tensor's name."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    contents: list[bytes] = []
    end = 0
    for name, values in tensors.items():
        kind = dtype if isinstance(dtype, str) else dtype(name)
        content = _encoded(values, kind)
        header[name] = {
            "dtype": kind,
            "shape": list(values.shape),
            "data_offsets": [end, end + len(content)],
        }
        end += len(content)
        contents.append(content)
    return write_raw(path, json.dumps(header).encode(), b"".join(contents))


def write_raw(path: Path, header: bytes, data: bytes = b"", length: int | None = None) -> Path:
    """A file with this header, whatever is in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


def write_shapes(path: Path, shapes: Mapping[str, Shape], dtype: str = "F16") -> Path:
    """A file of zeros that takes no disk space, which is enough to recognise it."""
    sizes = {"F16": 2, "BF16": 2, "F32": 4, "F8_E4M3": 1, "U8": 1, "I8": 1}
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        size = int(np.prod(shape)) * sizes[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    write_raw(path, json.dumps(header).encode())
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + end)
    return path


def write_folder(
    path: Path, parts: Mapping[str, Tensors], dtype: str = "F32", variant: str = ""
) -> Path:
    """A diffusers folder."""
    for folder, part, stem, config in layout():
        content = as_diffusers(part, dict(parts[part]))
        write(path / folder / f"{stem}{variant}.safetensors", content, dtype)
        (path / folder / "config.json").write_text(json.dumps(config))
    (path / "scheduler").mkdir()
    (path / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    (path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return path


SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}


def layout() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(folder, part, name of its files, config)"""
    yield "unet", UNET, "diffusion_pytorch_model", {"attention_head_dim": 8, "act_fn": "silu"}
    yield "text_encoder", TEXT_ENCODER, "model", {"hidden_act": "quick_gelu"}
    yield "vae", DECODER, "diffusion_pytorch_model", {"scaling_factor": 0.18215}


def _encoded(values: np.ndarray, kind: str) -> bytes:
    if kind == "BF16":
        return (np.ascontiguousarray(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return np.ascontiguousarray(values, _DTYPES[kind]).tobytes()

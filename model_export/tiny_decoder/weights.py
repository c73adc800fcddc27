"""Where the tiny decoder's weights come from: TAESD's file, one of your own, or random numbers.

A model with random weights gets a decoder with random ones, so that it needs no download.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from model_export import decoders
from model_export.checkpoints.safetensors import FLOATS, SafetensorsFile, open_safetensors
from model_export.checksums import sha256_of
from model_export.download import RemoteFile, WeightsError
from model_export.ingredients import Ingredient
from model_export.spec import ModelSpec
from model_export.tiny_decoder import architecture

if TYPE_CHECKING:
    import numpy as np

_REVISION = "614f76814bbe30edbe2e627ace1c2234c81a2c0e"
FILE = RemoteFile(
    "taesd.safetensors",
    f"https://huggingface.co/madebyollin/taesd/resolve/{_REVISION}"
    "/diffusion_pytorch_model.safetensors",
    "db169d69145ec4ff064e49d99c95fa05d3eb04ee453de35824a6d0f325513549",
    9_793_292,
)
"""TAESD, under the MIT licence."""
_RANDOM_METHOD = "normal-1"
"""Part of the checksum: raise it when the same seed gives different numbers."""


def checksum(spec: ModelSpec) -> str:
    """What stands for the weights in a fingerprint. Needs no download.

    Raises WeightsError, or OSError, for a file that is no such decoder.
    """
    if path := decoders.path_of(spec.decoder):
        _opened(path)
        return sha256_of(path)
    if spec.random_seed is not None:
        return hashlib.sha256(f"{_RANDOM_METHOD}:{spec.random_seed}".encode()).hexdigest()
    return FILE.sha256


def joined(checksum_of_others: str, spec: ModelSpec) -> str:
    """One checksum for the decoder's weights and the other networks'."""
    both = f"{checksum_of_others} {checksum(spec)}"
    return hashlib.sha256(both.encode()).hexdigest()


def has_taesd(spec: ModelSpec) -> bool:
    """Whether it is TAESD's own file that the spec needs."""
    is_tiny = decoders.is_tiny(spec.decoder)
    return is_tiny and decoders.path_of(spec.decoder) is None and spec.random_seed is None


def ingredients(spec: ModelSpec) -> tuple[Ingredient, ...]:
    """What a model is made of by this decoder; nothing without it."""
    if not decoders.is_tiny(spec.decoder):
        return ()
    path = decoders.path_of(spec.decoder)
    note = "the tiny decoder"
    if has_taesd(spec):
        note = f"madebyollin/taesd, revision {_REVISION}, MIT; {note}"
    name = FILE.name if path is None else path.name
    is_random = path is None and spec.random_seed is not None
    return () if is_random else (Ingredient("decoder", name, checksum(spec), note),)


def tensors(spec: ModelSpec, cache: Path) -> dict[str, np.ndarray]:
    """The weights in PyTorch's layout. cache: the folder with downloads. Raises WeightsError."""
    path = decoders.path_of(spec.decoder)
    if path is None and spec.random_seed is not None:
        return random_tensors(spec.random_seed)
    return read(path or cache / FILE.name)


def read(path: Path) -> dict[str, np.ndarray]:
    """A file of the original or of diffusers, which may hold the encoder too."""
    file, names = _opened(path)
    return {name: file.read(place) for name, place in names.items()}


def _opened(path: Path) -> tuple[SafetensorsFile, dict[str, str]]:
    """The file, and what it calls the decoder's tensors. Raises WeightsError."""
    file = open_safetensors(path)
    wanted = architecture.shapes()
    names = {name: name for name in wanted}
    if architecture.diffusers_name(next(iter(wanted))) in file.tensors:
        names = {name: architecture.diffusers_name(name) for name in wanted}
    for name, shape in wanted.items():
        found = file.tensors.get(names[name])
        if found is None or found.shape != shape or found.dtype not in FLOATS:
            raise WeightsError(
                f"{path} is no decoder of TAESD for Stable Diffusion 1: {names[name]} is missing, "
                "or has another shape; use taesd_decoder.safetensors"
            )
    return file, names


def random_tensors(seed: int) -> dict[str, np.ndarray]:
    """Random numbers that depend on the seed and the tensor alone, of signals' usual size."""
    import numpy as np

    found: dict[str, np.ndarray] = {}
    for i, (name, shape) in enumerate(architecture.shapes().items()):
        values = np.random.default_rng([seed, i]).standard_normal(shape, dtype=np.float32)
        spread = np.sqrt(1.0 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        found[name] = (values * spread).astype(np.float32)
    return found

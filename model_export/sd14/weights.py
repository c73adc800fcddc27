"""Where Stable Diffusion 1.4's weights come from: the official files, a folder, or random numbers.

Names, URLs and checksums of the official files are keras_cv 0.9.0's. The files are checked before
use, wherever they are, so a folder of them and a download give the same model.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_export.checksums import Checksums
from model_export.download import CHECKSUMS_NAME, RemoteFile, WeightsError, download, verified
from model_export.spec import WEIGHTS_LICENCE_URL, ModelSpec

CACHE_VARIABLE = "DIFFUSION_SERVING_CACHE"
_SOURCE = "https://huggingface.co/fchollet/stable-diffusion/resolve/main"


@dataclass(frozen=True)
class Part:
    """One network's name and weights file."""

    name: str
    file: RemoteFile


_TRANSFORMED_BYTES = 500_000_000
"""What a distilled model's kernels take more in another form (`stored_weights`)."""


def _file(name: str, sha256: str, size_bytes: int) -> RemoteFile:
    return RemoteFile(name, f"{_SOURCE}/{name}", sha256, size_bytes)


PARTS = (
    Part(
        "text_encoder",
        _file(
            "kcv_encoder.h5",
            "4789e63e07c0e54d6a34a29b45ce81ece27060c499a709d556c7755b42bb0dc4",
            492_000_000,
        ),
    ),
    Part(
        "unet",
        _file(
            "kcv_diffusion_model.h5",
            "8799ff9763de13d7f30a683d653018e114ed24a6a819667da4f5ee10f9e805fe",
            3_440_000_000,
        ),
    ),
    Part(
        "decoder",
        _file(
            "kcv_decoder.h5",
            "ad350a65cc8bc4a80c8103367e039a3329b4231c2469a1093869a345f55b1962",
            198_000_000,
        ),
    ),
)
"""The sizes are estimates for showing progress: four bytes per parameter."""

LICENCE_FILE = RemoteFile(
    "LICENSE",
    WEIGHTS_LICENCE_URL,
    "be351ebe7ac01bcdbb018639aadcfd38f136b7dc3f2a3d4d3a24db51d1b210ef",
    14_385,
)
"""From the repository that published the weights. Its text is not part of this project."""

_RANDOM_METHOD = "uniform-1"
"""Part of the checksum: raise it when the same seed gives different numbers."""
_RANDOM_SPREAD = 0.1


def checksum(spec: ModelSpec) -> str:
    """The checksum that stands for the weights in a fingerprint. Needs no file and no network."""
    if spec.random_seed is not None:
        return hashlib.sha256(f"{_RANDOM_METHOD}:{spec.random_seed}".encode()).hexdigest()
    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(bytes.fromhex(part.file.sha256))
    return digest.hexdigest()


def size_bytes(spec: ModelSpec) -> int:
    """About how much disk space the weights take in the spec's precision."""
    whole = sum(part.file.size_bytes for part in PARTS)
    if spec.precision != "float32":
        return whole // 2
    return whole + (_TRANSFORMED_BYTES if spec.is_distilled else 0)


def are_official(spec: ModelSpec) -> bool:
    """Whether the spec needs the official files, which are downloaded or in its folder."""
    return spec.random_seed is None and spec.checkpoint_path is None


def fetch(
    spec: ModelSpec,
    on_progress: Callable[[float], None] = lambda _done: None,
    others: Sequence[RemoteFile] = (),
) -> None:
    """Downloads the official files, if the spec needs them, and the others, and checks all of them.

    What an interrupted run downloaded is not downloaded again. Raises WeightsError.
    """
    official = [LICENCE_FILE, *(part.file for part in PARTS)] if are_official(spec) else []
    total = sum(file.size_bytes for file in (*official, *others))
    checksums = Checksums(cache_folder() / CHECKSUMS_NAME)
    before = 0
    for file in (*official, *others):

        def report(done_bytes: int, before: int = before) -> None:
            on_progress(min(1.0, (before + done_bytes) / total))

        if file in official and spec.weights_folder is not None:
            verified(spec.weights_folder / file.name, file, checksums, report)
        else:
            download(file, cache_folder(), report)
        before += file.size_bytes


def downloads(spec: ModelSpec, others: Sequence[RemoteFile] = ()) -> Path | None:
    """The download folder, if it has any of the spec's weights, the others, or a part of them."""
    names = [file.name for file in others]
    if spec.random_seed is None and spec.weights_folder is None:
        names += [part.file.name for part in PARTS]
    found = any(
        (cache_folder() / f"{name}{end}").exists() for name in names for end in ("", ".part")
    )
    return cache_folder() if found else None


def cache_folder() -> Path:
    """Where downloads are kept: $DIFFUSION_SERVING_CACHE, or the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    try:
        user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # no HOME, and a user that the system does not know
        raise WeightsError(
            f"there is no home folder to keep the weights in: set {CACHE_VARIABLE} to a folder"
        ) from None
    return Path(user) / "diffusion-serving"


def is_cached(file: RemoteFile) -> bool:
    """Whether it has been downloaded completely. `fetch` checks its content."""
    return (cache_folder() / file.name).exists()


def licence_text(spec: ModelSpec) -> str:
    """The weights' licence. `fetch` must have downloaded it."""
    return _path(spec, LICENCE_FILE).read_text(encoding="utf-8")


def cached_licence_text() -> str:
    """The same, as it was downloaded."""
    return (cache_folder() / LICENCE_FILE.name).read_text(encoding="utf-8")


def fill(models: Sequence[Any], spec: ModelSpec, on_progress: Callable[[float], None]) -> None:
    """Fills the models, in the order of PARTS, with the spec's weights, one variable at a time."""
    total = sum(part.file.size_bytes for part in PARTS)
    before = 0
    for part, model in zip(PARTS, models, strict=True):
        size = part.file.size_bytes

        def report(done: float, before: int = before, size: int = size) -> None:
            on_progress((before + done * size) / total)

        if spec.random_seed is not None:
            fill_randomly(part.name, model, spec.random_seed, report)
        else:
            _fill_from(_path(spec, part.file), part.name, model)
            report(1.0)
        before += size


def _fill_from(path: Path, name: str, model: Any) -> None:
    try:
        # Legacy Keras files: matched by position, one layer at a time.
        model.load_weights(str(path))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} does not fit the {name}: {error}") from error


def fill_randomly(
    name: str,
    model: Any,
    seed: int,
    on_progress: Callable[[float], None] = lambda _done: None,
) -> None:
    """Random numbers that depend only on the seed, the network's name and the variable's index.

    Kernels get Glorot's range, so that signals keep their magnitude through the network; biases and
    scales get their usual value and a little noise, so that each of them matters.
    """
    import numpy as np

    generator_key = zlib.crc32(name.encode())
    total = sum(int(np.prod(variable.shape)) for variable in model.variables)
    filled = 0
    for i, variable in enumerate(model.variables):
        shape = tuple(variable.shape)
        values = np.random.default_rng([seed, generator_key, i]).random(shape, dtype=np.float32)
        values -= 0.5
        if len(shape) > 1:
            receptive = int(np.prod(shape[:-2]))
            values *= 2 * np.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
        else:
            values *= 2 * _RANDOM_SPREAD
            values += variable.path.endswith("gamma")
        variable.assign(values)
        filled += values.size
        on_progress(filled / total)


def _path(spec: ModelSpec, file: RemoteFile) -> Path:
    return (spec.weights_folder or cache_folder()) / file.name

"""What the settings of a model's weights can say: weights, loras, vae, acceptLicence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from model_export.spec_error import SpecError, short

BUNDLED, OFFICIAL, RANDOM = "bundled", "official", "random"
OWN = "own"
"""As acceptLicence: the user answers for the licence. As weights of a published model: somebody's
own files, which its manifest names."""
WEIGHTS_LICENCE = "CreativeML Open RAIL-M"
WEIGHTS_LICENCE_URL = "https://raw.githubusercontent.com/CompVis/stable-diffusion/main/LICENSE"

OWN_LICENCE_NAME = "own (as its owner states)"
"""What a model of somebody's own files reports, if the files say nothing."""

LCM = "lcm"
"""Among the LoRAs: LCM-LoRA."""

MAX_STRENGTH = 10.0
_FILE_END = ".safetensors"
FOLDER_INDEX = "model_index.json"
"""What makes a folder a diffusers folder."""

_MAX_SEED_DIGITS = 10


@dataclass(frozen=True)
class LoraSource:
    """A LoRA's file or folder, and how much of it is added."""

    path: Path
    strength: float

    @property
    def is_lcm(self) -> bool:
        """Whether it is LCM-LoRA, which is downloaded (`model_export.lora.lcm`)."""
        return self.path == Path(LCM)


def random_seed(weights: str) -> int | None:
    """The seed of random weights; None for others. Raises SpecError for a seed that is none."""
    kind, _, seed = weights.partition(":")
    if kind != RANDOM:
        return None
    is_number = seed.isascii() and seed.isdigit() and len(seed) <= _MAX_SEED_DIGITS
    if not is_number or int(seed) >= 2**32:
        raise SpecError("weights", f"the seed must be from 0 to {2**32 - 1}, not {short(seed)}")
    return int(seed)


def path_of(weights: str) -> Path | None:
    """The file or folder that the weights come from, if they come from one."""
    return Path(weights) if PurePath(weights).is_absolute() else None


def checkpoint_path(weights: str) -> Path | None:
    """The path, if it is a checkpoint's and not that of a folder with the official files.

    Raises SpecError where this cannot be seen.
    """
    path = path_of(weights)
    if path is None:
        return None
    try:
        if path.is_dir():
            return path if (path / FOLDER_INDEX).exists() else None
        return path if path.suffix or path.exists() else None
    except OSError as error:  # in a folder of somebody else, for example
        raise SpecError("weights", f"cannot read {short(weights)}: {error.strerror}") from None


def loras(text: str) -> tuple[LoraSource, ...]:
    """Of "/path:0.8, /other": strength 1 where none is given. Raises SpecError."""
    entries = [part.strip() for part in text.split(",")]
    return tuple(_lora(entry, is_alone=len(entries) == 1) for entry in entries if entry)


def _lora(entry: str, *, is_alone: bool) -> LoraSource:
    path, number = _path_and_strength(entry)
    strength = _number(number)
    if strength is None or not abs(strength) <= MAX_STRENGTH:  # NaN is not, either
        raise SpecError(
            "loras",
            f"a strength must be from {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}, not {short(number)}",
        )
    if path == LCM:
        return LoraSource(Path(LCM), strength)
    if not _is_absolute(path):
        hint = "" if is_alone else " (commas separate LoRAs; a strength is written like 0.8)"
        raise SpecError("loras", f"must be an absolute path, or {LCM}, not {short(path)}{hint}")
    return LoraSource(Path(path), strength)


def _path_and_strength(entry: str) -> tuple[str, str]:
    """What follows a colon is a strength, unless it belongs to the path."""
    path, colon, number = entry.rpartition(":")
    file, end, rest = entry.rpartition(f"{_FILE_END}:")
    if end and "/" not in rest:
        path, number = file + _FILE_END, rest
    elif not colon or _number(number) is None:
        path, number = entry, "1"
    return path.strip(), number.strip()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def with_lcm_lora(text: str) -> str:
    """The LoRAs with LCM-LoRA before them, unless they say themselves how much of it is added."""
    names = [entry.partition(":")[0].strip() for entry in text.split(",")]
    return text if LCM in names else ", ".join(filter(None, [LCM, text]))


def vae(text: str) -> Path | None:
    """The VAE's file or folder; None for the model's own. Raises SpecError."""
    return _absolute("vae", text) if text else None


def _absolute(key: str, text: str) -> Path:
    if not _is_absolute(text):
        raise SpecError(key, f"must be an absolute path, not {short(text)}")
    return Path(text)


def _is_absolute(text: str) -> bool:
    return "\0" not in text and PurePath(text).is_absolute()

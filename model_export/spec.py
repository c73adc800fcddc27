"""The description of a model, shared by settings, exporter, servers and client.

Imports neither TensorFlow nor Pulumi, so every part of the project can import it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PurePath
from typing import Any

from model_export.profiles import EXACT, PROFILES

EXPORTER_VERSION = 7
"""Part of every fingerprint. Raise it whenever the exported graph changes for the same spec."""

SIGNATURES = ("serving_default", "prompt", "tokens", "describe", "begin", "advance", "finish")
"""What can be asked of an exported model."""

MODEL_NAME = "stable-diffusion"
GRPC_PORT = 8500
REST_PORT = 8501
METRICS_PATH = "/monitoring/prometheus/metrics"
"""On the REST port: TensorFlow Serving's default path."""

MAX_PROMPT_BYTES = 8192
MAX_PROMPT_TOKENS = 77
MAX_GUIDANCE_SCALE = 30.0
SEED_LIMIT = 2**31 - 2
"""Seeds s with 0 <= s < SEED_LIMIT give keras_cv's own noise."""

FAMILIES = ("demo", "sd14")
PRECISIONS = ("float32", "bfloat16")
BUNDLED, OFFICIAL, RANDOM = "bundled", "official", "random"
WEIGHTS_LICENCE = "CreativeML Open RAIL-M"
WEIGHTS_LICENCE_URL = "https://raw.githubusercontent.com/CompVis/stable-diffusion/main/LICENSE"
RANDOM_WEIGHTS_MARK = "-random-weights"
"""Ends the fingerprint that a model with random weights reports with every picture."""
_PROFILE_MARK = "-"
"""Precedes the name of a profile other than exact in a reported fingerprint."""
SAMPLERS = (
    "dpmpp_2m_trailing",
    "dpmpp_2m_leading",
    "dpmpp_2m_karras",
    "ddim",
    "ddim_trailing",
    "ddim_leading",
    "ddim_tutorial",
)


_MAX_NUMBER_DIGITS = 10


class SpecError(ValueError):
    """A model spec that cannot be built; `key` names the field at fault."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.reason = message


@dataclass(frozen=True)
class FamilyDefaults:
    """A family's allowed values and defaults."""

    image_sizes: tuple[int, ...]
    image_size: int
    precisions: tuple[str, ...]
    guidance_scale: float
    negative_prompt: str
    weights: str
    peak_memory_bytes: Mapping[str, Mapping[int, int]]
    """A server's peak, by precision and picture size: from `python -m bench.export_cost` with AVX2,
    rounded up to 50 MB, plus the difference that `make bench` found at 384 px where oneDNN packs
    weights: 0.9 GB in float32, 0.4 in bfloat16."""


FAMILY_DEFAULTS = {
    "demo": FamilyDefaults(
        image_sizes=(64,),
        image_size=64,
        precisions=("float32",),
        guidance_scale=3.0,
        negative_prompt="",
        weights=BUNDLED,
        peak_memory_bytes={"float32": {64: 900_000_000}},
    ),
    "sd14": FamilyDefaults(
        # The U-Net halves the latent, an eighth of the picture, three times, and KerasCV requires
        # multiples of 128; beyond 768 px these weights repeat the subject in a picture.
        image_sizes=tuple(range(256, 769, 128)),
        image_size=384,
        precisions=PRECISIONS,
        guidance_scale=7.5,
        # The published TF Serving tutorial's.
        negative_prompt=(
            "ugly, tiling, poorly drawn hands, poorly drawn feet, poorly drawn face, out of frame, "
            "mutation, mutated, extra limbs, extra legs, extra arms, disfigured, deformed, "
            "cross-eye, body out of frame, blurry, bad art, bad anatomy, blurred, text, watermark, "
            "grainy"
        ),
        weights=OFFICIAL,
        peak_memory_bytes={
            "float32": {
                256: 6_800_000_000,
                384: 7_050_000_000,
                512: 7_300_000_000,
                768: 8_200_000_000,
            },
            "bfloat16": {
                256: 4_050_000_000,
                384: 4_500_000_000,
                512: 4_600_000_000,
                768: 5_550_000_000,
            },
        },
    ),
}
_DEMO = FAMILY_DEFAULTS["demo"]


@dataclass(frozen=True)
class ModelSpec:
    """One servable model. Equal specs with equal weights have the same fingerprint.

    The defaults are the demo model's; `for_family` fills in another family's. weights says where
    the weights come from: "bundled" with the project (demo), or for sd14 "official" (downloaded
    once), the absolute path of a folder with the official files, or "random" (also "random:SEED").
    accept_licence is the name of the weights' licence; giving it accepts the licence. trace makes
    the server print every step's latent. profile says which shortcuts the sampler may take
    (`model_export.profiles`).
    """

    family: str = "demo"
    image_size: int = _DEMO.image_size
    precision: str = "float32"
    sampler: str = "dpmpp_2m_trailing"
    steps: int = 20
    max_steps: int = 50
    guidance_scale: float = _DEMO.guidance_scale
    negative_prompt: str = _DEMO.negative_prompt
    weights: str = _DEMO.weights
    accept_licence: str = ""
    trace: bool = False
    profile: str = EXACT

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _typed(field.name, getattr(self, field.name), type(field.default))
            object.__setattr__(self, field.name, value)
        if self.weights == RANDOM:
            object.__setattr__(self, "weights", f"{RANDOM}:0")
        _one_of("family", self.family, FAMILIES)
        family = FAMILY_DEFAULTS[self.family]
        _one_of("sampler", self.sampler, SAMPLERS)
        if self.image_size not in family.image_sizes:
            raise SpecError("image_size", _wrong_size(self.family, self.image_size))
        _one_of("precision", self.precision, PRECISIONS)
        if self.precision not in family.precisions:
            raise SpecError("precision", f"the {self.family} model supports float32 only")
        _one_of("profile", self.profile, tuple(PROFILES))
        if not 1 <= self.max_steps <= 50:
            raise SpecError("max_steps", f"must be from 1 to 50, not {self.max_steps}")
        if not 1 <= self.steps <= self.max_steps:
            raise SpecError("steps", f"must be from 1 to {self.max_steps}, not {self.steps}")
        if not 1.0 <= self.guidance_scale <= MAX_GUIDANCE_SCALE:
            raise SpecError(
                "guidance_scale",
                f"must be from 1 to {MAX_GUIDANCE_SCALE:g}, not {self.guidance_scale:g}",
            )
        if len(self.negative_prompt.encode()) > MAX_PROMPT_BYTES:
            raise SpecError("negative_prompt", f"is longer than {MAX_PROMPT_BYTES} bytes")
        self._check_weights()

    def _check_weights(self) -> None:
        if self.family == "demo":
            if self.weights != BUNDLED:
                raise SpecError(
                    "weights", f"must be {BUNDLED} for the demo model, not {_short(self.weights)}"
                )
            return
        if self.random_seed is not None:
            return
        if "\0" in self.weights:
            raise SpecError("weights", f"is no path: {_short(self.weights)}")
        if self.weights != OFFICIAL and not PurePath(self.weights).is_absolute():
            raise SpecError(
                "weights",
                f"must be {OFFICIAL}, {RANDOM}, {RANDOM}:SEED or the absolute path of a folder, "
                f"not {_short(self.weights)}",
            )
        if self.accept_licence != WEIGHTS_LICENCE:
            raise SpecError(
                "accept_licence",
                f"the weights have the licence {WEIGHTS_LICENCE}: read it ({WEIGHTS_LICENCE_URL}), "
                "and accept it by giving its name here",
            )

    @classmethod
    def for_family(cls, family: str, **values: Any) -> ModelSpec:
        """The family's defaults, overridden by these values."""
        _one_of("family", family, FAMILIES)
        own = FAMILY_DEFAULTS[family]
        defaults = {
            "image_size": own.image_size,
            "guidance_scale": own.guidance_scale,
            "negative_prompt": own.negative_prompt,
            "weights": own.weights,
        }
        return cls(family=family, **(defaults | values))

    @property
    def random_seed(self) -> int | None:
        """The seed of random weights; None for trained weights."""
        kind, _, seed = self.weights.partition(":")
        if kind != RANDOM or self.family == "demo":
            return None
        is_number = seed.isascii() and seed.isdigit() and len(seed) <= _MAX_NUMBER_DIGITS
        if not is_number or int(seed) >= 2**32:
            shown = _short(seed)
            raise SpecError("weights", f"the seed must be from 0 to {2**32 - 1}, not {shown}")
        return int(seed)

    def peak_memory(self) -> int:
        """Peak memory of a server's process in bytes, with the model and one request.

        Sizes that were not measured take the next larger one's.
        """
        measured = FAMILY_DEFAULTS[self.family].peak_memory_bytes[self.precision]
        return measured[min(size for size in measured if size >= self.image_size)]

    @property
    def weights_folder(self) -> Path | None:
        """The folder the weights come from, if they come from one."""
        return Path(self.weights) if PurePath(self.weights).is_absolute() else None

    def published(self) -> ModelSpec:
        """The spec without this machine's paths, for publishing.

        A weights folder holds the official files, so its weights count as official.
        """
        return replace(self, weights=OFFICIAL) if self.weights_folder else self

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ModelSpec:
        """Reads what `to_json` wrote. Integers may come as floats (protobuf)."""
        return cls(**values)

    def fingerprint(self, weights_sha256: str) -> str:
        """A hash of this spec, the exporter's version and the weights' checksum: 16 hex digits.

        The checksum stands for the weights, wherever they came from.
        """
        spec = self.to_json()
        del spec["weights"], spec["accept_licence"], spec["profile"]
        shortcuts = PROFILES[self.profile]
        if shortcuts is not None:
            spec["shortcuts"] = asdict(shortcuts)
        document = {
            "exporter": EXPORTER_VERSION,
            "spec": spec,
            "weights": weights_sha256,
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def reported_fingerprint(spec: ModelSpec, fingerprint: str) -> str:
    """The fingerprint that a model reports with every picture.

    It includes what the user should know: the profile, and whether the weights are random.
    """
    profile = "" if spec.profile == EXACT else _PROFILE_MARK + spec.profile
    return fingerprint + profile + ("" if spec.random_seed is None else RANDOM_WEIGHTS_MARK)


def reported_profile(fingerprint: str) -> str:
    """The profile named in a fingerprint that came with a picture."""
    name = fingerprint.removesuffix(RANDOM_WEIGHTS_MARK).partition(_PROFILE_MARK)[2]
    return name if name in PROFILES else EXACT


def _typed(key: str, value: Any, kind: type) -> Any:
    """The value as kind: 4 and 4.0 describe the same model and must give one fingerprint."""
    if kind in (int, float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or (kind is int and value % 1 != 0):
            words = "a whole number" if kind is int else "a number"
            raise SpecError(key, f"must be {words}, not {_short(value)}")
        if abs(value) >= 10**_MAX_NUMBER_DIGITS:
            raise SpecError(key, "is out of range")
        return kind(value)
    if not isinstance(value, kind):
        words = "true or false" if kind is bool else "text"
        raise SpecError(key, f"must be {words}, not {_short(value)}")
    if kind is str and value.encode(errors="ignore").decode() != value:
        raise SpecError(key, f"is not UTF-8 text: {_short(value)}")
    return value


def _short(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = "that"
    return text if len(text) <= 40 else f"{text[:40]}…"


def _wrong_size(family: str, size: int) -> str:
    sizes = FAMILY_DEFAULTS[family].image_sizes
    if len(sizes) == 1:
        return f"the {family} model draws at {sizes[0]} px, not {size}"
    return f"must be one of {', '.join(map(str, sizes))}, not {size}"


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SpecError(key, f"must be one of {', '.join(allowed)}, not {_short(value)}")

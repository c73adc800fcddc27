"""The description of a model, shared by settings, exporter, servers and client.

Imports neither TensorFlow nor Pulumi, so every part of the project can import it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from model_export import decoders, families, few_steps
from model_export.prediction_types import EPSILON, PREDICTION_TYPES
from model_export.profiles import EXACT, FAST, INSTANT, PROFILES
from model_export.sources import (
    OFFICIAL,
    OWN,
    RANDOM,
    checkpoint_path,
    path_of,
    random_seed,
    with_lcm_lora,
)
from model_export.sources import WEIGHTS_LICENCE as WEIGHTS_LICENCE
from model_export.sources import WEIGHTS_LICENCE_URL as WEIGHTS_LICENCE_URL
from model_export.spec_error import SpecError, require_one_of
from model_export.spec_values import require_in_range, typed

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

FAMILIES = tuple(families.BY_NAME)
PRECISIONS = ("float32", "bfloat16")
SAMPLERS = (
    "dpmpp_2m_trailing",
    "dpmpp_2m_leading",
    "dpmpp_2m_karras",
    "ddim",
    "ddim_trailing",
    "ddim_leading",
    "ddim_tutorial",
    "lcm",
    "tcd",
    "euler_trailing",
)

_OF_THE_FILES = ("weights", "accept_licence", "vae", "decoder")
"""What decides which parts of a checkpoint are read."""
_FILES = ("loras", "vae")
"""The checksum of the weights stands for them in a fingerprint."""
_LEFT_OUT_BY_DEFAULT = ("max_guidance_scale", "decoder", "prediction_type", *_FILES)
"""Fields that JSON and fingerprints have only where their value is not the default."""

_DEMO = families.family("demo")


@dataclass(frozen=True)
class ModelSpec:
    """One servable model. Equal specs with equal weights have the same fingerprint.

    The defaults are the demo model's; `for_family` fills in another family's. weights says where
    the weights come from: "bundled" with the project (demo), or for sd14 "official" (downloaded
    once), the absolute path of a folder with the official files, of a checkpoint or of a diffusers
    folder, or "random" (also "random:SEED"). loras ("path:strength, path") are merged into them;
    vae is the path of another VAE. accept_licence is the name of the weights' licence, or "own"; it
    accepts the licence. trace makes the server print every step's latent. profile says which
    shortcuts the sampler may take (`model_export.profiles`). max_guidance_scale below 30 says that
    the model is distilled (`model_export.few_steps`). decoder is full, or tiny for
    TAESD's, also with the absolute path of its weights as tiny:PATH. prediction_type is what
    the U-Net predicts (`model_export.prediction_types`).
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
    max_guidance_scale: float = MAX_GUIDANCE_SCALE
    decoder: str = decoders.FULL
    loras: str = ""
    vae: str = ""
    prediction_type: str = EPSILON

    def __post_init__(self) -> None:
        for field in fields(self):
            value = typed(field.name, getattr(self, field.name), type(field.default))
            object.__setattr__(self, field.name, value)
        if self.weights == RANDOM:
            object.__setattr__(self, "weights", f"{RANDOM}:0")
        require_one_of("family", self.family, FAMILIES)
        family = families.family(self.family)
        require_one_of("sampler", self.sampler, SAMPLERS)
        if self.image_size not in family.image_sizes:
            raise SpecError("image_size", _wrong_size(self.family, self.image_size))
        require_one_of("precision", self.precision, PRECISIONS)
        if self.precision not in family.precisions:
            raise SpecError("precision", f"the {self.family} model supports float32 only")
        require_one_of("profile", self.profile, tuple(PROFILES))
        require_one_of("prediction_type", self.prediction_type, PREDICTION_TYPES)
        if not 1 <= self.max_steps <= 50:
            raise SpecError("max_steps", f"must be from 1 to 50, not {self.max_steps}")
        if not 1 <= self.steps <= self.max_steps:
            raise SpecError("steps", f"must be from 1 to {self.max_steps}, not {self.steps}")
        require_in_range("max_guidance_scale", self.max_guidance_scale, MAX_GUIDANCE_SCALE)
        require_in_range("guidance_scale", self.guidance_scale, self.max_guidance_scale)
        if self.profile == INSTANT and not family.has_tiny_decoder:
            raise SpecError(
                "profile", f"the {self.family} model has no {INSTANT}: use {EXACT} or {FAST}"
            )
        if self.steps < self.min_steps:
            raise SpecError(
                "precision", f"{few_steps.ERROR_OF_ONE_STEP}: use float32, or more steps"
            )
        if self.is_distilled and PROFILES[self.profile] is not None:
            raise SpecError(
                "profile",
                f"{self.profile} leaves out work of many steps, and this model draws in few: "
                f"use {EXACT}",
            )
        if len(self.negative_prompt.encode()) > MAX_PROMPT_BYTES:
            raise SpecError("negative_prompt", f"is longer than {MAX_PROMPT_BYTES} bytes")
        decoders.check(self.decoder)
        if decoders.is_tiny(self.decoder) and not family.has_tiny_decoder:
            raise SpecError("decoder", f"the {self.family} model has its own: use {decoders.FULL}")
        if decoders.is_tiny(self.decoder) and self.vae:
            raise SpecError(
                "vae",
                f"has no effect with the tiny decoder: leave it empty, or set decoder to "
                f"{decoders.FULL}",
            )
        family.check_weights(self)

    @classmethod
    def for_family(cls, family: str, **values: Any) -> ModelSpec:
        """The defaults of the family, the profile and the sampler, overridden by these values."""
        require_one_of("family", family, FAMILIES)
        own = families.family(family)
        defaults: dict[str, Any] = {
            "family": family,
            "image_size": own.image_size,
            "guidance_scale": own.guidance_scale,
            "negative_prompt": own.negative_prompt,
            "weights": own.weights,
        }
        few = few_steps.INSTANT_SAMPLER
        is_instant = values.get("profile") == INSTANT
        if is_instant:
            defaults |= {"profile": INSTANT, "sampler": few, "decoder": decoders.TINY}
        files = {key: values[key] for key in _OF_THE_FILES if key in values}
        of_files = cls(**{**defaults, **files, "sampler": few})
        is_full_lcm = own.has_guidance_embedding(of_files)
        defaults["prediction_type"] = own.prediction_type(of_files)
        if is_instant and not is_full_lcm:  # which was distilled already
            values = {**values, "loras": with_lcm_lora(values.get("loras", ""))}
        if is_full_lcm:
            defaults["sampler"], ranges = few, few_steps.GUIDANCE_EMBEDDED
        else:
            sampler = values.get("sampler", defaults.get("sampler", cls.sampler))
            ranges = few_steps.BY_SAMPLER.get(sampler)
        defaults = {"steps": cls.steps, **defaults, **(ranges.as_spec() if ranges else {})}
        if is_instant and ranges and not is_full_lcm:
            most, asked = few_steps.MAX_INSTANT_GUIDANCE, values.get("guidance_scale", 1.0)
            if not isinstance(asked, int | float) or asked <= most:
                defaults["max_guidance_scale"] = most
        for key, most in (("steps", "max_steps"), ("guidance_scale", "max_guidance_scale")):
            defaults[key] = _at_most(values.get(most), defaults[key])
        return cls(**(defaults | values))

    @property
    def is_distilled(self) -> bool:
        """Whether the model has its own range of guidance, into which requests are clamped."""
        return self.max_guidance_scale < MAX_GUIDANCE_SCALE

    @property
    def min_steps(self) -> int:
        """The fewest steps of a picture, into which requests are clamped."""
        return self.min_steps_in(self.precision)

    def min_steps_in(self, precision: str) -> int:
        """The same for the model in this precision."""
        is_rough = precision != "float32" and self.prediction_type == EPSILON
        return 2 if is_rough and self.is_distilled else 1

    @property
    def random_seed(self) -> int | None:
        """The seed of random weights; None for trained weights."""
        return random_seed(self.weights)

    def peak_memory(self) -> int:
        """Peak memory of a server's process in bytes, with the model and one request.

        Sizes that were not measured take the next larger one's.
        """
        measured = families.family(self.family).peak_memory_bytes[self.precision]
        return measured[min(size for size in measured if size >= self.image_size)]

    @property
    def weights_folder(self) -> Path | None:
        """The folder the weights come from, if they come from one."""
        return path_of(self.weights)

    @property
    def checkpoint_path(self) -> Path | None:
        """The file or diffusers folder, if the weights are somebody's own."""
        return checkpoint_path(self.weights)

    def published(self) -> ModelSpec:
        """The spec without this machine's paths, for publishing.

        Another weights folder holds the official files, so its weights count as official.
        """
        weights = self.weights
        if self.checkpoint_path:
            weights = OWN
        elif self.weights_folder:
            weights = OFFICIAL
        decoder = self.decoder.partition(":")[0]
        return replace(self, weights=weights, decoder=decoder, loras="", vae="")

    def to_json(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in _LEFT_OUT_BY_DEFAULT or value != getattr(ModelSpec, name)
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ModelSpec:
        """Reads what `to_json` wrote. Integers may come as floats (protobuf)."""
        return cls(**values)

    def fingerprint(self, weights_sha256: str) -> str:
        """A hash of this spec, the exporter's version and the weights' checksum: 16 hex digits.

        The checksum stands for the weights, wherever they came from.
        """
        spec = self.to_json()
        for key in ("weights", "accept_licence", "profile", *_FILES):
            spec.pop(key, None)
        if decoders.is_tiny(self.decoder):
            spec["decoder"] = decoders.TINY  # the checksum stands for its weights too
        shortcuts = PROFILES[self.profile]
        if shortcuts is not None:
            spec["shortcuts"] = asdict(shortcuts)
        elif self.profile != EXACT:
            spec["profile"] = self.profile  # which the model reports with every picture
        if self.min_steps > 1:
            spec["min_steps"] = self.min_steps
        document = {
            "exporter": EXPORTER_VERSION,
            "spec": spec,
            "weights": weights_sha256,
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _at_most(most: object, default: float) -> float:
    """A default within what was asked for, which is checked later."""
    return min(default, most) if isinstance(most, int | float) else default


def _wrong_size(family: str, size: int) -> str:
    sizes = families.family(family).image_sizes
    if len(sizes) == 1:
        return f"the {family} model draws at {sizes[0]} px, not {size}"
    return f"must be one of {', '.join(map(str, sizes))}, not {size}"

"""What a model is: the one description that settings, exporter, servers and client share.

Nothing here imports TensorFlow or Pulumi, so that every part of the project may import it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

EXPORTER_VERSION = 1
"""Part of every fingerprint. Raise it whenever the exported graph changes for the same spec."""

MODEL_NAME = "stable-diffusion"
GRPC_PORT = 8500
REST_PORT = 8501

MAX_PROMPT_BYTES = 8192
MAX_PROMPT_TOKENS = 77
MAX_GUIDANCE_SCALE = 30.0
SEED_LIMIT = 2**31 - 2
"""Seeds s with 0 <= s < SEED_LIMIT give keras_cv's own noise."""

FAMILIES = ("demo",)
SAMPLERS = (
    "dpmpp_2m_trailing",
    "dpmpp_2m_leading",
    "dpmpp_2m_karras",
    "ddim",
    "ddim_trailing",
    "ddim_leading",
    "ddim_tutorial",
)


class SpecError(ValueError):
    """A model spec that cannot be built; `key` names the field at fault."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.reason = message


@dataclass(frozen=True)
class ModelSpec:
    """One servable model. Equal specs with equal weights export to the same fingerprint."""

    family: str = "demo"
    image_size: int = 64
    precision: str = "float32"
    sampler: str = "dpmpp_2m_trailing"
    steps: int = 20
    max_steps: int = 50
    guidance_scale: float = 3.0
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        # 4 and 4.0 describe the same model, and must not give two fingerprints.
        object.__setattr__(self, "guidance_scale", float(self.guidance_scale))
        _one_of("family", self.family, FAMILIES)
        _one_of("precision", self.precision, ("float32",))
        _one_of("sampler", self.sampler, SAMPLERS)
        if self.image_size != 64:
            raise SpecError("image_size", f"the demo model draws at 64 px, not {self.image_size}")
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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ModelSpec:
        """The spec that `to_json` described. Whole numbers may come as floats (protobuf)."""
        fields = dict(values)
        for key in ("image_size", "steps", "max_steps"):
            if key in fields:
                fields[key] = int(fields[key])
        return cls(**fields)

    def fingerprint(self, weights_sha256: str) -> str:
        """Sixteen hex digits over this spec, the exporter's version and the weights' checksum."""
        document = {
            "exporter": EXPORTER_VERSION,
            "spec": self.to_json(),
            "weights": weights_sha256,
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SpecError(key, f"must be one of {', '.join(allowed)}, not {value!r}")

"""A service's limits and defaults: said by the model and the stack, checked before sending."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from model_export.spec import (
    MAX_GUIDANCE_SCALE,
    MAX_PROMPT_BYTES,
    MAX_PROMPT_TOKENS,
    SEED_LIMIT,
    ModelSpec,
)
from prediction.errors import InputRefusedError, one_line

MIN_GUIDANCE_SCALE = 1.0
"""At 1 guidance has no effect; below 1 it would push the picture away from the prompt."""

MAX_LIMIT = 2**53
"""Above it not every whole number is a float, and none is a limit."""


@dataclass(frozen=True)
class PictureRequest:
    """One row of the signature `serving_default`: everything that determines the picture."""

    prompt: str
    negative_prompt: str
    num_steps: int
    guidance_scale: float
    seed: int


@dataclass(frozen=True)
class Limits:
    """What a model and its stack declare; else the model spec's own defaults are assumed."""

    min_steps: int = 1
    max_steps: int = ModelSpec.max_steps
    max_prompt_bytes: int = MAX_PROMPT_BYTES
    max_prompt_tokens: int = MAX_PROMPT_TOKENS
    max_guidance_scale: float = MAX_GUIDANCE_SCALE
    image_size: int = ModelSpec.image_size
    default_steps: int = ModelSpec.steps
    default_guidance_scale: float = ModelSpec.guidance_scale
    default_negative_prompt: str = ModelSpec.negative_prompt
    queue: int = 8
    request_timeout_seconds: float = 60.0

    def updated(self, values: Mapping[str, object]) -> Limits:
        """These limits with `values`, named in camelCase. Unknown names are ignored.

        Raises ValueError, whose message begins with the name.
        """
        known: dict[str, float | str] = {}
        for field in fields(self):
            key = _camel_case(field.name)
            value = values.get(key)
            if value is None:
                continue
            if isinstance(field.default, str):
                known[field.name] = str(value)
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{key} is not a number")
            # Written so that NaN, which compares false with everything, is refused too.
            if not 0 <= value <= MAX_LIMIT:
                raise ValueError(f"{key} cannot be {one_line(str(value))}")
            # Pulumi keeps every number as a float, so whole ones may arrive as 50.0.
            known[field.name] = int(value) if isinstance(field.default, int) else float(value)
        return replace(self, **known)  # pyright: ignore[reportArgumentType]

    def check(self, request: PictureRequest) -> None:
        """Reject values that the model would clamp, truncate or draw badly."""
        self.check_text("prompt", request.prompt)
        self.check_text("negative_prompt", request.negative_prompt)
        if not self.min_steps <= request.num_steps <= self.max_steps:
            raise InputRefusedError(
                f"steps must be from {self.min_steps} to {self.max_steps}, not {request.num_steps}",
                field="steps",
            )
        # Written so that NaN, which compares false with everything, is refused too.
        if not MIN_GUIDANCE_SCALE <= request.guidance_scale <= self.max_guidance_scale:
            raise InputRefusedError(
                f"the guidance scale must be from {MIN_GUIDANCE_SCALE:g} to "
                f"{self.max_guidance_scale:g}, not {request.guidance_scale:g}",
                field="guidance_scale",
            )
        check_seed(request.seed)

    def check_text(self, field: str, text: str) -> None:
        """Reject a text that the model would truncate or misread. field: as the error names it."""
        name = f"the {field.replace('_', ' ')}"
        try:
            size_bytes = len(text.encode())
        except UnicodeEncodeError as error:
            raise InputRefusedError(
                f"{name} is not valid UTF-8 at character {error.start + 1}: type it again",
                field=field,
            ) from None
        if "\0" in text:
            raise InputRefusedError(f"{name} contains a NUL character: remove it", field=field)
        if size_bytes > self.max_prompt_bytes:
            raise InputRefusedError(
                f"{name} is {size_bytes} bytes long, but the limit is {self.max_prompt_bytes}: "
                f"shorten it (the model reads only {self.max_prompt_tokens} tokens)",
                field=field,
            )


def check_seed(seed: int, count: int = 1) -> None:
    """Reject `seed` if it, or the last of `count` consecutive seeds from it, is out of range."""
    if not 0 <= seed < SEED_LIMIT:
        raise InputRefusedError(
            f"the seed must be from 0 to {SEED_LIMIT - 1}, not {seed}", field="seed"
        )
    if seed + count > SEED_LIMIT:
        raise InputRefusedError(
            f"{count} pictures from seed {seed} would exceed the largest seed, {SEED_LIMIT - 1}: "
            "choose a smaller seed",
            field="seed",
        )


def draw_seed() -> int:
    """A random seed, uniform over the range that the model accepts."""
    return secrets.randbelow(SEED_LIMIT)


def seconds_until(deadline: float) -> float:
    """The time limit for what must end by `deadline`, on `time.monotonic`'s clock; above 0."""
    return max(deadline - time.monotonic(), 0.001)


def _camel_case(name: str) -> str:
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)

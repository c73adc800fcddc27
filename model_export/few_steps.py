"""Models that were distilled to draw in a few steps: what can be asked of them, and the defaults.

Guidance is built into such a model. At a scale of 1 it follows the prompt alone, for half the work;
far above that, its pictures burn. Imports nothing heavy: the settings read it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Ranges:
    """Steps go from 1 to max_steps, the guidance scale from 1 to max_guidance_scale."""

    steps: int
    max_steps: int
    guidance_scale: float
    max_guidance_scale: float

    def as_spec(self) -> dict[str, int | float]:
        """By the names of `ModelSpec`'s fields."""
        return asdict(self)


INSTANT_SAMPLER = "lcm"
"""Of the profile `instant`."""

BY_SAMPLER = {
    # A LoRA takes a little guidance (diffusers' documentation of LCM-LoRA).
    "lcm": Ranges(steps=4, max_steps=8, guidance_scale=1.0, max_guidance_scale=2.0),
    "tcd": Ranges(steps=4, max_steps=8, guidance_scale=1.0, max_guidance_scale=1.0),
    "euler_trailing": Ranges(steps=1, max_steps=4, guidance_scale=1.0, max_guidance_scale=1.0),
}
"""For each sampler of distilled models."""

ERROR_OF_ONE_STEP = "bfloat16's error grows 15 times in a picture of one step"
"""At the first timestep the clean latent has the predicted noise times σ/α, which is 14.6, and no
later step corrects it."""

MAX_INSTANT_GUIDANCE = 1.0
"""Of the profile `instant`, unless its own guidance is larger: clients that ask for 7 out of habit
would get twice the work."""

GUIDANCE_EMBEDDED = Ranges(steps=4, max_steps=8, guidance_scale=8.0, max_guidance_scale=15.0)
"""Of a full latent consistency model, whose U-Net is told the guidance scale: trained with 5 to 15
(arXiv:2310.04378, section 4.2)."""

"""The model's samplers under the names that AUTOMATIC1111 and its users know."""

from __future__ import annotations

from prediction.description import Served

NAMES: dict[str, tuple[str, str]] = {
    "dpmpp_2m_trailing": ("DPM++ 2M", "SGM Uniform"),
    "dpmpp_2m_leading": ("DPM++ 2M", "Uniform"),
    "dpmpp_2m_karras": ("DPM++ 2M", "Karras"),
    "ddim": ("DDIM", "Uniform"),
    "ddim_trailing": ("DDIM", "SGM Uniform"),
    "ddim_leading": ("DDIM", "Automatic"),
    "ddim_tutorial": ("DDIM", "Automatic"),
    "lcm": ("LCM", "Automatic"),
    "tcd": ("TCD", "Automatic"),
    "euler_trailing": ("Euler", "SGM Uniform"),
}
"""For each sampler A1111's sampler and the schedule type nearest to its timesteps."""


def known_name(sampler: str) -> tuple[str, str]:
    """A1111's sampler and schedule type; another model's sampler keeps its own name."""
    return NAMES.get(sampler, (sampler, "Automatic"))


def of(served: Served) -> tuple[str, str] | None:
    """That of the served model; None if the model does not say."""
    described = served.description
    return known_name(described.samplers[0]) if described and described.samplers else None

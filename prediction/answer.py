"""What a model server answers for one picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One row of what `serving_default` returns."""

    png: bytes
    seed: int
    num_steps: int
    prompt_tokens: int
    truncated: bool
    fingerprint: str
    endpoint: str = ""
    """The server that drew it."""
    negative_prompt_tokens: int = 0
    negative_prompt_truncated: bool = False

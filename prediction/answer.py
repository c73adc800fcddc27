"""What a model server answers for one picture: at once, or chunk by chunk."""

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


@dataclass(frozen=True)
class Begun:
    """What `begin` answers: the picture's state before its first step, and what is known already.

    state and context are opaque. The context serves the whole picture; the state is that of a step.
    """

    state: bytes
    context: bytes
    seed: int
    num_steps: int
    prompt_tokens: int
    truncated: bool
    fingerprint: str
    negative_prompt_tokens: int
    negative_prompt_truncated: bool

    def answer(self, png: bytes, endpoint: str) -> Answer:
        """The same as if the picture had been drawn in one request."""
        return Answer(
            png=png,
            seed=self.seed,
            num_steps=self.num_steps,
            prompt_tokens=self.prompt_tokens,
            truncated=self.truncated,
            fingerprint=self.fingerprint,
            endpoint=endpoint,
            negative_prompt_tokens=self.negative_prompt_tokens,
            negative_prompt_truncated=self.negative_prompt_truncated,
        )


@dataclass(frozen=True)
class Advanced:
    """What `advance` answers. step: how many steps are done. preview: a small PNG."""

    state: bytes
    step: int
    num_steps: int
    preview: bytes

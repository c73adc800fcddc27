"""What a caller wishes for, in whichever API's words, made a job's checked requests."""

from __future__ import annotations

from dataclasses import dataclass

from web.jobs.job import Api, Owner


@dataclass(frozen=True)
class Wish:
    """None: the caller left it out, and the model's default counts. A seed left out is drawn.

    notes: what the API already mapped, ignored or did not understand, one line each.
    """

    prompt: str
    api: Api
    owner: Owner = ""
    job_id: str = ""
    negative_prompt: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    count: int = 1
    width: int | None = None
    height: int | None = None
    strict_size: bool = False
    deadline_seconds: float | None = None
    notes: tuple[str, ...] = ()

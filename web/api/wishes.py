"""A job's request, as the queue takes it."""

from __future__ import annotations

from web.api.documents import JobRequest
from web.jobs.job import Api, Owner
from web.jobs.wishes import Wish


def wish_of(asked: JobRequest, owner: Owner) -> Wish:
    return Wish(
        prompt=asked.prompt,
        api=Api.NATIVE,
        owner=owner,
        job_id=asked.id or "",
        negative_prompt=asked.negative_prompt,
        steps=asked.steps,
        guidance_scale=asked.guidance_scale,
        seed=asked.seed,
        count=asked.count,
        width=asked.width,
        height=asked.height,
        strict_size=asked.strict_size,
        deadline_seconds=asked.deadline_seconds,
    )

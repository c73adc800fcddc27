"""What an answer says beside its pictures: what was mapped, ignored or not understood."""

from __future__ import annotations

from collections.abc import Iterable

from prediction.errors import printable
from prediction.limits import Limits
from web.jobs.job import Job

HEADER = "X-Notes"
MAX_HEADER_CHARACTERS = 2000
"""Proxies refuse answers with more than some kilobytes of headers."""


def of(job: Job, limits: Limits) -> list[str]:
    """What is known of a job's request, and once it is drawn, what the model read of it."""
    answers = [drawn.answer for drawn in job.pictures]
    notes = list(job.asked.notes)
    for name, is_cut in (
        ("prompt", any(answer.truncated for answer in answers)),
        ("negative prompt", any(answer.negative_prompt_truncated for answer in answers)),
    ):
        if is_cut:
            notes.append(f"only the first {limits.max_prompt_tokens} tokens of the {name} are read")
    return notes


def headers(notes: Iterable[str]) -> dict[str, str]:
    """The header that holds them, in ASCII; none if there are no notes."""
    line = printable("; ".join(notes)).encode("ascii", "backslashreplace").decode()
    return {HEADER: line[:MAX_HEADER_CHARACTERS]} if line else {}

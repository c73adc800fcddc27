"""What a caller wishes for, in whichever API's words, made a job's checked requests."""

from __future__ import annotations

import math
import re
import secrets
from dataclasses import dataclass, replace
from typing import TypeVar

from model_export.spec import SEED_LIMIT
from prediction.description import Served
from prediction.errors import InputRefusedError
from prediction.limits import MIN_GUIDANCE_SCALE, Limits, PictureRequest, check_seed
from web.jobs.costs import Costs
from web.jobs.job import Api, Asked, Owner
from web.jobs.refusals import Reason, refused

T = TypeVar("T")

_JOB_ID = re.compile(r"[\w.:()-]{1,100}", re.ASCII)
"""Fit for a URL's path, and what AUTOMATIC1111's clients make: `task(abc)`."""


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


def asked_for(wish: Wish, served: Served, costs: Costs) -> Asked:
    """The wish's requests, checked, with the model's defaults. Raises RefusedError."""
    limits = served.limits
    notes = list(wish.notes)
    if wish.job_id and not _JOB_ID.fullmatch(wish.job_id):
        raise refused(
            Reason.INVALID,
            "a job's id is 1 to 100 letters, digits and any of - _ . : ( ), without spaces",
        )
    seconds = wish.deadline_seconds
    if seconds is not None and not 0 < seconds < math.inf:
        raise refused(Reason.INVALID, f"the deadline must be above 0 seconds, not {seconds:g}")
    costs.check_count(wish.count)
    asked_size = _asked_size(wish, limits.image_size, notes)
    if served.is_distilled:
        wish = _within_its_range(wish, limits, notes)
    try:
        seeds = _seeds(wish, notes)
        requests = tuple(
            PictureRequest(
                prompt=wish.prompt,
                negative_prompt=_given(wish.negative_prompt, limits.default_negative_prompt),
                num_steps=_given(wish.steps, limits.default_steps),
                guidance_scale=_given(wish.guidance_scale, limits.default_guidance_scale),
                seed=seed,
            )
            for seed in seeds
        )
        limits.check(requests[0])
    except InputRefusedError as error:
        raise refused(Reason.INVALID, str(error), field=error.field) from None
    costs.check(requests, limits.image_size)
    return Asked(
        requests=requests,
        api=wish.api,
        owner=wish.owner,
        job_id=wish.job_id,
        deadline_seconds=seconds,
        notes=tuple(notes),
        asked_size=asked_size,
        keeps_unfinished=wish.api is Api.A1111,
    )


def _given(value: T | None, default: T) -> T:
    return default if value is None else value


def _within_its_range(wish: Wish, limits: Limits, notes: list[str]) -> Wish:
    """A distilled model's range of steps and guidance: callers who do not know it ask for more.

    Some turn guidance off by 0, which is 1 here.
    """
    steps, guidance_scale = wish.steps, wish.guidance_scale
    changes: list[str] = []
    if steps is not None and steps > limits.max_steps:
        changes.append(f"{limits.max_steps} steps instead of {steps}")
        steps = limits.max_steps
    if steps is not None and 1 <= steps < limits.min_steps:
        notes.append(f"{limits.min_steps} steps instead of {steps}: the model needs that many")
        steps = limits.min_steps
    if guidance_scale is not None and 0 <= guidance_scale < math.inf:
        within = min(max(guidance_scale, MIN_GUIDANCE_SCALE), limits.max_guidance_scale)
        if within != guidance_scale:
            changes.append(f"guidance scale {within:g} instead of {guidance_scale:g}")
        guidance_scale = within
    if changes:
        notes.append(f"{', '.join(changes)}: the model is made for few steps")
    return replace(wish, steps=steps, guidance_scale=guidance_scale)


def _asked_size(wish: Wish, image_size: int, notes: list[str]) -> tuple[int, int] | None:
    """The size in the caller's words; None if the caller leaves it to the model."""
    if wish.width is None and wish.height is None:
        return None
    width, height = _given(wish.width, image_size), _given(wish.height, image_size)
    if min(width, height) < 1:
        raise refused(Reason.INVALID, f"a picture cannot be {width}x{height} pixels")
    if (width, height) != (image_size, image_size):
        only = f"{image_size}x{image_size}"
        if wish.strict_size:
            raise refused(
                Reason.INVALID,
                f"the model draws {only} pixels only, not {width}x{height}: ask for {only}, or "
                "leave out strictSize",
                field="size",
            )
        notes.append(f"drawn at {only} instead of {width}x{height}: the model has no other size")
    return width, height


def _seeds(wish: Wish, notes: list[str]) -> list[int]:
    """Consecutive ones. Raises InputRefusedError."""
    if wish.seed is None:
        first = secrets.randbelow(SEED_LIMIT - wish.count + 1)
        return [first + number for number in range(wish.count)]
    if wish.api is Api.NATIVE:
        check_seed(wish.seed, wish.count)
    seeds = [(wish.seed + number) % SEED_LIMIT for number in range(wish.count)]
    if seeds[0] != wish.seed:
        notes.append(f"seed {seeds[0]} instead of {wish.seed}: seeds are below {SEED_LIMIT}")
    elif seeds[-1] < seeds[0]:
        notes.append(f"after seed {SEED_LIMIT - 1} comes seed 0: seeds are below {SEED_LIMIT}")
    return seeds

"""What callers wish for, made requests that the model takes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from model_export.spec import SEED_LIMIT
from prediction.description import ModelDescription, Served
from prediction.limits import Limits
from web.jobs.costs import Costs
from web.jobs.job import Api, Asked
from web.jobs.refusals import Problem, Reason, RefusedError
from web.jobs.wishes import Wish, asked_for

LIMITS = Limits(
    image_size=64,
    max_steps=50,
    default_steps=12,
    default_guidance_scale=6.0,
    default_negative_prompt="blurred",
)
COSTS = Costs(max_count=10, max_cost=64 * 64 * 50 * 4)


DISTILLED = Served(
    dataclasses.replace(
        LIMITS, max_steps=8, default_steps=4, max_guidance_scale=2.0, default_guidance_scale=1.0
    ),
    ModelDescription("sd14", "f", "instant", "float32", ("lcm",), "", LIMITS, is_distilled=True),
)


def _asked(api: Api = Api.NATIVE, served: Served | None = None, **values: Any) -> Asked:
    wish = Wish(**{"prompt": "a red circle", "api": api, **values})
    return asked_for(wish, served or Served(LIMITS), COSTS)


def _refusal(api: Api = Api.NATIVE, **values: Any) -> Problem:
    with pytest.raises(RefusedError) as refusal:
        _asked(api, **values)
    assert refusal.value.problem.retry_after_seconds is None
    assert "\n" not in refusal.value.problem.message
    return refusal.value.problem


@pytest.mark.parametrize("api", Api)
def test_what_is_left_out_is_the_models_default(api: Api) -> None:
    (request,) = _asked(api).requests
    assert request.num_steps == 12
    assert request.guidance_scale == 6.0
    assert request.negative_prompt == "blurred"
    assert 0 <= request.seed < SEED_LIMIT
    assert _asked(api).notes == ()


def test_what_is_given_is_taken() -> None:
    asked = _asked(
        negative_prompt="", steps=3, guidance_scale=1.5, seed=7, count=3, deadline_seconds=30.0
    )
    assert [request.seed for request in asked.requests] == [7, 8, 9]
    assert {(r.negative_prompt, r.num_steps, r.guidance_scale) for r in asked.requests} == {
        ("", 3, 1.5)
    }
    assert asked.deadline_seconds == 30.0


def test_a_seed_is_drawn_anew_for_each_job() -> None:
    assert _asked(count=10).requests[0].seed != _asked(count=10).requests[0].seed


@pytest.mark.parametrize("api", Api)
def test_a_distilled_model_gets_the_most_it_can_use_and_the_answer_says_so(api: Api) -> None:
    asked = _asked(api, DISTILLED, steps=20, guidance_scale=7.0)
    assert [(one.num_steps, one.guidance_scale) for one in asked.requests] == [(8, 2.0)]
    assert asked.notes == (
        "8 steps instead of 20, guidance scale 2 instead of 7: the model is made for few steps",
    )


@pytest.mark.parametrize(
    ("values", "used"),
    [
        ({}, (4, 1.0)),
        ({"steps": 8, "guidance_scale": 2.0}, (8, 2.0)),
        ({"steps": 1, "guidance_scale": 1.5}, (1, 1.5)),
    ],
)
def test_what_a_distilled_model_can_use_is_taken_without_a_note(
    values: dict[str, Any], used: tuple[int, float]
) -> None:
    asked = _asked(Api.A1111, DISTILLED, **values)
    (request,) = asked.requests
    assert (request.num_steps, request.guidance_scale) == used and asked.notes == ()


@pytest.mark.parametrize("api", Api)
def test_a_model_that_needs_two_steps_draws_one_step_in_two_and_says_so(api: Api) -> None:
    rough = dataclasses.replace(
        DISTILLED, limits=dataclasses.replace(DISTILLED.limits, min_steps=2)
    )
    asked = _asked(api, rough, steps=1)
    assert [one.num_steps for one in asked.requests] == [2]
    assert asked.notes == ("2 steps instead of 1: the model needs that many",)
    assert _asked(api, rough, steps=2).notes == ()
    with pytest.raises(RefusedError):
        _asked(api, rough, steps=0)


def test_guidance_that_is_turned_off_by_zero_is_one_to_a_distilled_model() -> None:
    asked = _asked(Api.A1111, DISTILLED, guidance_scale=0.0)
    assert asked.requests[0].guidance_scale == 1.0
    assert asked.notes == ("guidance scale 1 instead of 0: the model is made for few steps",)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"steps": 0}, "steps"),
        ({"guidance_scale": -1.0}, "guidance_scale"),
        ({"guidance_scale": math.nan}, "guidance_scale"),
        ({"guidance_scale": math.inf}, "guidance_scale"),
    ],
)
def test_what_no_model_can_use_is_refused_by_a_distilled_one_too(
    values: dict[str, Any], field: str
) -> None:
    assert _refusal(served=DISTILLED, **values).field == field


@pytest.mark.parametrize("api", Api)
def test_another_size_is_drawn_at_the_models_own_and_noted(api: Api) -> None:
    asked = _asked(api, width=512, height=768)
    assert asked.asked_size == (512, 768)
    assert asked.notes == ("drawn at 64x64 instead of 512x768: the model has no other size",)
    assert _asked(api, width=64, height=64).notes == ()
    assert _asked(api, width=64).asked_size == (64, 64)
    assert _asked(api).asked_size is None


def test_with_a_strict_size_another_size_is_refused() -> None:
    problem = _refusal(width=512, height=512, strict_size=True)
    assert problem.reason is Reason.INVALID
    assert "64x64" in problem.message
    assert _asked(width=64, height=64, strict_size=True).notes == ()


def test_notes_of_the_api_come_first() -> None:
    asked = _asked(Api.A1111, width=1, notes=("lora ignored",))
    assert asked.notes[0] == "lora ignored"
    assert len(asked.notes) == 2


@pytest.mark.parametrize("api", [Api.OPENAI, Api.A1111])
@pytest.mark.parametrize("seed", [SEED_LIMIT, 4294967295, -5, 10**30])
def test_a_foreign_apis_seed_is_brought_into_the_models_range_with_a_note(
    api: Api, seed: int
) -> None:
    asked = _asked(api, seed=seed)
    assert asked.requests[0].seed == seed % SEED_LIMIT
    assert str(seed) in asked.notes[0]


def test_a_foreign_apis_seeds_go_on_after_the_last_with_a_note() -> None:
    asked = _asked(Api.A1111, seed=SEED_LIMIT - 1, count=2)
    assert [request.seed for request in asked.requests] == [SEED_LIMIT - 1, 0]
    assert len(asked.notes) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"seed": -1},
        {"seed": SEED_LIMIT},
        {"seed": SEED_LIMIT - 1, "count": 2},
        {"steps": 0},
        {"steps": 51},
        {"guidance_scale": math.nan},
        {"guidance_scale": 1000.0},
        {"count": 0},
        {"count": -(10**30)},
        {"prompt": "a\0b"},
        {"prompt": "x" * 10_000},
        {"prompt": "\ud800"},
        {"negative_prompt": "x" * 10_000},
        {"width": 0},
        {"height": -1},
        {"deadline_seconds": 0.0},
        {"deadline_seconds": math.nan},
        {"deadline_seconds": math.inf},
        {"job_id": "a b"},
        {"job_id": "../x"},
        {"job_id": "é"},
        {"job_id": "x" * 101},
        {"job_id": "x\n"},
    ],
    ids=repr,
)
def test_a_value_that_the_model_does_not_take_is_refused(values: dict[str, Any]) -> None:
    assert _refusal(**values).reason is Reason.INVALID


@pytest.mark.parametrize("job_id", ["a", "task(abc123)", "0-9_a.b:c"])
def test_ids_as_clients_make_them_are_taken(job_id: str) -> None:
    assert _asked(job_id=job_id).job_id == job_id


@pytest.mark.parametrize(
    "values", [{"count": 11}, {"count": 10**30}, {"count": 5, "steps": 50}], ids=repr
)
def test_a_job_that_costs_too_much_is_refused(values: dict[str, Any]) -> None:
    problem = _refusal(**values)
    assert problem.reason is Reason.TOO_COSTLY
    assert "ask for" in problem.message
    assert _asked(count=4, steps=50)


def test_only_a1111s_callers_keep_half_done_pictures() -> None:
    assert [api for api in Api if _asked(api).keeps_unfinished] == [Api.A1111]


def test_every_field_of_a_wish_reaches_the_job() -> None:
    """A field that is added to one is thought of in the other."""
    assert {field.name for field in dataclasses.fields(Wish)} - {
        *("prompt", "negative_prompt", "steps", "guidance_scale", "seed", "count"),
        *("width", "height", "strict_size"),
    } == {field.name for field in dataclasses.fields(Asked)} - {
        *("requests", "asked_size", "keeps_unfinished"),
    }

"""What a model made for few steps says about itself is understood."""

from __future__ import annotations

import json

import pytest

from model_export.description import description
from model_export.spec import ModelSpec
from prediction.description import DescriptionError, Served, judge, read
from prediction.errors import InputRefusedError
from prediction.limits import Limits, PictureRequest


def served(spec: ModelSpec) -> Served:
    return judge([("here", description(spec, "f"))], Limits())


def test_a_distilled_models_ranges_are_its_own() -> None:
    found = served(ModelSpec.for_family("demo", sampler="lcm"))
    assert found.is_distilled and not found.warnings
    limits = found.limits
    assert (limits.default_steps, limits.max_steps) == (4, 8)
    assert (limits.default_guidance_scale, limits.max_guidance_scale) == (1.0, 2.0)
    with pytest.raises(InputRefusedError, match="the guidance scale must be from 1 to 2, not 7"):
        limits.check(PictureRequest("a star", "", num_steps=4, guidance_scale=7.0, seed=1))


def test_one_step_is_too_few_where_the_model_says_so() -> None:
    rough = ModelSpec.for_family("sd14", sampler="lcm", weights="random", precision="bfloat16")
    limits = served(rough).limits
    assert (limits.min_steps, limits.max_steps) == (2, 8)
    one = PictureRequest("a star", "", num_steps=1, guidance_scale=1.0, seed=1)
    with pytest.raises(InputRefusedError, match="steps must be from 2 to 8, not 1"):
        limits.check(one)
    # What the stack's output says may be the model's before.
    fine = description(ModelSpec.for_family("demo", sampler="lcm"), "f")
    read(fine, limits).limits.check(one)


def test_a_default_below_the_fewest_steps_is_impossible() -> None:
    document = json.loads(description(ModelSpec.for_family("demo", sampler="lcm"), "f"))
    document["limits"]["minSteps"] = 5
    with pytest.raises(DescriptionError, match="its defaults are impossible: steps must be from 5"):
        read(json.dumps(document), Limits())


def test_an_ordinary_model_is_not_distilled() -> None:
    assert not served(ModelSpec()).is_distilled
    assert not Served(Limits()).is_distilled


@pytest.mark.parametrize("said", [False, None, "yes", 1])
def test_only_a_plain_yes_makes_a_model_distilled(said: object) -> None:
    document = json.loads(description(ModelSpec(), "f")) | {"distilled": said}
    assert not read(json.dumps(document), Limits()).is_distilled

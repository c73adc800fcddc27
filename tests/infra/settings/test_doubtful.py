"""Settings that are valid, but hardly meant: each is one line that says what to put."""

from __future__ import annotations

import pulumi
import pytest

from infra.settings import doubtful
from model_export.spec import ModelSpec
from tests.infra.settings.test_stack import sd14, values


def test_a_negative_prompt_that_the_model_would_cut_is_said() -> None:
    assert doubtful.lines(values(negativePrompt="blurry, " * 40)) == [
        "negativePrompt: has 82 tokens, but the model reads only the first 77; "
        f"shorten it in Pulumi.{pulumi.get_stack()}.yaml"
    ]


@pytest.mark.parametrize("negative_prompt", ["auto", "", "blurry, " * 37])
def test_a_negative_prompt_that_fits_is_not_remarked_on(negative_prompt: str) -> None:
    assert doubtful.lines(values(negativePrompt=negative_prompt)) == []


def test_the_familys_own_negative_prompt_fits() -> None:
    default = ModelSpec.for_family("sd14", weights="random").negative_prompt
    given = sd14(negativePrompt=default, requestTimeoutSeconds="600")
    assert default and doubtful.lines(given) == []


def test_a_timeout_that_is_too_short_for_the_family_is_said() -> None:
    assert doubtful.lines(sd14()) == [
        "requestTimeoutSeconds: a picture of sd14 can take minutes, and is given up after 60 s; "
        f"put 600 in Pulumi.{pulumi.get_stack()}.yaml"
    ]
    for enough in (sd14(requestTimeoutSeconds="600"), sd14(profile="instant"), values()):
        assert doubtful.lines(enough) == []

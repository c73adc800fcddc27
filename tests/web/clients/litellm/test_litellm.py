"""LiteLLM, unchanged, against the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.clients.environments import Seen, python_client
from tests.web.clients.pictures import from_base64
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def seen(service: WebProcess) -> Seen:
    # Else its import asks for a list of prices elsewhere.
    return python_client(HERE, service.url, LITELLM_LOCAL_MODEL_COST_MAP="True")


@pytest.mark.parametrize("call", ["image_generation", "aimage_generation"])
def test_a_picture_is_drawn(seen: Seen, call: str) -> None:
    (image,) = seen.returned(call)["data"]
    from_base64(image["b64_json"])


@pytest.mark.parametrize("call", ["seed_and_negative_prompt", "seed_as_a_parameter_of_its_own"])
def test_seed_and_negative_prompt_reach_the_model(seen: Seen, call: str) -> None:
    first, second = seen.returned(call)
    assert first["data"] == second["data"]
    text = from_base64(first["data"][0]["b64_json"]).info["parameters"]
    assert "Negative prompt: blue" in text
    assert "Seed: 7" in text


def test_another_size_and_two_pictures(seen: Seen) -> None:
    result, _ = seen.returned("seed_and_negative_prompt")
    assert len({image["b64_json"] for image in result["data"]}) == 2
    assert result["size"] == "64x64"


def test_a_bad_request_is_not_retried(seen: Seen) -> None:
    error = seen.raised("bad_request")
    assert (error["class"], error["status_code"]) == ("BadRequestError", 400)

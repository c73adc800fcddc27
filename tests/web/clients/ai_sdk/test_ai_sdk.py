"""Vercel's AI SDK, unchanged, against the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.clients.environments import Seen, node_client
from tests.web.clients.pictures import from_base64
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(service: WebProcess) -> Seen:
    return node_client(Path(__file__).parent, service.url)


def test_generate_image_draws_a_picture(seen: Seen) -> None:
    result = seen.returned("generate_image")
    (image,) = result["images"]
    assert image["mediaType"] == "image/png"
    from_base64(image["base64"])
    assert result["warnings"] == []


def test_three_pictures_of_another_size_are_drawn_at_the_models(seen: Seen) -> None:
    images = seen.returned("three_pictures")["images"]
    assert len({image["base64"] for image in images}) == 3
    for image in images:
        from_base64(image["base64"])


def test_provider_options_reach_the_model(seen: Seen) -> None:
    first, second = seen.returned("seed_and_negative_prompt")
    assert first["images"] == second["images"]
    text = from_base64(first["images"][0]["base64"]).info["parameters"]
    assert "Negative prompt: blue" in text
    assert "Seed: 7" in text


def test_a_bad_request_says_what_is_wrong(seen: Seen) -> None:
    error = seen.raised("bad_request")
    assert (error["class"], error["status"]) == ("APICallError", 400)
    assert "steps" in error["text"]

"""OpenAI's package for Node, unchanged, against the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.clients.environments import Seen, node_client
from tests.web.clients.pictures import from_base64, from_data_uri
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def seen(service: WebProcess) -> Seen:
    return node_client(HERE, service.url)


@pytest.fixture(scope="module")
def streamed(slow_service: WebProcess) -> Seen:
    return node_client(HERE, slow_service.url, "streaming.mjs")


@pytest.fixture(scope="module")
def overload(narrow_service: WebProcess) -> Seen:
    return node_client(HERE, narrow_service.url, "overload.mjs")


def test_three_lines_draw_a_picture(seen: Seen) -> None:
    result = seen.returned("generate_default")
    from_base64(result["data"][0]["b64_json"])
    assert result["request_id"]


def test_size_auto_is_the_models_size(seen: Seen) -> None:
    assert seen.returned("size_auto")["size"] == "64x64"


def test_response_format_url_is_a_data_uri(seen: Seen) -> None:
    (image,) = seen.returned("response_format_url")["data"]
    from_data_uri(image["url"])
    assert "b64_json" not in image


def test_response_format_b64_json_has_no_url(seen: Seen) -> None:
    (image,) = seen.returned("response_format_b64_json")["data"]
    from_base64(image["b64_json"])
    assert "url" not in image


def test_n_3_draws_three_different_pictures_from_a_seed_on(seen: Seen) -> None:
    images = seen.returned("three_pictures")["data"]
    assert len({image["b64_json"] for image in images}) == 3
    assert [image["seed"] for image in images] == [7, 8, 9]


def test_an_edit_is_refused_with_a_typed_error(seen: Seen) -> None:
    error = seen.raised("edit")
    assert (error["class"], error["status"]) == ("BadRequestError", 400)
    assert error["type"] == "invalid_request_error"


def test_eleven_pictures_are_a_bad_request_about_n(seen: Seen) -> None:
    error = seen.raised("too_many_pictures")
    assert (error["class"], error["param"]) == ("BadRequestError", "n")
    assert error["requestID"]


def test_the_list_of_models_names_the_one_model(seen: Seen) -> None:
    (model,) = seen.returned("models")
    assert model["id"] == "stable-diffusion"


def test_a_stream_shows_partial_images_and_then_the_picture(streamed: Seen) -> None:
    *partials, completed = streamed.returned("partial_images")
    assert {event["type"] for event in partials} == {"image_generation.partial_image"}
    assert completed["type"] == "image_generation.completed"
    for event in (*partials, completed):
        from_base64(event["b64_json"])


def test_a_503_is_retried_until_there_is_a_picture(overload: Seen) -> None:
    assert overload.returned("overloaded") == 1


def test_a_503_says_when_to_come_back_within_a_minute(overload: Seen) -> None:
    refused = overload.returned("overloaded_without_retries")
    assert refused["status"] == 503
    assert 1 <= int(refused["retry_after"]) <= 60

"""OpenAI's package for Python, unchanged, against the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import wait_until
from tests.web.clients.environments import Seen, python_client
from tests.web.clients.pictures import from_base64, from_data_uri
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def seen(service: WebProcess) -> Seen:
    return python_client(HERE, service.url)


@pytest.fixture(scope="module")
def streamed(slow_service: WebProcess) -> Seen:
    return python_client(HERE, slow_service.url, "streaming.py")


@pytest.fixture(scope="module")
def failed(failing_service: WebProcess) -> Seen:
    return python_client(HERE, failing_service.url, "failing.py")


@pytest.fixture(scope="module")
def overload(narrow_service: WebProcess) -> Seen:
    return python_client(HERE, narrow_service.url, "overload.py")


def test_three_lines_draw_a_picture(seen: Seen) -> None:
    result = seen.returned("generate_default")
    (image,) = result["data"]
    from_base64(image["b64_json"])
    assert result["created"] > 1_700_000_000
    assert result["request_id"]


def test_size_auto_is_the_models_size(seen: Seen) -> None:
    result = seen.returned("size_auto")
    from_base64(result["data"][0]["b64_json"])
    assert result["size"] == "64x64"


def test_another_size_is_drawn_at_the_models_which_the_answer_says(seen: Seen) -> None:
    result = seen.returned("another_size")
    assert result["size"] == "64x64"
    assert any("1024x1536" in note for note in result["notes"])


def test_strict_size_refuses_another_size(seen: Seen) -> None:
    error = seen.raised("strict_size")
    assert (error["class"], error["status_code"]) == ("BadRequestError", 400)


def test_response_format_url_is_a_data_uri(seen: Seen) -> None:
    (image,) = seen.returned("response_format_url")["data"]
    from_data_uri(image["url"])
    assert image["b64_json"] is None


def test_response_format_b64_json_has_no_url(seen: Seen) -> None:
    (image,) = seen.returned("response_format_b64_json")["data"]
    from_base64(image["b64_json"])
    assert image["url"] is None


def test_without_response_format_there_are_both_but_for_gpt_image(seen: Seen) -> None:
    for model, result in seen.returned("response_format_left_out").items():
        (image,) = result["data"]
        from_base64(image["b64_json"])
        assert (image["url"] is None) == model.startswith("gpt-image"), model


def test_every_output_format_is_what_it_says(seen: Seen) -> None:
    for file_format, result in seen.returned("output_formats").items():
        image = from_base64(result["data"][0]["b64_json"])
        assert (image.format or "").lower() == result["output_format"] == file_format


def test_n_3_draws_three_different_pictures(seen: Seen) -> None:
    files = [image["b64_json"] for image in seen.returned("three_pictures")["data"]]
    assert len(set(files)) == 3


def test_extra_body_reaches_the_model(seen: Seen) -> None:
    first, second = seen.returned("same_seed_twice")
    assert first["data"] == second["data"]
    assert first["data"][0]["seed"] == 7
    text = from_base64(first["data"][0]["b64_json"]).info["parameters"]
    for part in ("Negative prompt: blue", "Steps: 3", "CFG scale: 5", "Seed: 7"):
        assert part in text


def test_eleven_pictures_are_a_bad_request_about_n(seen: Seen) -> None:
    error = seen.raised("too_many_pictures")
    assert (error["class"], error["param"]) == ("BadRequestError", "n")
    assert error["request_id"]


def test_a_bad_request_for_a_stream_is_refused_with_a_status(seen: Seen) -> None:
    error = seen.raised("stream_of_a_bad_request")
    assert error["class"] == "BadRequestError"


@pytest.mark.parametrize("call", ["edit_one", "edit_list", "edit_mask", "variation"])
def test_what_needs_a_picture_is_refused_with_a_typed_error(seen: Seen, call: str) -> None:
    error = seen.raised(call)
    assert (error["class"], error["status_code"]) == ("BadRequestError", 400)
    assert error["type"] == "invalid_request_error"
    assert "not offered" in error["text"]


def test_the_list_of_models_names_the_one_model(seen: Seen) -> None:
    (model,) = seen.returned("models")
    assert (model["id"], model["object"]) == ("stable-diffusion", "model")
    assert seen.returned("model_of_the_list")["id"] == "stable-diffusion"


@pytest.mark.parametrize("call", ["unknown_model", "strict_model"])
def test_a_model_that_is_insisted_on_is_not_found(seen: Seen, call: str) -> None:
    error = seen.raised(call)
    assert (error["class"], error["status_code"]) == ("NotFoundError", 404)
    assert error["code"] == "model_not_found"


def test_a_stream_shows_partial_images_and_then_the_picture(streamed: Seen) -> None:
    *partials, completed = streamed.returned("partial_images")
    assert 1 <= len(partials) <= 2
    assert [event["partial_image_index"] for event in partials] == list(range(len(partials)))
    for event in partials:
        assert event["type"] == "image_generation.partial_image"
        assert from_base64(event["b64_json"]).format == "JPEG"
    _assert_completed(completed)
    assert completed["b64_json"] != partials[-1]["b64_json"]


def test_a_stream_without_partial_images_has_one_event(streamed: Seen) -> None:
    (completed,) = streamed.returned("without_partial_images")
    _assert_completed(completed)


def test_a_stream_of_two_pictures_completes_each(streamed: Seen) -> None:
    events = streamed.returned("two_pictures")
    completed = [event for event in events if event["type"] == "image_generation.completed"]
    assert len({event["b64_json"] for event in completed}) == 2
    assert events[-1] is completed[-1]


def test_a_model_server_that_fails_is_a_server_error(failed: Seen) -> None:
    error = failed.raised("generate")
    assert error["class"] == "InternalServerError"
    assert error["request_id"]


def test_an_error_in_a_stream_is_raised_there(failed: Seen) -> None:
    error = failed.raised("stream")
    assert error["class"] == "APIError"
    assert error["text"] in failed.raised("generate")["text"]


def test_closing_a_stream_stops_the_picture(streamed: Seen, slow_service: WebProcess) -> None:
    shown = streamed.returned("closed_after_a_partial_image")
    assert shown == "image_generation.partial_image"
    jobs = _jobs_once_idle(slow_service)
    assert [job["steps"] for job in jobs if job["state"] == "cancelled"] == [50]


def test_a_timeout_too_short_for_a_picture_is_refused_at_once(streamed: Seen) -> None:
    error = streamed.raised("with_three_seconds_of_patience")
    assert error["class"] == "BadRequestError"
    assert "3 s" in error["text"]


def test_a_503_is_retried_until_there_is_a_picture(overload: Seen) -> None:
    outcome = overload.returned("overloaded")
    assert outcome["pictures"] == 1
    assert outcome["retries"] >= 1


def test_a_503_says_when_to_come_back_within_a_minute(overload: Seen) -> None:
    refused = overload.returned("overloaded_without_retries")
    assert refused["status"] == 503
    assert 1 <= int(refused["retry_after"]) <= 60


def _jobs_once_idle(service: WebProcess) -> list[dict[str, Any]]:
    """The client's jobs, the newest first."""
    wait_until(lambda: service.get("/api/v1/status").json()["drawing"] == 0, "the pictures' end")
    headers = {"Authorization": "Bearer unused"}
    return httpx.get(f"{service.url}/api/v1/jobs", headers=headers, timeout=60).json()["jobs"]


def _assert_completed(event: dict[str, Any]) -> None:
    assert event["type"] == "image_generation.completed"
    assert event["size"] == "64x64"
    assert event["usage"]["total_tokens"] == 0
    from_base64(event["b64_json"])

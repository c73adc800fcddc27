"""Pictures by OpenAI's API, from the whole service in front of a stub model server."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from PIL import ExifTags, Image

from prediction import png
from prediction.limits import PictureRequest
from tests.processes import wait_until
from tests.web.running import WebProcess
from tests.web.stub_model_server import StubModelServer

PROMPT = "a small red circle on white"


def generate(api: httpx.Client, **fields: Any) -> dict[str, Any]:
    response = api.post("images/generations", json={"prompt": PROMPT, **fields})
    assert response.status_code == 200, response.text
    return response.json()


def refusal(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error, which has OpenAI's shape."""
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    message = body["error"]["message"]
    assert message and message.isprintable()
    assert response.headers["x-request-id"]
    return body["error"]


def file_in(image: dict[str, Any]) -> bytes:
    return base64.b64decode(image["b64_json"])


@contextlib.contextmanager
def busy(api: httpx.Client, stub: StubModelServer, jobs: int) -> Iterator[None]:
    """While so many jobs are drawn or wait."""
    stub.behaviour.hangs.add("begin")
    with httpx.Client(base_url=api.base_url, timeout=60) as client:
        begun = stub.calls["begin"]
        threads = [
            threading.Thread(target=generate, args=(client,), daemon=True) for _ in range(jobs)
        ]
        for thread in threads:
            thread.start()
        status = str(api.base_url.join("/api/v1/status"))

        def is_busy() -> bool:
            now = httpx.get(status).json()
            return now["drawing"] + now["queued"] == jobs and stub.calls["begin"] > begun

        wait_until(is_busy, f"{jobs} jobs")
        try:
            yield
        finally:
            stub.behaviour.hangs.discard("begin")
            for thread in threads:
                thread.join(60)


def test_a_prompt_is_enough(api: httpx.Client, stub: StubModelServer) -> None:
    before = int(time.time())
    answer = generate(api)
    assert before <= answer["created"] <= time.time()
    assert (answer["size"], answer["output_format"]) == ("64x64", "png")
    assert answer["background"] == "opaque"
    assert answer["notes"] == []
    (image,) = answer["data"]
    request = PictureRequest(PROMPT, "", 4, 7.5, image["seed"])
    assert stub.requests[-1] == request  # the model's defaults
    assert png.same_pixels(file_in(image), stub.picture(request))
    assert image["url"] == f"data:image/png;base64,{image['b64_json']}"
    assert "revised_prompt" not in image


def test_usage_says_that_nothing_is_charged(api: httpx.Client) -> None:
    usage = generate(api)["usage"]
    details = usage.pop("input_tokens_details")
    assert usage == {"total_tokens": 0, "input_tokens": 0, "output_tokens": 0}
    assert details == {"image_tokens": 0, "text_tokens": 0}


def test_the_png_says_how_it_was_made(api: httpx.Client) -> None:
    image = Image.open(io.BytesIO(file_in(generate(api, seed=7)["data"][0])))
    assert "Seed: 7" in image.info["parameters"]


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_jpeg_and_webp_are_written_with_the_infotext(api: httpx.Client, output_format: str) -> None:
    answer = generate(api, output_format=output_format, output_compression=80, seed=7)
    assert answer["output_format"] == output_format
    (image,) = answer["data"]
    assert image["url"].startswith(f"data:image/{output_format};base64,")
    opened = Image.open(io.BytesIO(file_in(image)))
    assert (opened.format, opened.size) == (output_format.upper(), (64, 64))
    comment = opened.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    assert "Seed: 7" in comment[8:].decode("utf-16-be")


def test_n_pictures_have_consecutive_seeds(api: httpx.Client, stub: StubModelServer) -> None:
    answer = generate(api, n=3, seed=7)
    assert [image["seed"] for image in answer["data"]] == [7, 8, 9]
    for image in answer["data"]:
        expected = stub.picture(PictureRequest(PROMPT, "", 4, 7.5, image["seed"]))
        assert png.same_pixels(file_in(image), expected)


def test_the_extra_fields_reach_the_model(api: httpx.Client, stub: StubModelServer) -> None:
    generate(api, seed=7, negative_prompt="blurry", num_inference_steps=6, cfg_scale=3.5)
    assert stub.requests[-1] == PictureRequest(PROMPT, "blurry", 6, 3.5, 7)


def test_a_prompt_reaches_the_model_as_it_is(api: httpx.Client, stub: StubModelServer) -> None:
    text = "a (red:1.3) [circle] <lora:x:1> BREAK # no comment\n☃ "
    answer = api.post("images/generations", json={"prompt": text}).json()
    assert stub.requests[-1].prompt == text
    assert answer["notes"] == []


def test_another_size_is_drawn_at_the_models_own_and_noted(api: httpx.Client) -> None:
    response = api.post("images/generations", json={"prompt": PROMPT, "size": "1024x1024"})
    answer = response.json()
    assert answer["size"] == "64x64"
    assert Image.open(io.BytesIO(file_in(answer["data"][0]))).size == (64, 64)
    (note,) = answer["notes"]
    assert "64x64" in note and "1024x1024" in note
    assert response.headers["x-notes"] == note


def test_strict_size_refuses_another_size(api: httpx.Client) -> None:
    fields = {"prompt": PROMPT, "strictSize": True}
    error = refusal(api.post("images/generations", json={**fields, "size": "512x512"}), 400)
    assert "64x64" in error["message"]
    for size in ("64x64", "auto"):
        assert generate(api, strictSize=True, size=size)["notes"] == []


def test_notes_are_in_the_body_and_in_an_ascii_header(api: httpx.Client) -> None:
    fields = {"prompt": PROMPT, "model": "größtes ☃\r\nX-Evil: 1", "style": "vivid", "foo": 1}
    response = api.post("images/generations", json=fields)
    notes = response.json()["notes"]
    assert len(notes) == 3
    header = response.headers["x-notes"]
    assert header.isascii() and len(header.split("; ")) == 3
    assert "x-evil" not in response.headers


def test_without_notes_there_is_no_header(api: httpx.Client) -> None:
    assert "x-notes" not in api.post("images/generations", json={"prompt": PROMPT}).headers


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_a_text_that_the_model_cut_is_noted(
    api: httpx.Client, stub: StubModelServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    said = stub._said_of
    cut = "truncated" if name == "prompt" else "negative_prompt_truncated"
    monkeypatch.setattr(stub, "_said_of", lambda request: {**said(request), cut: True})
    (note,) = generate(api)["notes"]
    assert note == f"only the first 77 tokens of the {name.replace('_', ' ')} are read"


@pytest.mark.parametrize("seed", [-2, 2**31, 2**64 - 1])
def test_a_seed_beyond_the_models_is_mapped_and_noted(api: httpx.Client, seed: int) -> None:
    answer = generate(api, seed=seed)
    assert answer["data"][0]["seed"] == seed % (2**31 - 2)
    (note,) = answer["notes"]
    assert str(seed) in note


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        *(({"n": 0}, "n"), ({"n": "x"}, "n"), ({"size": "big"}, "size")),
        *(({"prompt": None}, "prompt"), ({"output_format": "gif"}, "output_format")),
        *(({"n": 11}, "n"), ({"steps": 51}, "steps"), ({"cfg_scale": 0.5}, "guidance_scale")),
        *(({"prompt": "x" * 9000}, "prompt"), ({"negative_prompt": "\0"}, "negative_prompt")),
        ({"size": "512x512", "strictSize": True}, "size"),
    ],
)
def test_a_wrong_value_is_a_400_of_openais_shape(
    api: httpx.Client, fields: dict[str, Any], param: str
) -> None:
    error = refusal(api.post("images/generations", json={"prompt": PROMPT, **fields}), 400)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"prompt": NaN}', b'{"prompt": "\xff"}'),
        *(b'{"prompt": "a", "guidance_scale": 1e400}', b'{"prompt": "a", "seed": 1e400}'),
        b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_request_is_a_400_of_openais_shape(
    api: httpx.Client, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    error = refusal(api.post("images/generations", content=body, headers=headers), 400)
    assert error["type"] == "invalid_request_error"


def test_a_form_is_a_415_of_openais_shape(api: httpx.Client) -> None:
    refusal(api.post("images/generations", data={"prompt": PROMPT}), 415)


def test_any_model_draws_unless_the_caller_is_strict(api: httpx.Client) -> None:
    (note,) = generate(api, model="gpt-image-1")["notes"]
    assert "gpt-image-1" in note
    body = {"prompt": PROMPT, "model": "gpt-image-1", "strictModel": True}
    error = refusal(api.post("images/generations", json=body), 404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ({}, {"b64_json", "url", "seed"}),
        ({"model": "dall-e-3"}, {"b64_json", "url", "seed"}),
        ({"model": "gpt-image-1"}, {"b64_json", "seed"}),
        ({"response_format": "url"}, {"url", "seed"}),
        ({"response_format": "b64_json"}, {"b64_json", "seed"}),
    ],
)
def test_a_picture_has_only_keys_with_a_value(
    api: httpx.Client, fields: dict[str, Any], keys: set[str]
) -> None:
    assert set(generate(api, **fields)["data"][0]) == keys


@pytest.mark.parametrize("authorization", [None, "Bearer sk-1", "Basic", "Basic !", "x"])
def test_whatever_the_caller_presents_is_accepted(
    web: WebProcess, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = httpx.post(
        f"{web.url}/v1/images/generations", json={"prompt": PROMPT}, headers=headers
    )
    assert response.status_code == 200


def test_the_callers_request_id_comes_back(api: httpx.Client) -> None:
    headers = {"x-request-id": "mine-1"}
    for body in ({"prompt": PROMPT}, {}):
        response = api.post("images/generations", json=body, headers=headers)
        assert response.headers["x-request-id"] == "mine-1"


def test_a_full_queue_is_a_503_that_sdks_try_again(
    api: httpx.Client, stub: StubModelServer
) -> None:
    with busy(api, stub, jobs=3):
        response = api.post("images/generations", json={"prompt": PROMPT})
        error = refusal(response, 503)
        assert (error["type"], error["code"]) == ("server_error", "queue_full")
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert "x-should-retry" not in response.headers


def test_a_full_queue_refuses_a_stream_before_it_starts(
    api: httpx.Client, stub: StubModelServer
) -> None:
    with busy(api, stub, jobs=3):
        body = {"prompt": PROMPT, "stream": True}
        assert refusal(api.post("images/generations", json=body), 503)["code"] == "queue_full"


def test_a_failure_of_the_model_server_is_not_repeated_by_sdks(
    api: httpx.Client, stub: StubModelServer
) -> None:
    stub.behaviour.fails["begin"] = grpc.StatusCode.INTERNAL
    response = api.post("images/generations", json={"prompt": PROMPT})
    error = refusal(response, 502)
    assert (error["type"], error["code"]) == ("server_error", "model_server_failed")
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("header", ["x-stainless-read-timeout", "x-stainless-timeout"])
def test_what_cannot_be_done_before_the_sdk_gives_up_is_refused(
    api: httpx.Client, stub: StubModelServer, header: str
) -> None:
    generate(api)
    with busy(api, stub, jobs=1):
        started = time.monotonic()
        response = api.post("images/generations", json={"prompt": PROMPT}, headers={header: "0.2"})
        assert time.monotonic() - started < 5
        assert refusal(response, 504)["code"] == "deadline_exceeded"
        assert 1 <= int(response.headers["retry-after"]) <= 60


@pytest.mark.parametrize("value", ["", "None", "NaN", "inf", "-1", "0", "1e999"])
def test_an_odd_timeout_of_an_sdk_is_no_deadline(api: httpx.Client, value: str) -> None:
    headers = {"x-stainless-read-timeout": value}
    response = api.post("images/generations", json={"prompt": PROMPT}, headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_hanging_up_stops_the_picture(
    api: httpx.Client, stub: StubModelServer, web: WebProcess, stream: bool
) -> None:
    stub.behaviour.hangs.add("advance")
    begun, finished = stub.calls["begin"], stub.calls["finish"]
    body = {"prompt": PROMPT, "stream": stream}
    with contextlib.suppress(httpx.ReadTimeout), httpx.Client() as caller:
        timeout = httpx.Timeout(60, read=0.5)
        url = f"{web.url}/v1/images/generations"
        with caller.stream("POST", url, json=body, timeout=timeout) as response:
            wait_until(lambda: stub.calls["begin"] > begun, "the picture's begin")
            response.close()
    wait_until(lambda: web.get("/api/v1/status").json()["drawing"] == 0, "the job's end", 5)
    stub.behaviour.hangs.discard("advance")
    image = generate(api, seed=8)["data"][0]
    expected = stub.picture(PictureRequest(PROMPT, "", 4, 7.5, 8))
    assert png.same_pixels(file_in(image), expected)
    assert stub.calls["finish"] == finished + 1
    assert stub.most_in_flight == 1


@pytest.mark.parametrize("stream", [False, True])
def test_hanging_up_while_waiting_leaves_the_queue(
    api: httpx.Client, stub: StubModelServer, web: WebProcess, stream: bool
) -> None:
    def queued() -> int:
        return web.get("/api/v1/status").json()["queued"]

    with busy(api, stub, jobs=1):
        body = {"prompt": PROMPT, "stream": stream}
        url = f"{web.url}/v1/images/generations"
        with contextlib.suppress(httpx.ReadTimeout), httpx.Client() as caller:
            timeout = httpx.Timeout(60, read=0.5)
            with caller.stream("POST", url, json=body, timeout=timeout) as response:
                wait_until(lambda: queued() == 1, "the job to wait")
                response.close()
        wait_until(lambda: queued() == 0, "the job to leave the queue", 5)


def events_of(api: httpx.Client, **fields: Any) -> list[dict[str, Any]]:
    body = {"prompt": PROMPT, "stream": True, **fields}
    with api.stream("POST", "images/generations", json=body) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        lines = list(response.iter_lines())
    assert lines[0].startswith(":")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def test_a_stream_ends_with_the_picture(api: httpx.Client, stub: StubModelServer) -> None:
    (completed,) = events_of(api, seed=7)
    assert completed["type"] == "image_generation.completed"
    expected = stub.picture(PictureRequest(PROMPT, "", 4, 7.5, 7))
    assert png.same_pixels(file_in(completed), expected)


def test_partial_images_are_the_models_previews(api: httpx.Client, stub: StubModelServer) -> None:
    stub.behaviour.seconds_per_step = 0.4
    events = events_of(api, partial_images=3)
    *partials, completed = events
    assert 1 <= len(partials) <= 3
    assert [event["partial_image_index"] for event in partials] == list(range(len(partials)))
    assert completed["type"] == "image_generation.completed"
    for event in partials:
        image = Image.open(io.BytesIO(file_in(event)))
        assert (image.format, image.size, event["size"]) == ("PNG", (64, 64), "64x64")


def test_a_stream_outlasts_the_sdks_timeout_for_an_answer(api: httpx.Client) -> None:
    headers = {"x-stainless-read-timeout": "0.000001"}
    body = {"prompt": PROMPT, "stream": True}
    response = api.post("images/generations", json=body, headers=headers)
    assert "image_generation.completed" in response.text


def test_an_error_in_a_stream_has_openais_shape(api: httpx.Client, stub: StubModelServer) -> None:
    stub.behaviour.fails["begin"] = grpc.StatusCode.INTERNAL
    (event,) = events_of(api)
    assert set(event["error"]) == {"message", "type", "param", "code"}
    assert event["error"]["code"] == "model_server_failed"

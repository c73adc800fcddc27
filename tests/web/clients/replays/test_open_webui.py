"""What Open WebUI asks of its two engines for pictures, and reads from the answers.

From open-webui/open-webui, backend/open_webui/routers/images.py,
commit 02530d501461ce58ab06231d7c2ef2024a141ddf.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.clients.pictures import from_base64, from_data_uri
from tests.web.clients.replays.caller import Caller
from tests.web.running import WebProcess

PROMPT = "a small red circle on white"

AUTHORIZATIONS = {
    "not set": "",
    "set to nothing": "Basic ",
    "a user": "Basic " + base64.b64encode(b"user:password").decode(),
}
"""The header that it always sends to AUTOMATIC1111."""


@pytest.fixture(params=AUTHORIZATIONS.values(), ids=AUTHORIZATIONS)
def automatic1111(service: WebProcess, request: pytest.FixtureRequest) -> Iterator[Caller]:
    with Caller(f"{service.url}/sdapi/v1", authorization=request.param) as caller:
        yield caller


@pytest.fixture
def openai(service: WebProcess) -> Iterator[Caller]:
    with Caller(f"{service.url}/v1", Authorization="Bearer unused") as caller:
        yield caller


def test_automatic1111_the_address_is_verified_by_the_options(automatic1111: Caller) -> None:
    automatic1111.get("/options").raise_for_status()


def test_automatic1111_the_current_model_is_in_the_list(automatic1111: Caller) -> None:
    listed = {model["title"]: model["model_name"] for model in automatic1111.read("/sd-models")}
    assert automatic1111.read("/options")["sd_model_checkpoint"] in listed
    assert all(listed.values())


def test_automatic1111_the_whole_options_are_posted_back(automatic1111: Caller) -> None:
    options = automatic1111.read("/options")
    automatic1111.post("/options", json=options).raise_for_status()
    assert automatic1111.read("/options") == options


def test_automatic1111_another_model_is_refused_and_nothing_changes(
    automatic1111: Caller,
) -> None:
    options = automatic1111.read("/options")
    wanted = {**options, "sd_model_checkpoint": "v1-5-pruned-emaonly"}
    assert not automatic1111.post("/options", json=wanted).ok
    assert automatic1111.read("/options") == options


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"steps": 50, "negative_prompt": "blue"},
        {"sampler_name": "DPM++ 2M", "scheduler": "Karras", "cfg_scale": 7, "clip_skip": 2},
    ],
    ids=["least", "steps", "free parameters"],
)
def test_automatic1111_pictures_are_read_without_a_look_at_the_status(
    automatic1111: Caller, extra: dict[str, Any]
) -> None:
    asked = {"prompt": PROMPT, "batch_size": 2, "width": 512, "height": 512, **extra}
    answer = automatic1111.post("/txt2img", json=asked).json()
    assert len(answer["images"]) == 2
    for image in answer["images"]:
        from_base64(image)
    assert isinstance(answer["info"], str)
    assert json.loads(answer["info"])["prompt"] == PROMPT


@pytest.mark.parametrize("path", ["/images/generations", "/images/generations?api-version=1"])
@pytest.mark.parametrize(
    ("model", "extra"),
    [
        ("dall-e-2", {"size": "512x512", "response_format": "b64_json"}),
        ("stable-diffusion", {"response_format": "b64_json", "steps": 3}),
        ("gpt-image-1", {"size": "auto"}),
    ],
)
def test_openai_a_url_is_read_first_and_base64_otherwise(
    openai: Caller, path: str, model: str, extra: dict[str, Any]
) -> None:
    asked = {"model": model, "prompt": PROMPT, "n": 2, **extra}
    answer = openai.post(path, json=asked)
    answer.raise_for_status()
    images = answer.json()["data"]
    assert len(images) == 2
    for image in images:
        if address := image.get("url"):
            from_data_uri(address)
        else:
            from_base64(image["b64_json"])


@pytest.mark.parametrize("field", ["image", "image[]"])
def test_openai_an_edit_is_refused_with_the_reason(openai: Caller, field: str) -> None:
    answer = openai.post(
        "/images/edits",
        data={"model": "dall-e-2", "prompt": PROMPT, "response_format": "b64_json"},
        files={field: ("picture.png", bytes(100_000), "image/png")},
    )
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

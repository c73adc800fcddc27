"""Clients that others wrote, with the demo model behind the service instead of a stub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devserver.processes import NAME, Server
from tests.web.clients.environments import node_client, python_client
from tests.web.clients.pictures import from_base64
from tests.web.running import WebProcess

pytestmark = pytest.mark.long
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def service(demo_model: Path) -> Iterator[WebProcess]:
    server = Server(demo_model).start()
    try:
        server.wait_until_ready()
        with WebProcess([server.grpc_address], [f"--model-name={NAME}"]) as web:
            yield web.wait_for_model()
    finally:
        server.stop()


def test_webuiapi_draws_a_small_red_circle_on_white(service: WebProcess) -> None:
    seen = python_client(HERE / "webuiapi", service.url)
    drawn = seen.returned("png_info_of_its_own_picture")
    assert drawn["read"] == drawn["text"]
    picture = from_base64(drawn["image"]).convert("RGB")
    red, green, blue = picture.getpixel((32, 32))
    assert red > 150 and green < 100 and blue < 100
    assert min(picture.getpixel((2, 2))) > 200
    assert seen.returned("wait_for_ready")["progress"] == 0.0


def test_openai_for_python_draws_the_same_picture_from_the_same_seed(service: WebProcess) -> None:
    seen = python_client(HERE / "openai_python", service.url)
    first, second = seen.returned("same_seed_twice")
    assert first["data"] == second["data"]
    assert len({image["b64_json"] for image in seen.returned("three_pictures")["data"]}) == 3


def test_openai_for_python_streams_a_picture(service: WebProcess) -> None:
    seen = python_client(HERE / "openai_python", service.url, "streaming.py")
    *_, completed = seen.returned("partial_images")
    assert completed["type"] == "image_generation.completed"
    assert from_base64(completed["b64_json"]).format == "JPEG"


def test_vercels_ai_sdk_draws_three_pictures(service: WebProcess) -> None:
    seen = node_client(HERE / "ai_sdk", service.url)
    images = [image["base64"] for image in seen.returned("three_pictures")["images"]]
    assert len(set(images)) == 3
    for image in images:
        from_base64(image)

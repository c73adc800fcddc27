"""Addresses in a request are never asked, whoever they belong to."""

from __future__ import annotations

import select
import socket
from typing import Any

import pytest

from tests.web.running import WebProcess

pytestmark = pytest.mark.slow


def requests_with(url: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("/sdapi/v1/png-info", {"image": url}),
        ("/sdapi/v1/img2img", {"prompt": "a", "init_images": [url]}),
        ("/sdapi/v1/interrogate", {"image": url}),
        ("/sdapi/v1/txt2img", {"prompt": url, "init_images": [url], "styles": [url]}),
        ("/sdapi/v1/options", {"sd_model_checkpoint": url}),
        ("/v1/images/generations", {"prompt": url, "image": url, "model": url}),
        ("/v1/images/edits", {"prompt": "a", "images": [{"image_url": url}]}),
        ("/v1/images/variations", {"image": url}),
        ("/api/v1/jobs", {"prompt": url}),
    ]


def test_nothing_is_fetched_from_a_callers_address(shared_web: WebProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bait:
        url = f"http://127.0.0.1:{bait.getsockname()[1]}/picture.png"
        for path, body in requests_with(url):
            assert shared_web.post(path, body).status_code < 500, path
        ready, _, _ = select.select([bait], [], [], 0.2)
        assert not ready


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "http://169.254.169.254/computeMetadata/v1/", "//localhost/a"]
)
def test_files_and_metadata_servers_are_no_pictures(address: str, shared_web: WebProcess) -> None:
    for path, body in requests_with(address):
        answer = shared_web.post(path, body)
        assert answer.status_code < 500, path
        assert "root:" not in answer.text

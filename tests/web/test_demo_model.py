"""The service before the demo model itself: what a stub cannot show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.devserver.processes import NAME, Server
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow

JOBS = "/api/v1/jobs"
PREVIEWS = 2
"""So many at least, each another one, before a picture at the model's defaults is done."""


@pytest.fixture(scope="module")
def service(demo_model: Path) -> Iterator[WebProcess]:
    server = Server(demo_model).start()
    try:
        server.wait_until_ready()
        with WebProcess([server.grpc_address], [f"--model-name={NAME}"]) as web:
            web.wait_for_model()
            drawn(web, "a red circle")  # learns how fast the model is
            yield web
    finally:
        server.stop()


def drawn(web: WebProcess, prompt: str) -> dict[str, Any]:
    job = web.post(JOBS, {"prompt": prompt}).json()
    return web.get(f"{JOBS}/{job['id']}?wait=60").json()


def test_who_polls_sees_a_picture_of_the_defaults_grow(service: WebProcess) -> None:
    job = service.post(JOBS, {"prompt": "a small red circle on white"}).json()
    seen: set[bytes] = set()
    while job["state"] in ("queued", "drawing"):
        if job["preview"]:
            preview = service.get(job["preview"]["url"])
            assert preview.headers["content-type"] == "image/png"
            seen.add(preview.content)
        job = service.get(f"{JOBS}/{job['id']}?wait=25&version={job['version']}").json()
    assert job["state"] == "done"
    assert len(seen) >= PREVIEWS


def test_who_listens_sees_a_picture_of_the_defaults_grow(service: WebProcess) -> None:
    job = service.post(JOBS, {"prompt": "a small red circle on white"}).json()
    seen: set[int] = set()
    with httpx.stream("GET", f"{service.url}{JOBS}/{job['id']}/events", timeout=60) as events:
        for line in events.iter_lines():
            document = json.loads(line[6:]) if line.startswith("data: ") else {}
            if document.get("preview") and document["state"] == "drawing":
                seen.add(document["preview"]["version"])
    assert len(seen) >= PREVIEWS


@pytest.mark.parametrize("prompt", ["", "two pink stars, &amp; a CAFÉ ☕", "cat " * 90])
def test_a_prompts_tokens_are_those_that_its_picture_reports(
    prompt: str, service: WebProcess
) -> None:
    [picture] = drawn(service, prompt)["pictures"]
    counted = service.post("/api/v1/tokens", {"prompt": prompt}).json()
    assert counted["tokens"] == picture["promptTokens"]
    assert counted["truncated"] == picture["truncated"]

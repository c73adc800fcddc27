"""Callers that hang up: who waits for a picture stops it, who watches a job does not."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.processes import wait_until
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.slow

BODIES = {
    "/v1/images/generations": {"prompt": "a red circle"},
    "/sdapi/v1/txt2img": {"prompt": "a red circle"},
}


@pytest.fixture(scope="module")
def stub() -> Iterator[StubModelServer]:
    with StubModelServer(Behaviour(seconds_per_step=0.1, default_steps=50)) as stub:
        yield stub


@pytest.fixture(scope="module")
def web(stub: StubModelServer) -> Iterator[WebProcess]:
    with WebProcess([stub.endpoint]) as web:
        yield web.wait_for_model()


def _connect(web: WebProcess, method: str, path: str, body: object = None) -> socket.socket:
    content = b"" if body is None else json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", web.port), timeout=10)
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    connection.sendall(head.encode() + content)
    return connection


def _drawing(web: WebProcess) -> int:
    return web.get("/api/v1/status").json()["drawing"]


def test_a_caller_of_a_foreign_api_who_hangs_up_stops_the_picture_within_a_chunk(
    stub: StubModelServer, web: WebProcess
) -> None:
    for path, body in BODIES.items():
        connection = _connect(web, "POST", path, body)
        wait_until(lambda: _drawing(web) == 1, "the job")
        connection.close()
        wait_until(lambda: _drawing(web) == 0, "its end", limit_seconds=3)
        wait_until(lambda: stub.in_flight == 0, "the model server", limit_seconds=3)
    assert stub.calls["begin"] == 2
    assert stub.calls["finish"] == 0
    assert web.post("/v1/images/generations", {"prompt": "b", "steps": 2}).status_code == 200


def test_a_caller_who_hangs_up_leaves_the_queue_at_once(
    stub: StubModelServer, web: WebProcess
) -> None:
    begun = stub.calls["begin"]
    web.post("/api/v1/jobs", {"prompt": "first", "id": "first"})
    connections = [_connect(web, "POST", path, body) for path, body in BODIES.items()]
    wait_until(lambda: web.get("/api/v1/status").json()["queued"] == 2, "the jobs")
    for connection in connections:
        connection.close()
    wait_until(lambda: web.get("/api/v1/status").json()["queued"] == 0, "their end")
    assert _drawing(web) == 1
    httpx.delete(f"{web.url}/api/v1/jobs/first")
    wait_until(lambda: _drawing(web) == 0, "the end of the first job")
    assert stub.calls["begin"] == begun + 1


def test_nobody_who_watches_a_job_stops_it_by_hanging_up(web: WebProcess) -> None:
    web.post("/api/v1/jobs", {"prompt": "a red circle", "steps": 10, "id": "watched"})
    for path in ("/api/v1/jobs/watched/events", "/api/v1/jobs/watched?wait=10"):
        connection = _connect(web, "GET", path)
        connection.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            connection.recv(10)
        connection.close()
    wait_until(
        lambda: web.get("/api/v1/jobs/watched?wait=5").json()["state"] == "done", "the picture"
    )

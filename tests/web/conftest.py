"""A web service for all tests that leave it as it is: a process before a stub of a model server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.running import WebProcess
from tests.web.stub_model_server import StubModelServer

FRIENDLY_ORIGIN = "https://studio.example"


@pytest.fixture(scope="session")
def shared_stub() -> Iterator[StubModelServer]:
    with StubModelServer() as stub:
        yield stub


@pytest.fixture(scope="session")
def shared_web(shared_stub: StubModelServer) -> Iterator[WebProcess]:
    options = [f"--allow-origin={FRIENDLY_ORIGIN}", "--max-body=65536", "--queue=100"]
    with WebProcess([shared_stub.endpoint], options) as web:
        yield web.wait_for_model()

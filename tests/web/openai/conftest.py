from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import httpx
import pytest

from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer


@pytest.fixture(scope="package")
def _stub() -> Iterator[StubModelServer]:
    with StubModelServer() as stub:
        yield stub


@pytest.fixture(scope="package")
def web(_stub: StubModelServer) -> Iterator[WebProcess]:
    with WebProcess([_stub.endpoint], ["--queue=2"]) as web:
        yield web.wait_for_model()


@pytest.fixture
def stub(_stub: StubModelServer) -> Iterator[StubModelServer]:
    """The model server behind the API, which behaves well again after the test."""
    yield _stub
    for field in fields(Behaviour):
        setattr(_stub.behaviour, field.name, getattr(Behaviour(), field.name))


@pytest.fixture
def api(web: WebProcess, stub: StubModelServer) -> Iterator[httpx.Client]:
    """As OpenAI's SDKs call it."""
    with httpx.Client(
        base_url=f"{web.url}/v1/", headers={"Authorization": "Bearer none"}, timeout=60
    ) as client:
        yield client

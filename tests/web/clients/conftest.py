"""Services for clients that others wrote, each with a stub for its model server."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer


@pytest.fixture(scope="session")
def service() -> Iterator[WebProcess]:
    """Draws in milliseconds."""
    with StubModelServer() as stub, WebProcess([stub.endpoint]) as web:
        yield web.wait_for_model()


@pytest.fixture(scope="session")
def slow_service() -> Iterator[WebProcess]:
    """Draws for more than a second, so that there is progress to see."""
    with StubModelServer(slow()) as stub, WebProcess([stub.endpoint]) as web:
        yield web.wait_for_model()


@pytest.fixture(scope="session")
def narrow_service() -> Iterator[WebProcess]:
    """Draws as slowly, and lets one caller wait."""
    with StubModelServer(slow()) as stub, WebProcess([stub.endpoint], ["--queue=1"]) as web:
        yield web.wait_for_model()


@pytest.fixture(scope="session")
def failing_service() -> Iterator[WebProcess]:
    """Its model server fails at the end of each picture."""
    failing = Behaviour(fails={"finish": grpc.StatusCode.INTERNAL})
    with StubModelServer(failing) as stub, WebProcess([stub.endpoint]) as web:
        yield web.wait_for_model()


def slow() -> Behaviour:
    return Behaviour(seconds_per_step=0.1, default_steps=12)

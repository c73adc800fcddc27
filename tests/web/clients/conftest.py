"""Services for clients that others wrote, each with a stub for its model server."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.processes import wait_until
from tests.web.keys import ALICE, write
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
def keyed_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """Asks for a key, and draws one picture for each at a time, for more than a second."""
    keys = write(tmp_path_factory.mktemp("keys") / "keys.json", ("alice", ALICE))
    options = [f"--keys-file={keys}", "--jobs-per-key=1"]
    with StubModelServer(slow()) as stub, WebProcess([stub.endpoint], options) as web:
        wait_until(lambda: web.get("/ready").status_code == 200, "the model")
        yield web


@pytest.fixture(scope="session")
def failing_service() -> Iterator[WebProcess]:
    """Its model server fails at the end of each picture."""
    failing = Behaviour(fails={"finish": grpc.StatusCode.INTERNAL})
    with StubModelServer(failing) as stub, WebProcess([stub.endpoint]) as web:
        yield web.wait_for_model()


def slow() -> Behaviour:
    return Behaviour(seconds_per_step=0.1, default_steps=12)

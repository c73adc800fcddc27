"""The web service in front of a stub model server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.a1111.front import Front
from tests.web.stub_model_server import Behaviour, StubModelServer
from web.options import Options


@pytest.fixture(scope="package")
def lasting_front() -> Iterator[Front]:
    with StubModelServer() as stub, Front(stub, Options((stub.endpoint,))) as front:
        yield front


@pytest.fixture
def front(lasting_front: Front) -> Front:
    """For tests that wait for what they start; the model server is as good as new."""
    lasting_front.stub.behaviour = Behaviour()
    lasting_front.stub.requests.clear()
    return lasting_front


@pytest.fixture
def own_front(request: pytest.FixtureRequest) -> Iterator[Front]:
    """A service of the test's own. Its parameter, if there is one, is the size of the queue."""
    queue: int = getattr(request, "param", Options.queue)
    with StubModelServer() as stub, Front(stub, Options((stub.endpoint,), queue=queue)) as front:
        yield front

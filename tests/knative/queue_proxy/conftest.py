"""A network of its own for each file that starts queue-proxy, whose ports are fixed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.knative.queue_proxy.network import own_network
from tests.knative.queue_proxy.process import MISSING, program


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    if program() is None:
        pytest.skip(MISSING)
    with ExitStack() as stack:
        try:
            stack.enter_context(own_network())
        except PermissionError:
            pytest.skip("queue-proxy listens on all addresses: a network of its own needs root")
        yield

"""How a worker ends: whoever queues before it may still hand over what was accepted."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.processes import wait_until
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.slow

TXT2IMG, ASKED = "/sdapi/v1/txt2img", {"prompt": "a red circle"}


def is_logged(worker: WebProcess) -> bool:
    return "stop: SIGTERM" in worker.log


def test_a_worker_that_stops_draws_what_still_comes() -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=0.1)) as stub,
        WebProcess([stub.endpoint], ["--role=worker"]) as worker,
        ThreadPoolExecutor(1) as caller,
    ):
        first = caller.submit(worker.post, TXT2IMG, ASKED)
        wait_until(lambda: stub.in_flight > 0, "the first to be drawn")
        worker.signal(signal.SIGTERM)
        wait_until(lambda: is_logged(worker), "the signal to arrive")
        assert first.result().status_code == 200
        assert worker.post(TXT2IMG, ASKED).status_code == 200
        assert worker.wait_for_exit() == 0


def test_a_worker_that_is_asked_on_and_on_stops_at_its_limit() -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=0.05)) as stub,
        WebProcess([stub.endpoint], ["--role=worker", "--stop-timeout=3"]) as worker,
    ):
        assert worker.post(TXT2IMG, ASKED).status_code == 200
        worker.signal(signal.SIGTERM)
        started, statuses = time.monotonic(), set[int]()
        while worker.process.poll() is None:
            try:
                statuses.add(worker.post(TXT2IMG, ASKED).status_code)
            except httpx.TransportError:
                break
        assert worker.wait_for_exit() == 0
        assert 3 <= time.monotonic() - started < 15
        assert statuses == {200, 503}

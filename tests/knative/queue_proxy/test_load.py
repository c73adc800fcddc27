"""The published guide's load, through queue-proxy: one request at a time, and none is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench import hey
from tests.devserver.processes import NAME, Server
from tests.knative.queue_proxy.pod import PROMPT, TXT2IMG, Pod, Watch, running_pod
from tests.knative.queue_proxy.process import URL
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which(hey.PROGRAM) is None, reason=hey.MISSING),
]

REQUESTS, AT_ONCE = 50, 5


def check_that_all_are_drawn_one_at_a_time(pod: Pod) -> None:
    with Watch(pod.proxy) as seen:
        report = hey.run(f"{URL}{TXT2IMG}", PROMPT, REQUESTS, AT_ONCE)
    assert (report.statuses, report.errors) == ({200: REQUESTS}, {})
    assert seen.depth >= AT_ONCE - 1
    assert AT_ONCE - 1 < seen.concurrency <= AT_ONCE
    assert pod.most_in_flight() == 1


def test_fifty_requests_five_at_once_are_all_drawn_one_at_a_time() -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=0.05)) as stub,
        running_pod(stub.endpoint) as pod,
    ):
        check_that_all_are_drawn_one_at_a_time(pod)
        assert stub.most_in_flight == 1
        assert stub.calls["finish"] == REQUESTS


def test_the_demo_model_draws_all_fifty_too(demo_model: Path) -> None:
    server = Server(demo_model).start()
    try:
        server.wait_until_ready()
        with running_pod(server.grpc_address, [f"--model-name={NAME}"]) as pod:
            check_that_all_are_drawn_one_at_a_time(pod)
    finally:
        server.stop()


def test_the_autoscaler_is_told_of_those_that_wait() -> None:
    """It starts a pod for each."""
    with (
        StubModelServer(Behaviour(seconds_per_step=1.0)) as stub,
        running_pod(stub.endpoint) as pod,
    ):
        answers = [pod.post() for _ in range(AT_ONCE)]
        pod.wait_until_inside(AT_ONCE)
        stub.behaviour.seconds_per_step = 0.0
        assert [answer.result().status_code for answer in answers] == [200] * AT_ONCE

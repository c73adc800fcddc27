"""A pod that is taken away: what it has accepted, it draws."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from serving.tensorflow_serving.starting import start_command
from tests.knative.queue_proxy.pod import running_pod
from tests.knative.queue_proxy.process import QUIET_SECONDS, STOP_LIMIT_SECONDS
from tests.processes import free_ports
from tests.serving.tensorflow_serving.mounted import mounted
from tests.web.running import ROOT

pytestmark = pytest.mark.long

REQUESTS = 6
SECONDS_PER_PICTURE = 8.0
"""All together take longer than queue-proxy is quiet for, so that the containers' SIGTERM comes
while some still wait there."""


@contextmanager
def model_server_container(port: int, web_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The start script with a stub as the server, which only that script's stop ends."""
    stub = [f"--port={port}", f"--seconds-per-picture={SECONDS_PER_PICTURE}"]
    command = mounted(start_command(sys.executable, web_port=web_port))
    process = subprocess.Popen(
        [*command, "-m", "tests.web.stub_model_server", *stub],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()  # ends the stub
        process.wait(STOP_LIMIT_SECONDS)


def test_a_drain_in_the_middle_loses_none_of_those_that_were_accepted() -> None:
    assert REQUESTS * SECONDS_PER_PICTURE > QUIET_SECONDS + SECONDS_PER_PICTURE
    port, web_port = free_ports(2)
    with (
        model_server_container(port, web_port) as model_server,
        running_pod(f"127.0.0.1:{port}", [f"--port={web_port}"]) as pod,
    ):
        early = [pod.post() for _ in range(REQUESTS - 1)]
        pod.wait_until_inside(len(early))
        hook = pod.proxy.terminate()
        late = pod.post()  # whoever sent it did not know yet that the pod goes
        hook.join()
        assert not all(answer.done() for answer in early)
        pod.worker.signal(signal.SIGTERM)
        model_server.send_signal(signal.SIGTERM)
        answers = [answer.result() for answer in (*early, late)]
        assert [answer.status_code for answer in answers] == [200] * REQUESTS
        for process in (pod.worker.process, pod.proxy.process, model_server):
            assert process.wait(STOP_LIMIT_SECONDS) == 0

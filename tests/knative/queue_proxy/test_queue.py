"""Who waits in queue-proxy: who leaves it, who is let in, and when there is no room."""

from __future__ import annotations

import json
import socket

import pytest

from tests.knative.queue_proxy.pod import GENERATIONS, PROMPT, TXT2IMG, WORKER, running_pod
from tests.knative.queue_proxy.process import PORT, QUEUE_DEPTH, QueueProxy
from tests.processes import wait_until
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.long


def ask(path: str = TXT2IMG) -> socket.socket:
    """A caller who can hang up."""
    content = json.dumps(PROMPT).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", PORT), timeout=60)
    connection.sendall(head.encode() + content)
    return connection


def test_a_pod_is_ready_once_its_model_is() -> None:
    with (
        StubModelServer(Behaviour(is_loading=True)) as stub,
        WebProcess([stub.endpoint], WORKER) as worker,
        QueueProxy(worker.port) as proxy,
    ):
        wait_until(lambda: stub.calls["status"] >= 2, "the worker to look")
        assert proxy.probe() == 503
        stub.behaviour.is_loading = False
        proxy.wait_until_ready()


def test_who_hangs_up_in_the_queue_is_not_drawn_to_the_end() -> None:
    """queue-proxy notices only when it is their turn, and then hands over the next one at once."""
    behaviour = Behaviour(seconds_per_step=0.2, default_steps=20)
    with StubModelServer(behaviour) as stub, running_pod(stub.endpoint) as pod:
        drawn = ask()
        others = [ask(path) for path in (TXT2IMG, GENERATIONS)]
        pod.wait_until_inside(3)
        for other in others:
            other.close()
        last = pod.post()
        assert drawn.recv(100).startswith(b"HTTP/1.1 200 OK")
        drawn.close()
        assert last.result().status_code == 200
        assert stub.calls["finish"] == 2
        assert stub.most_in_flight == 1


@pytest.mark.parametrize("path", [TXT2IMG, GENERATIONS])
def test_who_hangs_up_while_it_is_drawn_makes_room_for_the_next(path: str) -> None:
    """The model server is still at a step of the first when the next one comes."""
    behaviour = Behaviour(seconds_per_step=1.0, default_steps=50)
    with StubModelServer(behaviour) as stub, running_pod(stub.endpoint) as pod:
        drawn = ask(path)
        wait_until(lambda: stub.calls["advance"] > 0, "the first to be drawn")
        waiting = pod.post(body={**PROMPT, "steps": 2})
        pod.wait_until_inside(2)
        drawn.close()
        assert waiting.result().status_code == 200
        assert stub.most_in_flight == pod.most_in_flight() == 1


def test_more_than_ten_that_wait_are_told_that_there_is_no_room() -> None:
    behaviour = Behaviour(seconds_per_step=1.0)
    with StubModelServer(behaviour) as stub, running_pod(stub.endpoint) as pod:
        answers = [pod.post() for _ in range(1 + QUEUE_DEPTH)]
        pod.wait_until_inside(1 + QUEUE_DEPTH)
        refused = pod.post().result()
        assert refused.status_code == 503
        assert refused.text == "pending request queue full\n"
        behaviour.seconds_per_step = 0.0
        assert [answer.result().status_code for answer in answers] == [200] * (1 + QUEUE_DEPTH)

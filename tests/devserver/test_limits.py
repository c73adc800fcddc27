"""The bounded queue and the time limits, over real sockets and measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.devserver.conftest import REST_TIMEOUT_MS
from tests.devserver.processes import NAME, Answer, Server, wait_until

pytestmark = pytest.mark.slow

T = TypeVar("T")

ENDLESS = 2_000_000_000
QUEUE_FULL = "The batch scheduling queue to which this task was submitted is full; "


def slow(steps: int) -> dict[str, Any]:
    return {"signature_name": "slow", "inputs": [steps]}


def cpu_seconds(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def started(clients: Executor, server: Server, call: Callable[[], T]) -> Future[T]:
    """Sends a slow request and returns once its loop runs, which its CPU time shows."""
    before = cpu_seconds(server)
    request = clients.submit(call)
    wait_until(lambda: cpu_seconds(server) - before > 0.1, "the request to run")
    return request


def start_slow(clients: Executor, server: Server, steps: int) -> Future[Answer]:
    return started(clients, server, lambda: server.predict(slow(steps)))


def run_until_deadline(server: Server, seconds: float) -> str:
    """The code that an endless gRPC request ends with, whose time limit is its own deadline."""
    import grpc
    import numpy as np
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    from tests.devserver.rpc.test_rpc import predict_request

    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(predict_request("slow", steps=np.int32([ENDLESS])), timeout=seconds)
        return caught.value.code().name


def test_a_time_limit_stops_the_loop(server: Server) -> None:
    start = time.monotonic()
    answer = server.predict(slow(ENDLESS))
    seconds = time.monotonic() - start
    assert (answer.status, answer.error) == (504, "Timed out waiting for notification")
    assert REST_TIMEOUT_MS / 1000 <= seconds < REST_TIMEOUT_MS / 1000 + 2
    before = cpu_seconds(server)
    watched = threading.Event()
    watched.wait(0.5)
    assert cpu_seconds(server) - before < 0.2, "the loop still runs after the answer"


def test_the_clients_grpc_deadline_is_a_time_limit(server: Server) -> None:
    start = time.monotonic()
    assert run_until_deadline(server, 0.5) == "DEADLINE_EXCEEDED"
    # The worker is free again soon after: the loop has stopped, although no client waits for it.
    assert server.predict({"instances": [1]}).status == 200
    assert time.monotonic() - start < 3


def test_a_full_queue_rejects_at_once_and_expired_requests_are_not_run(server: Server) -> None:
    def timed_predict(_: int) -> tuple[Answer, float]:
        start = time.monotonic()
        return server.predict(slow(ENDLESS)), time.monotonic() - start

    with ThreadPoolExecutor(16) as clients:
        # Longer than the time limit of those that wait.
        seconds = 3 * REST_TIMEOUT_MS / 1000
        running = started(clients, server, lambda: run_until_deadline(server, seconds))
        others = list(clients.map(timed_predict, range(12)))
        assert running.result() == "DEADLINE_EXCEEDED"
    refused = [(answer, seconds) for answer, seconds in others if answer.status == 503]
    assert len(refused) == 4
    for answer, seconds in refused:
        assert seconds < 1
        assert answer.error == (
            QUEUE_FULL + "currently 8 batches enqueued and max_enqueued_batches is 8"
        )
    waited = [(answer.status, answer.error) for answer, _ in others if answer.status != 503]
    assert set(waited) == {(429, "Run() timeout exceeded while waiting in batching queue")}
    assert server.predict({"instances": [1]}).status == 200


def test_status_responds_while_a_prediction_runs(server: Server) -> None:
    with ThreadPoolExecutor(1) as clients:
        running = start_slow(clients, server, ENDLESS)
        start = time.monotonic()
        assert server.state() == "AVAILABLE"
        assert time.monotonic() - start < 1
        assert not running.done()


def test_rows_of_a_batch_run_one_by_one_and_return_together(batching_server: Server) -> None:
    answer = batching_server.predict({"instances": [1, 2, 3, 4]})
    assert answer.json == {"predictions": [2.5, 3.0, 3.5, 4.0]}


def test_the_rules_of_batching_hold(batching_server: Server) -> None:
    for body, status, message in [
        ({"inputs": 1}, 400, "must have at least one dimension"),
        ({"instances": [1] * 5}, 400, "Task size 5 is larger than maximum input batch size 4"),
        (
            {"signature_name": "text", "inputs": {"text": ["a"], "times": [1, 2]}},
            400,
            "must have equal 0th-dimension size",
        ),
        ({"signature_name": "total", "inputs": [1]}, 400, "output tensor has 0 dimensions"),
        (
            {"signature_name": "scalars", "inputs": {"integer": 1, "flag": True, "real": 1}},
            400,
            "must have at least one dimension",
        ),
    ]:
        answer = batching_server.predict(body)
        assert (answer.status, message in answer.error) == (status, True), answer.body


def test_the_batching_file_bounds_the_queue_and_metrics_show_it(batching_server: Server) -> None:
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(batching_server.predict, [slow(150)] * 16))
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 7
    refused = next(answer for answer in answers if answer.status == 503)
    assert QUEUE_FULL + "task size is 1 but scheduling capacity is only 0" in refused.error
    page = batching_server.rest("GET", "/monitoring/prometheus/metrics").body.decode()
    counter = f':tensorflow:serving:request_count{{model_name="{NAME}",status="UNAVAILABLE"}} '
    assert counter + str(statuses.count(503)) in page.splitlines()

"""Thousands of requests of every kind do not make the server grow."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np

from tests.devserver.fuzzing import assert_unharmed, tries
from tests.devserver.processes import NAME, Server
from tests.devserver.rpc.test_rpc import predict_request

PREDICT = f"/v1/models/{NAME}:predict"
METRICS = "/monitoring/prometheus/metrics"
SAMPLES = 40
GROWTH_LIMIT_KIB = 4096
"""Between the second and the last quarter of the requests: what malloc keeps moves this much."""


def resident_kib(server: Server) -> int:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def rest(server: Server) -> list[Callable[[int], None]]:
    """Calls over one kept connection; each gets a number that is never the same."""
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)

    def call(method: str, path: str, status: int, body: Any = None) -> Callable[[int], None]:
        def send(number: int) -> None:
            text = None if body is None else json.dumps(body).replace("NUMBER", str(number))
            connection.request(method, path.replace("NUMBER", str(number)), text)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status

        return send

    text = {"text": "a-NUMBER", "times": 2}
    return [
        call("POST", PREDICT, 200, {"instances": [1, 2, 3]}),
        call("POST", PREDICT, 200, {"signature_name": "text", "instances": [text]}),
        call("POST", PREDICT, 400, {"instances": ["NUMBER"]}),
        call("POST", PREDICT, 400, {"signature_name": "NUMBER", "instances": [1]}),
        call("POST", PREDICT, 400, {"instances": [1] * 5}),
        call("POST", "/v1/models/model-NUMBER:predict", 404, {"instances": [1]}),
        call("GET", "/v1/models/model-NUMBER", 404),
        call("GET", f"/v1/models/{NAME}", 200),
        call("GET", f"/v1/models/{NAME}/metadata", 200),
        call("GET", METRICS, 200),
        call("GET", "/elsewhere/NUMBER", 404),
    ]


def rpc(stub: Any) -> list[Callable[[int], None]]:
    def predict(number: int) -> None:
        request = predict_request("text", text=[f"b-{number}"], times=np.int32([1]))
        assert stub.Predict(request, timeout=60).outputs

    def refused(number: int) -> None:
        try:
            stub.Predict(predict_request(name=f"model-{number}"), timeout=60)
        except grpc.RpcError:
            return
        raise AssertionError("an unknown model was found")

    return [predict, refused]


def hang_up(server: Server) -> None:
    """A client that disconnects in the middle of its request."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        connection.sendall(f"POST {PREDICT} HTTP/1.1\r\nContent-Length: 99\r\n\r\n{{".encode())


@tries(4000, long=20_000)
def test_memory_and_open_files_stay_flat(batching_server: Server, count: int) -> None:
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    server = batching_server
    sizes: list[int] = []
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        calls = [*rest(server), *rpc(stub), lambda number: hang_up(server)]
        for number, call in zip(range(count), itertools.cycle(calls), strict=False):
            call(number)
            if number % (count // SAMPLES) == 0:
                sizes.append(resident_kib(server))
            if number == count // 2:
                files = open_files(server)
        assert open_files(server) <= files + 5
    quarter = SAMPLES // 4
    growth = median(sizes[-quarter:]) - median(sizes[quarter : 2 * quarter])
    print(f"grew by {growth:.0f} KiB: {sizes}")
    assert growth < GROWTH_LIMIT_KIB
    assert_unharmed(server)

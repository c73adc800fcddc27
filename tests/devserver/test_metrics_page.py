"""The metrics that a dashboard reads: names, labels, buckets, and what counts as what.

The tables follow TF Serving's `servables/tensorflow/util.cc`, `batching/batching_session.cc`,
`saved_model_warmup_util.cc` and `util/prometheus_exporter.cc`.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from tests.devserver.processes import NAME, Server
from tests.devserver.rpc.test_rpc import predict_request
from tests.devserver.test_limits import slow

PATH = "/monitoring/prometheus/metrics"
SERVING, BATCHING = ":tensorflow:serving:", ":tensorflow:serving:batching_session:"
LATENCY = [10 * 1.8**i for i in range(33)]
QUEUING = [100 * 1.2**i for i in range(52)]
SIZES = [2**i for i in range(14)]

HISTOGRAMS = [
    (SERVING + "request_latency", {"model_name": NAME, "API": "predict", "entrypoint": "REST"}),
    (SERVING + "request_latency", {"model_name": NAME, "API": "Predict", "entrypoint": "GRPC"}),
    (SERVING + "request_latency", {"model_name": NAME, "API": "", "entrypoint": "REST"}),
    (SERVING + "runtime_latency", {"model_name": NAME, "API": "Predict", "runtime": "TF1"}),
    (BATCHING + "queuing_latency", {"thread_pool_name": ""}),
    (BATCHING + "input_batch_size", {}),
    (BATCHING + "processed_batch_size", {}),
    (BATCHING + "padding_size", {"execution_batch_size": "1"}),
]
BUCKETS = {"latency": LATENCY, "queuing_latency": QUEUING, "size": SIZES}


class Page:
    """The values of the metrics page by name and labels as they are written."""

    def __init__(self, server: Server) -> None:
        answer = server.rest("GET", PATH)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain")
        self.lines = answer.body.decode().splitlines()

    def value(self, name: str, **labels: str) -> float:
        """0 for a counter that is not there yet."""
        key = name + "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "} "
        return next((float(li.removeprefix(key)) for li in self.lines if li.startswith(key)), 0.0)

    def count(self, status: str, model: str = NAME) -> float:
        return self.value(SERVING + "request_count", model_name=model, status=status)


@pytest.fixture(scope="module")
def page(batching_server: Server) -> Page:
    """After one success over each protocol."""
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    batching_server.predict({"instances": [1]})
    batching_server.state()
    with grpc.insecure_channel(batching_server.grpc_address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        stub.Predict(predict_request(x=np.float32([1])), timeout=60)
    return Page(batching_server)


@pytest.mark.parametrize(("name", "labels"), HISTOGRAMS)
def test_a_histogram_has_tf_servings_labels_and_buckets(
    page: Page, name: str, labels: dict[str, str]
) -> None:
    assert f"# TYPE {name} histogram" in page.lines
    bounds = next(bounds for end, bounds in reversed(BUCKETS.items()) if name.endswith(end))
    counts = [page.value(name + "_bucket", **labels, le=f"{bound:g}") for bound in bounds]
    total = page.value(name + "_count", **labels)
    assert total > 0
    assert [*counts, total] == sorted([*counts, total])
    assert page.value(name + "_bucket", **labels, le="+Inf") == total
    assert (page.value(name + "_sum", **labels) > 0) == (not name.endswith("padding_size"))


COUNTERS = [
    (SERVING + "request_count", {"model_name": NAME, "status": "OK"}),
    (BATCHING + "wrapped_run_count", {}),
    (":tensorflow:core:graph_runs", {}),
    (":tensorflow:core:graph_run_time_usecs", {}),
]


@pytest.mark.parametrize(("name", "labels"), COUNTERS)
def test_a_counter_has_tf_servings_labels(page: Page, name: str, labels: dict[str, str]) -> None:
    assert f"# TYPE {name} counter" in page.lines
    assert page.value(name, **labels) > 0


def test_the_warm_up_before_the_model_was_ready_is_counted(page: Page) -> None:
    pattern = SERVING + r'model_warmup_(\w+)\{model_path="[^"]*/123",status="OK"\} (\d.*)'
    found = {
        match[1]: float(match[2])
        for match in map(re.compile(pattern).fullmatch, page.lines)
        if match
    }
    assert found["records_read"] == 2
    assert found["latency_count"] == 1


def test_every_line_is_prometheus_text(page: Page) -> None:
    label = r'[a-zA-Z_]\w*="(?:[^"\\]|\\.)*"'
    sample = re.compile(rf"[a-zA-Z_:][\w:]*\{{(?:{label}(?:,{label})*)?\}} [-+.\deinf]+")
    kind = re.compile(r"# TYPE [a-zA-Z_:][\w:]* (counter|histogram)")
    assert [li for li in page.lines if not sample.fullmatch(li) and not kind.fullmatch(li)] == []


COUNTED = [
    # method, path, body, status counted, model it is counted under
    ("POST", f"/v1/models/{NAME}:predict", {"instances": [1]}, "OK", NAME),
    ("POST", f"/v1/models/{NAME}:predict", {}, "INVALID_ARGUMENT", NAME),
    ("POST", f"/v1/models/{NAME}/versions/5:predict", {"instances": [1]}, "NOT_FOUND", NAME),
    ("GET", f"/v1/models/{NAME}", None, "OK", NAME),
    ("GET", f"/v1/models/{NAME}/metadata", None, "OK", NAME),
    ("GET", f"/v1/models/{NAME}/versions/{2**64}", None, "INVALID_ARGUMENT", NAME),
    ("GET", "/v1/models/other", None, "NOT_FOUND", ""),
    ("GET", "/v1/elsewhere", None, "INVALID_ARGUMENT", ""),
    ("OPTIONS", f"/v1/models/{NAME}", None, "FAILED_PRECONDITION", ""),
]


@pytest.mark.parametrize(("method", "path", "request_body", "status", "model"), COUNTED)
def test_every_call_below_v1_is_counted_with_its_status(
    batching_server: Server, method: str, path: str, request_body: Any, status: str, model: str
) -> None:
    before = Page(batching_server).count(status, model)
    batching_server.rest(method, path, request_body)
    assert Page(batching_server).count(status, model) == before + 1


def test_requests_outside_v1_are_not_counted(batching_server: Server) -> None:
    before = [li for li in Page(batching_server).lines if "request_count" in li]
    batching_server.rest("GET", "/elsewhere")
    assert [li for li in Page(batching_server).lines if "request_count" in li] == before


def test_each_row_is_a_separate_execution(batching_server: Server) -> None:
    before = Page(batching_server)
    batching_server.predict({"instances": [1, 2, 3]})
    after = Page(batching_server)
    for name, labels in [
        (BATCHING + "wrapped_run_count", {}),
        (BATCHING + "processed_batch_size_count", {}),
        (BATCHING + "processed_batch_size_sum", {}),
        (BATCHING + "queuing_latency_count", {"thread_pool_name": ""}),
        (":tensorflow:core:graph_runs", {}),
    ]:
        assert after.value(name, **labels) - before.value(name, **labels) == 3, name


def test_the_metrics_show_one_execution_at_a_time(batching_server: Server) -> None:
    name = ":tensorflow:core:graph_run_time_usecs"
    before, start = Page(batching_server).value(name), time.monotonic()
    with ThreadPoolExecutor(6) as clients:
        answers = list(clients.map(batching_server.predict, [slow(100)] * 6))
    elapsed = time.monotonic() - start
    assert {answer.status for answer in answers} == {200}
    spent = (Page(batching_server).value(name) - before) / 1e6
    assert 0 < spent <= elapsed


def test_the_metrics_path_accepts_no_query(batching_server: Server) -> None:
    answer = batching_server.rest("GET", f"{PATH}?name=x")
    assert (answer.status, answer.headers["Content-Type"]) == (400, "text/plain")
    assert answer.body.decode() == f"Unexpected path: {PATH}?name=x. Should be {PATH}"

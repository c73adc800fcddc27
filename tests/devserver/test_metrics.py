"""Prometheus text and the files that configure metrics and batching."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from devserver.errors import Code, ServingError, StartError
from devserver.execution import batching
from devserver.execution.batching import Batching
from devserver.metrics import Metrics, monitoring_path


def test_a_counter_has_tf_servings_name_and_labels() -> None:
    metrics = Metrics()
    metrics.record_request('a"b', Code.NOT_FOUND, 0.1, "predict", "REST")
    assert metrics.page().splitlines() == [
        "# TYPE :tensorflow:serving:request_count counter",
        ':tensorflow:serving:request_count{model_name="a\\"b",status="NOT_FOUND"} 1',
    ]


def test_latency_counts_successes_in_cumulative_buckets() -> None:
    metrics = Metrics()
    metrics.record_request("m", Code.OK, 15e-6, "predict", "REST")
    metrics.record_request("m", Code.OK, 1e9, "predict", "REST")
    prefix = ":tensorflow:serving:request_latency"
    labels = 'model_name="m",API="predict",entrypoint="REST"'
    lines = metrics.page().splitlines()
    assert f'{prefix}_bucket{{{labels},le="10"}} 0' in lines
    assert f'{prefix}_bucket{{{labels},le="18"}} 1' in lines
    assert f'{prefix}_bucket{{{labels},le="+Inf"}} 2' in lines
    assert f"{prefix}_count{{{labels}}} 2" in lines


def test_the_prometheus_library_reads_the_page() -> None:
    metrics = Metrics()
    name = 'a "b" \\ {c},\nd'
    for _ in range(2):
        metrics.record_request(name, Code.OK, 15e-6, "predict", "REST")
    counter, histogram = text_string_to_metric_families(metrics.page())
    assert (counter.name, counter.type) == (":tensorflow:serving:request_count", "counter")
    (count,) = counter.samples
    assert (count.labels, count.value) == ({"model_name": name, "status": "OK"}, 2)
    assert (histogram.name, histogram.type) == (":tensorflow:serving:request_latency", "histogram")
    *buckets, total, number = histogram.samples
    assert [bucket.value for bucket in buckets] == [0, *[2] * (len(buckets) - 1)]
    assert (total.value, number.value) == (30, 2)


def test_the_monitoring_path_comes_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "monitoring.pbtxt"
    assert monitoring_path("") is None
    file.write_text("prometheus_config { enable: false }")
    assert monitoring_path(str(file)) is None
    file.write_text("prometheus_config { enable: true }")
    assert monitoring_path(str(file)) == "/monitoring/prometheus/metrics"
    file.write_text('prometheus_config { enable: true, path: "/m" }')
    assert monitoring_path(str(file)) == "/m"


def test_batching_parameters_have_tf_servings_defaults() -> None:
    read = batching.read(True, "")
    assert (read.max_batch_size, read.max_enqueued_batches, read.splitting) == (1000, 10, False)


def test_a_queue_without_batching_holds_eight_requests() -> None:
    assert batching.read(False, "").capacity == 8


def test_splitting_bounds_the_queue_by_the_execution_batch_size(tmp_path: Path) -> None:
    file = tmp_path / "batching.pbtxt"
    file.write_text(
        "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 1 } max_enqueued_batches { value: 8 }"
    )
    read = batching.read(True, str(file))
    assert (read.execution_rows, read.capacity) == (1, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 4", "Invalid protobuf file"),
        ("nonsense", "Invalid protobuf file"),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: [1, 2]",
            "last entry was 2; expected 4",
        ),
        ("max_batch_size { value: 0 }", "at least 1"),
        (
            "max_batch_size { value: 2 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 3 }",
            "must not exceed",
        ),
    ],
)
def test_invalid_batching_parameters_are_a_one_line_error(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "batching.pbtxt"
    file.write_text(text)
    with pytest.raises(StartError) as caught:
        batching.read(True, str(file))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_batching_file_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No such file"):
        batching.read(True, str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "must have at least one input tensor"),
        ({"x": np.array(1)}, "input tensors must have at least one dimension"),
        ({"x": np.zeros(1), "y": np.zeros(2)}, "must have equal 0th-dimension size"),
        ({"x": np.zeros(5)}, "Task size 5 is larger than maximum input batch size 4"),
    ],
)
def test_inputs_that_cannot_be_batched_are_rejected(
    inputs: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(ServingError) as caught:
        Batching(True, 4).split(inputs)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert message in caught.value.message


def test_rows_are_split_and_joined_again() -> None:
    parameters = Batching(True, 4, splitting=True, max_execution_batch_size=1)
    parts = parameters.split({"x": np.arange(3)})
    assert [part["x"].tolist() for part in parts] == [[0], [1], [2]]
    merged = parameters.merge(parts, [{"y": part["x"] * 2} for part in parts])
    assert merged["y"].tolist() == [0, 2, 4]


def test_an_output_without_the_batch_axis_is_rejected() -> None:
    parameters = Batching(True, 4)
    parts = parameters.split({"x": np.arange(2)})
    for output in (np.array(1), np.arange(3)):
        with pytest.raises(ServingError) as caught:
            parameters.merge(parts, [{"y": output}])
        assert caught.value.code is Code.FAILED_PRECONDITION

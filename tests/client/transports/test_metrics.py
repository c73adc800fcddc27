"""The server's figures: reading its metrics, and showing them in `status`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from client.transports.metrics import Histogram, read
from prediction.errors import one_line
from tests.client.commands import CommandLine
from tests.client.fake_serving import MODEL_NAME, FakeServing

COUNT = ":tensorflow:serving:request_count"
BOUNDS_MICROS = [10 * 1.8**i for i in range(33)]
"""TF Serving's, of request_latency and runtime_latency."""


def histogram_lines(name: str, labels: str, seconds: Sequence[float]) -> list[str]:
    """A histogram as TF Serving writes it."""
    micros = [value * 1e6 for value in seconds]
    comma = "," if labels else ""
    buckets = [(f"{b:g}", sum(m <= b for m in micros)) for b in BOUNDS_MICROS]
    return [
        f"# TYPE {name} histogram",
        *(f'{name}_bucket{{{labels}{comma}le="{bound}"}} {n}' for bound, n in buckets),
        f'{name}_bucket{{{labels}{comma}le="+Inf"}} {len(micros)}',
        f"{name}_sum{{{labels}}} {sum(micros):g}",
        f"{name}_count{{{labels}}} {len(micros)}",
    ]


@pytest.fixture
def page() -> str:
    """What a server writes that drew four pictures, in 1 to 4 s with a wait of a quarter of it."""
    serving, seconds = ":tensorflow:serving:", [1.0, 2.0, 3.0, 4.0]
    model = f'model_name="{MODEL_NAME}"'
    lines = [
        f"# TYPE {serving}request_count counter",
        f'{serving}request_count{{{model},status="OK"}} 4',
        f'{serving}request_count{{{model},status="UNAVAILABLE"}} 1',
        f'{serving}request_count{{model_name="other",status="OK"}} 9',
        ":tensorflow:core:graph_runs{} 5",
    ]
    requests, runs = serving + "request_latency", serving + "runtime_latency"
    lines += histogram_lines(requests, f'{model},API="predict",entrypoint="REST"', seconds)
    lines += histogram_lines(requests, 'model_name="other",API="Predict"', [900.0])
    lines += histogram_lines(runs, f'{model},API="Predict",runtime="TF1"', seconds)
    waits = [value / 4 for value in seconds]
    lines += histogram_lines(
        f"{serving}batching_session:queuing_latency", 'thread_pool_name=""', waits
    )
    return "\n".join(lines) + "\n"


def test_counts_means_and_percentiles_are_of_this_model(page: str) -> None:
    figures = read(page, MODEL_NAME)
    assert figures.answers == {"OK": 4, "UNAVAILABLE": 1}
    assert (figures.requests.count, figures.requests.mean) == (4, pytest.approx(2.5))
    assert figures.runs.mean == pytest.approx(2.5)
    assert figures.waits.mean == pytest.approx(0.625)
    median = figures.requests.percentile(50)
    assert median is not None
    assert 1.27 < median < 2.30, "the edges of the bucket that holds the second of four"


def test_rest_and_grpc_are_added_up_and_status_requests_left_out() -> None:
    def lines(api: str, count: int, seconds: float) -> str:
        labels = f'model_name="{MODEL_NAME}",API="{api}",entrypoint="x"'
        name = ":tensorflow:serving:request_latency"
        return (
            f'{name}_bucket{{{labels},le="+Inf"}} {count}\n'
            f"{name}_sum{{{labels}}} {seconds * 1e6:g}\n{name}_count{{{labels}}} {count}\n"
        )

    page = lines("predict", 2, 3.0) + lines("Predict", 1, 3.0) + lines("", 50, 0.1)
    figures = read("# TYPE x histogram\n\n" + page, MODEL_NAME)
    assert (figures.requests.count, figures.requests.mean) == (3, pytest.approx(2.0))
    assert figures.requests.percentile(50) == 0.0, "all that is known of the last bucket"


def test_a_percentile_lies_within_its_bucket() -> None:
    buckets = ((1.0, 0), (2.0, 8), (4.0, 10))
    histogram = Histogram(10, 20.0, buckets)
    assert histogram.percentile(40) == pytest.approx(1.5)
    assert histogram.percentile(80) == pytest.approx(2.0)
    assert histogram.percentile(90) == pytest.approx(3.0)
    assert Histogram().percentile(50) is None


@pytest.mark.parametrize("type_line", ["", f"# TYPE {COUNT} counter\n", f"# TYPE {COUNT} gauge\n"])
def test_a_counter_keeps_its_name_with_and_without_its_type(type_line: str) -> None:
    page = f'{type_line}{COUNT}{{model_name="{MODEL_NAME}",status="OK"}} 4\n'
    assert read(page, MODEL_NAME).answers == {"OK": 4}


def test_a_label_is_read_with_its_escapes_undone() -> None:
    page = COUNT + r'{model_name="a \"b\" \\ {c}, d=e",status="OK"} 2'
    assert read(page, 'a "b" \\ {c}, d=e').answers == {"OK": 2}


def test_comments_and_values_that_are_not_finite_are_passed_over() -> None:
    labels = f'{{model_name="{MODEL_NAME}",API="Predict"}}'
    total = ":tensorflow:serving:runtime_latency_sum" + labels
    lines = ["# TYPE", "# TYPE x unheard of", f"{total} NaN", f"{total} +Inf", f"{total} 2e+06"]
    assert read("\n".join(lines), MODEL_NAME).runs.total == pytest.approx(2.0)


@pytest.mark.parametrize(
    "line",
    [
        "<html>",
        "a b c d",
        'x{le="1"} many',
        "x{a=1} 2",
        'x{a="1", ="2"} 3',
        "x " + "1" * 400,
        "\x1b[31m 1",
    ],
)
def test_a_line_that_is_not_a_metric_is_quoted_in_one_line(line: str) -> None:
    with pytest.raises(ValueError) as raised:
        read(f"{COUNT}{{}} 1\n\n{line}\n", MODEL_NAME)
    assert str(raised.value) == one_line(line)


def test_a_bucket_without_a_bound_is_refused() -> None:
    with pytest.raises(ValueError):
        read(':tensorflow:serving:request_latency_bucket{API="Predict"} 1', MODEL_NAME)


def test_a_page_without_figures_for_the_model_is_empty(page: str) -> None:
    figures = read(page, "absent")
    assert (figures.answers, figures.requests.mean) == ({}, None)
    assert read("", MODEL_NAME).answers == {}


def test_status_shows_requests_latency_and_queue(
    run: CommandLine, server: FakeServing, page: str
) -> None:
    server.metrics_page = page
    ran = run("status", "--endpoint", server.endpoint)
    assert ran.code == 0
    lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert lines["requests"] == "4 OK, 1 UNAVAILABLE"
    assert lines["latency"].startswith("4 predictions, 2.50 s on average in the server; p50 about ")
    assert lines["queue"].startswith("4 requests, 0.62 s average wait")


def test_status_of_an_idle_server_says_so(run: CommandLine, server: FakeServing) -> None:
    server.metrics_page = "\n"
    out = run("status", "--endpoint", server.endpoint).out
    assert "requests     none yet" in out
    assert "latency      no predictions yet" in out


@pytest.mark.parametrize("page", [None, "<html>It works!</html>"])
def test_status_without_metrics_says_why_and_exits_with_0(
    run: CommandLine, server: FakeServing, page: str | None
) -> None:
    server.metrics_page = page
    ran = run("status", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert ran.err == ""
    (line,) = (line for line in ran.out.splitlines() if line.startswith("metrics"))
    assert "unavailable: " in line
    assert ("HTTP 404" if page is None else "not Prometheus text") in line

"""A load test's recording: the service's own metrics, in Prometheus's hands."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from client.errors import PictureFileError
from client.load.recording import Reading, Recorder, openmetrics, write
from client.transports.metrics import NoMetricsError
from tests.client.commands import CommandLine
from tests.client.fake_serving import FakeServing
from tests.dashboards.prometheus import needs_prometheus, prometheus_over
from tests.processes import wait_until

START = 1_790_000_000


def page(count: int) -> str:
    registry = CollectorRegistry()
    Counter("drawn", "Pictures", ["api"], registry=registry).labels('odd "one"\\\n').inc(count)
    return generate_latest(registry).decode()


def readings() -> list[Reading]:
    return [Reading(START + 10 * number, page(number)) for number in range(7)]


def test_it_reads_at_the_begin_each_time_in_between_and_at_the_end() -> None:
    pages = iter(range(1000))
    before = time.time()
    with Recorder(lambda: str(next(pages)), read_seconds=0.01) as recorder:
        wait_until(lambda: len(recorder.readings) >= 3, "three readings")
        so_far = len(recorder.readings)
    texts = [reading.page for reading in recorder.readings]
    assert texts == [str(number) for number in range(len(texts))]
    assert len(texts) > so_far
    assert all(before <= reading.seconds <= time.time() for reading in recorder.readings)


def test_a_service_that_goes_away_ends_it_and_keeps_what_there_is() -> None:
    answers = iter(["one"])

    def fetch() -> str:
        for answer in answers:
            return answer
        raise NoMetricsError("connection refused")

    with Recorder(fetch, read_seconds=0.01) as recorder:
        wait_until(lambda: bool(recorder.problem), "the failure")
    assert [reading.page for reading in recorder.readings] == ["one"]
    assert recorder.problem == "connection refused"


def test_a_sample_has_its_labels_those_that_are_added_and_its_time() -> None:
    (line, *_) = openmetrics([Reading(START + 0.5, page(3))], {"job": "mine"})
    assert line == (f'drawn_total{{api="odd \\"one\\"\\\\\\n",job="mine"}} 3.0 {START}.500')


def test_what_is_no_page_of_metrics_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(PictureFileError, match=r"^cannot record the metrics in [^\n]+$"):
        write([Reading(START, "<html>{")], tmp_path)


def test_without_promtool_the_samples_are_there_and_the_commands_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    said = write(readings(), tmp_path / "run")
    assert "promtool tsdb create-blocks-from openmetrics" in said
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["samples.txt"]
    assert (tmp_path / "run" / "samples.txt").read_text().endswith("\n# EOF\n")


@needs_prometheus
def test_prometheus_answers_what_was_recorded_also_after_a_second_run(tmp_path: Path) -> None:
    for _ in range(2):
        said = write(readings(), tmp_path / "run")
    assert re.search(r"prometheus --config.file=/dev/null --storage.tsdb.path=\S+/run/data$", said)
    blocks = list((tmp_path / "run" / "data").glob("*/meta.json"))
    assert len(blocks) == 1
    lines = (tmp_path / "run" / "samples.txt").read_text().splitlines()[:-1]
    shutil.rmtree(tmp_path / "run")
    with prometheus_over(lines, tmp_path) as prometheus:
        assert prometheus.ask("sum(drawn_total)", START + 60) == {"": 6}
        assert prometheus.ask("sum(rate(drawn_total[1m]))", START + 60) == {"": 0.1}


def test_a_service_whose_metrics_nobody_can_read_is_not_loaded(
    run: CommandLine, server: FakeServing
) -> None:
    ran = run("load", "--endpoint", server.endpoint, "-n", "1", "--record", "recorded")
    assert ran.code == 3
    assert ran.error_line.startswith("error: --record needs the web service's metrics: ")
    assert server.rows == []

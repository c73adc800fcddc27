"""CPU and memory during a load test: of processes on this machine, and of pods."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from client.load import usage
from client.load.usage import Monitor, NotMeasurableError, Use, server_process
from tests.client.commands import CommandLine
from tests.client.fake_serving import FakeServing
from tests.client.stub_tools import POD, StubTools

BUSY = """\
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
held = bytearray(50_000_000)
print(listener.getsockname()[1], flush=True)
while True:
    sum(range(10_000))
"""


@pytest.fixture
def busy() -> Iterator[tuple[str, int]]:
    """A process that listens, computes and holds memory: its endpoint and id."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}", process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_process_that_listens_is_found_and_measured(busy: tuple[str, int]) -> None:
    endpoint, pid = busy
    assert server_process(endpoint).pid == pid
    with usage.monitor([endpoint], None) as watch:
        deadline = time.monotonic() + 30
        while not any(sample.cpu_cores > 0.05 for sample in watch.samples):
            assert time.monotonic() < deadline, watch.samples
            time.sleep(0.05)
    assert {sample.source for sample in watch.samples} == {endpoint}
    assert all(50e6 < sample.memory_bytes < 500e6 for sample in watch.samples)
    seconds = [sample.seconds for sample in watch.samples]
    assert seconds == sorted(seconds)
    assert watch.problem == ""


def test_a_server_that_ends_is_reported(busy: tuple[str, int]) -> None:
    endpoint, pid = busy
    process = psutil.Process(pid)
    process.kill()
    process.wait(20)
    with pytest.raises(NotMeasurableError, match="has ended"):
        usage.local({endpoint: process})


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("http://203.0.113.9:8501", "is not on this machine"),
        ("grpc://h:8500", "is not on this machine"),
    ],
)
def test_a_server_on_another_machine_cannot_be_measured(endpoint: str, message: str) -> None:
    with pytest.raises(NotMeasurableError, match=message):
        server_process(endpoint)


def test_a_port_without_a_listener_cannot_be_measured(free_port: int) -> None:
    with pytest.raises(NotMeasurableError, match="none of your processes listens at http://127"):
        server_process(f"http://127.0.0.1:{free_port}")


def test_the_stacks_record_finds_the_server_if_connections_cannot_be_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: int
) -> None:
    def denied(_: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr("psutil.net_connections", denied)
    monkeypatch.setattr("client.load.usage.PROJECT_ROOT", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        endpoint = f"http://127.0.0.1:{port}"
        with pytest.raises(NotMeasurableError):
            server_process(endpoint)
        folder = tmp_path / ".state" / "server"
        folder.mkdir(parents=True)
        started = psutil.Process().create_time()
        record = {"pid": os.getpid(), "started": started, "rest_port": port}
        (folder / "server.json").write_text(json.dumps(record))
        assert server_process(endpoint).pid == os.getpid()
        with pytest.raises(NotMeasurableError):  # another server's record
            server_process(f"http://127.0.0.1:{free_port}")


def test_a_failed_measurement_ends_the_monitor_and_is_reported() -> None:
    uses = iter([[Use("a", 1.0, 2.0)]])

    def measure() -> list[Use]:
        try:
            return next(uses)
        except StopIteration:
            raise NotMeasurableError("the tool went away") from None

    with Monitor(measure, 0.001) as watch:
        deadline = time.monotonic() + 20
        while not watch.problem:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert watch.problem == "the tool went away"
    assert [(s.source, s.cpu_cores, s.memory_bytes) for s in watch.samples] == [("a", 1.0, 2.0)]


def test_pods_are_measured_by_kubectl_top(
    run: CommandLine, server: FakeServing, tools: StubTools
) -> None:
    tools.answer(
        *("kubectl", "top pods -n diffusion-serving -l app.kubernetes.io/name in (model-server,"),
        f"{POD}   3890m   2048Mi\nother-pod   1   1Gi\n",
    )
    ran = run("load", "--stack", "dev", "-n", "2", "--json")
    assert ran.code == 0, ran.err
    measured = {
        (sample["source"], sample["cpu_cores"], sample["memory_bytes"])
        for sample in json.loads(ran.out)["usage"]
    }
    assert measured == {(POD, 3.89, 2.0 * 2**30), ("other-pod", 1.0, 2.0**30)}
    asked = [line for line in tools.asked if " kubectl " in line or " get-credentials " in line]
    assert "-l app.kubernetes.io/name in (model-server, front, worker) --no-headers" in asked[-1]
    assert " get-credentials " in asked[0]
    assert len({line.partition(" ")[0] for line in asked}) == 1
    assert asked[0].partition(" ")[0] != os.environ.get("KUBECONFIG", "")


def test_the_load_test_runs_without_cluster_metrics_and_says_so(
    run: CommandLine, server: FakeServing, tools: StubTools
) -> None:
    tools.fails("gcloud", "container clusters get-credentials", "ERROR: not logged in")
    ran = run("load", "--stack", "dev", "-n", "2", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["usage"] == []
    assert "CPU and memory are not measured: gcloud failed: ERROR: not logged in" in ran.err


@pytest.mark.parametrize("text", ["garbage", "pod 1x 2Mi", "pod 1 2Mb", "pod -1 2Mi"])
def test_unexpected_output_of_kubectl_top_is_quoted(tools: StubTools, text: str) -> None:
    tools.answer("kubectl", "top pods", text + "\n")
    with pytest.raises(NotMeasurableError, match=f"unexpected output of kubectl top: {text}"):
        usage.pods(dict(os.environ))


def test_the_plot_without_measurements_has_two_panels(
    run: CommandLine, server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    def elsewhere(endpoint: str) -> None:
        raise NotMeasurableError("elsewhere")

    monkeypatch.setattr("client.load.usage.server_process", elsewhere)
    ran = run("load", "--endpoint", server.endpoint, "-n", "2", "--plot", "load.png")
    assert ran.code == 0
    assert "CPU and memory are not measured: elsewhere" in ran.err
    with Image.open("load.png") as image:
        assert image.height < 600

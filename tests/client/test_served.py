"""The client and the local server together, over real sockets: load, queue, two servers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from client import Client, Protocol
from client.load.plan import at_a_time
from client.load.run import Load, Outcome
from client.load.summary import Summary, summarize
from client.transports import metrics
from model_export.spec import METRICS_PATH
from prediction.endpoints import normalize_endpoint
from serving.tensorflow_serving.batching import batching_parameters
from tests.client import served_model
from tests.client.commands import CommandLine
from tests.devserver.processes import NAME, Server

pytestmark = pytest.mark.slow

TRANSPORTS = [Protocol.REST, Protocol.GRPC]
SMALL_QUEUE = 2


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two servers of one model, with metrics: a queue of 8, and one of SMALL_QUEUE."""
    base = tmp_path_factory.mktemp("model")
    served_model.export(base / "1")
    folder = tmp_path_factory.mktemp("config")
    monitoring = folder / "monitoring.pbtxt"
    monitoring.write_text("prometheus_config { enable: true }")
    started: list[Server] = []
    try:
        for queue in (8, SMALL_QUEUE):
            batching = folder / f"batching-{queue}.pbtxt"
            batching.write_text(batching_parameters(queue))
            flags = (
                "--enable_batching=true",
                f"--batching_parameters_file={batching}",
                f"--monitoring_config_file={monitoring}",
                "--tensorflow_intra_op_parallelism=1",
                "--tensorflow_inter_op_parallelism=1",
            )
            started.append(Server(base, flags, folder / f"server-{queue}.log").start())
        yield started[0].wait_until_ready(), started[1].wait_until_ready()
    finally:
        for server in started:
            server.stop()


def rest(server: Server) -> str:
    return f"http://127.0.0.1:{server.rest_port}"


def endpoint(server: Server, protocol: Protocol) -> str:
    return rest(server) if protocol is Protocol.REST else f"grpc://{server.grpc_address}"


def graph_seconds(server: Server) -> float:
    """The model's own time since the server started."""
    page = server.rest("GET", METRICS_PATH).body.decode()
    micros = re.search(r"^:tensorflow:core:graph_run_time_usecs{} (\d+)$", page, re.MULTILINE)
    return int(micros[1]) / 1e6 if micros else 0.0


def run_load(client: Client, count: int, workers: int, num_steps: int) -> tuple[Outcome, Summary]:
    request = client.prepare("a star", num_steps=num_steps, seed=1)
    requests = [replace(request, seed=seed) for seed in range(count)]
    outcome = Load(client, at_a_time(requests, workers)).run()
    return outcome, summarize(outcome)


@pytest.mark.parametrize("protocol", TRANSPORTS)
def test_fifty_requests_five_at_a_time_all_succeed(
    servers: tuple[Server, Server], protocol: Protocol
) -> None:
    with Client(endpoint(servers[0], protocol), model_name=NAME) as client:
        outcome, summary = run_load(client, 50, 5, num_steps=5)
    assert outcome.exit_code == 0, summary.errors
    assert (summary.sent, summary.pictures, summary.success_rate) == (50, 50, 1.0)
    assert summary.statuses == {"200" if protocol is Protocol.REST else "OK": 50}


@pytest.mark.parametrize("protocol", TRANSPORTS)
def test_a_full_queue_refuses_at_once_and_one_request_runs_at_a_time(
    servers: tuple[Server, Server], protocol: Protocol
) -> None:
    """20 at a time for a queue of 2: every request is a picture or a 503 within its deadline."""
    server, timeout_seconds = servers[1], 30.0
    with Client(
        endpoint(server, protocol), model_name=NAME, timeout_seconds=timeout_seconds
    ) as client:
        client.describe()
        before, spent_before = metrics.fetch(rest(server), NAME), graph_seconds(server)
        started = time.monotonic()
        outcome, summary = run_load(client, 20, 20, num_steps=50)
        seconds = time.monotonic() - started
    refused = "503" if protocol is Protocol.REST else "UNAVAILABLE"
    assert summary.sent == summary.pictures + summary.statuses[refused] == 20
    assert summary.pictures >= 1 + SMALL_QUEUE
    assert summary.statuses[refused] > 0
    assert outcome.exit_code == 6
    for result in outcome.results:
        assert result.latency_seconds is not None
        assert result.latency_seconds <= timeout_seconds
    after = metrics.fetch(rest(server), NAME)
    assert after.runs.count - before.runs.count == summary.pictures
    answered = after.answers.get("UNAVAILABLE", 0) - before.answers.get("UNAVAILABLE", 0)
    assert answered == summary.statuses[refused]
    # The model's time fits into the time that has passed, though the requests came together: no
    # two runs overlapped.
    assert 0 < graph_seconds(server) - spent_before <= seconds


def test_with_retries_every_request_succeeds_despite_a_small_queue(
    servers: tuple[Server, Server],
) -> None:
    with Client(rest(servers[1]), model_name=NAME, timeout_seconds=60) as client:
        request = client.prepare("a star", num_steps=50, seed=1)
        outcome = Load(client, at_a_time([request] * 12, 12), retry=True).run()
    summary = summarize(outcome)
    assert summary.pictures + summary.retried_pictures == 12, summary.retry_errors
    assert summary.retries >= 1
    assert summary.statuses["200"] + summary.retry_statuses["200"] == 12


def test_two_servers_share_requests_by_their_load(servers: tuple[Server, Server]) -> None:
    """Neither gets more than it can hold: 4 in flight over both are at most 2 at the small one."""
    with Client([rest(servers[0]), f"grpc://{servers[1].grpc_address}"], model_name=NAME) as client:
        _, summary = run_load(client, 40, 4, num_steps=5)
    assert summary.pictures == 40, summary.errors
    assert set(summary.statuses) == {"200", "OK"}
    assert min(summary.endpoints.values()) >= 5


def test_both_transports_give_the_same_picture(servers: tuple[Server, Server]) -> None:
    pictures = []
    for protocol in TRANSPORTS:
        with Client(endpoint(servers[0], protocol), model_name=NAME) as client:
            assert client.status().version == "1"
            picture = client.generate("ein ☆", num_steps=3, guidance_scale=29.5, seed=2**31 - 3)
        pictures.append(replace(picture, seconds=0, endpoint=""))
    assert pictures[0] == pictures[1]
    assert pictures[0].truncated
    assert pictures[0].fingerprint == served_model.FINGERPRINT


def test_a_model_that_does_not_say_what_it_is_is_served_with_a_warning(
    tmp_path: Path, run: CommandLine
) -> None:
    served_model.export(tmp_path / "model/1", says_what_it_is=False)
    server = Server(tmp_path / "model", (), tmp_path / "server.log").start().wait_until_ready()
    try:
        for protocol in TRANSPORTS:
            address = endpoint(server, protocol)
            ran = run("generate", "x", "--endpoint", address, "--model-name", NAME)
            assert ran.code == 0
            assert ran.error_line == (
                f"warning: the model at {address} does not say what it is (an older export): "
                "assuming 20 steps, guidance scale 3 and the negative prompt ''"
            )
    finally:
        server.stop()


def test_the_command_line_loads_keeps_and_plots(
    servers: tuple[Server, Server], run: CommandLine
) -> None:
    ran = run(
        *("load", "--endpoint", servers[0].grpc_address, "--transport", "grpc"),
        *("--model-name", NAME, "-n", "6", "-c", "2", "--steps", "5"),
        *("--json", "--plot", "load.png", "--keep", "kept"),
    )
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert document["summary"]["statuses"] == {"OK": 6}
    own = normalize_endpoint(servers[0].grpc_address, Protocol.GRPC)
    assert {sample["source"] for sample in document["usage"]} == {own}
    assert len(list(Path("kept").glob("*.png"))) == 7
    assert Path("load.png").exists()


def test_status_shows_the_servers_figures(servers: tuple[Server, Server], run: CommandLine) -> None:
    with Client(rest(servers[0]), model_name=NAME) as client:
        client.generate("x", num_steps=1)
    ran = run("status", "--endpoint", rest(servers[0]), "--model-name", NAME)
    assert ran.code == 0
    lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert lines["requests"].endswith(" OK")
    assert " s on average in the server" in lines["latency"]
    assert " s average wait" in lines["queue"]

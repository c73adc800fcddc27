"""The commands against a web service: found by the stack `local`, or by any address of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from client.command_line.progress import Progress
from client.stacks import starting
from client.stacks.discovery import PROJECT_ROOT
from client.transports.progress import PictureProgress
from prediction import recipe
from prediction.endpoints import Protocol
from tests.client.commands import CommandLine
from tests.client.fake_rpc import FakeRpc
from tests.client.fake_serving import FakeServing
from tests.client.fake_web import INFOTEXT, FakeWeb, problem
from tests.client.local_stack import LocalStack, port_of

CAPABILITIES = "GET /api/v1/capabilities"


@pytest.fixture
def stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServing, web: FakeWeb
) -> LocalStack:
    """The stack `local` with a web service and a model server, which both run."""
    made = LocalStack(tmp_path)
    made.with_web_service(web.endpoint, server.endpoint)
    made.record("server", "devserver", [port_of(server.endpoint)])
    made.record("web", "web", [web.port, web.port])
    recorded = starting._recorded
    monkeypatch.setattr(starting, "_recorded", lambda folder, _root: recorded(folder, tmp_path))
    monkeypatch.setenv("PATH", str(made.tools.path))
    monkeypatch.setenv("ENGINE", "pulumi")
    return made


@pytest.fixture
def rpc(server: FakeServing) -> Iterator[FakeRpc]:
    fake = FakeRpc(server)
    yield fake
    fake.close()


@pytest.mark.usefixtures("stack")
def test_up_ends_with_the_page_the_picture_and_what_is_next(run: CommandLine, web: FakeWeb) -> None:
    ran = run("first-picture", "--prompt", "a star")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == [
        f"page     {web.endpoint}",
        "picture  out/a-star-1.png",
        'next     make generate PROMPT="a small red circle on white"',
    ]
    assert run("first-picture", "--prompt", "a star") == ran
    assert len(list(Path("out").iterdir())) == 1


@pytest.mark.usefixtures("stack")
def test_again_reproduces_a_picture_that_the_web_service_drew(
    run: CommandLine, web: FakeWeb
) -> None:
    assert run("generate", "a star", "--seed", "1").code == 0
    ran = run("again", "out/a-star-1.png")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1] == "pixels  equal"
    assert len(web.jobs) == 2


@pytest.mark.usefixtures("stack")
def test_a_saved_picture_keeps_the_services_infotext_and_nothing_is_recorded_twice(
    run: CommandLine,
) -> None:
    run("generate", "a star", "--seed", "1")
    content = Path("out/a-star-1.png").read_bytes()
    with Image.open("out/a-star-1.png") as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        text = image.text
    assert text["parameters"] == INFOTEXT
    assert (text["prompt"], text["seed"]) == ("a star", "1")
    assert recipe.KEYWORD not in text
    for keyword in text:
        assert content.count(b"tEXt" + keyword.encode() + b"\0") == 1, keyword


def test_each_transport_of_the_stack_reaches_its_own_server(
    run: CommandLine, stack: LocalStack, server: FakeServing, web: FakeWeb, rpc: FakeRpc
) -> None:
    stack.with_web_service(web.endpoint, server.endpoint, rpc.endpoint.partition("://")[2])
    for transport, jobs in (("rest", 0), ("grpc", 0), ("web", 1)):
        ran = run("generate", "x", "--seed", "1", "--transport", transport)
        assert ran.code == 0, ran.err
        assert len(web.jobs) == jobs
    assert len(server.rows) == 3


def test_a_stack_without_a_web_service_is_reached_by_rest(
    run: CommandLine, stack: LocalStack, server: FakeServing, web: FakeWeb
) -> None:
    stack.deploys(endpoint=server.endpoint)
    assert run("generate", "x").code == 0
    assert web.requests == []
    ran = run("generate", "x", "--transport", "web")
    assert ran.code == 4
    assert "has no web service: leave out --transport" in ran.error_line


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/#seed=1", "/v1", "/v1/", "/v1/images/generations", "/sdapi/v1/txt2img"),
        *("/api/v1", "/api/v1/jobs", "/api/v1/jobs/1/pictures/0"),
    ],
)
def test_any_address_of_the_web_service_is_an_endpoint(
    run: CommandLine, web: FakeWeb, path: str
) -> None:
    ran = run("generate", "x", "--endpoint", web.endpoint + path)
    assert ran.code == 0, ran.err
    assert len(web.jobs) == 1


def test_the_transport_option_says_what_a_bare_address_is(
    run: CommandLine, web: FakeWeb, server: FakeServing
) -> None:
    address = web.endpoint.partition("://")[2]
    ran = run("generate", "x", "--transport", "web", "--endpoint", address)
    assert ran.code == 0, ran.err
    assert CAPABILITIES in web.requests
    ran = run("generate", "x", "--transport", "web", "--endpoint", f"grpc://{address}")
    assert ran.code == 3
    assert "is not a web endpoint: give one such as http://127.0.0.1:8080" in ran.error_line
    ran = run("generate", "x", "--transport", "web", "--endpoint", server.endpoint)
    assert ran.code == 4
    assert "check that this project's web service listens there" in ran.error_line


def test_an_address_is_asked_once_which_api_it_speaks(
    run: CommandLine, web: FakeWeb, server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("generate", "x", "--count", "3", "--endpoint", web.endpoint).code == 0
    assert web.requests.count(CAPABILITIES) == 2, "the second time for the model's limits"
    paths: list[str] = []
    status = server.status
    monkeypatch.setattr(server, "status", lambda path: paths.append(path) or status(path))
    assert run("generate", "x", "--count", "3", "--endpoint", server.endpoint).code == 0
    assert paths == ["/api/v1/capabilities"]
    assert run("generate", "x", "--endpoint", server.endpoint, "--transport", "rest").code == 0
    assert len(paths) == 1


@pytest.mark.parametrize(
    "content", [b"<!doctype html>", b"{}", b"[]", b'{"format": 1}', b'{"format": 2, "apis": []}']
)
def test_what_answers_otherwise_is_taken_for_a_model_server(
    run: CommandLine, server: FakeServing, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "status", lambda _: (200, content))
    assert run("generate", "x", "--endpoint", server.endpoint).code == 0


def test_web_services_and_model_servers_share_a_load(
    run: CommandLine, server: FakeServing, web: FakeWeb
) -> None:
    ends = ("--endpoint", server.endpoint, "--endpoint", web.endpoint)
    ran = run("load", "-n", "8", "-c", "2", "--json", *ends)
    assert ran.code == 0, ran.err
    drawn_by = {row["endpoint"] for row in json.loads(ran.out)["requests"]}
    assert drawn_by == {server.endpoint, web.endpoint}


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("invalid_request", 400, 3),
        ("model_server_unreachable", 503, 4),
        ("model_server_failed", 502, 4),
        ("model_loading", 503, 5),
        ("queue_full", 503, 6),
        ("deadline_exceeded", 504, 7),
    ],
)
def test_a_refusal_has_its_exit_code(
    run: CommandLine, web: FakeWeb, code: str, status: int, exit_code: int
) -> None:
    web.refusal = (status, problem(code, "not today"))
    ran = run("generate", "x", "--no-retry", "--endpoint", web.endpoint)
    assert ran.code == exit_code
    assert ran.error_line == f"error: {web.endpoint}: not today"


@pytest.mark.usefixtures("stack")
def test_generate_shows_the_steps_and_the_time_that_the_service_tells(
    run: CommandLine, web: FakeWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.command_line.progress.QUIET_SECONDS", 0.2)
    web.allowed_steps = 3
    threading.Timer(0.6, lambda: web.change(allowed_steps=50)).start()
    ran = run("generate", "x", "--steps", "20")
    assert ran.code == 0
    assert ran.err == "picture 1 of 1, step 3 of 20, 0 s, about 4 s left\n"


def test_progress_shows_the_place_in_the_queue_and_counts_the_pictures_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("client.command_line.progress.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("client.command_line.progress.QUIET_SECONDS", 1000)
    progress = Progress(3, sys.stderr)
    with progress.picture():
        progress.tell(PictureProgress(place=2, steps=20, seconds_left=30.0))
        clock[0] += 10
        assert progress.line() == "picture 1 of 3, place 2 in the queue, 10 s, about 80 s left"
        progress.tell(PictureProgress(step=5, steps=20, seconds_left=None))
        assert progress.line() == "picture 1 of 3, step 5 of 20, 10 s"
    with progress.picture():
        progress.tell(PictureProgress(step=1, steps=20, seconds_left=5.0))
        assert progress.line() == "picture 2 of 3, step 1 of 20, 0 s, about 15 s left"
    with progress.picture():
        progress.tell(PictureProgress(step=1, steps=20, seconds_left=2.0))
        clock[0] += 3
        assert progress.line() == "picture 3 of 3, step 1 of 20, 3 s", "it took longer"


METRICS = """\
# TYPE web_jobs counter
web_jobs_total{api="native",outcome="ok"} 3
web_jobs_total{api="a1111",outcome="ok"} 1
web_jobs_total{api="a1111",outcome="timeout"} 0
web_rejected_total{reason="queue_full"} 2
web_rejected_total{reason="not_found"} 9
web_job_seconds_bucket{api="native",le="0.5"} 0
web_job_seconds_bucket{api="native",le="1.0"} 3
web_job_seconds_bucket{api="native",le="+Inf"} 3
web_job_seconds_sum{api="native"} 2.4
web_job_seconds_count{api="native"} 3
web_job_seconds_bucket{api="a1111",le="0.5"} 0
web_job_seconds_bucket{api="a1111",le="1.0"} 1
web_job_seconds_bucket{api="a1111",le="+Inf"} 1
web_job_seconds_sum{api="a1111"} 0.8
web_job_waiting_seconds_bucket{api="native",le="+Inf"} 4
web_job_waiting_seconds_sum{api="native"} 1.0
"""


@pytest.mark.usefixtures("stack")
def test_status_shows_the_web_service_the_model_and_the_services_figures(
    run: CommandLine, web: FakeWeb
) -> None:
    web.metrics_page = METRICS
    ran = run("status")
    assert ran.code == 0, ran.err
    lines = {line[:11].strip(): line[13:] for line in ran.out.splitlines()}
    assert lines["state"] == "ready"
    assert lines["endpoint"] == web.endpoint
    assert lines["web service"] == ("ready, 0 queued, 0 drawing, 0.25 s per step, up for 0:01:05")
    assert lines["model"] == "stable-diffusion"
    assert lines["draws"].startswith("demo, ")
    assert lines["requests"] == "4 ok, 2 queue_full"
    assert lines["latency"] == "4 jobs, 0.80 s on average in the server; p50 about 0.75, p95 0.97"
    assert lines["queue"] == "4 requests, 0.25 s average wait; capacity 8"


def test_status_of_a_web_service_elsewhere_has_no_figures(run: CommandLine, web: FakeWeb) -> None:
    ran = run("status", "--endpoint", web.endpoint)
    assert ran.code == 0
    assert "web service  ready" in ran.out
    assert "metrics      unavailable: they have a port of their own" in ran.out


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    ("state", "code", "message"),
    [
        ("loading", 5, "is still loading"),
        ("unreachable", 4, "does not reach its model server 127.0.0.1:8500: `make doctor`"),
        ("draining", 4, "it is stopping"),
    ],
)
def test_status_says_why_no_picture_can_be_drawn(
    run: CommandLine, web: FakeWeb, state: str, code: int, message: str
) -> None:
    web.state = state
    ran = run("status")
    assert ran.code == code
    assert message in ran.error_line


def test_load_measures_the_web_service_and_its_model_server(
    run: CommandLine, stack: LocalStack, server: FakeServing, web: FakeWeb
) -> None:
    ran = run("load", "-n", "2", "--json")
    assert ran.code == 0, ran.err
    usage = json.loads(ran.out)["usage"]
    assert {sample["source"] for sample in usage} == {server.endpoint, web.endpoint}


def test_a_stack_is_starting_while_the_servers_of_its_transport_run(stack: LocalStack) -> None:
    def runs() -> tuple[bool, bool]:
        return starting.all_run("local", Protocol.WEB), starting.all_run("local", Protocol.REST)

    assert runs() == (True, True)
    (stack.root / ".state" / "web" / "server.json").unlink()
    assert runs() == (False, True)
    stack.record("web", "web", [1, 2])
    (stack.root / ".state" / "server" / "server.json").unlink()
    assert runs() == (False, False)
    assert not starting.all_run("dev", Protocol.WEB)


@pytest.mark.parametrize("command", [("generate", "x"), ("load", "-n", "4", "-c", "2")])
def test_ctrl_c_cancels_what_is_being_drawn(
    web: FakeWeb, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """The real thing: a process that gets SIGINT."""
    web.allowed_steps = 1
    process = subprocess.Popen(
        [sys.executable, "-m", "client", *command, "--endpoint", web.endpoint],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        web.wait_until("GET /api/v1/jobs/", times=1 if command[0] == "generate" else 2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "interrupted" in err
    assert {job.state for job in web.jobs.values()} == {"cancelled"}

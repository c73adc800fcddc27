"""The process: how it starts, what it leaves in its log, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from tests.processes import wait_until
from tests.web.running import ROOT, WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.slow

PROMPT = "a secret submarine"
KEY = "sk-very-secret"


def drawing_jobs(web: WebProcess) -> tuple[int, int]:
    """How many are drawn, and how many wait."""
    status = web.get("/api/v1/status").json()
    return status["drawing"], status["queued"]


def posts(web: WebProcess, count: int) -> list[Future[httpx.Response]]:
    """Synchronous requests, of which the first is being drawn and the others wait."""
    pool = ThreadPoolExecutor(count)
    calls = [
        pool.submit(web.post, "/sdapi/v1/txt2img", {"prompt": PROMPT, "seed": n})
        for n in range(count)
    ]
    wait_until(lambda: drawing_jobs(web) == (1, count - 1), "one to be drawn")
    pool.shutdown(wait=False)
    return calls


def test_sigterm_finishes_the_running_picture_and_answers_the_others_503() -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=0.6)) as stub,
        WebProcess([stub.endpoint]) as web,
    ):
        web.wait_for_model()
        calls = posts(web, 3)
        job = web.get("/api/v1/jobs").json()["jobs"][-1]
        events = ThreadPoolExecutor(1).submit(web.get, f"/api/v1/jobs/{job['id']}/events")
        web.signal(signal.SIGTERM)
        refused = [call for call in calls if call.result(30).status_code == 503]
        assert len(refused) == 2
        assert all(1 <= int(call.result().headers["retry-after"]) <= 60 for call in refused)
        # While it draws, it still answers.
        assert web.get("/health").status_code == 503
        assert web.post("/sdapi/v1/txt2img", {"prompt": PROMPT}).status_code == 503
        assert web.post("/api/v1/jobs", {"prompt": PROMPT}).headers["retry-after"]
        drawn = next(call.result(30) for call in calls if call not in refused)
        assert drawn.status_code == 200
        assert '"state":"done"' in events.result(30).text
        assert web.wait_for_exit() == 0
        assert "stopped" in web.log_lines[-1]


def test_the_pictures_of_the_last_job_can_be_fetched_before_the_end() -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=0.2)) as stub,
        WebProcess([stub.endpoint]) as web,
    ):
        web.wait_for_model()
        web.post("/api/v1/jobs", {"prompt": PROMPT, "id": "last"})
        web.signal(signal.SIGTERM)
        wait_until(lambda: web.get("/api/v1/jobs/last").json()["state"] == "done", "the picture")
        assert web.get("/api/v1/jobs/last/pictures/0").content.startswith(b"\x89PNG")
        assert web.wait_for_exit() == 0


def test_a_stop_waits_no_longer_than_it_may() -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=5.0)) as stub,
        WebProcess([stub.endpoint], ["--stop-timeout=0.3"]) as web,
    ):
        web.wait_for_model()
        [call] = posts(web, 1)
        started = time.monotonic()
        web.signal(signal.SIGTERM)
        assert call.result(30).status_code == 503
        assert web.wait_for_exit() == 0
        assert time.monotonic() - started < 10


def test_ctrl_c_exits_with_130_and_without_a_traceback() -> None:
    with WebProcess(["127.0.0.1:1"]) as web:
        web.signal(signal.SIGINT)
        assert web.wait_for_exit() == 130
        assert "Traceback" not in web.log


def test_a_second_signal_ends_it_at_once() -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=5.0)) as stub,
        WebProcess([stub.endpoint]) as web,
    ):
        web.wait_for_model()
        posts(web, 1)
        web.signal(signal.SIGTERM)
        wait_until(lambda: "stop: SIGTERM" in web.log, "the first signal to count")
        web.signal(signal.SIGINT)
        assert web.wait_for_exit() == 130


def test_idle_connections_do_not_hold_up_the_end() -> None:
    with WebProcess(["127.0.0.1:1"]) as web, httpx.Client() as idle:
        assert idle.get(f"{web.url}/health").status_code == 200
        silent = socket.create_connection(("127.0.0.1", web.port))
        started = time.monotonic()
        web.signal(signal.SIGTERM)
        assert web.wait_for_exit() == 0
        assert time.monotonic() - started < 4
        silent.close()


def test_it_stops_if_its_starter_dies_before_it_is_kept() -> None:
    with WebProcess(["127.0.0.1:1"]) as web:
        assert web.process.stdin is not None
        web.process.stdin.close()
        assert web.wait_for_exit() == 0
        assert "standard input closed before the line keep" in web.log


def test_it_goes_on_without_its_starter_once_it_is_kept() -> None:
    with WebProcess(["127.0.0.1:1"]) as web:
        assert web.process.stdin is not None
        web.process.stdin.write("keep\n")
        web.process.stdin.close()
        time.sleep(0.5)
        assert web.get("/health").json() == {"status": "ok"}


def test_it_starts_without_a_model_server_and_finds_it_when_it_comes() -> None:
    with StubModelServer() as first:
        port = first.port
    with WebProcess([f"127.0.0.1:{port}"]) as web:
        assert web.get("/api/v1/status").json()["state"] == "unreachable"
        refused = web.post("/api/v1/jobs", {"prompt": PROMPT})
        assert refused.status_code == 503
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        with StubModelServer(port=port):
            web.wait_for_model()
            assert web.post("/sdapi/v1/txt2img", {"prompt": PROMPT}).status_code == 200


@pytest.mark.parametrize("option", ["--port", "--metrics-port"])
def test_a_port_in_use_is_one_line_and_exit_code_1(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_web(f"{option}={port}")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert f"port {port}: Address already in use; choose another" in line
    assert "--metrics-port" in line


def test_it_refuses_to_listen_for_other_machines() -> None:
    ended = run_web("--host=0.0.0.0")
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert "127.0.0.1" in line


def has_ipv6_loopback() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")
def test_it_listens_on_the_other_loopback_too() -> None:
    with WebProcess(["127.0.0.1:1"], ["--host=::1"]) as web:
        assert web.url.startswith("http://[::1]:")
        assert web.get("/health").json() == {"status": "ok"}
        assert web.metrics().status_code == 200


def run_web(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "web", "--model-server=127.0.0.1:1"),
            *("--port=0", "--metrics-port=0", *options),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_metrics_are_on_loopback_and_guarded_too(shared_web: WebProcess) -> None:
    assert shared_web.metrics().headers["content-type"].startswith("text/plain; version=")
    assert shared_web.metrics(headers={"host": "evil.example"}).status_code == 403
    assert httpx.get(shared_web.metrics_url.replace("/metrics", "/")).status_code == 404
    assert shared_web.get("/metrics").status_code == 404


def test_no_prompt_and_no_key_is_in_the_log_or_the_metrics(shared_web: WebProcess) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    calls: list[Callable[[httpx.Client], httpx.Response]] = [
        lambda client: client.post("/sdapi/v1/txt2img", json={"prompt": PROMPT}),
        lambda client: client.post("/v1/images/generations", json={"prompt": PROMPT}),
        lambda client: client.post("/api/v1/jobs", json={"prompt": PROMPT, "id": "logged"}),
        lambda client: client.post("/api/v1/jobs", json={"prompt": [PROMPT], PROMPT: KEY}),
        lambda client: client.post("/api/v1/jobs", content=f'{{"{PROMPT}'),
        lambda client: client.get("/api/v1/jobs", params={"prompt": PROMPT, "key": KEY}),
        lambda client: client.get("/nowhere", params={"prompt": PROMPT}),
    ]
    with httpx.Client(base_url=shared_web.url, headers=headers, timeout=60) as client:
        for call in calls:
            answer = call(client)
            assert answer.status_code < 500
            assert KEY not in answer.text
    wait_until(lambda: "GET /nowhere 404" in shared_web.log, "the last line of the log")
    for text in (shared_web.log, shared_web.metrics().text, shared_web.get("/openapi.json").text):
        assert PROMPT not in text
        assert KEY not in text


def test_the_log_has_one_line_for_each_request(shared_web: WebProcess) -> None:
    request_id = "one-line-please"
    httpx.get(f"{shared_web.url}/api/v1/jobs/%0aforged", headers={"x-request-id": request_id})
    wait_until(lambda: request_id in shared_web.log, "the line")
    [line] = [line for line in shared_web.log_lines if request_id in line]
    assert re.search(r"INFO GET /api/v1/jobs/ ?\S*forged 404 \d\.\d{3} s", line)

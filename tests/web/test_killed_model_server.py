"""The whole service while its model server is killed: no caller hangs, and none is told riddles."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from tests.processes import wait_until
from tests.web.jobs.on_stub import StubProcess, stub_process
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow

PROMPT = {"prompt": "a red circle"}
REQUESTS = {
    "/v1/images/generations": PROMPT,
    "/sdapi/v1/txt2img": {**PROMPT, "steps": 10},
    "/api/v1/jobs": {**PROMPT, "steps": 10, "id": "mine"},
}


def _ask_everywhere(web: WebProcess, pool: ThreadPoolExecutor) -> dict[str, Future[httpx.Response]]:
    answers = {path: pool.submit(web.post, path, body) for path, body in REQUESTS.items()}
    wait_until(
        lambda: (
            web.get("/api/v1/status").json()["drawing"] == 1
            and web.get("/api/v1/status").json()["queued"] == 2
        ),
        "the jobs",
    )
    return answers


def _kill(stub: StubProcess) -> None:
    time.sleep(0.2)  # in the middle of a picture
    stub.kill()


def test_what_was_asked_through_each_api_is_drawn_after_the_model_server_is_back() -> None:
    with (
        ThreadPoolExecutor() as pool,
        stub_process("--seconds-per-step=0.1") as stub,
        WebProcess([stub.endpoint]) as web,
    ):
        web.wait_for_model()
        answers = _ask_everywhere(web, pool)
        _kill(stub)
        assert web.get("/health").status_code == 200
        stub.start()
        for path, answer in answers.items():
            assert answer.result().status_code == (202 if path == "/api/v1/jobs" else 200)
        wait_until(lambda: web.get("/api/v1/jobs/mine?wait=1").json()["state"] == "done", "the job")


def test_what_was_asked_ends_in_time_with_a_reason_if_the_model_server_stays_away() -> None:
    with (
        ThreadPoolExecutor() as pool,
        stub_process("--seconds-per-step=0.1") as stub,
        WebProcess([stub.endpoint], ["--deadline=4"]) as web,
    ):
        web.wait_for_model()
        start = time.monotonic()
        answers = _ask_everywhere(web, pool)
        _kill(stub)
        assert answers["/api/v1/jobs"].result().status_code == 202
        for path in ("/v1/images/generations", "/sdapi/v1/txt2img"):
            answer = answers[path].result()
            assert answer.status_code == 504
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert "the model server does not answer" in answer.text
            assert "within its 4 s" in answer.text
        assert time.monotonic() - start < 8
        document = web.get("/api/v1/jobs/mine?wait=5").json()
        assert document["state"] in ("refused", "failed")
        assert document["error"]["retryAfterSeconds"]

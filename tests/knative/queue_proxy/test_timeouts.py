"""Time-outs: the worker's own comes first, and what a caller sees where queue-proxy's does."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.knative.queue_proxy.pod import GENERATIONS, PROMPT, TXT2IMG, running_pod
from tests.knative.queue_proxy.process import URL
from tests.processes import wait_until
from tests.web.stub_model_server import Behaviour, StubModelServer
from web.worker import DRAW_PATH

pytestmark = pytest.mark.long

TIMEOUT_SECONDS = 4


def test_a_picture_that_takes_too_long_is_a_504_in_the_form_of_its_api() -> None:
    """The worker's deadline is below the revision's time-out."""
    with (
        StubModelServer(Behaviour(seconds_per_step=1.0, default_steps=50)) as stub,
        running_pod(stub.endpoint, ["--deadline=2"], timeout_seconds=60) as pod,
    ):
        a1111, openai = pod.post(TXT2IMG), pod.post(GENERATIONS)
        assert a1111.result().status_code == openai.result().status_code == 504
        assert a1111.result().json()["error"] == "deadline_exceeded"
        assert openai.result().json()["error"]["code"] == "deadline_exceeded"


def test_beyond_the_revisions_time_out_callers_get_queue_proxys_own_504() -> None:
    """Those that wait, and the one that is drawn, which the worker gives up."""
    with (
        StubModelServer(Behaviour(seconds_per_step=1.0)) as stub,
        running_pod(stub.endpoint, timeout_seconds=TIMEOUT_SECONDS) as pod,
    ):
        answers = [pod.post(body={**PROMPT, "steps": 50}) for _ in range(2)]
        for answer in answers:
            assert answer.result().status_code == 504
            assert answer.result().text == "request timeout"
            assert answer.result().headers["content-type"].startswith("text/plain")
        wait_until(lambda: stub.in_flight == 0, "the worker to give them up")
        assert stub.calls["finish"] == 0
        assert pod.post(body={**PROMPT, "steps": 1}).result().status_code == 200


def test_a_stream_that_takes_too_long_ends_in_words_that_are_no_event() -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=1.0)) as stub,
        running_pod(stub.endpoint, timeout_seconds=TIMEOUT_SECONDS),
        httpx.stream(
            *("POST", f"{URL}{DRAW_PATH}"),
            json={**PROMPT, "steps": 50},
            timeout=60,
            trust_env=False,
        ) as answer,
    ):
        assert answer.status_code == 200
        *events, last = answer.iter_lines()
        assert json.loads(events[0])["type"] == "started"
        assert {json.loads(event)["type"] for event in events[1:]} == {"progress"}
        assert last == "request timeout"

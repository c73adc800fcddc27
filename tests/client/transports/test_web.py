"""The web service's job API as a transport: one job for a picture, whatever happens on the way."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from client import (
    Client,
    ClientError,
    InputRefusedError,
    ModelLoadingError,
    ModelState,
    ModelStatus,
    Protocol,
    QueueFullError,
    RequestTimeoutError,
    UnexpectedAnswerError,
    UnreachableError,
)
from client.transports import web_jobs
from client.transports.progress import PictureProgress
from prediction.errors import Repeat
from tests.client.fake_serving import FakeServing
from tests.client.fake_web import FakeWeb, problem


def web_client(web: FakeWeb, **options: Any) -> Client:
    return Client(web.endpoint, protocol=Protocol.WEB, **options)


def failure(web: FakeWeb, **options: Any) -> ClientError:
    with web_client(web, retry=False, **options) as client, pytest.raises(ClientError) as raised:
        client.generate("a star", seed=1)
    assert "\n" not in str(raised.value)
    assert web.endpoint in str(raised.value)
    return raised.value


def test_the_web_service_gives_the_same_picture_as_its_model_server(
    server: FakeServing, web: FakeWeb
) -> None:
    pictures = []
    for endpoint, protocol in ((server.endpoint, Protocol.REST), (web.endpoint, Protocol.WEB)):
        with Client(endpoint, protocol=protocol) as client:
            picture = client.generate(
                "a blue ☆", negative_prompt="röt", num_steps=9, guidance_scale=5.5, seed=2**31 - 3
            )
        assert picture.endpoint == endpoint
        pictures.append(replace(picture, seconds=0, endpoint="", png=b""))
    assert pictures[0] == pictures[1]
    assert server.rows[0] == server.rows[1]


def test_progress_is_told_from_the_queue_to_the_last_step(web: FakeWeb) -> None:
    web.queue_moves = False
    web.allowed_steps = 3
    told: list[PictureProgress] = []

    def watch(progress: PictureProgress) -> None:
        told.append(progress)
        if len(told) == 1:
            web.change(queue_moves=True)
        elif len(told) == 2:
            web.change(allowed_steps=20)

    with web_client(web) as client:
        client.generate("a star", num_steps=20, seed=1, watch=watch)
    assert told == [
        PictureProgress(place=1, step=0, steps=20, seconds_left=4.2),
        PictureProgress(place=0, step=3, steps=20, seconds_left=4.2),
    ]


def test_a_poll_without_news_is_repeated(web: FakeWeb) -> None:
    web.allowed_steps = 1
    web.longest_wait_seconds = 0.01
    threading.Timer(0.1, lambda: web.change(allowed_steps=100)).start()
    with web_client(web) as client:
        client.generate("a star", seed=1)
    assert len(web.jobs) == 1


def test_a_poll_that_is_not_answered_is_repeated_until_the_timeout(
    web: FakeWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_jobs, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(web_jobs, "POLL_MARGIN_SECONDS", 0.1)
    web.allowed_steps = 1
    web.stalls = [0.4, 0.4]

    def go_on(_: PictureProgress) -> None:
        web.change(allowed_steps=100)

    with web_client(web, retry=False) as client:
        client.generate("a star", seed=1, watch=go_on)
    assert web.stalls == []
    assert len(web.jobs) == 1
    web.allowed_steps = 1
    web.stalls = [0.4] * 10
    assert type(failure(web, timeout_seconds=0.25)) is RequestTimeoutError
    assert {job.state for job in web.jobs.values()} == {"done", "cancelled"}


@pytest.mark.parametrize(
    "cut", ["POST /api/v1/jobs", "GET /api/v1/jobs/", "pictures"], ids=["ask", "wait", "fetch"]
)
def test_a_lost_connection_is_taken_up_again_and_nothing_is_drawn_twice(
    server: FakeServing, web: FakeWeb, cut: str
) -> None:
    web.allowed_steps = 1
    with web_client(web, retry=False) as client:
        client.describe()
        if cut == "pictures":
            web.allowed_steps = 100
            cut = "GET /api/v1/jobs/"  # the job is done at once: the first GET is its picture's
        else:
            threading.Timer(0.1, lambda: web.change(allowed_steps=100)).start()
        web.hang_ups = [cut, cut]
        client.generate("a star", seed=1)
    assert web.hang_ups == []
    assert len(web.jobs) == len(server.rows) == 1


def test_a_request_that_is_sent_again_after_a_longer_loss_is_the_same_job(
    server: FakeServing, web: FakeWeb
) -> None:
    lost = ["POST /api/v1/jobs"] * (web_jobs.MAX_LOST + 1)
    with web_client(web, retry=False) as client:
        request = client.prepare("a star", seed=1)
        web.hang_ups = [*lost]
        with pytest.raises(UnreachableError) as raised:
            client.send(request)
        assert raised.value.repeat is not Repeat.NEVER
        client.send(request)
        assert len(web.jobs) == len(server.rows) == 1
        client.send(request)
        assert len(web.jobs) == 2


def test_a_timeout_cancels_the_job(web: FakeWeb) -> None:
    web.allowed_steps = 1
    error = failure(web, timeout_seconds=0.3)
    assert type(error) is RequestTimeoutError
    assert "within 0." in str(error)
    assert web.only_job.state == "cancelled"


def test_an_interrupt_cancels_the_job(web: FakeWeb) -> None:
    web.allowed_steps = 1

    def interrupt(_: PictureProgress) -> None:
        raise KeyboardInterrupt

    with web_client(web) as client, pytest.raises(KeyboardInterrupt):
        client.generate("a star", seed=1, watch=interrupt)
    assert web.only_job.state == "cancelled"


def test_closing_a_client_cancels_the_jobs_it_waits_for(web: FakeWeb) -> None:
    web.allowed_steps = 1
    client = web_client(web, retry=False)
    client.describe()
    ended: list[str] = []

    def draw() -> None:
        try:
            client.generate("a star", seed=1)
        except ClientError as error:
            ended.append(str(error))

    thread = threading.Thread(target=draw)
    thread.start()
    web.wait_until("GET /api/v1/jobs/")
    client.close()
    thread.join(10)
    assert web.only_job.state == "cancelled"
    assert ended


@pytest.mark.parametrize(
    ("status", "code", "kind", "repeat"),
    [
        (400, "invalid_request", InputRefusedError, Repeat.NEVER),
        (400, "too_costly", InputRefusedError, Repeat.NEVER),
        (409, "conflict", InputRefusedError, Repeat.NEVER),
        (413, "body_too_large", InputRefusedError, Repeat.NEVER),
        (503, "queue_full", QueueFullError, Repeat.FREELY),
        (503, "shutting_down", UnreachableError, Repeat.FREELY),
        (503, "model_loading", ModelLoadingError, Repeat.FREELY),
        (503, "model_server_unreachable", UnreachableError, Repeat.FREELY),
        (503, "some_new_reason", QueueFullError, Repeat.FREELY),
        (500, "internal_error", UnexpectedAnswerError, Repeat.NEVER),
    ],
)
def test_a_refusal_is_an_error_with_the_services_message(
    web: FakeWeb, status: int, code: str, kind: type[ClientError], repeat: Repeat
) -> None:
    web.refusal = (status, problem(code, "not today", retryAfterSeconds=7))
    error = failure(web)
    assert type(error) is kind
    assert (error.status, error.repeat) == (str(status), repeat)
    assert "not today" in str(error)
    if repeat is Repeat.FREELY:
        assert error.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("code", "kind", "repeat", "status"),
    [
        ("model_server_lost", UnreachableError, Repeat.SPARINGLY, "503"),
        ("model_server_failed", UnexpectedAnswerError, Repeat.NEVER, "502"),
        ("deadline_exceeded", RequestTimeoutError, Repeat.NEVER, "504"),
        ("shutting_down", UnreachableError, Repeat.FREELY, "503"),
        ("cancelled", UnexpectedAnswerError, Repeat.NEVER, "400"),
        ("some_new_reason", UnexpectedAnswerError, Repeat.NEVER, "502"),
    ],
)
def test_a_job_that_ends_without_a_picture_says_why(
    web: FakeWeb, code: str, kind: type[ClientError], repeat: Repeat, status: str
) -> None:
    web.failure = problem(code, "it broke", retryAfterSeconds=None)
    error = failure(web)
    assert type(error) is kind
    assert (error.status, error.repeat) == (status, repeat)
    assert str(error) == f"{web.endpoint}: it broke"


@pytest.mark.parametrize(
    ("state", "kind"), [("loading", ModelLoadingError), ("unreachable", UnreachableError)]
)
def test_a_picture_that_was_too_late_for_want_of_a_model_is_asked_for_again(
    web: FakeWeb, state: str, kind: type[ClientError]
) -> None:
    web.failure = problem("deadline_exceeded", retryAfterSeconds=5)
    web.state = state
    error = failure(web)
    assert type(error) is kind
    assert error.repeat is Repeat.FREELY


def test_a_full_queue_is_asked_again_after_the_time_it_says(web: FakeWeb) -> None:
    web.refusal = (503, problem("queue_full", retryAfterSeconds=1))
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        web.refusal = None

    from client.retry import until_deadline

    with web_client(web) as client:
        request = client.prepare("a star", seed=1)
        until_deadline(client, lambda seconds: client.send(request, seconds), sleep=sleep)
    assert len(waits) == 1
    assert waits[0] >= 1


def test_a_service_that_was_restarted_is_asked_for_the_picture_again(
    web: FakeWeb, server: FakeServing
) -> None:
    web.allowed_steps = 1
    with web_client(web) as client:
        client.describe()

        def forget(_: PictureProgress) -> None:
            if len(server.rows) == 0:
                web.jobs.clear()
                web.allowed_steps = 100

        client.generate("a star", seed=1, watch=forget)
    assert len(web.jobs) == len(server.rows) == 1


@pytest.mark.parametrize("state", ["ready", "loading", "unreachable", "draining"])
def test_the_status_is_the_models(web: FakeWeb, state: str) -> None:
    web.state = state
    with web_client(web) as client:
        if state in ("ready", "loading"):
            assert client.status() == ModelStatus(ModelState(state), "")
            return
        with pytest.raises(UnreachableError) as raised:
            client.status()
    assert raised.value.repeat is Repeat.FREELY
    if state == "unreachable":
        assert "does not reach its model server 127.0.0.1:8500" in str(raised.value)


def test_the_description_is_the_models_own(web: FakeWeb, server: FakeServing) -> None:
    assert isinstance(server.described, dict)
    server.described["limits"] = {"defaultSteps": 7, "maxSteps": 9}
    server.described["signatures"] = ["begin", "advance", "finish"]
    with web_client(web) as client:
        described = client.describe()
        assert described is not None
        assert (client.limits.default_steps, client.limits.max_steps) == (7, 9)
        assert described.fingerprint == server.fingerprint
        assert described.draws_in_chunks


@pytest.mark.parametrize(
    ("state", "kind"), [("loading", ModelLoadingError), ("unreachable", UnreachableError)]
)
def test_a_model_that_was_not_seen_yet_is_waited_for(
    web: FakeWeb, state: str, kind: type[ClientError]
) -> None:
    web.knows_the_model = False
    web.state = state
    error = failure(web)
    assert type(error) is kind
    assert error.repeat is Repeat.FREELY


def test_a_model_that_does_not_describe_itself_is_drawn_with(web: FakeWeb) -> None:
    web.knows_the_model = False
    warnings: list[str] = []
    with web_client(web, warn=warnings.append) as client:
        client.generate("a star", seed=1)
    assert "does not say what it is" in warnings[0]


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff\xfe\x00", b"{}", b"[" * 100_000])
def test_a_response_without_a_job_is_reported(web: FakeWeb, content: bytes) -> None:
    with web_client(web, retry=False) as client:
        request = client.prepare("a star", seed=1)
        web.reply = (200, content)
        with pytest.raises(UnexpectedAnswerError, match="answered with no job"):
            client.send(request)


def test_a_service_that_is_down_is_unreachable(free_port: int) -> None:
    with (
        Client(f"http://127.0.0.1:{free_port}", protocol=Protocol.WEB, retry=False) as client,
        pytest.raises(UnreachableError, match="connection refused") as raised,
    ):
        client.generate("a star")
    assert raised.value.repeat is Repeat.FREELY


def test_a_proxy_that_answers_for_a_service_on_its_way_says_nothing_of_its_api(
    web: FakeWeb,
) -> None:
    with Client(web.endpoint, retry=False) as client:
        web.reply = (503, b"no server")
        with pytest.raises(ClientError):
            client.generate("a star", num_steps=2)
        web.reply = None
        client.generate("a star", num_steps=2)
    assert len(web.jobs) == 1

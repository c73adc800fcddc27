"""A front whose worker is behind queue-proxy: its callers notice nothing of either."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.knative.queue_proxy.pod import (
    GENERATIONS,
    PROMPT,
    TXT2IMG,
    WORKER,
    Pod,
    running_pod,
)
from tests.knative.queue_proxy.process import QUEUE_DEPTH, URL, QueueProxy
from tests.processes import wait_until
from tests.web.front.pair import description_file
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.long

JOBS = "/api/v1/jobs"
MANY = 10


@contextmanager
def running_front(
    stub: StubModelServer, folder: Path, options: Sequence[str] = ()
) -> Iterator[WebProcess]:
    """One that takes the pod for all of its workers."""
    description = description_file(stub.behaviour, str(folder))
    front = ["--role=front", f"--worker-url={URL}", f"--model-description={description}"]
    with WebProcess([], [*front, "--queue=20", *options]) as web:
        yield web


def submit(front: WebProcess, job_id: str, **body: object) -> None:
    answer = front.post(JOBS, {**PROMPT, "id": job_id, **body})
    assert answer.status_code == 202, answer.text


def ended(front: WebProcess, job_id: str) -> dict[str, Any]:
    job = front.get(f"{JOBS}/{job_id}").json()
    while job["state"] in ("queued", "drawing"):
        job = front.get(f"{JOBS}/{job_id}?wait=25&version={job['version']}").json()
    return job


def test_ten_jobs_at_once_are_all_drawn_one_at_a_time(tmp_path: Path) -> None:
    """The front sends all ten to the pod, whose queue-proxy lets nine of them wait."""
    behaviour = Behaviour(seconds_per_step=5.0)
    with (
        StubModelServer(behaviour) as stub,
        running_pod(stub.endpoint) as pod,
        running_front(stub, tmp_path, [f"--workers={MANY}"]) as front,
    ):
        names = [f"job-{number}" for number in range(MANY)]
        for name in names:
            submit(front, name)
        pod.wait_until_inside(MANY)
        behaviour.seconds_per_step = 0.05
        assert [ended(front, name)["state"] for name in names] == ["done"] * MANY
        for name in names:
            picture = front.get(f"{JOBS}/{name}/pictures/0")
            assert picture.content.startswith(b"\x89PNG")
        assert stub.most_in_flight == pod.most_in_flight() == 1
        assert pod.proxy.requests_drawn() == MANY


def test_events_come_through_queue_proxy_step_by_step(tmp_path: Path) -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=0.3)) as stub,
        running_pod(stub.endpoint),
        running_front(stub, tmp_path) as front,
    ):
        submit(front, "watched", steps=8)
        seen: set[int] = set()
        job = front.get(f"{JOBS}/watched").json()
        while job["state"] in ("queued", "drawing"):
            seen.add(job["step"])
            job = front.get(f"{JOBS}/watched?wait=25&version={job['version']}").json()
        assert job["state"] == "done"
        assert len(seen) > 4


def test_a_job_that_is_cancelled_in_the_fronts_queue_never_reaches_the_pod(tmp_path: Path) -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=0.5)) as stub,
        running_pod(stub.endpoint) as pod,
        running_front(stub, tmp_path, ["--workers=1"]) as front,
    ):
        submit(front, "drawn")
        submit(front, "waits")
        wait_until(lambda: stub.in_flight == 1, "the first to be drawn")
        assert front.delete(f"{JOBS}/waits").status_code == 200
        assert ended(front, "waits")["state"] == "cancelled"
        assert ended(front, "drawn")["state"] == "done"
        assert pod.proxy.requests_drawn() == stub.calls["begin"] == 1


def test_a_job_that_is_cancelled_while_it_is_drawn_makes_room_for_the_next(tmp_path: Path) -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=0.5)) as stub,
        running_pod(stub.endpoint) as pod,
        running_front(stub, tmp_path, ["--workers=2"]) as front,
    ):
        submit(front, "drawn", steps=50)
        wait_until(lambda: stub.calls["advance"] > 0, "the first to be drawn")
        submit(front, "next", steps=2)
        pod.wait_until_inside(2)
        front.delete(f"{JOBS}/drawn")
        assert ended(front, "next")["state"] == "done"
        assert stub.calls["finish"] == 1
        assert stub.most_in_flight == 1


def test_a_job_that_finds_no_room_in_queue_proxy_is_drawn_later(tmp_path: Path) -> None:
    behaviour = Behaviour(seconds_per_step=1.0)
    with (
        StubModelServer(behaviour) as stub,
        running_pod(stub.endpoint) as pod,
        running_front(stub, tmp_path) as front,
    ):
        others = [pod.post() for _ in range(1 + QUEUE_DEPTH)]
        pod.wait_until_inside(1 + QUEUE_DEPTH)
        submit(front, "patient")
        wait_until(lambda: "the workers answer with HTTP 503" in front.log, "the refusal")
        behaviour.seconds_per_step = 0.0
        assert ended(front, "patient")["state"] == "done"
        assert {other.result().status_code for other in others} == {200}


@pytest.mark.parametrize("path", [TXT2IMG, GENERATIONS])
def test_a_job_that_takes_too_long_is_a_504_in_the_form_of_its_api(
    path: str, tmp_path: Path
) -> None:
    """The front's deadline is below the revision's time-out."""
    with (
        StubModelServer(Behaviour(seconds_per_step=1.0, default_steps=50)) as stub,
        running_pod(stub.endpoint, timeout_seconds=60),
        running_front(stub, tmp_path, ["--deadline=3"]) as front,
    ):
        answer = front.post(path, PROMPT)
        assert answer.status_code == 504
        error = answer.json()["error"]
        assert (error["code"] if path == GENERATIONS else error) == "deadline_exceeded"
        wait_until(lambda: stub.in_flight == 0, "the worker to give it up")


def test_a_stream_that_queue_proxy_cuts_off_is_a_lost_worker_in_one_line(tmp_path: Path) -> None:
    with (
        StubModelServer(Behaviour(seconds_per_step=1.0)) as stub,
        running_pod(stub.endpoint, timeout_seconds=3),
        running_front(stub, tmp_path) as front,
    ):
        submit(front, "long", steps=50)
        error = ended(front, "long")["error"]
        assert error["code"] == "model_server_lost"
        assert "\n" not in error["message"]
        assert "Traceback" not in front.log


def test_a_job_waits_for_a_pod_that_is_only_being_started(tmp_path: Path) -> None:
    with (
        StubModelServer(Behaviour(is_loading=True)) as stub,
        running_front(stub, tmp_path) as front,
    ):
        submit(front, "early")
        wait_until(lambda: "no worker answers at --worker-url" in front.log, "the first try")
        with (
            WebProcess([stub.endpoint], WORKER) as worker,
            QueueProxy(worker.port) as proxy,
        ):
            wait_until(lambda: "the workers answer with HTTP 503" in front.log, "another try")
            stub.behaviour.is_loading = False
            assert ended(front, "early")["state"] == "done"
            assert Pod(worker, proxy).most_in_flight() == 1


def test_a_job_whose_worker_is_killed_before_its_turn_is_drawn_by_the_next(tmp_path: Path) -> None:
    behaviour = Behaviour(seconds_per_step=1.0, default_steps=50)
    with (
        StubModelServer(behaviour) as stub,
        running_pod(stub.endpoint) as pod,
        running_front(stub, tmp_path) as front,
    ):
        drawn = pod.post()
        pod.wait_until_inside(1)
        submit(front, "waits", steps=2)
        pod.wait_until_inside(2)
        pod.worker.process.kill()
        assert drawn.result().status_code == 502
        wait_until(lambda: "the workers answer with HTTP 502" in front.log, "the refusal")
        with WebProcess([stub.endpoint], [*WORKER, f"--port={pod.worker.port}"]):
            assert ended(front, "waits")["state"] == "done"

"""Progress, interrupt, skip and task ids: of the caller's own jobs."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from tests.web.a1111.front import PROGRESS, TXT2IMG, Front, info_of, picture_of, until
from tests.web.jobs.fake_server import asked
from web.a1111 import progress
from web.jobs.job import Api, Job, JobState
from web.jobs.wishes import Wish
from web.model import chunks
from web.service import ask

CHUNK_SECONDS = 0.1
SECONDS_PER_STEP = 0.02

IDLE = {
    "progress": 0.0,
    "eta_relative": 0.0,
    "state": {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "",
        "job_count": 0,
        "job_timestamp": "0",
        "job_no": 0,
        "sampling_step": 0,
        "sampling_steps": 0,
    },
    "current_image": None,
    "textinfo": None,
}


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", CHUNK_SECONDS)


@pytest.fixture
def front(own_front: Front) -> Front:
    own_front.stub.behaviour.seconds_per_step = SECONDS_PER_STEP
    return own_front


def is_drawing(answer: dict[str, Any]) -> bool:
    return answer["state"]["sampling_step"] > 0


def test_an_idle_service_answers_the_idle_shape_exactly(front: Front) -> None:
    assert front.get(PROGRESS) == IDLE
    front.draw()
    assert front.get(PROGRESS) == IDLE


def test_progress_grows_and_never_says_done_before_it_is(front: Front) -> None:
    call = front.start(n_iter=2, steps=20)
    seen: list[dict[str, Any]] = []
    while not call.done():
        answer = front.get(f"{PROGRESS}?skip_current_image=true")
        if answer["state"]["job_count"]:
            seen.append(answer)
        time.sleep(0.005)
    shares = [answer["progress"] for answer in seen]
    assert shares == sorted(shares)
    assert shares[-1] < 1
    states = [answer["state"] for answer in seen if is_drawing(answer)]
    assert {state["job_count"] for state in states} == {2}
    assert {state["job_no"] for state in states} == {0, 1}
    assert {state["sampling_steps"] for state in states} == {20}
    assert all(state["sampling_step"] <= 20 for state in states)
    assert len(call.result().json()["images"]) == 2


@pytest.mark.parametrize("step", [0, 4])
def test_a_job_that_is_drawn_is_neither_idle_nor_done(step: int) -> None:
    job = Job("a", asked(steps=4), deadline=0.0, state=JobState.DRAWING, step=step)
    assert 0 < progress.share_done(job) < 1


def test_the_current_image_is_a_png_of_the_pictures_size(front: Front) -> None:
    front.start(steps=40)
    answer = front.until(PROGRESS, lambda answer: answer["current_image"])
    with picture_of(answer["current_image"]) as image:
        assert (image.format, image.size) == ("PNG", (64, 64))
    assert answer["eta_relative"] > 0
    answer = front.get(f"{PROGRESS}?skip_current_image=true")
    assert answer["current_image"] is None
    assert is_drawing(answer)


def test_nobody_sees_or_stops_anothers_job(front: Front) -> None:
    mine = front.start(key="mine", steps=30, force_task_id="one")
    front.until(PROGRESS, is_drawing, key="mine")
    for key in ("", "another"):
        assert front.get(PROGRESS, key) == IDLE
        assert (front.get("/internal/pending-tasks", key)) == {"size": 0, "tasks": []}
        found = front.post("/internal/progress", {"id_task": "one"}, key)
        assert not any(found.json()[word] for word in ("active", "queued", "completed"))
        assert (front.post("/sdapi/v1/interrupt", key=key)).json() == {}
        assert (front.post("/sdapi/v1/skip", key=key)).json() is None
    answer = mine.result().json()
    assert front.service.queue.jobs("") == []
    with picture_of(answer["images"][0]) as image:
        assert "Interrupted" not in image.info["parameters"]


def test_an_interrupt_answers_the_pictures_so_far_and_the_half_done_one(
    front: Front,
) -> None:
    call = front.start(n_iter=3, steps=30, seed=5)
    front.until(PROGRESS, lambda answer: is_drawing(answer) and answer["state"]["job_no"] == 1)
    assert (front.post("/sdapi/v1/interrupt")).json() == {}
    answer = call.result()
    assert answer.status_code == 200
    images, info = answer.json()["images"], info_of(answer.json())
    assert len(images) == 2
    assert info["all_seeds"] == [5, 6]
    said = [picture_of(image).info["parameters"] for image in images]
    assert said == info["infotexts"]
    assert ["Interrupted: yes" in text for text in said] == [False, True]
    assert front.get(PROGRESS) == IDLE


def test_the_picture_after_an_interrupted_one_is_right(front: Front) -> None:
    call = front.start(steps=40)
    front.until(PROGRESS, is_drawing)
    front.post("/sdapi/v1/interrupt")
    call.result()
    front.stub.behaviour.seconds_per_step = 0.0
    again = front.draw(seed=7)
    with picture_of(again["images"][0]) as image:
        expected = front.stub.picture(front.stub.requests[-1])
        assert image.tobytes() == picture_of(base64.b64encode(expected).decode()).tobytes()


def test_an_interrupt_ends_only_what_is_being_drawn(front: Front) -> None:
    first = front.start(steps=40)
    front.until(PROGRESS, is_drawing)
    second = front.start(steps=2)
    front.until("/internal/pending-tasks", lambda answer: answer["size"] == 1)
    front.post("/sdapi/v1/interrupt")
    assert "Interrupted: yes" in info_of(first.result().json())["infotexts"][0]
    assert "Interrupted" not in info_of(second.result().json())["infotexts"][0]


def test_an_interrupt_ends_what_waits_if_nothing_is_being_drawn(front: Front) -> None:
    front.start(key="another", steps=40)
    front.until(PROGRESS, is_drawing, key="another")
    waiting = front.start(key="mine")
    progress = front.until(PROGRESS, lambda answer: answer["state"]["job_count"] == 1, key="mine")
    assert progress["progress"] == 0.0
    front.post("/sdapi/v1/interrupt", key="mine")
    answer = waiting.result()
    assert answer.status_code == 200
    assert answer.json()["images"] == []
    assert info_of(answer.json())["infotexts"] == []
    assert answer.json()["notes"] == ["interrupted before there was any picture"]
    assert "interrupted" in answer.headers["x-notes"]


def test_an_interrupt_leaves_jobs_of_the_other_apis_alone(front: Front) -> None:
    job = front.do(lambda: ask(front.service, Wish("a", Api.NATIVE, steps=40)))
    until(lambda: front.get("/sdapi/v1/options"), lambda _: job.step > 0)
    front.post("/sdapi/v1/interrupt")
    assert front.get(PROGRESS) == IDLE
    assert not job.is_cancelled
    front.do(lambda: front.service.queue.cancel(job))


def test_a_skip_goes_on_with_the_next_picture(front: Front) -> None:
    call = front.start(n_iter=2, steps=30)
    front.until(PROGRESS, is_drawing)
    assert (front.post("/sdapi/v1/skip")).json() is None
    info = info_of(call.result().json())
    assert ["Interrupted" in text for text in info["infotexts"]] == [True, False]


def test_an_older_model_is_interrupted_too(front: Front) -> None:
    front.stub.behaviour.in_chunks = False
    server = front.service.models.servers[0]
    front.run(server.read_description)
    call = front.start(steps=20)
    front.until(PROGRESS, lambda answer: answer["state"]["job_count"] == 1)
    front.post("/sdapi/v1/interrupt")
    answer = call.result()
    assert answer.status_code == 200
    assert answer.json()["images"] == []


def test_a_task_is_found_from_the_queue_to_its_end(front: Front) -> None:
    def progress(**fields: Any) -> Any:
        answer = front.post("/internal/progress", {"id_task": "task(b)", **fields})
        return answer.json()

    assert (progress())["textinfo"] == "Waiting..."
    front.start(steps=10, force_task_id="task(a)")
    front.until(PROGRESS, is_drawing)
    call = front.start(steps=30, force_task_id="task(b)")
    queued = until(progress, lambda answer: answer["queued"])
    assert queued["textinfo"] == "In queue: 1/1"
    assert front.get("/internal/pending-tasks") == {"size": 1, "tasks": ["task(b)"]}
    active = until(progress, lambda answer: answer["live_preview"])
    assert active["active"] and not active["queued"] and not active["completed"]
    assert 0 < active["progress"] < 1
    assert active["live_preview"].startswith("data:image/png;base64,")
    number = active["id_live_preview"]
    same = progress(id_live_preview=number)
    assert same["live_preview"] is None or same["id_live_preview"] > number
    assert (progress(live_preview=False))["live_preview"] is None
    front.post("/sdapi/v1/interrupt")
    call.result()
    ended = progress()
    assert (ended["active"], ended["queued"], ended["completed"]) == (False, False, True)


def test_a_service_without_model_server_answers_progress_and_refuses_pictures(
    front: Front,
) -> None:
    front.stub.close()
    front.do(front.service.models.servers[0].set_aside)
    assert front.get(PROGRESS) == IDLE
    call = front.start()
    front.until("/internal/pending-tasks", lambda answer: answer["size"] == 1)
    front.do(front.service.queue.drain)
    refused = call.result()
    assert refused.status_code == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert front.service.queue.jobs("")[0].state is JobState.REFUSED
    assert (front.post(TXT2IMG, {"prompt": "a"})).status_code == 503


def test_a_damaged_task_request_is_refused(front: Front) -> None:
    for body in ({}, {"id_task": 7}, [], {"id_task": "a", "id_live_preview": "x"}):
        assert (front.post("/internal/progress", body)).status_code == 422

"""Jobs by the own API: submitted, watched, cancelled, fetched."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from PIL import Image

from prediction.limits import PictureRequest
from prediction.recipe import read
from tests.processes import wait_until
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.slow

JOBS = "/api/v1/jobs"
PROMPT = "a small red circle"


@pytest.fixture(scope="module")
def slow_stub() -> Iterator[StubModelServer]:
    with StubModelServer(Behaviour(seconds_per_step=0.1)) as stub:
        yield stub


@pytest.fixture(scope="module")
def slow_web(slow_stub: StubModelServer) -> Iterator[WebProcess]:
    """A service on which a default picture takes 0.4 s."""
    with WebProcess([slow_stub.endpoint], ["--keep-results=1.5"]) as web:
        yield web.wait_for_model()


def submit(web: WebProcess, *, key: str = "", **fields: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return web.post(JOBS, {"prompt": PROMPT, **fields}, headers=headers)


def document(web: WebProcess, job_id: str, query: str = "", key: str = "") -> dict[str, Any]:
    headers = {"x-api-key": key} if key else {}
    return web.get(f"{JOBS}/{job_id}{query}", headers=headers).json()


def done(web: WebProcess, job_id: str) -> dict[str, Any]:
    wait_until(lambda: document(web, job_id)["state"] not in ("queued", "drawing"), "the end")
    return document(web, job_id)


def test_a_job_is_accepted_drawn_and_fetched(
    shared_web: WebProcess, shared_stub: StubModelServer
) -> None:
    answer = submit(
        shared_web, negativePrompt="blue", steps=3, guidanceScale=5, seed=7, count=2, id="whole"
    )
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{JOBS}/whole"
    assert answer.json()["state"] in ("queued", "drawing")
    job = done(shared_web, "whole")
    assert (job["state"], job["progress"], job["step"], job["steps"]) == ("done", 1.0, 6, 6)
    assert job["request"] == {
        "prompt": PROMPT,
        "negativePrompt": "blue",
        "steps": 3,
        "guidanceScale": 5.0,
        "seed": 7,
        "count": 2,
        "width": 64,
        "height": 64,
    }
    assert (job["place"], job["secondsLeft"], job["error"], job["notes"]) == (0, 0.0, None, [])
    assert datetime.fromisoformat(job["created"]).tzinfo is not None
    for number, picture in enumerate(job["pictures"]):
        assert picture["url"] == f"{JOBS}/whole/pictures/{number}"
        assert (picture["seed"], picture["steps"]) == (7 + number, 3)
        assert (picture["fingerprint"], picture["truncated"]) == ("stub-1", False)
        assert picture["promptTokens"] > 0
        asked = PictureRequest(PROMPT, "blue", 3, 5.0, 7 + number)
        file = shared_web.get(picture["url"])
        assert file.headers["content-type"] == "image/png"
        with (
            Image.open(io.BytesIO(file.content)) as fetched,
            Image.open(io.BytesIO(shared_stub.picture(asked))) as right,
        ):
            assert fetched.tobytes() == right.tobytes()
            assert read(fetched.text).request == asked  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_a_picture_is_given_in_the_format_that_is_asked_for(
    name: str, shared_web: WebProcess
) -> None:
    job = done(shared_web, submit(shared_web).json()["id"])
    file = shared_web.get(f"{job['pictures'][0]['url']}?format={name}")
    assert file.headers["content-type"] == f"image/{name}"
    assert Image.open(io.BytesIO(file.content)).format == name.upper()


def test_what_is_left_out_the_model_says(shared_web: WebProcess) -> None:
    limits = shared_web.get("/api/v1/capabilities").json()["limits"]
    first, second = (submit(shared_web).json()["request"] for _ in range(2))
    assert first["steps"] == limits["defaultSteps"]
    assert first["guidanceScale"] == limits["defaultGuidanceScale"]
    assert first["negativePrompt"] == limits["defaultNegativePrompt"]
    assert first["count"] == 1
    assert first["seed"] != second["seed"]


def test_another_size_is_drawn_at_the_models_and_noted(shared_web: WebProcess) -> None:
    job = submit(shared_web, width=512, height=768).json()
    assert (job["request"]["width"], job["request"]["height"]) == (64, 64)
    assert "512x768" in job["notes"][0]
    answer = submit(shared_web, width=512, strictSize=True)
    assert answer.status_code == 400
    assert "64x64" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": 1}, "prompt"),
        ({"prompt": "a\0b"}, "NUL"),
        ({"prompt": "a" * 9000}, "8192"),
        ({"steps": 0}, "steps"),
        ({"steps": 51}, "from 1 to 50"),
        ({"steps": 2.5}, "steps"),
        ({"steps": "20"}, "steps"),
        ({"steps": True}, "steps"),
        ({"guidanceScale": 31}, "from 1 to 30"),
        ({"guidanceScale": 0.5}, "guidanceScale"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"seed": 10**38}, "seed"),
        ({"count": 0}, "count"),
        ({"count": 11}, "10"),
        ({"id": "a b"}, "id"),
        ({"id": ".."}, "id"),
        ({"id": ""}, "id"),
        ({"id": "a" * 101}, "id"),
        ({"width": 0}, "width"),
        ({"deadlineSeconds": 0}, "deadlineSeconds"),
        ({"strictSize": "yes"}, "strictSize"),
        ({"negative_prompt": "blue"}, "negative_prompt"),
        ({"unknown": 1}, "unknown"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_in_one_line(
    fields: dict[str, Any], said: str, shared_web: WebProcess
) -> None:
    answer = submit(shared_web, **fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert said in error["message"]
    assert "\n" not in error["message"]
    assert len(error["message"]) < 400
    assert error["code"] in ("invalid_request", "too_costly")
    assert "retryAfterSeconds" not in error


@pytest.mark.parametrize("body", ["[]", "1", "null", '"prompt"', "{}"])
def test_a_body_that_is_no_request_is_refused(body: str, shared_web: WebProcess) -> None:
    answer = shared_web.request("POST", JOBS, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_the_same_id_is_the_same_job(shared_web: WebProcess, shared_stub: StubModelServer) -> None:
    job_id = uuid.uuid4().hex
    first = submit(shared_web, id=job_id, seed=1)
    again = submit(shared_web, id=job_id, seed=1)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["location"] == first.headers["location"]
    assert again.json()["created"] == first.json()["created"]
    assert len(done(shared_web, job_id)["pictures"]) == 1


@pytest.mark.parametrize("seed", [None, 5])
def test_the_same_request_is_the_same_job_with_and_without_its_seed(
    seed: int | None, shared_web: WebProcess
) -> None:
    job_id = uuid.uuid4().hex
    first = submit(shared_web, id=job_id, count=2, seed=seed)
    drawn = first.json()["request"]["seed"]
    for again in (None, drawn):
        answer = submit(shared_web, id=job_id, count=2, seed=again)
        assert (answer.status_code, answer.json()["request"]["seed"]) == (200, drawn)


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "another"},
        {"negativePrompt": "blue"},
        {"steps": 3},
        {"guidanceScale": 2.5},
        {"seed": 6},
        {"count": 2},
    ],
    ids=str,
)
def test_another_request_under_the_same_id_is_a_conflict(
    other: dict[str, Any], shared_web: WebProcess
) -> None:
    job_id = uuid.uuid4().hex
    first = submit(shared_web, id=job_id, seed=5).json()
    answer = submit(shared_web, **{"id": job_id, "seed": 5, **other})
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert error["code"] == "conflict"
    assert error["message"] == (f"the job {job_id} is for another request: choose another id")
    assert done(shared_web, job_id)["created"] == first["created"]


def test_a_value_that_cannot_be_drawn_is_no_conflict(shared_web: WebProcess) -> None:
    job_id = uuid.uuid4().hex
    submit(shared_web, id=job_id)
    assert submit(shared_web, id=job_id, steps=51).status_code == 400


def test_nobody_sees_or_stops_anothers_job(slow_web: WebProcess) -> None:
    submit(slow_web, key="mine", id="private", steps=10)
    for headers in ({}, {"x-api-key": "yours"}, {"authorization": "Basic Og=="}):
        for method, path in (
            *(("GET", ""), ("DELETE", ""), ("GET", "/events")),
            *(("GET", "/preview"), ("GET", "/pictures/0")),
        ):
            answer = slow_web.request(method, f"{JOBS}/private{path}", headers=headers)
            assert answer.status_code == 404
        listed = slow_web.get(JOBS, headers=headers).json()["jobs"]
        assert "private" not in [job["id"] for job in listed]
    assert submit(slow_web, key="yours", id="private").status_code == 202
    assert document(slow_web, "private", key="mine")["state"] == "drawing"
    for key in ("mine", "yours"):
        slow_web.delete(f"{JOBS}/private", headers={"x-api-key": key})


def test_jobs_are_listed_newest_first(shared_web: WebProcess) -> None:
    for name in ("first", "second"):
        submit(shared_web, key="lister", id=name)
    answer = shared_web.get(JOBS, headers={"x-api-key": "lister"})
    assert [job["id"] for job in answer.json()["jobs"]] == ["second", "first"]


def test_a_waiting_job_knows_its_place_and_its_time(slow_web: WebProcess) -> None:
    for name in ("ahead", "behind", "last"):
        submit(slow_web, id=name, steps=20)
    wait_until(lambda: document(slow_web, "ahead")["state"] == "drawing", "its turn")
    documents = {name: document(slow_web, name) for name in ("ahead", "behind", "last")}
    assert [documents[name]["place"] for name in documents] == [0, 1, 2]
    assert documents["last"]["state"] == "queued"
    assert documents["ahead"]["state"] == "drawing"
    left = [documents[name]["secondsLeft"] for name in documents]
    assert left == sorted(left)
    for name in reversed(documents):
        slow_web.delete(f"{JOBS}/{name}")


def test_progress_and_previews_come_from_the_steps(slow_web: WebProcess) -> None:
    submit(slow_web, id="watched", steps=50)
    documents = [document(slow_web, "watched")]

    def has_preview() -> bool:
        documents.append(document(slow_web, "watched"))
        return documents[-1]["preview"] is not None

    wait_until(has_preview, "a preview")
    preview = slow_web.get(documents[-1]["preview"]["url"])
    assert preview.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(preview.content)).size == (8, 8)
    progress = [each["progress"] for each in documents]
    assert progress == sorted(progress)
    assert 0 < progress[-1] == documents[-1]["step"] / 50 < 1
    slow_web.delete(f"{JOBS}/watched")


def test_a_cancelled_job_stops_and_stays_cancelled(slow_web: WebProcess) -> None:
    submit(slow_web, id="cancelled", steps=50)
    wait_until(lambda: document(slow_web, "cancelled")["step"] > 0, "a step")
    answers = [slow_web.delete(f"{JOBS}/cancelled") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    job = done(slow_web, "cancelled")
    assert job["state"] == "cancelled"
    assert job["error"]["code"] == "cancelled"
    assert job["progress"] < 1
    assert slow_web.get(f"{JOBS}/cancelled/pictures/0").status_code == 404


def test_a_lost_connection_loses_nothing(slow_web: WebProcess) -> None:
    submit(slow_web, id="lost-sight")
    with httpx.stream("GET", f"{slow_web.url}{JOBS}/lost-sight/events") as stream:
        next(stream.iter_lines())
    assert done(slow_web, "lost-sight")["state"] == "done"
    assert slow_web.get(f"{JOBS}/lost-sight/pictures/0").status_code == 200


def test_a_long_poll_answers_with_the_next_version(slow_web: WebProcess) -> None:
    job = submit(slow_web, id="polled", steps=10).json()
    versions = [job["version"]]
    while job["state"] not in ("done", "failed"):
        started = time.monotonic()
        job = document(slow_web, "polled", f"?wait=30&version={job['version']}")
        assert time.monotonic() - started < 20
        versions.append(job["version"])
    assert job["state"] == "done"
    assert versions == sorted(set(versions))
    # A version that the caller lacks, and a job that has ended, are answered at once.
    started = time.monotonic()
    document(slow_web, "polled", f"?wait=30&version={job['version']}")
    document(slow_web, "polled", "?wait=30&version=0")
    assert time.monotonic() - started < 5


def test_a_wait_without_a_version_is_for_the_end(slow_web: WebProcess) -> None:
    submit(slow_web, id="waited-for", steps=12)
    assert document(slow_web, "waited-for", "?wait=60")["state"] == "done"
    started = time.monotonic()
    submit(slow_web, id="too-long", steps=50)
    assert document(slow_web, "too-long", "?wait=0.3")["state"] == "drawing"
    assert 0.3 <= time.monotonic() - started < 5
    slow_web.delete(f"{JOBS}/too-long")


def test_a_long_poll_gives_up_when_its_time_has_passed(slow_web: WebProcess) -> None:
    submit(slow_web, id="ahead-of-poll", steps=50)
    job = submit(slow_web, id="waiting").json()
    started = time.monotonic()
    again = document(slow_web, "waiting", f"?wait=0.3&version={job['version']}")
    assert time.monotonic() - started >= 0.3
    assert again["state"] == "queued"
    for name in ("waiting", "ahead-of-poll"):
        slow_web.delete(f"{JOBS}/{name}")


@pytest.mark.parametrize("query", ["wait=-1", "wait=61", "wait=nan", "wait=x", "version=-1"])
def test_a_senseless_wait_is_refused(query: str, shared_web: WebProcess) -> None:
    submit(shared_web, id="here")
    answer = shared_web.get(f"{JOBS}/here?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"]["message"]


def test_a_preview_of_a_picture_that_is_done_meanwhile_is_empty(shared_web: WebProcess) -> None:
    job_id = uuid.uuid4().hex
    submit(shared_web, id=job_id)
    wait_until(lambda: document(shared_web, job_id)["state"] == "done", "the picture")
    answer = shared_web.get(f"{JOBS}/{job_id}/preview")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("path", ["", "/events", "/preview", "/pictures/0"])
def test_an_unknown_job_is_404(path: str, shared_web: WebProcess) -> None:
    answer = shared_web.get(f"{JOBS}/unknown{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_results_that_are_kept_no_longer_are_410(slow_web: WebProcess) -> None:
    submit(slow_web, id="kept-shortly", steps=1)
    wait_until(
        lambda: slow_web.get(f"{JOBS}/kept-shortly").status_code == 410, "the end of the results"
    )
    assert slow_web.get(f"{JOBS}/kept-shortly").json()["error"]["code"] == "gone"


@pytest.mark.parametrize("number", ["1", "-1", "x", "99999999999999999999"])
def test_a_picture_that_is_not_there_is_not_given(number: str, shared_web: WebProcess) -> None:
    submit(shared_web, id="one")
    done(shared_web, "one")
    assert shared_web.get(f"{JOBS}/one/pictures/{number}").status_code in (400, 404)


def test_a_full_queue_says_when_to_come_again(slow_web: WebProcess) -> None:
    jobs = [submit(slow_web, key="crowd", steps=50) for _ in range(12)]
    refused = [answer for answer in jobs if answer.status_code == 503]
    assert len(refused) == 3
    for answer in refused:
        error = answer.json()["error"]
        assert error["code"] == "queue_full"
        assert 1 <= error["retryAfterSeconds"] <= 60
        assert answer.headers["retry-after"] == str(error["retryAfterSeconds"])
    for answer in jobs:
        if answer.status_code == 202:
            slow_web.delete(answer.headers["location"], headers={"x-api-key": "crowd"})

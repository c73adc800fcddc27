"""A front and its worker: every API is as in one process, and only jobs reach a worker."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from tests.web.front.pair import Pair, check_pair, over_a_connection
from tests.web.in_process import running
from tests.web.keys import ALICE, BOB, write
from tests.web.stub_model_server import Behaviour, StubModelServer
from tests.web.walk import ROUTES, options_of
from web.front import drawing
from web.roles import Role
from web.server import listen

ASKED = {"prompt": "a red circle", "seed": 7, "steps": 3}
SLOW = Behaviour(seconds_per_step=0.1, default_steps=50)


async def _job(pair: Pair, job_id: str, **body: object) -> dict[str, object]:
    await pair.post("/api/v1/jobs", id=job_id, **{**ASKED, **body})
    return (await pair.get(f"/api/v1/jobs/{job_id}?wait=30")).json()


async def _until_drawing(pair: Pair) -> None:
    await pair.until(lambda: pair.stub.in_flight > 0)


def test_a_job_of_the_own_api_gives_the_same_files_as_one_process() -> None:
    async def check(pair: Pair) -> None:
        await _job(pair, "one", count=2)
        await pair.both.post("/api/v1/jobs", json={"id": "one", "count": 2, **ASKED})
        await pair.both.get("/api/v1/jobs/one?wait=30")
        for name in ("0", "1", "1?format=webp"):
            path = f"/api/v1/jobs/one/pictures/{name}"
            assert (await pair.get(path)).content == (await pair.both.get(path)).content
        assert pair.asked == ["/worker/v1/draw"]

    check_pair(check)


def test_openai_s_and_automatic1111_s_apis_give_the_same_files_as_one_process() -> None:
    async def check(pair: Pair) -> None:
        path = "/v1/images/generations"
        mine = (await pair.post(path, n=2, **ASKED)).json()
        other = (await pair.both.post(path, json={"n": 2, **ASKED})).json()
        assert mine["data"] == other["data"]
        path = "/sdapi/v1/txt2img"
        mine = (await pair.post(path, **ASKED)).json()
        other = (await pair.both.post(path, json=ASKED)).json()
        assert mine["images"] == other["images"]

    check_pair(check)


def test_a_stream_of_openai_s_api_has_previews() -> None:
    async def check(pair: Pair) -> None:
        answer = await pair.post(
            "/v1/images/generations", stream=True, partial_images=1, **{**ASKED, "steps": 10}
        )
        assert "image_generation.partial_image" in answer.text
        assert "image_generation.completed" in answer.text

    check_pair(check, SLOW)


def test_events_and_previews_come_while_a_worker_draws() -> None:
    async def check(pair: Pair) -> None:
        events = asyncio.create_task(_events(pair))
        await pair.until(lambda: pair.stub.calls["advance"] > 2)
        preview = await pair.get("/api/v1/jobs/one/preview")
        assert preview.content.startswith(b"\x89PNG")
        seen = await events
        assert seen[-1]["state"] == "done"
        assert len({document["step"] for document in seen}) > 3

    async def _events(pair: Pair) -> list[dict[str, object]]:
        await pair.post("/api/v1/jobs", id="one", **{**ASKED, "steps": 8})
        text = (await pair.get("/api/v1/jobs/one/events")).text
        return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]

    check_pair(check, SLOW)


def test_nothing_but_a_job_reaches_a_worker() -> None:
    async def check(pair: Pair) -> None:
        await pair.post("/api/v1/jobs", id="one", **{**ASKED, "steps": 20})
        await _until_drawing(pair)
        for method, path in ROUTES:
            if method == "GET" and not path.endswith("/events"):
                assert (await pair.get(path)).status_code < 500, path
        for path in (
            "/sdapi/v1/interrupt",
            "/sdapi/v1/skip",
            "/api/v1/tokens",
            "/internal/progress",
        ):
            await pair.client.post(path, json={"prompt": "a", "id_task": "one"})
        await pair.client.delete("/api/v1/jobs/one")
        await pair.get("/api/v1/jobs/one?wait=1")
        assert pair.asked == ["/worker/v1/draw"]

    check_pair(check, SLOW)


def test_a_cancel_stops_the_worker_at_its_next_chunk() -> None:
    async def check(pair: Pair) -> None:
        await pair.post("/api/v1/jobs", id="one", prompt="a")
        await _until_drawing(pair)
        assert (await pair.client.delete("/api/v1/jobs/one")).json()["state"] == "cancelled"
        await pair.until(lambda: pair.worker.queue.drawing == 0)
        await pair.until(lambda: pair.stub.in_flight == 0)
        assert pair.stub.calls["finish"] == 0
        assert (await _job(pair, "two"))["state"] == "done"
        assert pair.stub.most_in_flight == 1

    check_pair(check, SLOW)


@pytest.mark.parametrize("path", ["/v1/images/generations", "/sdapi/v1/txt2img"])
@pytest.mark.parametrize("stream", [False, True])
def test_whoever_hangs_up_on_a_front_stops_the_worker(path: str, stream: bool) -> None:
    async def check(pair: Pair) -> None:
        async with over_a_connection(pair) as client:
            asking = asyncio.create_task(client.post(path, json={"prompt": "a", "stream": stream}))
            await _until_drawing(pair)
            asking.cancel()
            await pair.until(lambda: pair.service.queue.drawing == 0)
            await pair.until(lambda: pair.worker.queue.drawing == 0)
        await pair.until(lambda: pair.stub.in_flight == 0)
        assert pair.stub.calls["finish"] == 0

    check_pair(check, SLOW)


def test_an_interrupted_task_answers_with_the_pictures_that_are_done() -> None:
    async def check(pair: Pair) -> None:
        body = {**ASKED, "batch_size": 2, "steps": 6}
        task = asyncio.create_task(pair.post("/sdapi/v1/txt2img", **body))
        await pair.until(lambda: pair.stub.calls["begin"] == 2)
        await pair.post("/sdapi/v1/interrupt")
        images = (await task).json()["images"]
        assert len(images) == 1
        assert base64.b64decode(images[0]).startswith(b"\x89PNG")

    check_pair(check, SLOW)


def test_a_front_says_what_its_workers_can_do_before_any_of_them_runs() -> None:
    async def check(pair: Pair) -> None:
        for path in ("/api/v1/capabilities", "/sdapi/v1/sd-models", "/sdapi/v1/samplers"):
            assert (await pair.get(path)).json() == (await pair.both.get(path)).json()
        assert (await pair.get("/ready")).status_code == 200
        status = (await pair.get("/api/v1/status")).json()
        assert status["state"] == "ready"
        assert [one["endpoint"] for one in status["modelServers"]] == ["worker-1", "worker-2"]
        assert pair.asked == []

    check_pair(check, workers=2)


def test_the_front_s_key_lets_it_in_and_another_does_not(tmp_path: Path) -> None:
    keys, key = write(tmp_path / "keys.json", ("front", BOB)), tmp_path / "key"
    key.write_text(ALICE)

    async def check(pair: Pair) -> None:
        await pair.post("/api/v1/jobs", id="one", **ASKED)
        await pair.until(lambda: bool(pair.asked))
        assert pair.stub.calls["begin"] == 0
        key.write_text(BOB)
        assert (await pair.get("/api/v1/jobs/one?wait=30")).json()["state"] == "done"

    check_pair(check, worker={"keys_file": str(keys)}, worker_key_file=str(key))


def test_a_worker_that_stops_finishes_its_picture_for_the_front() -> None:
    async def check(pair: Pair) -> None:
        await pair.post("/api/v1/jobs", id="one", **{**ASKED, "steps": 5})
        await _until_drawing(pair)
        pair.worker.queue.drain()
        assert (await pair.get("/api/v1/jobs/one?wait=30")).json()["state"] == "done"

    check_pair(check, SLOW)


def test_a_front_that_stops_finishes_what_its_workers_draw() -> None:
    async def check(pair: Pair) -> None:
        for name in ("one", "two"):
            await pair.post("/api/v1/jobs", id=name, **{**ASKED, "steps": 5})
        await _until_drawing(pair)
        pair.service.queue.drain()
        await pair.service.queue.wait_until_idle()
        states = [
            (await pair.get(f"/api/v1/jobs/{name}")).json()["state"] for name in ("one", "two")
        ]
        assert states == ["done", "refused"]

    check_pair(check, SLOW, workers=1)


def test_the_job_s_document_says_that_a_machine_is_woken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(drawing, "SHOWN_AFTER_SECONDS", 0.05)

    async def main(stub: StubModelServer) -> None:
        with listen("127.0.0.1", 0) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            options = {**options_of(Role.FRONT, str(tmp_path)), "worker_url": url}
            async with running(stub, **options) as run:
                await run.post("/api/v1/jobs", id="one", **ASKED)
                first = (await run.get("/api/v1/jobs/one")).json()
                assert (first["state"], first["wakingSeconds"]) == ("drawing", None)
                path = f"/api/v1/jobs/one?wait=5&version={first['version']}"
                found = (await run.get(path)).json()
                assert (found["state"], found["wakingSeconds"]) == ("drawing", 180)

    with StubModelServer() as stub:
        asyncio.run(main(stub))

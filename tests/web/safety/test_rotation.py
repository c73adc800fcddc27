"""Keys are exchanged and taken away while requests run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.web.in_process import InProcess, check_in_process
from tests.web.keys import ALICE, BOB, CAROL, bearer, mount, write
from tests.web.stub_model_server import Behaviour
from web.safety import keys_file

JOBS, TXT2IMG, IMAGES = "/api/v1/jobs", "/sdapi/v1/txt2img", "/v1/images/generations"


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_file, "LOOK_SECONDS", 0.02)


def post(run: InProcess, path: str, key: str, **body: object) -> asyncio.Task[httpx.Response]:
    asked = run.client.post(path, json={"prompt": "a", **body}, headers=bearer(key))
    return asyncio.create_task(asked)


def slow() -> Behaviour:
    return Behaviour(seconds_per_step=0.05, default_steps=20)


async def status_of(run: InProcess, key: str) -> int:
    return (await run.get(JOBS, headers=bearer(key))).status_code


async def until_status(run: InProcess, key: str, status: int) -> None:
    async with asyncio.timeout(20):
        while await status_of(run, key) != status:
            await asyncio.sleep(0.01)


async def until_busy(run: InProcess, jobs: int) -> None:
    queue = run.service.queue
    await run.until(lambda: queue.drawing + queue.queued == jobs)


def test_an_exchanged_key_loses_nothing_that_runs(tmp_path: Path) -> None:
    path = mount(tmp_path / "mounted", "..1", ("alice", ALICE), ("bob", BOB))

    async def check(run: InProcess) -> None:
        calls = [post(run, where, ALICE) for where in (TXT2IMG, IMAGES)]
        calls.append(post(run, IMAGES, ALICE, stream=True))
        await until_busy(run, 3)
        await post(run, JOBS, ALICE, id="mine")
        events = asyncio.create_task(run.get(f"{JOBS}/mine/events", headers=bearer(ALICE)))
        # Both keys for a while, then the second one only.
        mount(tmp_path / "mounted", "..2", ("alice", ALICE), ("alice", CAROL), ("bob", BOB))
        await until_status(run, CAROL, 200)
        assert await status_of(run, ALICE) == 200
        mount(tmp_path / "mounted", "..3", ("alice", CAROL), ("bob", BOB))
        await until_status(run, ALICE, 401)
        assert run.service.queue.queued > 0
        run.stub.behaviour.seconds_per_step = 0.0  # it need not take as long any more
        for call in calls:
            assert (await call).status_code == 200
        assert "image_generation.completed" in (await calls[-1]).text
        assert '"state":"done"' in (await events).text
        mine = await run.get(f"{JOBS}/mine", headers=bearer(CAROL))
        assert mine.json()["state"] == "done"
        picture = await run.get(f"{JOBS}/mine/pictures/0", headers=bearer(CAROL))
        assert picture.content.startswith(b"\x89PNG")
        assert run.value("web_jobs_by_key_total", key="alice", outcome="ok") == 4

    check_in_process(check, slow(), keys_file=str(path))


def test_a_name_that_is_taken_away_loses_its_jobs_and_its_open_answers_end(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.json", ("alice", ALICE), ("bob", BOB))

    async def check(run: InProcess) -> None:
        await post(run, JOBS, ALICE, id="hers", steps=50, count=2)
        calls = [post(run, where, ALICE, steps=50) for where in (TXT2IMG, IMAGES)]
        await until_busy(run, 3)
        bobs = post(run, TXT2IMG, BOB)
        watching = [
            asyncio.create_task(run.get(f"{JOBS}/hers{how}", headers=bearer(ALICE)))
            for how in ("/events", "?wait=60", "?wait=60&version=1000")
        ]
        await until_busy(run, 4)
        write(path, ("bob", BOB))
        async with asyncio.timeout(5):  # long before the pictures would be done
            await asyncio.gather(*calls, *watching)
        run.stub.behaviour.seconds_per_step = 0.0
        assert '"state":"cancelled"' in (await watching[0]).text
        assert (await calls[1]).status_code == 400
        assert not (await calls[0]).json()["images"]
        assert await status_of(run, ALICE) == 401
        assert (await bobs).status_code == 200
        # Nor is anything there for whoever gets the name next.
        write(path, ("alice", CAROL), ("bob", BOB))
        await until_status(run, CAROL, 200)
        assert (await run.get(JOBS, headers=bearer(CAROL))).json() == {"jobs": []}
        assert (await run.get(f"{JOBS}/hers", headers=bearer(CAROL))).status_code == 404

    check_in_process(check, slow(), keys_file=str(path))


def test_an_empty_list_refuses_everybody_but_the_probes(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.json", ("alice", ALICE))

    async def check(run: InProcess) -> None:
        write(path)
        await until_status(run, ALICE, 401)
        assert (await run.get("/ready")).status_code == 200

    check_in_process(check, keys_file=str(path))


@pytest.mark.parametrize("path", [JOBS, TXT2IMG, IMAGES])
def test_too_many_jobs_of_one_key_are_429_with_retry_after(path: str, tmp_path: Path) -> None:
    keys = write(tmp_path / "keys.json", ("alice", ALICE), ("bob", BOB))

    async def check(run: InProcess) -> None:
        for _ in range(2):
            await post(run, JOBS, ALICE)
        answer = await post(run, path, ALICE)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "too_many_jobs" in answer.text
        assert "x-should-retry" not in answer.headers
        assert run.value("web_rejected_total", reason="too_many_jobs") == 1
        assert (await post(run, JOBS, BOB)).status_code == 202

    check_in_process(check, slow(), keys_file=str(keys), jobs_per_key=2)


def test_without_keys_there_is_no_limit_by_key() -> None:
    async def check(run: InProcess) -> None:
        for _ in range(6):
            assert (await post(run, JOBS, ALICE)).status_code == 202

    check_in_process(check, slow())

"""Every metric moves with what it counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.web.front.pair import Pair, check_pair
from tests.web.in_process import InProcess, check_in_process
from tests.web.keys import ALICE, BOB, bearer, write
from tests.web.stub_model_server import Behaviour
from web.metrics import BUCKETS, OUTCOMES
from web.metrics_page import create_metrics_app

TXT2IMG = "/sdapi/v1/txt2img"


def test_a_drawn_job_moves_its_histograms_and_counters() -> None:
    async def check(run: InProcess) -> None:
        await run.post(TXT2IMG, prompt="a", batch_size=2, steps=3)
        for name in ("web_job_waiting_seconds", "web_job_drawing_seconds", "web_job_seconds"):
            assert run.value(f"{name}_count", api="a1111") == 1
            assert run.value(f"{name}_count", api="native") == 0
        assert 0 < run.value("web_job_drawing_seconds_sum", api="a1111") < 10
        assert run.value("web_jobs_total", api="a1111", outcome="ok") == 1
        assert run.value("web_pictures_total", api="a1111") == 2
        assert run.value("web_steps_total") == 6
        assert run.value("web_requests_total", api="a1111", code="2xx") == 1
        assert run.value("web_picture_requests_total", api="a1111", code="2xx") == 1

    check_in_process(check)


def test_waiting_drawing_and_the_whole_are_told_apart() -> None:
    async def check(run: InProcess) -> None:
        await asyncio.gather(*(run.post(TXT2IMG, prompt="a", steps=1) for _ in range(2)))
        waiting = run.value("web_job_waiting_seconds_sum", api="a1111")
        drawing = run.value("web_job_drawing_seconds_sum", api="a1111")
        assert drawing >= 0.6
        assert 0.25 <= waiting < drawing
        assert run.value("web_job_seconds_sum", api="a1111") == pytest.approx(waiting + drawing)

    check_in_process(check, Behaviour(seconds_per_step=0.3))


def test_a_front_counts_how_long_a_job_waited_for_its_worker() -> None:
    async def check(pair: Pair) -> None:
        assert pair.value("web_worker_wait_seconds_count") == 0
        await pair.post(TXT2IMG, prompt="a")
        assert pair.value("web_worker_wait_seconds_count") == 1
        assert 0 < pair.value("web_worker_wait_seconds_sum") < 60

    check_pair(check)


def test_the_buckets_reach_from_half_a_second_to_a_quarter_of_an_hour() -> None:
    async def check(run: InProcess) -> None:
        edges = {
            float(dict(labels)["le"])
            for name, labels in run.samples()
            if name == "web_job_seconds_bucket"
        }
        assert edges == {*BUCKETS, float("inf")}
        assert (min(edges), max(BUCKETS)) == (0.5, 900)

    check_in_process(check)


def test_the_series_are_there_before_the_first_event() -> None:
    async def check(run: InProcess) -> None:
        for api in ("native", "openai", "a1111"):
            for outcome in OUTCOMES:
                assert run.value("web_jobs_total", api=api, outcome=outcome) == 0
            for code in ("2xx", "4xx", "5xx"):
                assert run.value("web_requests_total", api=api, code=code) == 0
                assert run.value("web_picture_requests_total", api=api, code=code) == 0
        for reason in ("queue_full", "body_too_large", "forbidden", "shutting_down"):
            assert run.value("web_rejected_total", reason=reason) == 0

    check_in_process(check)


def test_the_page_of_metrics_answers_while_a_picture_is_drawn() -> None:
    async def check(run: InProcess) -> None:
        transport = httpx.ASGITransport(create_metrics_app(run.service.metrics))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            drawing = asyncio.create_task(run.post(TXT2IMG, prompt="a", steps=20))
            await run.until(lambda: run.stub.in_flight > 0)
            answer = await client.get("/metrics")
            assert answer.status_code == 200
            assert "web_drawing_jobs 1.0" in answer.text
            await drawing

    check_in_process(check, Behaviour(seconds_per_step=0.02))


def test_requests_for_pictures_are_counted_while_they_are_answered() -> None:
    async def check(run: InProcess) -> None:
        for _ in range(2):
            await run.post(TXT2IMG, prompt="a", steps=1)
        assert run.value("web_in_flight_highest") == 1
        first = asyncio.create_task(run.post(TXT2IMG, prompt="a", steps=10))
        await run.until(lambda: run.stub.in_flight > 0)
        await run.get("/api/v1/status")
        await run.post(TXT2IMG, prompt="a", steps=-1)
        assert run.value("web_in_flight") >= 1
        await first
        assert run.value("web_in_flight") == 0
        assert run.value("web_in_flight_highest") == 2

    check_in_process(check, Behaviour(seconds_per_step=0.02))


def test_queue_and_flight_are_those_of_the_moment() -> None:
    async def check(run: InProcess) -> None:
        for number in range(3):
            await run.post("/api/v1/jobs", prompt="a", id=str(number))
        assert run.value("web_drawing_jobs") == 1
        assert run.value("web_queued_jobs") == 2
        for number in range(3):
            await run.client.delete(f"/api/v1/jobs/{number}")
        assert run.value("web_queued_jobs") == 0
        assert run.value("web_jobs_total", api="native", outcome="cancelled") == 3

    check_in_process(check, Behaviour(seconds_per_step=0.2))


def test_busy_seconds_grow_while_a_picture_is_drawn() -> None:
    async def check(run: InProcess) -> None:
        server = run.service.options.model_servers[0]

        def busy() -> float:
            return run.value("web_model_server_busy_seconds_total", model_server=server)

        assert busy() == 0
        await run.post("/api/v1/jobs", prompt="a")
        await run.until(lambda: busy() > 0.2)
        assert run.value("web_drawing_jobs") == 1

    check_in_process(check, Behaviour(seconds_per_step=0.3))


def test_seconds_per_step_are_those_of_the_model_server() -> None:
    async def check(run: InProcess) -> None:
        server = run.service.options.model_servers[0]
        await run.post(TXT2IMG, prompt="a", steps=4)
        step = run.value("web_seconds_per_step", model_server=server)
        assert 0.09 < step < 1

    check_in_process(check, Behaviour(seconds_per_step=0.1))


def test_jobs_are_counted_by_the_name_of_their_key(tmp_path: Path) -> None:
    keys_file = str(write(tmp_path / "keys.json", ("alice", ALICE), ("bob", BOB)))

    async def check(run: InProcess) -> None:
        assert run.value("web_jobs_by_key_total", key="bob", outcome="ok") == 0
        await run.client.post(TXT2IMG, json={"prompt": "a"}, headers=bearer(ALICE))
        assert run.value("web_jobs_by_key_total", key="alice", outcome="ok") == 1
        assert run.value("web_jobs_by_key_total", key="bob", outcome="ok") == 0
        # Bounded by the file: who is gone from it has no series.
        run.service.metrics.set_keys(frozenset({"alice"}))
        keys = {dict(labels).get("key") for name, labels in run.samples() if "by_key" in name}
        assert keys == {"alice"}
        assert run.value("web_jobs_by_key_total", key="alice", outcome="ok") == 1

    check_in_process(check, keys_file=keys_file)


def test_without_keys_nothing_is_counted_by_key() -> None:
    async def check(run: InProcess) -> None:
        await run.client.post(TXT2IMG, json={"prompt": "a"}, headers=bearer(ALICE))
        assert not [name for name, _ in run.samples() if "by_key" in name]

    check_in_process(check)


def test_those_who_only_look_are_not_among_the_requests_for_pictures() -> None:
    async def check(run: InProcess) -> None:
        await run.post("/api/v1/jobs", prompt="a", id="1")
        for path in ("/api/v1/jobs/1", "/api/v1/jobs", "/api/v1/status"):
            await run.get(path)
        assert run.value("web_requests_total", api="native", code="2xx") == 4
        assert run.value("web_picture_requests_total", api="native", code="2xx") == 1

    check_in_process(check)


def test_the_time_until_the_model_was_first_ready_stays_what_it_was() -> None:
    async def check(run: InProcess) -> None:
        assert "web_model_start_seconds" not in {name for name, _ in run.samples()}
        await asyncio.sleep(0.3)
        run.stub.behaviour.is_loading = False
        await run.until_ready()
        await run.until(lambda: run.service.models.start_seconds is not None)
        first = run.value("web_model_start_seconds")
        assert 0.3 <= first < 60
        await asyncio.sleep(0.05)
        assert run.value("web_model_start_seconds") == first

    check_in_process(check, Behaviour(is_loading=True), waits=False)


def test_a_full_queue_is_counted_by_its_reason() -> None:
    async def check(run: InProcess) -> None:
        for _ in range(2):
            await run.post("/api/v1/jobs", prompt="a")
        answers = [
            await run.post(path, prompt="a")
            for path in ("/api/v1/jobs", TXT2IMG, "/v1/images/generations")
        ]
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert run.value("web_rejected_total", reason="queue_full") == 3
        for api in ("native", "a1111", "openai"):
            assert run.value("web_requests_total", api=api, code="5xx") == 1

    check_in_process(check, Behaviour(seconds_per_step=0.3), queue=1)


def test_refused_requests_are_counted_by_reason() -> None:
    async def check(run: InProcess) -> None:
        await run.client.post("/api/v1/jobs", content="a=b", headers={"content-type": "text/plain"})
        await run.client.get("/health", headers={"host": "rebound.example"})
        await run.client.get("/nowhere")
        await run.post("/api/v1/jobs", prompt="a", steps=1000)
        for reason in ("unsupported_media_type", "forbidden", "not_found", "invalid_request"):
            assert run.value("web_rejected_total", reason=reason) == 1
        assert run.value("web_requests_total", api="page", code="4xx") == 2

    check_in_process(check)


def test_a_model_server_that_fails_is_no_fault_of_the_callers() -> None:
    import grpc

    async def check(run: InProcess) -> None:
        answer = await run.post(TXT2IMG, prompt="a")
        assert answer.status_code >= 500
        assert run.value("web_jobs_total", api="a1111", outcome="upstream_error") == 1

    check_in_process(check, Behaviour(fails={"begin": grpc.StatusCode.INTERNAL}))


def test_draining_is_shown() -> None:
    async def check(run: InProcess) -> None:
        assert run.value("web_draining") == 0
        run.service.queue.drain()
        assert run.value("web_draining") == 1

    check_in_process(check)


def test_the_model_and_the_build_are_named() -> None:
    async def check(run: InProcess) -> None:
        model = {"family": "stub", "fingerprint": "stub-1", "profile": "exact"}
        assert run.value("web_model_info", **model, precision="float32") == 1
        assert run.value("web_build_info", version="1.0.0") == 1
        server = run.service.options.model_servers[0]
        assert run.value("web_model_server_ready", model_server=server) == 1

    check_in_process(check)


def test_each_metric_is_in_a_test_of_this_file(request: pytest.FixtureRequest) -> None:
    async def check(run: InProcess) -> None:
        families = text_string_to_metric_families(run.service.metrics.text().decode())
        names = {family.name for family in families if family.name.startswith("web_")}
        source = request.path.read_text()
        assert {name for name in names if f'"{name}' not in source} == set()
        assert run.value("process_resident_memory_bytes") > 0

    check_in_process(check)

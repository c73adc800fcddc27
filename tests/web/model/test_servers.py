"""Model servers: found, lost, found again, and what they serve."""

from __future__ import annotations

import asyncio
import logging

import pytest

from prediction.description import Answers
from prediction.errors import QueueFullError, RequestTimeoutError
from prediction.limits import Limits
from prediction.model_status import ModelStatus
from tests.web.jobs.fake_server import FakeServer, asked, ended, queue_before
from tests.web.jobs.virtual_time import run
from web.jobs.job import JobState
from web.jobs.queue import JobQueue
from web.model.server import ServerState
from web.model.servers import ModelServers


def _models(queue: JobQueue) -> ModelServers:
    assert isinstance(queue._models, ModelServers)
    return queue._models


def test_before_a_model_was_seen_its_limits_are_assumed() -> None:
    async def main() -> None:
        fake = FakeServer(image_size=64)
        fake.crash()
        async with queue_before(fake, is_ready=False) as queue:
            models = _models(queue)
            assert models.state is ServerState.UNREACHABLE
            assert (models.was_seen, models.served.limits) == (False, Limits())
            fake.start_again(is_loading=True)
            await asyncio.sleep(6)
            assert models.state is ServerState.LOADING
            fake.start_again(is_loading=False)
            await asyncio.sleep(6)
            assert models.state is ServerState.READY
            assert models.served.limits.image_size == 64

    run(main())


def test_a_model_that_was_seen_is_remembered_while_its_server_is_away() -> None:
    async def main() -> None:
        fake = FakeServer(default_steps=7)
        async with queue_before(fake) as queue:
            fake.crash()
            await asyncio.sleep(10)
            models = _models(queue)
            assert models.state is ServerState.UNREACHABLE
            assert models.served.limits.default_steps == 7
            assert models.fingerprint == "stub-1"

    run(main())


def test_the_best_server_counts() -> None:
    async def main() -> None:
        gone, loading, ready = FakeServer(), FakeServer(is_loading=True), FakeServer()
        gone.crash()
        async with queue_before(gone, loading, ready) as queue:
            await asyncio.sleep(1)
            models = _models(queue)
            assert [server.state for server in models.servers] == [
                ServerState.UNREACHABLE,
                ServerState.LOADING,
                ServerState.READY,
            ]
            assert models.state is ServerState.READY
            ready.crash()
            await asyncio.sleep(6)
            assert models.state is ServerState.LOADING

    run(main())


def test_a_restarted_server_is_asked_again_what_it_serves() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            fake.crash()
            await asyncio.sleep(6)
            fake.start_again(fingerprint="stub-2", default_steps=9)
            await asyncio.sleep(6)
            assert _models(queue).fingerprint == "stub-2"
            assert _models(queue).served.limits.default_steps == 9

    run(main())


@pytest.mark.parametrize("error", [QueueFullError("full"), RequestTimeoutError("busy")])
def test_a_server_that_is_too_busy_to_say_what_it_serves_still_serves_it(error: Exception) -> None:
    class Busy(FakeServer):
        async def describe(self, timeout_seconds: float) -> Answers:
            if self.calls["describe"]:
                raise error
            return await super().describe(timeout_seconds)

    async def main() -> None:
        fake = Busy()
        async with queue_before(fake) as queue:
            _models(queue).servers[0].set_aside()
            await asyncio.sleep(1)
            assert _models(queue).state is ServerState.READY

    run(main())


def test_a_fault_while_a_server_is_asked_does_not_end_the_asking(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Faulty(FakeServer):
        async def model_status(self, timeout_seconds: float = 5.0) -> ModelStatus:
            if self.calls["status"] < 3:
                self.calls["status"] += 1
                raise RuntimeError("a bug")
            return await super().model_status(timeout_seconds)

    async def main() -> None:
        async with queue_before(Faulty()) as queue:
            job = queue.submit(asked())
            await ended(job)
            assert job.state is JobState.DONE

    run(main())
    assert "a bug" in caplog.text


def test_the_log_says_once_how_a_server_is_and_why(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake):
            fake.crash()
            await asyncio.sleep(60)
            fake.start_again()
            await asyncio.sleep(60)

    with caplog.at_level(logging.INFO):
        run(main())
    assert [record.message for record in caplog.records] == [
        "model server fake-0: ready",
        "model server fake-0: unreachable (connection refused)",
        "model server fake-0: ready",
    ]


def test_what_a_server_drew_counts_as_busy_time() -> None:
    async def main() -> None:
        async with queue_before(FakeServer()) as queue:
            (server,) = _models(queue).servers
            job = queue.submit(asked(steps=20))
            await asyncio.sleep(5)
            assert (server.is_busy, server.busy_seconds) == (True, pytest.approx(5))
            await ended(job)
            await asyncio.sleep(100)
            assert (server.is_busy, server.busy_seconds) == (False, pytest.approx(20, abs=0.1))
            assert server.seconds_per_step == pytest.approx(1, abs=0.01)

    run(main())


def test_a_server_that_draws_is_not_asked_how_it_is() -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            job = queue.submit(asked(steps=50))
            asked_before = fake.calls["status"]
            await ended(job)
            assert fake.calls["status"] == asked_before

    run(main())


def test_an_answer_from_before_a_failure_does_not_make_a_server_ready() -> None:
    class Slow(FakeServer):
        async def model_status(self, timeout_seconds: float = 5.0) -> ModelStatus:
            status = await super().model_status(timeout_seconds)
            await asyncio.sleep(2)
            return status

    async def main() -> None:
        async with queue_before(Slow()) as queue:
            (server,) = _models(queue).servers
            check = asyncio.create_task(server.check())
            await asyncio.sleep(1)
            server.set_aside(rest_seconds=60)
            await check
            assert server.state is ServerState.UNREACHABLE

    run(main())


def test_an_idle_server_is_asked_once_a_minute_and_when_its_connection_is_lost() -> None:
    """Each time is a line in its log."""

    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            before = fake.calls["status"]
            await asyncio.sleep(600)
            assert fake.calls["status"] - before == pytest.approx(10, abs=1)
            fake.crash()
            await asyncio.sleep(0.5)
            assert _models(queue).state is ServerState.UNREACHABLE

    run(main())


def test_the_first_checks_are_waited_for_but_not_for_ever() -> None:
    class Slow(FakeServer):
        async def describe(self, timeout_seconds: float) -> Answers:
            await asyncio.sleep(2)
            return await super().describe(timeout_seconds)

    async def main() -> None:
        away = FakeServer()
        away.crash()
        async with queue_before(Slow(), away, is_ready=False) as queue:
            models = _models(queue)
            await models.first_checks(0.5)
            assert models.state is ServerState.UNREACHABLE
            await models.first_checks(60)
            assert models.state is ServerState.READY
            assert asyncio.get_running_loop().time() < 10

    run(main())

"""What APIs get from the service: jobs for wishes, and callers that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.web.jobs.on_stub import until
from tests.web.stub_model_server import Behaviour, StubModelServer
from web.jobs.job import Api, JobState
from web.jobs.refusals import Reason, RefusedError
from web.jobs.wishes import Wish
from web.options import Options
from web.service import Service, ask, drawn


class Caller:
    """A connection that lives until `hang_up`."""

    def __init__(self) -> None:
        self._gone = asyncio.Event()

    def hang_up(self) -> None:
        self._gone.set()

    async def receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}


@asynccontextmanager
async def _service(stub: StubModelServer) -> AsyncIterator[Service]:
    service = Service(Options((stub.endpoint,)))
    await service.start()
    try:
        await until(lambda: service.models.was_seen, "the model")
        yield service
    finally:
        await service.stop()


def _wish(api: Api = Api.OPENAI, **values: Any) -> Wish:
    return Wish(**{"prompt": "a red circle", "api": api, "steps": 20, **values})


SLOW = Behaviour(seconds_per_step=0.05)


def test_a_wish_becomes_a_picture_with_the_models_defaults() -> None:
    async def main() -> None:
        with StubModelServer(Behaviour(default_steps=7)) as stub:
            async with _service(stub) as service:
                job = ask(service, _wish(steps=None))
                assert await drawn(service, job, Caller()) is job
                assert job.state is JobState.DONE
                assert job.pictures[0].request.num_steps == 7
                assert job.pictures[0].answer.png == stub.picture(job.pictures[0].request)

    asyncio.run(main())


def test_a_caller_that_hangs_up_cancels_its_job() -> None:
    async def main() -> None:
        with StubModelServer(SLOW) as stub:
            async with _service(stub) as service:
                caller, job = Caller(), ask(service, _wish(Api.A1111))
                waiting = asyncio.create_task(drawn(service, job, caller))
                await until(lambda: job.step > 0, "a step")
                caller.hang_up()
                await waiting
                assert job.state is JobState.CANCELLED
                assert job.pictures == []

    asyncio.run(main())


def test_a_caller_that_hangs_up_leaves_the_job_to_another_that_waits() -> None:
    async def main() -> None:
        with StubModelServer(SLOW) as stub:
            async with _service(stub) as service:
                first, second = Caller(), Caller()
                job = ask(service, _wish(job_id="one"))
                assert ask(service, _wish(job_id="one")) is job
                waiting = [
                    asyncio.create_task(drawn(service, job, caller)) for caller in (first, second)
                ]
                await until(lambda: job.step > 0, "a step")
                first.hang_up()
                await waiting[0]
                assert job.state is JobState.DRAWING
                await waiting[1]
                assert job.state is JobState.DONE

    asyncio.run(main())


def test_a_task_that_is_cancelled_while_it_waits_has_hung_up() -> None:
    async def main() -> None:
        with StubModelServer(SLOW) as stub:
            async with _service(stub) as service:
                job = ask(service, _wish())
                waiting = asyncio.create_task(drawn(service, job, Caller()))
                await until(lambda: job.step > 0, "a step")
                waiting.cancel()
                await asyncio.wait({waiting})
                assert job.state is JobState.CANCELLED

    asyncio.run(main())


def test_nobody_who_hangs_up_cancels_a_job_of_the_services_own_api() -> None:
    async def main() -> None:
        with StubModelServer(SLOW) as stub:
            async with _service(stub) as service:
                caller, job = Caller(), ask(service, _wish(Api.NATIVE, steps=5))
                waiting = asyncio.create_task(drawn(service, job, caller))
                caller.hang_up()
                await waiting
                await job.wait_for_end()
                assert job.state is JobState.DONE

    asyncio.run(main())


def test_no_wish_is_judged_before_a_model_was_seen() -> None:
    async def main() -> None:
        service = Service(Options(("127.0.0.1:1",)))
        await service.start()
        with pytest.raises(RefusedError) as refusal:
            ask(service, _wish(steps=10**6))
        assert refusal.value.problem.reason is Reason.UNREACHABLE
        await service.stop()

    asyncio.run(main())


def test_a_known_id_is_answered_even_while_the_service_stops() -> None:
    async def main() -> None:
        with StubModelServer() as stub:
            async with _service(stub) as service:
                job = ask(service, _wish(job_id="one"))
                await job.wait_for_end()
                service.queue.drain()
                assert ask(service, _wish(job_id="one")) is job
                with pytest.raises(RefusedError):
                    ask(service, _wish(job_id="two"))

    asyncio.run(main())


def _task(**values: Any) -> Wish:
    return _wish(Api.A1111, job_id="task(abc)", **values)


def test_a_task_whose_caller_hung_up_is_drawn_when_it_is_asked_for_again() -> None:
    async def main() -> None:
        with StubModelServer(SLOW) as stub:
            async with _service(stub) as service:
                first, caller = ask(service, _task()), Caller()
                waiting = asyncio.create_task(drawn(service, first, caller))
                await until(lambda: first.state is JobState.DRAWING, "the drawing")
                caller.hang_up()
                await waiting
                assert first.state is JobState.CANCELLED
                stub.behaviour.seconds_per_step = 0.0
                second = await drawn(service, ask(service, _task()), Caller())
                assert second.state is JobState.DONE
                assert service.queue.jobs("") == [second]

    asyncio.run(main())


@pytest.mark.parametrize("change", [{"prompt": "a blue star"}, {"seed": 8}, {"count": 2}])
def test_the_id_of_a_finished_task_with_other_pictures_draws_again(change: dict[str, Any]) -> None:
    async def main() -> None:
        with StubModelServer() as stub:
            async with _service(stub) as service:
                first = await drawn(service, ask(service, _task(seed=7)), Caller())
                assert ask(service, _task(seed=7)) is first
                assert ask(service, _task()) is first
                second = await drawn(service, ask(service, _task(**change)), Caller())
                assert second.state is JobState.DONE
                assert service.queue.jobs("") == [second]

    asyncio.run(main())


def test_the_id_of_a_task_at_work_is_refused_for_other_pictures() -> None:
    async def main() -> None:
        with StubModelServer(SLOW) as stub:
            async with _service(stub) as service:
                first = ask(service, _task())
                assert ask(service, _task()) is first
                with pytest.raises(RefusedError, match="choose another id") as error:
                    ask(service, _task(prompt="a blue star"))
                assert error.value.problem.reason is Reason.INVALID
                assert not first.state.is_final

    asyncio.run(main())

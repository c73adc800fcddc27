"""The service behind the APIs: the jobs and the model servers of one process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any, Protocol

from web.jobs.costs import Costs
from web.jobs.job import Api, Asked, Job, JobState
from web.jobs.queue import JobQueue
from web.jobs.refusals import Reason, refused
from web.jobs.wishes import Wish, asked_for
from web.metrics import Metrics
from web.model.servers import ModelServers
from web.options import Options


class Caller(Protocol):
    """A Starlette request, once its body was read."""

    @property
    def receive(self) -> Callable[[], Awaitable[MutableMapping[str, Any]]]: ...


class Service:
    """Made once per process. `start` and `stop` belong to the event loop that serves."""

    def __init__(self, options: Options, metrics: Metrics | None = None) -> None:
        self.options = options
        self.metrics = metrics or Metrics()
        self.costs = Costs(options.max_count, options.max_cost)
        self.models = ModelServers(options.model_servers, options.model_name)
        self.queue = JobQueue(
            self.models,
            size=options.queue,
            deadline_seconds=options.deadline_seconds,
            keep_results_seconds=options.keep_results_seconds,
            metrics=self.metrics,
        )
        self._waiting: Counter[Job] = Counter()

    async def start(self) -> None:
        """Begin to look for the model servers. Returns at once."""
        self.models.start()

    async def stop(self) -> None:
        """End what still runs. `queue.drain` before it lets running jobs finish."""
        await self.queue.stop()
        await self.models.stop()

    async def wait_for_end(self, job: Job, caller: Caller) -> Job:
        """As `drawn`."""
        self._waiting[job] += 1
        end = asyncio.create_task(job.wait_for_end())
        hang_up = asyncio.create_task(_hang_up(caller))
        try:
            await asyncio.wait({end, hang_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()
            hang_up.cancel()
            self._waiting[job] -= 1
            if not self._waiting[job]:
                del self._waiting[job]
                if job.asked.api is not Api.NATIVE:
                    self.queue.cancel(job, keep=False)
        return job


def ask(service: Service, wish: Wish) -> Job:
    """The job that the wish becomes, or the one with its owner and id. Raises RefusedError.

    AUTOMATIC1111's clients may give all their tasks one id: what has ended is drawn again, unless
    the same picture is there.
    """
    queue = service.queue
    known = queue.find(wish.owner, wish.job_id)
    if known is None:
        queue.check_open()
    elif wish.api is not Api.A1111:
        return known
    asked = asked_for(wish, service.models.served, service.costs)
    if known is None:
        return queue.submit(asked)
    is_same, is_ended = _has_same_pictures(wish, asked, known.asked), known.state.is_final
    if is_same and (known.state is JobState.DONE or not is_ended):
        return known
    if not is_ended:
        raise refused(
            Reason.INVALID,
            f"the task {known.id} is still drawn, and is for another picture: choose another id",
        )
    return queue.submit(asked, instead_of=known)


def _has_same_pictures(wish: Wish, asked: Asked, earlier: Asked) -> bool:
    """Whether two jobs are the same but for seeds that were drawn."""
    if wish.seed is not None:
        return asked.requests == earlier.requests
    return [replace(request, seed=0) for request in asked.requests] == [
        replace(request, seed=0) for request in earlier.requests
    ]


async def drawn(service: Service, job: Job, request: Caller) -> Job:
    """The job in its final state, for an API whose callers wait for it.

    A caller who hangs up cancels the job, unless another one waits for it too, or it was asked for
    by the service's own API, whose callers fetch it when they like.
    """
    return await service.wait_for_end(job, request)


async def _hang_up(caller: Caller) -> None:
    while (await caller.receive())["type"] != "http.disconnect":
        pass

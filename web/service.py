"""The service behind the APIs: the jobs and the model servers of one process."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any, Protocol

from web.faults import FaultError
from web.jobs.costs import Costs
from web.jobs.job import Api, Asked, Job, JobState
from web.jobs.queue import JobQueue
from web.jobs.refusals import Reason, refused
from web.jobs.servers import Servers
from web.jobs.wishes import Wish, asked_for
from web.metrics import Metrics
from web.model.servers import ModelServers
from web.options import Options
from web.roles import Role
from web.safety.keys_file import KeysFile

HANG_UP_SECONDS = 1.0
"""By when a worker has noticed that a caller has gone."""
LOOK_SECONDS = 1.0
"""Between two looks at how full the service is. The queue's highest is seen at each submission."""


class Caller(Protocol):
    """A Starlette request, once its body was read."""

    @property
    def receive(self) -> Callable[[], Awaitable[MutableMapping[str, Any]]]: ...


class Service:
    """Made once per process. `start` and `stop` belong to the event loop that serves.

    keys_file: None if everybody may ask. Raises KeysError if the keys cannot be read, and
    StartError if what a front needs cannot.
    """

    def __init__(self, options: Options, metrics: Metrics | None = None) -> None:
        self.options = options
        self.keys_file = None if options.keys_file is None else KeysFile(options.keys_file)
        self.metrics = metrics or Metrics()
        self.costs = Costs(options.max_count, options.max_cost)
        self.models = _servers(options)
        self.queue = JobQueue(
            self.models,
            size=options.queue,
            deadline_seconds=options.deadline_seconds,
            keep_results_seconds=options.keep_results_seconds,
            metrics=self.metrics,
            size_by_owner=options.jobs_per_key if self.keys_file else None,
        )
        self._waiting: Counter[Job] = Counter()
        self._look: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look for the model servers. Returns at once."""
        if self.keys_file is not None:
            self.metrics.set_keys(self.keys_file.keys.names)
            self.keys_file.watch(self._keys_changed)
        self.models.start()
        self._look = asyncio.create_task(self._look_at_load())

    async def stop(self) -> None:
        """End what still runs. `queue.drain` before it lets running jobs finish."""
        if self._look is not None:
            self._look.cancel()
        if self.keys_file is not None:
            self.keys_file.stop()
        await self.queue.stop()
        await self.models.stop()

    async def _look_at_load(self) -> None:
        while True:
            self.metrics.figures.load_seen(self.queue.queued, self.queue.drawing)
            await asyncio.sleep(LOOK_SECONDS)

    def _keys_changed(self, removed: frozenset[str], names: frozenset[str]) -> None:
        """Whoever has no key any more has no jobs: what waits for them ends, streams too."""
        for name in removed:
            self.queue.forget(name)
        self.metrics.set_keys(names)

    async def wait_for_hang_ups(self) -> None:
        """Until nothing is drawn, but not for long. Whoever lets one request in at a time before a
        worker sends the next one as soon as a caller has gone, which is known here a moment later.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANG_UP_SECONDS):
                while self.queue.drawing or self.queue.queued:
                    await asyncio.sleep(HANG_UP_SECONDS / 50)

    async def wait_for_end(self, job: Job, caller: Caller) -> Job:
        """As `drawn`."""
        self._waiting[job] += 1
        end = asyncio.create_task(job.wait_for_end())
        gone = asyncio.create_task(hang_up(caller))
        try:
            await asyncio.wait({end, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()
            gone.cancel()
            self._waiting[job] -= 1
            if not self._waiting[job]:
                del self._waiting[job]
                if job.asked.api is not Api.NATIVE:
                    self.queue.cancel(job, keep=False)
        return job


def _servers(options: Options) -> Servers:
    if options.role is not Role.FRONT:
        return ModelServers(options.model_servers, options.model_name)
    # The others need no HTTP client.
    from web.front.files import WorkerKey, served_by_workers
    from web.front.workers import Workers

    assert options.worker_url and options.model_description
    served = served_by_workers(options.model_description)
    key = WorkerKey(options.worker_key_file) if options.worker_key_file else None
    return Workers(options.worker_url, options.workers, served, key)


def ask(service: Service, wish: Wish, longest_seconds: float | None = None) -> Job:
    """The job that the wish becomes, or the one with its owner and id. Raises RefusedError, and
    FaultError if that one is for other pictures.

    AUTOMATIC1111's clients may give all their tasks one id: what has ended is drawn again, unless
    the same picture is there. longest_seconds: as for `JobQueue.submit`.
    """
    queue = service.queue
    known = queue.find(wish.owner, wish.job_id)
    if known is None:
        queue.check_open()
    asked = asked_for(wish, service.models.served, service.costs)
    if known is None:
        return queue.submit(asked, longest_seconds=longest_seconds)
    is_same, is_ended = _has_same_pictures(wish, asked, known.asked), known.state.is_final
    if wish.api is not Api.A1111:
        if is_same:
            return known
        raise FaultError(
            409, f"the job {known.id} is for another request: choose another id", param="id"
        )
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


async def hang_up(caller: Caller) -> None:
    """Until the caller has gone."""
    while (await caller.receive())["type"] != "http.disconnect":
        pass

"""A model server for virtual time: it answers by the event loop's clock, without a connection."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

from prediction.answer import Advanced, Answer, Begun
from prediction.description import Answers
from prediction.errors import (
    ClientError,
    InputRefusedError,
    Repeat,
    RequestTimeoutError,
    UnreachableError,
)
from prediction.limits import PictureRequest
from prediction.model_status import ModelState, ModelStatus
from tests.web.stub_model_server import Behaviour, description_of, picture_of
from web.jobs.job import Api, Asked, Job
from web.jobs.patience import Patience
from web.jobs.queue import JobQueue
from web.metrics import Metrics
from web.model.server import ServerState
from web.model.servers import ModelServers

LATENCY_SECONDS = 0.001


class FakeServer:
    """A `Transport`. fail_next: what the next calls that draw raise, in this order."""

    def __init__(self, **behaviour: Any) -> None:
        self.behaviour = Behaviour(**{"seconds_per_step": 1.0, **behaviour})
        self.endpoint = ""
        self.calls: Counter[str] = Counter()
        self.chunks: list[int] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.is_up = True
        self.hangs = False
        self.advances = True
        self.fail_next: list[ClientError] = []
        self._crashed = asyncio.Event()

    def crash(self) -> None:
        """Calls that run fail at once, and others until it starts again."""
        self.is_up = False
        self._crashed.set()
        self._crashed = asyncio.Event()

    def start_again(self, **behaviour: Any) -> None:
        self.behaviour = replace(self.behaviour, **behaviour)
        self.is_up = True

    async def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        seconds = request.num_steps * self.behaviour.seconds_per_step
        await self._draw("predict", seconds, timeout_seconds)
        begun = self._begun(request)
        return begun.answer(self._picture(request, request.num_steps), self.endpoint)

    async def begin(self, request: PictureRequest, timeout_seconds: float) -> Begun:
        await self._draw("begin", self.behaviour.seconds_per_picture / 2, timeout_seconds)
        return self._begun(request)

    async def advance(
        self, state: bytes, context: bytes, steps: int, timeout_seconds: float
    ) -> Advanced:
        values, step, fingerprint = self._own(state)
        request = PictureRequest(**values)
        assert context == request.prompt.encode()
        self.chunks.append(steps)
        await self._draw("advance", steps * self.behaviour.seconds_per_step, timeout_seconds)
        step = min(step + steps, request.num_steps) if self.advances else step
        state = json.dumps([values, step, fingerprint]).encode()
        return Advanced(state, step, request.num_steps, b"preview")

    async def finish(self, state: bytes, timeout_seconds: float) -> bytes:
        values, step, _ = self._own(state)
        # By the model that took the call, whatever is served at its end.
        picture = self._picture(PictureRequest(**values), step)
        await self._draw("finish", self.behaviour.seconds_per_picture / 2, timeout_seconds)
        return picture

    async def describe(self, timeout_seconds: float) -> Answers:
        await self._connect("describe")
        return [(self.endpoint, json.dumps(description_of(self.behaviour)))]

    async def model_status(self, timeout_seconds: float = 5.0) -> ModelStatus:
        await self._connect("status")
        state = ModelState.LOADING if self.behaviour.is_loading else ModelState.READY
        return ModelStatus(state, "1")

    async def wait_for_loss(self) -> None:
        await self._crashed.wait()

    async def close(self) -> None:
        pass

    async def _connect(self, call: str) -> None:
        self.calls[call] += 1
        await asyncio.sleep(LATENCY_SECONDS)
        if not self.is_up:
            raise UnreachableError("connection refused", repeat=Repeat.FREELY)

    async def _draw(self, call: str, seconds: float, timeout_seconds: float) -> None:
        await self._connect(call)
        if self.fail_next:
            raise self.fail_next.pop(0)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        crash = asyncio.create_task(self._crashed.wait())
        seconds = 1e9 if self.hangs else seconds
        try:
            await asyncio.wait({crash}, timeout=min(seconds, timeout_seconds))
            if crash.done():
                raise UnreachableError("connection lost", repeat=Repeat.SPARINGLY)
            if seconds > timeout_seconds:
                raise RequestTimeoutError("no answer")
        finally:
            crash.cancel()
            self.in_flight -= 1

    def _begun(self, request: PictureRequest) -> Begun:
        state = json.dumps([asdict(request), 0, self.behaviour.fingerprint]).encode()
        return Begun(
            state=state,
            context=request.prompt.encode(),
            seed=request.seed,
            num_steps=request.num_steps,
            prompt_tokens=3,
            truncated=False,
            fingerprint=self.behaviour.fingerprint,
            negative_prompt_tokens=2,
            negative_prompt_truncated=False,
        )

    def _own(self, state: bytes) -> Any:
        """What is in a state of this model. Another's is refused, as the real signatures do."""
        content = json.loads(state)
        if content[2] != self.behaviour.fingerprint:
            raise InputRefusedError("the state is another model's", status="INVALID_ARGUMENT")
        return content

    def _picture(self, request: PictureRequest, step: int) -> bytes:
        return picture_of(request, step, 8, self.behaviour.fingerprint)


@asynccontextmanager
async def queue_before(
    *fakes: FakeServer,
    size: int = 8,
    size_by_owner: int | None = None,
    deadline_seconds: float = 600.0,
    keep_results_seconds: float = 600.0,
    patience: Patience | None = None,
    is_ready: bool = True,
) -> AsyncIterator[JobQueue]:
    """A queue before these model servers. is_ready: it begins once the first of them is."""
    for number, fake in enumerate(fakes):
        fake.endpoint = f"fake-{number}"
    by_endpoint = {fake.endpoint: fake for fake in fakes}
    models = ModelServers(list(by_endpoint), "m", lambda endpoint, _: by_endpoint[endpoint])
    queue = JobQueue(
        models,
        size=size,
        size_by_owner=size_by_owner,
        deadline_seconds=deadline_seconds,
        keep_results_seconds=keep_results_seconds,
        metrics=Metrics(),
        patience=patience,
    )
    models.start()
    while is_ready and models.state is not ServerState.READY:
        await asyncio.sleep(0.01)
    try:
        yield queue
    finally:
        await queue.stop()
        await models.stop()


def asked(
    prompt: str = "a red circle", *, steps: int = 4, count: int = 1, seed: int = 1, **values: Any
) -> Asked:
    requests = tuple(
        PictureRequest(prompt, "", steps, 7.5, seed + number) for number in range(count)
    )
    return Asked(**{"requests": requests, "api": Api.NATIVE, **values})


async def ended(*jobs: Job) -> None:
    for job in jobs:
        await job.wait_for_end()


def pngs(job: Job) -> list[bytes]:
    return [drawn.answer.png for drawn in job.pictures]


def right_pngs(job: Job, fingerprint: str = "stub-1") -> list[bytes]:
    """What the model draws for it when nothing disturbs."""
    return [
        picture_of(request, request.num_steps, 8, fingerprint) for request in job.asked.requests
    ]


async def learned(queue: JobQueue) -> None:
    """Draw something, so that the queue knows how long pictures take."""
    await ended(queue.submit(asked("warm-up", steps=8)))

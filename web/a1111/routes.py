"""The paths of AUTOMATIC1111's API, and what is done for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, RootModel, ValidationError
from starlette.responses import JSONResponse

from web import notes
from web.a1111 import checkpoint, discovery, errors, progress, settings, txt2img_answer
from web.a1111.checkpoint import Checkpoint
from web.a1111.png_info import png_info
from web.a1111.txt2img_request import TextToImage
from web.faults import FaultError
from web.jobs.job import JobState
from web.jobs.refusals import RefusedError
from web.safety.owner import owner_of
from web.service import Service, ask, drawn

PREFIX = "/sdapi/v1"
TRUE = ("1", "on", "t", "true", "y", "yes")

Handler = Callable[[Request], Awaitable[Response]]
B = TypeVar("B", bound=BaseModel)


class PngInfo(BaseModel):
    image: str


class TaskProgress(BaseModel):
    id_task: str
    id_live_preview: int = -1
    live_preview: bool = True


class Options(RootModel[dict[str, object]]):
    pass


class _Calls:
    """What the paths do, on one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def checkpoint(self) -> Checkpoint:
        return checkpoint.of(self._service.models.served, self._service.options.model_name)

    async def txt2img(self, request: Request) -> Response:
        asked = await _body(request, TextToImage)
        job = ask(self._service, asked.wish(self.checkpoint, owner_of(request)))
        await drawn(self._service, job, request)
        if job.problem is not None and job.state is not JobState.CANCELLED:
            raise RefusedError(job.problem)
        served = self._service.models.served
        noted = notes.of(job, served.limits)
        if not job.pictures:
            noted.append("interrupted before there was any picture")
        document = txt2img_answer.answer(asked, job, served, self.checkpoint, noted)
        return JSONResponse(document, headers=notes.headers(noted))

    async def progress(self, request: Request) -> Response:
        queue, owner = self._service.queue, owner_of(request)
        document = await progress.progress(
            progress.current(queue, owner),
            queue,
            self._service.models.served,
            with_image=request.query_params.get("skip_current_image", "").lower() not in TRUE,
        )
        return JSONResponse(document)

    async def interrupt(self, request: Request) -> Response:
        queue = self._service.queue
        for job in progress.stoppable(queue, owner_of(request)):
            queue.cancel(job)
        return JSONResponse({})

    async def skip(self, request: Request) -> Response:
        queue = self._service.queue
        for job in progress.jobs_of(queue, owner_of(request), JobState.DRAWING):
            queue.skip(job)
        return JSONResponse(None)

    async def task_progress(self, request: Request) -> Response:
        asked = await _body(request, TaskProgress)
        queue = self._service.queue
        document = await progress.task_progress(
            queue.find(owner_of(request), asked.id_task),
            queue,
            self._service.models.served,
            known_preview=asked.id_live_preview,
            with_image=asked.live_preview,
        )
        return JSONResponse(document)

    async def pending_tasks(self, request: Request) -> Response:
        waiting = progress.jobs_of(self._service.queue, owner_of(request), JobState.QUEUED)
        return JSONResponse({"size": len(waiting), "tasks": [job.id for job in waiting]})

    async def options(self, request: Request) -> Response:
        return JSONResponse(settings.options(self.checkpoint))

    async def set_options(self, request: Request) -> Response:
        wanted = (await _body(request, Options)).root
        other = settings.other_checkpoint(wanted, self.checkpoint)
        if other:
            raise FaultError(
                422, f"{settings.CHECKPOINT}: {other} is not here, only {self.checkpoint.title}"
            )
        ignored = settings.ignored(wanted, self.checkpoint)
        noted = [f"cannot be changed: {settings.named(ignored)}"] if ignored else []
        return JSONResponse(None, headers=notes.headers(noted))

    async def png_info(self, request: Request) -> Response:
        asked = await _body(request, PngInfo)
        return JSONResponse(await asyncio.to_thread(png_info, asked.image))

    async def samplers(self, request: Request) -> Response:
        return JSONResponse(discovery.samplers(self.checkpoint))

    async def schedulers(self, request: Request) -> Response:
        return JSONResponse(discovery.schedulers(self.checkpoint))

    async def checkpoints(self, request: Request) -> Response:
        return JSONResponse(discovery.checkpoints(self.checkpoint))


def router(service: Service) -> APIRouter:
    """Errors are raised; the application answers them by `errors.body`."""
    calls = _Calls(service)
    routes: Sequence[tuple[str, str, Handler]] = (
        ("GET", f"{PREFIX}/progress", calls.progress),
        ("POST", f"{PREFIX}/interrupt", calls.interrupt),
        ("POST", f"{PREFIX}/skip", calls.skip),
        ("GET", f"{PREFIX}/options", calls.options),
        ("POST", f"{PREFIX}/options", calls.set_options),
        ("POST", f"{PREFIX}/png-info", calls.png_info),
        ("GET", f"{PREFIX}/samplers", calls.samplers),
        ("GET", f"{PREFIX}/schedulers", calls.schedulers),
        ("GET", f"{PREFIX}/sd-models", calls.checkpoints),
        ("POST", "/internal/progress", calls.task_progress),
        ("GET", "/internal/pending-tasks", calls.pending_tasks),
        ("GET", "/queue/status", _answers(discovery.QUEUE_STATUS)),
        *(
            ("GET", f"{PREFIX}/{name}", _answers(document))
            for name, document in discovery.CONSTANT.items()
        ),
        *(
            ("POST", f"{PREFIX}/{name}", _answers(document))
            for name, document in discovery.WITHOUT_EFFECT.items()
        ),
        *(
            ("POST", f"{PREFIX}/{name}", _refuses(name, instead))
            for name, instead in discovery.NOT_OFFERED.items()
        ),
    )
    made = APIRouter(include_in_schema=False)
    for method, path, handler in routes:
        made.add_api_route(path, handler, methods=[method])
    return made


def drawing(service: Service) -> APIRouter:
    """The path that draws; `router` has all others."""
    made = APIRouter(include_in_schema=False)
    made.add_api_route(f"{PREFIX}/txt2img", _Calls(service).txt2img, methods=["POST"])
    return made


async def _body(request: Request, kind: type[B]) -> B:
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise errors.invalid(error) from None


def _answers(document: object) -> Handler:
    async def answer(request: Request) -> Response:
        return JSONResponse(document)

    return answer


def _refuses(name: str, instead: str) -> Handler:
    async def refuse(request: Request) -> Response:
        raise errors.not_offered(name, instead)

    return refuse

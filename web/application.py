"""The web application: all APIs of a service, behind the guards that every request passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Match

from prediction.errors import one_line
from web import VERSION, a1111, api, openai, page, worker
from web.answers import FaultAnswers, Surface, native_body
from web.api.openapi import DESCRIPTION, describe_as_it_is
from web.faults import Fault, FaultError, fault, fault_of
from web.jobs.job import Api
from web.jobs.refusals import RefusedError
from web.notes import HEADER as NOTES
from web.roles import Role
from web.safety.body import BodyGuard, BodyLimits
from web.safety.envelope import REQUEST_ID, Envelope
from web.safety.heads import HeadGuard
from web.safety.key_guard import KeyGuard
from web.service import Service

OPENAPI_PATH = f"{api.PREFIX}/openapi.json"
CORS_SECONDS = 600
UNREAD_PATHS = frozenset({"/v1/images/edits", "/v1/images/variations"})
"""They say that they are not offered, whatever the body is."""
_MAX_QUOTED_ERRORS = 3
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_NOT_ALLOWED = 405
_HERE = f"see the page at /, or {OPENAPI_PATH}"
_ELSEWHERE = "this is a worker, which only draws; ask the web service's front"

SURFACES = (
    Surface(api.PREFIX, Api.NATIVE.value, native_body),
    Surface(worker.PREFIX, Api.NATIVE.value, native_body),
    Surface("/v1", Api.OPENAI.value, openai.error_body),
    *(
        Surface(prefix, Api.A1111.value, a1111.error_body)
        for prefix in ("/sdapi", "/internal", "/queue")
    ),
)

_DRAWING = (openai.drawing, a1111.drawing)
_SERVING = (api.router, api.probes, *_DRAWING, openai.router, a1111.router, page.router)
_ROUTERS = {
    Role.BOTH: _SERVING,
    Role.FRONT: _SERVING,
    Role.WORKER: (worker.router, api.probes, *_DRAWING),
}


def create_app(service: Service) -> FastAPI:
    """The application. Whoever runs it starts and stops the service."""
    is_worker = service.options.role is Role.WORKER
    app = FastAPI(
        title="diffusion-serving",
        version=VERSION,
        summary="Pictures from text: jobs with progress, previews and cancellation.",
        description=DESCRIPTION,
        openapi_url=None if is_worker else OPENAPI_PATH,
        docs_url=None,  # these pages load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in _ROUTERS[service.options.role]:
        draws = is_worker and router is not api.probes
        first = [Depends(service.wait_for_hang_ups)] if draws else []
        app.include_router(router(service), dependencies=first)
    describe_as_it_is(app, has_keys=service.keys_file is not None)
    answers = FaultAnswers(SURFACES, service.metrics)
    _answer_errors(app, answers, _ELSEWHERE if is_worker else _HERE)
    _guard(app, service, answers)
    return app


def _guard(app: FastAPI, service: Service, answers: FaultAnswers) -> None:
    """From the innermost layer to the outermost."""
    options = service.options
    app.add_middleware(
        BodyGuard,
        answers=answers,
        limits=BodyLimits(options.max_body_bytes, unread=UNREAD_PATHS),
    )
    app.add_middleware(KeyGuard, answers=answers, keys_file=service.keys_file)
    app.add_middleware(
        HeadGuard,
        answers=answers,
        allowed_origins=options.allowed_origins,
        any_host=service.keys_file is not None,
    )
    if options.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.allowed_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=["Location", "Retry-After", NOTES, REQUEST_ID],
            max_age=CORS_SECONDS,
        )
    app.add_middleware(Envelope, answers=answers, metrics=service.metrics)


def _answer_errors(app: FastAPI, answers: FaultAnswers, not_found: str) -> None:
    """Whatever a handler raises on purpose, in the words of the API. not_found: where to look for
    what is not there."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == _NOT_ALLOWED:
            error = HTTPException(_NOT_ALLOWED, headers={"Allow": _allowed(app, request)})
        return answers.answer(request.url.path, _fault_of(error, not_found))

    for kind in (FaultError, RefusedError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)


def _allowed(app: FastAPI, request: Request) -> str:
    """Every method of the address: the framework knows only those of one handler."""
    return ", ".join(
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in app.routes
        )
    )


def _fault_of(error: Exception, not_found: str) -> Fault:
    match error:
        case FaultError():
            return error.fault
        case RefusedError():
            return fault_of(error.problem)
        case RequestValidationError():
            return fault(400, _validation_message(error.errors()), code="invalid_request")
        case HTTPException():
            plain = fault(error.status_code, _http_message(error, not_found))
            return Fault(plain.status, plain.code, plain.message, headers=dict(error.headers or {}))
        case _:
            raise error


def _validation_message(errors: Sequence[dict[str, Any]]) -> str:
    """What is wrong where, without the value."""
    lines: list[str] = []
    for error in errors[:_MAX_QUOTED_ERRORS]:
        place = ".".join(str(part) for part in error["loc"][1:])
        lines.append(f"{place or 'the body'}: {error['msg']}")
    return one_line("; ".join(lines))


def _http_message(error: HTTPException, not_found: str) -> str:
    match error.status_code:
        case 404:
            return f"there is nothing at this address: {not_found}"
        case 405:
            allowed = (error.headers or {})["Allow"]
            return f"this method is not offered at this address: use {allowed}"
        case _:
            return one_line(str(error.detail))

"""The web application: all APIs of a service, behind the guards that every request passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Match

from prediction.errors import one_line
from web import VERSION, a1111, api, openai, page
from web.answers import FaultAnswers, Surface, native_body
from web.api.openapi import DESCRIPTION, without_validation_answers
from web.faults import Fault, FaultError, fault, fault_of
from web.jobs.job import Api
from web.jobs.refusals import RefusedError
from web.notes import HEADER as NOTES
from web.safety.body import BodyGuard, BodyLimits
from web.safety.envelope import REQUEST_ID, Envelope
from web.safety.heads import HeadGuard
from web.service import Service

OPENAPI_PATH = f"{api.PREFIX}/openapi.json"
CORS_SECONDS = 600
UNREAD_PATHS = frozenset({"/v1/images/edits", "/v1/images/variations"})
"""They say that they are not offered, whatever the body is."""
_MAX_QUOTED_ERRORS = 3
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_NOT_ALLOWED = 405

SURFACES = (
    Surface(api.PREFIX, Api.NATIVE.value, native_body),
    Surface("/v1", Api.OPENAI.value, openai.error_body),
    *(
        Surface(prefix, Api.A1111.value, a1111.error_body)
        for prefix in ("/sdapi", "/internal", "/queue")
    ),
)


def create_app(service: Service) -> FastAPI:
    """The application. Whoever runs it starts and stops the service."""
    app = FastAPI(
        title="diffusion-serving",
        version=VERSION,
        summary="Pictures from text: jobs with progress, previews and cancellation.",
        description=DESCRIPTION,
        openapi_url=OPENAPI_PATH,
        docs_url=None,  # these pages load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(api.router(service))
    for other in (openai, a1111, page):
        app.include_router(other.router(service), include_in_schema=False)
    without_validation_answers(app)
    answers = FaultAnswers(SURFACES, service.metrics)
    _answer_errors(app, answers)
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
    app.add_middleware(HeadGuard, answers=answers, allowed_origins=options.allowed_origins)
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


def _answer_errors(app: FastAPI, answers: FaultAnswers) -> None:
    """Whatever a handler raises on purpose, in the words of the API."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == _NOT_ALLOWED:
            error = HTTPException(_NOT_ALLOWED, headers={"Allow": _allowed(app, request)})
        return answers.answer(request.url.path, _fault_of(error))

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


def _fault_of(error: Exception) -> Fault:
    match error:
        case FaultError():
            return error.fault
        case RefusedError():
            return fault_of(error.problem)
        case RequestValidationError():
            return fault(400, _validation_message(error.errors()), code="invalid_request")
        case HTTPException():
            plain = fault(error.status_code, _http_message(error))
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


def _http_message(error: HTTPException) -> str:
    match error.status_code:
        case 404:
            return f"there is nothing at this address: see {OPENAPI_PATH}, or / for the APIs"
        case 405:
            allowed = (error.headers or {})["Allow"]
            return f"this method is not offered at this address: use {allowed}"
        case _:
            return one_line(str(error.detail))

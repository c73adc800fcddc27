"""What the OpenAPI document says beside the handlers' types."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from web.api.documents import ErrorDocument, JobEvent

Responses = dict[int | str, dict[str, Any]]

DESCRIPTION = """\
Submit a job, then watch it by `GET …/events` or by polling with `wait`, and fetch its pictures.
Jobs belong to the credential that submitted them (`Authorization: Bearer …`, `X-Api-Key`, or
Basic's password); callers without one share theirs. Results are kept for some minutes.

Every answer has the header `x-request-id`: the caller's own, if it is short and plain.
"""

_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds until it is worth trying again",
        "schema": {"type": "integer", "minimum": 1, "maximum": 60},
    }
}
_ERRORS: Responses = {
    400: {"description": "A value that the service or the model does not take"},
    403: {"description": "The request comes from a foreign page, or is meant for another host"},
    404: {"description": "There is no such job of the caller's, or no such picture"},
    408: {"description": "The body did not arrive in time"},
    410: {"description": "The job's results are kept no longer"},
    413: {"description": "The body is too large"},
    415: {"description": "The body is not JSON, or not called so"},
    431: {"description": "The request's head is too large"},
    500: {"description": "A fault of the service, whose log says more"},
    503: {"description": "Not now: try again after Retry-After", "headers": _RETRY_AFTER},
}
_OF_ALL = (400, 403, 431, 500)

_BYTES = {"schema": {"type": "string", "format": "binary"}}
PICTURE: Responses = {
    200: {
        "description": "The file",
        "content": {"image/png": _BYTES, "image/jpeg": _BYTES, "image/webp": _BYTES},
    }
}
PREVIEW: Responses = {200: {"description": "The file", "content": {"image/png": _BYTES}}}
EVENT_STREAM: Responses = {
    200: {
        "description": "Events named `job`, whose data is a JobDocument",
        "content": {"text/event-stream": {"itemSchema": JobEvent.model_json_schema()}},
    }
}


def errors(*statuses: int) -> Responses:
    """The answers of a path that can fail with these statuses, beside those that all paths have."""
    return {
        status: {**_ERRORS[status], "model": ErrorDocument}
        for status in sorted({*_OF_ALL, *statuses})
    }


def without_validation_answers(app: FastAPI) -> None:
    """FastAPI's document promises an answer 422 of its own for every parameter, but this service
    says 400 in its own words."""
    made = app.openapi

    def document() -> dict[str, Any]:
        schema = made()
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        return schema

    app.openapi = document  # pyright: ignore[reportAttributeAccessIssue]

"""What the OpenAPI document says beside the handlers' types."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from web.api.documents import Document, ErrorDocument, JobEvent

Responses = dict[int | str, dict[str, Any]]

DESCRIPTION = """\
Submit a job, then watch it by `GET …/events` or by polling with `wait`, and fetch its pictures.
Jobs belong to the key that submitted them (`Authorization: Bearer …`, `X-Api-Key`, or Basic's
password). A service that asks for no key lets everybody in, and those without one share their jobs.
Results are kept for some minutes.

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
    401: {
        "description": "The service asks for a key, and this is none of its own",
        "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    },
    403: {"description": "The request comes from a foreign page, or is meant for another host"},
    404: {"description": "There is no such job of the caller's, or no such picture"},
    408: {"description": "The body did not arrive in time"},
    409: {"description": "The caller has a job with this id that is for other pictures"},
    410: {"description": "The job's results are kept no longer"},
    413: {"description": "The body is too large"},
    415: {"description": "The body is not JSON, or not called so"},
    429: {
        "description": "As many jobs of this key wait or are drawn as may at a time",
        "headers": _RETRY_AFTER,
    },
    431: {"description": "The request's head is too large"},
    500: {"description": "A fault of the service, whose log says more"},
    503: {"description": "Not now: try again after Retry-After", "headers": _RETRY_AFTER},
    504: {"description": "It cannot be done within its deadline", "headers": _RETRY_AFTER},
}
_OF_ALL = (400, 401, 403, 431, 500)

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "The key as the password, with any user name",
    },
}

_BYTES = {"schema": {"type": "string", "format": "binary"}}
PICTURE: Responses = {
    200: {
        "description": "The file",
        "content": {"image/png": _BYTES, "image/jpeg": _BYTES, "image/webp": _BYTES},
    }
}
PREVIEW: Responses = {
    200: {"description": "The file", "content": {"image/png": _BYTES}},
    204: {"description": "There is none at this moment: they come while a picture is drawn"},
}
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


def open_to_all(unavailable: type[Document]) -> dict[str, Any]:
    """What FastAPI is told of a path that needs no key and answers 200, or 503 with the same
    kind of document."""
    responses = {status: answer for status, answer in errors().items() if status != 401}
    return {
        "responses": {**responses, 503: {"model": unavailable}},
        "openapi_extra": {"security": []},
        "tags": ["service"],
    }


def describe_as_it_is(app: FastAPI, *, has_keys: bool) -> None:
    """What FastAPI does not know: the keys, which without `has_keys` are optional, and that this
    service says 400 in its own words, not 422, for every wrong parameter."""
    made = app.openapi

    def document() -> dict[str, Any]:
        schema = made()
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        schema["components"]["securitySchemes"] = SECURITY_SCHEMES
        no_key: list[dict[str, list[str]]] = [] if has_keys else [{}]
        schema["security"] = no_key + [{name: []} for name in SECURITY_SCHEMES]
        return schema

    app.openapi = document  # pyright: ignore[reportAttributeAccessIssue]

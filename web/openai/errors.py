"""Errors as OpenAI's API writes them: always the same four keys, and a status its SDKs know."""

from __future__ import annotations

from pydantic import ValidationError

from prediction.errors import one_line
from web.faults import Fault, FaultError, fault_of
from web.jobs.refusals import Problem, Reason

INVALID_REQUEST, SERVER_ERROR = "invalid_request_error", "server_error"
FIRST_SERVER_ERROR = 500

NEVER_RETRY = {"x-should-retry": "false"}
"""OpenAI's SDKs repeat a request after any 5xx: a picture that fails would be drawn three times."""

CODES = {"missing": "missing_required_parameter", "json_invalid": "invalid_json"}
"""For a kind of pydantic's validation errors. See also `_code`."""


def error_body(fault: Fault) -> dict[str, dict[str, str | None]]:
    """The JSON of a fault."""
    kind = SERVER_ERROR if fault.status >= FIRST_SERVER_ERROR else INVALID_REQUEST
    return {
        "error": {
            "message": fault.message,
            "type": kind,
            "param": fault.param,
            "code": fault.code,
        }
    }


def undrawn(problem: Problem) -> FaultError:
    """Why a job ended without its pictures."""
    fault = fault_of(problem)
    return FaultError(
        fault.status,
        fault.message,
        code=fault.code,
        retry_after_seconds=fault.retry_after_seconds,
        headers=NEVER_RETRY if problem.reason is Reason.FAILED else None,
    )


def invalid(error: ValidationError) -> FaultError:
    """The first of what is wrong with a request's body."""
    first = error.errors(include_url=False, include_context=False)[0]
    kind, message = first["type"], one_line(first["msg"])
    if not first["loc"]:
        return FaultError(400, f"the body must be a JSON object: {message}", code="invalid_json")
    field = str(first["loc"][0])
    if kind == "missing":
        message = "is missing: give it a value"
    return FaultError(400, f"{field}: {message}", code=_code(kind), param=field)


def _code(kind: str) -> str:
    is_type = kind.endswith(("_type", "_parsing", "_from_float"))
    return CODES.get(kind) or ("invalid_type" if is_type else "invalid_value")

"""Errors as AUTOMATIC1111's API writes them."""

from __future__ import annotations

from pydantic import ValidationError

from prediction.errors import one_line
from web.faults import Fault, FaultError

NOT_OFFERED = "not_offered"


def body(fault: Fault) -> dict[str, str]:
    """The JSON of a fault: clients show `detail`, or `errors`."""
    return {"error": fault.code, "detail": fault.message, "body": "", "errors": fault.message}


def invalid(error: ValidationError) -> FaultError:
    """The first of what is wrong with a request's body."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(one_line(str(part)) for part in first["loc"])
    message = one_line(first["msg"])
    if not place:
        return FaultError(422, f"the body must be a JSON object: {message}")
    return FaultError(422, f"{place}: {message}")


def not_offered(what: str, instead: str) -> FaultError:
    """A feature of A1111's that this service does not have."""
    return FaultError(422, f"{what} is not offered: {instead}", code=NOT_OFFERED)

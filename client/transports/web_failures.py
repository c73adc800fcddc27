"""The exceptions for what the web service refuses, and for jobs that end without a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from client.errors import KeyRefusedError
from client.transports.http_messages import MALFORMED, Reply, typed
from client.transports.web_key import VARIABLE, api_key
from prediction.errors import (
    ClientError,
    InputRefusedError,
    ModelLoadingError,
    QueueFullError,
    Repeat,
    RequestTimeoutError,
    UnexpectedAnswerError,
    UnreachableError,
    one_line,
)
from prediction.failures import Failures


@dataclass(frozen=True)
class _Kind:
    """status: the HTTP status that goes with a problem."""

    error: type[ClientError]
    repeat: Repeat
    status: HTTPStatus


_KINDS = {
    "invalid_request": _Kind(InputRefusedError, Repeat.NEVER, HTTPStatus.BAD_REQUEST),
    "too_costly": _Kind(InputRefusedError, Repeat.NEVER, HTTPStatus.BAD_REQUEST),
    "conflict": _Kind(InputRefusedError, Repeat.NEVER, HTTPStatus.CONFLICT),
    "queue_full": _Kind(QueueFullError, Repeat.FREELY, HTTPStatus.SERVICE_UNAVAILABLE),
    "shutting_down": _Kind(UnreachableError, Repeat.FREELY, HTTPStatus.SERVICE_UNAVAILABLE),
    "model_loading": _Kind(ModelLoadingError, Repeat.FREELY, HTTPStatus.SERVICE_UNAVAILABLE),
    "model_server_unreachable": _Kind(
        UnreachableError, Repeat.FREELY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
    "model_server_lost": _Kind(UnreachableError, Repeat.SPARINGLY, HTTPStatus.SERVICE_UNAVAILABLE),
    "model_server_failed": _Kind(UnexpectedAnswerError, Repeat.NEVER, HTTPStatus.BAD_GATEWAY),
    "deadline_exceeded": _Kind(RequestTimeoutError, Repeat.NEVER, HTTPStatus.GATEWAY_TIMEOUT),
    "cancelled": _Kind(UnexpectedAnswerError, Repeat.NEVER, HTTPStatus.BAD_REQUEST),
    # Those below come without one of the service's own words, from a proxy for example.
    "400": _Kind(InputRefusedError, Repeat.NEVER, HTTPStatus.BAD_REQUEST),
    "413": _Kind(InputRefusedError, Repeat.NEVER, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    "429": _Kind(QueueFullError, Repeat.FREELY, HTTPStatus.TOO_MANY_REQUESTS),
    "502": _Kind(UnreachableError, Repeat.SPARINGLY, HTTPStatus.BAD_GATEWAY),
    "503": _Kind(QueueFullError, Repeat.FREELY, HTTPStatus.SERVICE_UNAVAILABLE),
    "504": _Kind(UnreachableError, Repeat.SPARINGLY, HTTPStatus.GATEWAY_TIMEOUT),
}
"""What the service's words for its problems mean here, and statuses."""
_FAILED = _KINDS["model_server_failed"]


class WebFailures(Failures):
    """Beside those that every server's connections have, the service's own."""

    def job_ended(self, state: str, error: Any) -> ClientError:
        """Why a job has no picture; error: from its document. Raises one of MALFORMED."""
        if error is None:
            return self._of(_FAILED, f"the picture's job has ended: it was {one_line(state)}")
        kind = _KINDS.get(typed(error["code"], str), _FAILED)
        return self._of(kind, one_line(typed(error["message"], str)), _retry_after_seconds(error))

    def job_forgotten(self, reply: Reply) -> ClientError:
        """The service was started anew since it took the job, or keeps its results no longer."""
        return UnreachableError(
            f"{self.endpoint} no longer knows the picture's job: ask for the picture again",
            status=str(int(reply.status)),
            repeat=Repeat.FREELY,
        )

    def service_stops(self) -> ClientError:
        return self._of(_KINDS["shutting_down"], "it is stopping: try again in a moment")

    def no_model_server(self, model_servers: str) -> ClientError:
        return self._of(
            _KINDS["model_server_unreachable"],
            f"it does not reach its model server {model_servers}: `make doctor` shows why, and "
            "`make up` starts it",
        )

    def of_reply(self, reply: Reply) -> ClientError:
        """What a response means that is not what was asked for."""
        status = str(int(reply.status))
        if reply.status == HTTPStatus.UNAUTHORIZED:
            return self.key_refused(status)
        try:
            error = json.loads(reply.content)["error"]
            code, message = typed(error["code"], str), one_line(typed(error["message"], str))
            seconds = _retry_after_seconds(error) or reply.retry_after_seconds
        except MALFORMED:
            code, message, seconds = "", f"HTTP {status}", reply.retry_after_seconds
        kind = _KINDS.get(code) or _KINDS.get(status)
        if kind is None:
            return self.not_the_web_service(f"HTTP {status}", reply)
        return self._of(kind, message, seconds)

    def key_refused(self, status: str) -> ClientError:
        if api_key():
            why = f"does not know the key in {VARIABLE}: ask whoever runs it for yours"
        else:
            why = f"asks for a key: set {VARIABLE} to yours"
        return KeyRefusedError(f"{self.endpoint} {why}", status=status)

    def not_the_web_service(self, what: str, reply: Reply) -> ClientError:
        if reply.content.lstrip()[:1] == b"<":
            what += " but a web page" if what.startswith("no ") else " and a web page"
        content = one_line(reply.content.decode(errors="replace")) or "an empty response"
        return UnexpectedAnswerError(
            f"{self.endpoint} answered with {what} ({content}): check that this project's web "
            "service listens there, or give --transport rest",
            status=str(int(reply.status)),
        )

    def _of(self, kind: _Kind, message: str, seconds: float = 0.0) -> ClientError:
        return kind.error(
            f"{self.endpoint}: {message}",
            status=str(kind.status.value),
            repeat=kind.repeat,
            retry_after_seconds=seconds,
        )


def _retry_after_seconds(error: dict[str, Any]) -> float:
    """0 for at once. Raises one of MALFORMED."""
    return float(error.get("retryAfterSeconds") or 0)

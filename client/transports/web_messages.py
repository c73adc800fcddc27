"""What the web service's job API is asked, and what its answers mean; no input or output."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from client.transports.http_messages import MALFORMED, Reply, typed
from client.transports.progress import PictureProgress
from prediction import description, png
from prediction.answer import Answer
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
from prediction.limits import PictureRequest
from prediction.model_status import ModelState, ModelStatus, loading

JOBS = "/api/v1/jobs"
CAPABILITIES = "/api/v1/capabilities"
STATUS = "/api/v1/status"
FORMAT = 1
"""Of the capabilities."""

QUEUED, DRAWING, DONE = "queued", "drawing", "done"
"""States of a job; all others are ends without a picture."""


@dataclass(frozen=True)
class _Kind:
    """status: the HTTP status that goes with a problem."""

    error: type[ClientError]
    repeat: Repeat
    status: HTTPStatus


_KINDS = {
    "invalid_request": _Kind(InputRefusedError, Repeat.NEVER, HTTPStatus.BAD_REQUEST),
    "too_costly": _Kind(InputRefusedError, Repeat.NEVER, HTTPStatus.BAD_REQUEST),
    "queue_full": _Kind(QueueFullError, Repeat.FREELY, HTTPStatus.SERVICE_UNAVAILABLE),
    "shutting_down": _Kind(UnreachableError, Repeat.FREELY, HTTPStatus.SERVICE_UNAVAILABLE),
    "model_loading": _Kind(ModelLoadingError, Repeat.FREELY, HTTPStatus.SERVICE_UNAVAILABLE),
    "model_server_unreachable": _Kind(
        UnreachableError, Repeat.FREELY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
    "model_server_lost": _Kind(UnreachableError, Repeat.SPARINGLY, HTTPStatus.SERVICE_UNAVAILABLE),
    "model_server_failed": _Kind(UnexpectedAnswerError, Repeat.NEVER, HTTPStatus.BAD_GATEWAY),
    "deadline_exceeded": _Kind(RequestTimeoutError, Repeat.NEVER, HTTPStatus.SERVICE_UNAVAILABLE),
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


@dataclass(frozen=True)
class JobReport:
    """What the service says of one job. problem: why it ended without its picture, if it did."""

    state: str
    version: int
    progress: PictureProgress
    picture: dict[str, Any] | None
    problem: ClientError | None

    @property
    def is_final(self) -> bool:
        return self.state not in (QUEUED, DRAWING)


@dataclass(frozen=True)
class WebServiceStatus:
    """The service's own state: ready, loading, unreachable (its model servers are) or draining.

    seconds_per_step: of its first model server that has drawn; None before.
    """

    state: str
    queued: int
    drawing: int
    uptime_seconds: float
    seconds_per_step: float | None
    model_servers: tuple[str, ...]


class JobNotKnownError(UnreachableError):
    """The service does not know the job, or no longer."""


class WebMessages:
    """The messages for the web service at one endpoint."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self._endpoint = endpoint
        self._model_name = model_name
        self.fail = Failures(endpoint, model_name)

    def job_body(self, job_id: str, request: PictureRequest) -> dict[str, Any]:
        return {
            "id": job_id,
            "prompt": request.prompt,
            "negativePrompt": request.negative_prompt,
            "steps": request.num_steps,
            "guidanceScale": request.guidance_scale,
            "seed": request.seed,
        }

    def job(self, reply: Reply) -> JobReport:
        """The job in a response. Raises ClientError if there is none."""
        if reply.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
            raise self._failure(reply)
        try:
            document = json.loads(reply.content)
            seconds_left = document["secondsLeft"]
            pictures: list[dict[str, Any]] = document["pictures"]
            return JobReport(
                state=typed(document["state"], str),
                version=typed(document["version"], int),
                progress=PictureProgress(
                    place=typed(document["place"], int),
                    step=typed(document["step"], int),
                    steps=typed(document["steps"], int),
                    seconds_left=None if seconds_left is None else float(seconds_left),
                ),
                picture=pictures[0] if pictures else None,
                problem=self._problem(document["state"], document["error"]),
            )
        except MALFORMED:
            raise self._unexpected("no job", reply) from None

    def answer(self, job: JobReport, request: PictureRequest, reply: Reply) -> Answer:
        """The job's picture, whose file is in the response. Raises ClientError."""
        if reply.status != HTTPStatus.OK:
            raise self._failure(reply)
        if job.picture is None:
            raise self._unexpected("a job without a picture", reply)
        row = job.picture
        try:
            png.check(reply.content)
            return Answer(
                png=reply.content,
                seed=typed(row["seed"], int),
                num_steps=typed(row.get("steps", request.num_steps), int),
                prompt_tokens=typed(row["promptTokens"], int),
                truncated=typed(row["truncated"], bool),
                negative_prompt_tokens=typed(row.get("negativePromptTokens", 0), int),
                negative_prompt_truncated=typed(row.get("negativePromptTruncated", False), bool),
                fingerprint=one_line(typed(row["fingerprint"], str)),
                endpoint=self._endpoint,
            )
        except MALFORMED:
            raise self._unexpected("no picture", reply) from None

    def is_web_service(self, reply: Reply) -> bool:
        """Whether this is the web service's answer to a question for its capabilities."""
        try:
            document = json.loads(reply.content)
            return typed(document["format"], int) == FORMAT and "apis" in document
        except MALFORMED:
            return False

    def description(self, reply: Reply) -> str:
        """The model's own description in the capabilities; empty if no model was seen so far."""
        if reply.status != HTTPStatus.OK:
            raise self._failure(reply)
        try:
            document = json.loads(reply.content)
            if not document["model"]:
                return ""
            model = {"format": description.FORMAT, **document["model"]}
            return json.dumps({**model, "limits": document["limits"]})
        except MALFORMED:
            raise self._unexpected("no capabilities", reply) from None

    def undescribed(self) -> ClientError:
        """Of a model that is served and does not say what it is."""
        return InputRefusedError(
            f"{self._endpoint} does not know what its model is",
            status=str(HTTPStatus.BAD_REQUEST.value),
        )

    def service_status(self, reply: Reply) -> WebServiceStatus:
        """The service's state in a response. Raises ClientError."""
        if reply.status != HTTPStatus.OK:
            raise self._failure(reply)
        try:
            document = json.loads(reply.content)
            servers: list[dict[str, Any]] = document["modelServers"]
            seconds = [server["secondsPerStep"] for server in servers]
            return WebServiceStatus(
                state=one_line(typed(document["state"], str)),
                queued=typed(document["queued"], int),
                drawing=typed(document["drawing"], int),
                uptime_seconds=float(document["uptimeSeconds"]),
                seconds_per_step=next((float(s) for s in seconds if s is not None), None),
                model_servers=tuple(one_line(typed(s["endpoint"], str)) for s in servers),
            )
        except MALFORMED:
            raise self._unexpected("no status", reply) from None

    def model_status(self, status: WebServiceStatus) -> ModelStatus:
        """The model's state, whose version the service does not tell. Raises ClientError."""
        match status.state:
            case "ready":
                return ModelStatus(ModelState.READY, "")
            case "loading":
                return ModelStatus(ModelState.LOADING, "")
            case "draining":
                raise self._error(_KINDS["shutting_down"], "it is stopping")
            case _:
                servers = ", ".join(status.model_servers)
                message = (
                    f"it does not reach its model server {servers}: `make doctor` shows why, and "
                    "`make up` starts it"
                )
                raise self._error(_KINDS["model_server_unreachable"], message)

    def not_ready(self, status: WebServiceStatus) -> ClientError | None:
        """Why no picture can be drawn at present; None if one can."""
        try:
            model = self.model_status(status)
        except ClientError as error:
            return error
        if model.state is ModelState.LOADING:
            return loading(self._endpoint, self._model_name, "503")
        return None

    def _problem(self, state: str, error: Any) -> ClientError | None:
        """Why a job ended without its picture. Raises one of MALFORMED."""
        if state in (QUEUED, DRAWING, DONE):
            return None
        if error is None:
            return self._error(_FAILED, f"the picture's job has ended: it was {one_line(state)}")
        kind = _KINDS.get(typed(error["code"], str), _FAILED)
        message = one_line(typed(error["message"], str))
        return self._error(kind, message, _seconds(error))

    def _failure(self, reply: Reply) -> ClientError:
        """The exception for a response that is not what was asked for."""
        status = str(int(reply.status))
        try:
            error = json.loads(reply.content)["error"]
            code, message = typed(error["code"], str), one_line(typed(error["message"], str))
            seconds = _seconds(error) or reply.retry_after_seconds
        except MALFORMED:
            code, message, seconds = "", f"HTTP {status}", reply.retry_after_seconds
        if code and reply.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return JobNotKnownError(
                f"{self._endpoint} no longer knows the picture's job: ask for it again",
                status=status,
                repeat=Repeat.FREELY,
            )
        kind = _KINDS.get(code) or _KINDS.get(status)
        if kind is None:
            return self._unexpected(f"HTTP {status}", reply)
        return self._error(kind, message, seconds)

    def _error(self, kind: _Kind, message: str, seconds: float = 0.0) -> ClientError:
        return kind.error(
            f"{self._endpoint}: {message}",
            status=str(kind.status.value),
            repeat=kind.repeat,
            retry_after_seconds=seconds,
        )

    def _unexpected(self, what: str, reply: Reply) -> ClientError:
        if reply.content.lstrip()[:1] == b"<":
            what += " but a web page" if what.startswith("no ") else " and a web page"
        text = one_line(reply.content.decode(errors="replace")) or "an empty response"
        if reply.content.startswith(png.SIGNATURE):
            text = "a PNG"
        return UnexpectedAnswerError(
            f"{self._endpoint} answered with {what} ({text}): check that this project's web "
            "service listens there, or give --transport rest",
            status=str(int(reply.status)),
        )


def _seconds(error: dict[str, Any]) -> float:
    """When to ask again, 0 for at once. Raises one of MALFORMED."""
    return float(error.get("retryAfterSeconds") or 0)

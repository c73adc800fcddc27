"""What the web service's job API is asked, and what its answers mean; no input or output."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from client.transports.http_messages import MALFORMED, Reply, typed
from client.transports.progress import PictureProgress
from client.transports.web_failures import WebFailures
from client.transports.web_key import api_key
from prediction import description, png
from prediction.answer import Answer
from prediction.errors import ClientError, InputRefusedError, one_line
from prediction.limits import PictureRequest
from prediction.model_status import ModelState, ModelStatus, not_ready

JOBS = "/api/v1/jobs"
CAPABILITIES = "/api/v1/capabilities"
STATUS = "/api/v1/status"
CAPABILITIES_FORMAT = 1

_QUEUED, _DRAWING, _DONE = "queued", "drawing", "done"
"""States of a job; all others are ends without a picture."""


@dataclass(frozen=True)
class JobReport:
    """What the service says of one job. problem: why it ended without its picture, if it did."""

    is_final: bool
    version: int
    progress: PictureProgress
    picture: dict[str, Any] | None
    problem: ClientError | None


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


class WebMessages:
    """The messages for the web service at one endpoint."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.key = api_key()
        self.fail = WebFailures(endpoint, model_name)

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
            raise self.fail.of_reply(reply)
        try:
            document = json.loads(reply.content)
            state, seconds_left = typed(document["state"], str), document["secondsLeft"]
            pictures: list[dict[str, Any]] = document["pictures"]
            is_final = state not in (_QUEUED, _DRAWING)
            has_failed = is_final and state != _DONE
            return JobReport(
                is_final=is_final,
                version=typed(document["version"], int),
                progress=PictureProgress(
                    place=typed(document["place"], int),
                    step=typed(document["step"], int),
                    steps=typed(document["steps"], int),
                    seconds_left=None if seconds_left is None else float(seconds_left),
                ),
                picture=pictures[0] if pictures else None,
                problem=self.fail.job_ended(state, document["error"]) if has_failed else None,
            )
        except MALFORMED:
            raise self.fail.not_the_web_service("no job", reply) from None

    def answer(self, job: JobReport, request: PictureRequest, reply: Reply) -> Answer:
        """The job's picture, whose file is in the response. Raises ClientError."""
        if reply.status != HTTPStatus.OK:
            raise self.fail.of_reply(reply)
        try:
            png.check(reply.content)
            row = job.picture or {}
            return Answer(
                png=reply.content,
                seed=typed(row["seed"], int),
                num_steps=typed(row.get("steps", request.num_steps), int),
                prompt_tokens=typed(row["promptTokens"], int),
                truncated=typed(row["truncated"], bool),
                negative_prompt_tokens=typed(row.get("negativePromptTokens", 0), int),
                negative_prompt_truncated=typed(row.get("negativePromptTruncated", False), bool),
                fingerprint=one_line(typed(row["fingerprint"], str)),
                endpoint=self.fail.endpoint,
            )
        except MALFORMED:
            raise self.fail.not_the_web_service("no picture", reply) from None

    def is_web_service(self, reply: Reply) -> bool:
        """Whether this is the web service's answer to a question for its capabilities."""
        try:
            document = json.loads(reply.content)
            return document["format"] == CAPABILITIES_FORMAT and "apis" in document
        except MALFORMED:
            return False

    def description(self, reply: Reply) -> str:
        """The model's own description in the capabilities; empty if the service has none."""
        if reply.status != HTTPStatus.OK:
            raise self.fail.of_reply(reply)
        try:
            document = json.loads(reply.content)
            if document["model"] is None:
                return ""
            model = {"format": description.FORMAT, **document["model"]}
            return json.dumps({**model, "limits": document["limits"]})
        except MALFORMED:
            raise self.fail.not_the_web_service("no capabilities", reply) from None

    def no_description(self) -> ClientError:
        """For a model that is ready and does not say what it is."""
        return InputRefusedError(
            f"{self.fail.endpoint} does not know what its model is",
            status=str(HTTPStatus.BAD_REQUEST.value),
        )

    def not_ready(self, status: WebServiceStatus) -> ClientError | None:
        """Why nothing can be drawn at present; None if something can."""
        try:
            model = self.model_status(status)
        except ClientError as error:
            return error
        return not_ready(self.fail.endpoint, self.fail.model_name, model, "503")

    def service_status(self, reply: Reply) -> WebServiceStatus:
        """The service's state in a response. Raises ClientError."""
        if reply.status != HTTPStatus.OK:
            raise self.fail.of_reply(reply)
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
            raise self.fail.not_the_web_service("no status", reply) from None

    def model_status(self, status: WebServiceStatus) -> ModelStatus:
        """The model's state, whose version the service does not tell. Raises ClientError."""
        match status.state:
            case "ready":
                return ModelStatus(ModelState.READY, "")
            case "loading":
                return ModelStatus(ModelState.LOADING, "")
            case "draining":
                raise self.fail.service_stops()
            case _:
                raise self.fail.no_model_server(", ".join(status.model_servers))

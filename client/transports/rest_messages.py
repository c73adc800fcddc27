"""What is sent to TF Serving's REST API, and what its answers mean; no input or output."""

from __future__ import annotations

import base64
import json
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from client.transports.http_messages import MALFORMED, Reply, typed
from prediction import description, png
from prediction.answer import Answer
from prediction.errors import ClientError, Repeat, one_line
from prediction.failures import Failures, NotServedError
from prediction.limits import PictureRequest
from prediction.model_status import ModelStatus, model_status_of

_PLAIN_HTTP_TO_TLS = re.compile(r"HTTP request .*HTTPS (port|server)", re.IGNORECASE)
"""What nginx, Go and others answer."""


class RestMessages:
    """The messages for one model at one endpoint."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self._endpoint = endpoint
        self._fail = Failures(endpoint, model_name)
        self.status_path = f"/v1/models/{quote(model_name, safe='')}"
        self.predict_path = f"{self.status_path}:predict"

    def predict_body(self, request: PictureRequest) -> dict[str, Any]:
        row = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "num_steps": request.num_steps,
            "guidance_scale": request.guidance_scale,
            "seed": request.seed,
        }
        return {"signature_name": "serving_default", "instances": [row]}

    def describe_body(self) -> dict[str, Any]:
        return {"signature_name": description.SIGNATURE, "instances": [{description.INPUT: ""}]}

    def description(self, reply: Reply) -> str:
        """The model's description in a response, empty if it is no text. Raises as `answer`."""
        if reply.status != HTTPStatus.OK:
            raise self._failure(reply)
        try:
            (text,) = json.loads(reply.content)["predictions"]
        except MALFORMED:
            raise self._unexpected("no description of a model", reply) from None
        return text if isinstance(text, str) else ""

    def answer(self, reply: Reply) -> Answer:
        """The picture in a response. Raises NotServedError or the ClientError that it means."""
        if reply.status != HTTPStatus.OK:
            raise self._failure(reply)
        try:
            (row,) = json.loads(reply.content)["predictions"]
            image = base64.b64decode(row["image_bytes"]["b64"], validate=True)
            png.check(image)
            return Answer(
                png=image,
                seed=typed(row["seed"], int),
                num_steps=typed(row["num_steps"], int),
                prompt_tokens=typed(row["prompt_tokens"], int),
                truncated=typed(row["truncated"], bool),
                # A model from an older export does not say these two.
                negative_prompt_tokens=typed(row.get("negative_prompt_tokens", 0), int),
                negative_prompt_truncated=typed(row.get("negative_prompt_truncated", False), bool),
                fingerprint=one_line(typed(row["fingerprint"], str)),
                endpoint=self._endpoint,
            )
        except MALFORMED:
            raise self._unexpected("no picture", reply) from None

    def model_status(self, reply: Reply) -> ModelStatus:
        """The model's status in a response. Raises the ClientError that it means."""
        if reply.status == HTTPStatus.NOT_FOUND and is_tf_servings_error(reply.content):
            raise self._fail.model_not_found(server_message(reply.content), str(reply.status))
        if reply.status != HTTPStatus.OK:
            raise self._unexpected(f"HTTP {reply.status} to a status request", reply)
        try:
            versions = json.loads(reply.content)["model_version_status"]
            return model_status_of([_version(entry) for entry in versions])
        except MALFORMED:
            raise self._unexpected("no model status", reply) from None

    def _failure(self, reply: Reply) -> ClientError | NotServedError:
        """The exception for a response that is not a picture."""
        message, status = server_message(reply.content), str(reply.status)
        match reply.status:
            case HTTPStatus.BAD_REQUEST if _PLAIN_HTTP_TO_TLS.search(message):
                return self._fail.speaks_tls()
            case HTTPStatus.BAD_REQUEST:
                return self._fail.refused(message, status)
            case HTTPStatus.TOO_MANY_REQUESTS:
                return self._fail.full(message, status)
            case HTTPStatus.SERVICE_UNAVAILABLE:
                return NotServedError(
                    message,
                    status,
                    name_is_known=True,
                    retry_after_seconds=reply.retry_after_seconds,
                )
            case HTTPStatus.NOT_FOUND if is_tf_servings_error(reply.content):
                return NotServedError(message, status, name_is_known=False)
            case HTTPStatus.GATEWAY_TIMEOUT:
                return self._fail.given_up(message, status)
            case HTTPStatus.BAD_GATEWAY:
                # A gateway has lost its connection to the model server.
                error = self._unexpected(f"HTTP {status}", reply)
                error.repeat = Repeat.SPARINGLY
                error.retry_after_seconds = reply.retry_after_seconds
                return error
            case _:
                return self._unexpected(f"HTTP {status}", reply)

    def _unexpected(self, what: str, reply: Reply) -> ClientError:
        if reply.content.lstrip()[:1] == b"<":
            what += " but a web page" if what.startswith("no ") else " and a web page"
        return self._fail.unexpected(what, server_message(reply.content), str(int(reply.status)))


def server_message(content: bytes) -> str:
    """TF Serving's error message, or the start of any other body."""
    text = content.decode(errors="replace")
    try:
        document = json.loads(text)
        text = document["error"] if isinstance(document["error"], str) else text
    except MALFORMED:
        pass
    return one_line(text) or "an empty response"


def is_tf_servings_error(content: bytes) -> bool:
    """Whether a body is `{"error": "…"}`."""
    try:
        return isinstance(json.loads(content)["error"], str)
    except MALFORMED:
        return False


def _version(entry: Any) -> tuple[int, str, str]:
    message = entry.get("status", {}).get("error_message", "")
    return int(entry["version"]), typed(entry["state"], str), typed(message, str)

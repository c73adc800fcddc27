"""TF Serving's REST API: from a request to a response, without sockets.

The order of the checks is TF Serving's: the path, the JSON, the signature's name, the model,
the signature, the inputs, the run, the response.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import unquote

from devserver.errors import HTTP_STATUS, Code, ServingError, invalid_argument
from devserver.execution.predictor import Predictor, RequestNotes
from devserver.flags import Flags
from devserver.metrics import Metrics
from devserver.model.loading import DEFAULT_SIGNATURE, MAX_VERSION, LoadedModel, Signature
from devserver.model.servable import Servable
from devserver.rest import json_answer, json_tensor
from devserver.rest.json_parse import parse_object

_VERSION_OR_LABEL = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_API_PATH = re.compile(r"(?i)/v1/.*", re.DOTALL)
_PREDICTION = re.compile(
    rf"(?i)/v1/models/(?P<name>[^/:]+){_VERSION_OR_LABEL}:(?P<verb>classify|regress|predict)",
    re.ASCII,
)
_STATUS = re.compile(
    rf"(?i)/v1/models(?:/(?P<name>[^/:]+))?{_VERSION_OR_LABEL}(?:/(?P<metadata>metadata))?",
    re.ASCII,
)
_JSON = "application/json"

NOT_FOUND_PAGE = (
    b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
)


@dataclass(frozen=True)
class Response:
    """The response to a client, and details for the log."""

    status: int
    body: bytes
    content_type: str | None = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False
    queue_wait_seconds: float | None = None


@dataclass(frozen=True)
class _Target:
    """The model that a path names."""

    name: str
    version: int | None
    label: str | None


class RestApi:
    """Handles requests. Thread-safe: one object serves all connections."""

    def __init__(
        self,
        flags: Flags,
        servable: Servable,
        predictor: Predictor,
        metrics: Metrics,
        metrics_path: str | None,
    ) -> None:
        self._servable = servable
        self._predictor = predictor
        self._metrics = metrics
        self._metrics_path = metrics_path
        timeout_ms = flags.rest_api_timeout_in_ms
        self._timeout_seconds = timeout_ms / 1000 if timeout_ms > 0 else None
        self._headers: dict[str, str] = {}
        if flags.rest_api_enable_cors_support:
            self._headers = {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Methods": "POST, GET",
                "Access-Control-Allow-Headers": "Content-Type",
            }

    def handle(self, method: str, path: str, headers: Message, body: bytes) -> Response:
        """The response to one request. `path` is as sent: with its query, not decoded."""
        if self._metrics_path and re.split("[?#]", path, maxsplit=1)[0] == self._metrics_path:
            return self._metrics_page(path)
        if not _API_PATH.fullmatch(path):
            return Response(404, NOT_FOUND_PAGE, "text/html", close=True)
        start = time.monotonic()
        if method == "OPTIONS":
            allowed = re.search(r"https?://", headers.get("Origin") or "")
            code = Code.OK if allowed else Code.FAILED_PRECONDITION
            self._metrics.record_request("", code, time.monotonic() - start, "", "REST")
            return Response(HTTP_STATUS[code], b"", None, headers=self._headers)
        match = {"POST": _PREDICTION, "GET": _STATUS}.get(method, _NEVER).fullmatch(path)
        name = unquote(match["name"] or "", errors="surrogateescape") if match else ""
        if match and _is_beyond_64_bits(match["version"] or "0"):
            # TF Serving sends an empty body here, and only here.
            self._record(name, Code.INVALID_ARGUMENT, start, "")
            return Response(400, b"", headers=self._headers)
        return self._answer(method, path, name, match, body, start)

    def _metrics_page(self, path: str) -> Response:
        if path == self._metrics_path:
            return Response(200, self._metrics.page().encode(), "text/plain")
        message = f"Unexpected path: {path}. Should be {self._metrics_path}"
        return Response(400, message.encode(), "text/plain")

    def _record(self, name: str, code: Code, start: float, api: str) -> None:
        label = self._servable.metric_label(name)
        self._metrics.record_request(label, code, time.monotonic() - start, api, "REST")

    def _answer(
        self,
        method: str,
        path: str,
        name: str,
        match: re.Match[str] | None,
        body: bytes,
        start: float,
    ) -> Response:
        notes = RequestNotes()
        code = Code.OK
        try:
            if match is None or (method == "POST" and match["verb"] != match["verb"].lower()):
                raise invalid_argument(f"Malformed request: {method} {path}")
            target = _Target(
                name,
                int(match["version"]) if match["version"] else None,
                unquote(match["label"], errors="surrogateescape") if match["label"] else None,
            )
            if method == "POST":
                content = self._predict(target, match["verb"], body, notes)
            elif match["metadata"] == "metadata":
                content = self._metadata(target)
            else:
                content = self._status(target)
            status = 200
        except ServingError as error:
            code, status, content = (
                error.code,
                error.http_status,
                json_answer.error_body(error.message),
            )
        self._record(name, code, start, match["verb"] if match and method == "POST" else "")
        return Response(
            status, content, headers=self._headers, queue_wait_seconds=notes.queue_wait_seconds
        )

    def _predict(self, target: _Target, verb: str, body: bytes, notes: RequestNotes) -> bytes:
        if verb != "predict":
            raise ServingError(
                Code.UNIMPLEMENTED, f"This development server does not support {verb}; use predict"
            )
        document = parse_object(body)
        signature_name = json_tensor.signature_name(document)
        model = self._servable.get(target.name, target.version, target.label)
        signature = _signature(model, signature_name)
        dtypes = {alias: entry.dtype for alias, entry in signature.inputs.items()}
        if not dtypes:
            raise invalid_argument(
                f"Failed to get input map for signature: {signature_name or 'DEFAULT'}"
            )
        request_format, inputs = json_tensor.decode(document, dtypes)
        outputs = self._predictor.predict(
            model, signature, inputs, list(signature.outputs), self._timeout_seconds, notes
        )
        return json_answer.encode(request_format, outputs)

    def _status(self, target: _Target) -> bytes:
        if not target.name:
            raise invalid_argument("Missing model name in request.")
        statuses = self._servable.statuses(target.name, target.version)
        return _json(
            {
                "model_version_status": [
                    {
                        "version": str(status.version),
                        "state": status.state.name,
                        "status": {"error_code": "OK", "error_message": ""},
                    }
                    for status in statuses
                ]
            }
        )

    def _metadata(self, target: _Target) -> bytes:
        if not target.name:
            raise invalid_argument("Missing model name in request.")
        model = self._servable.get(target.name, target.version, target.label)
        from google.protobuf import json_format

        signature_defs = {
            name: json_format.MessageToDict(
                message,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for name, message in sorted(model.signature_defs.items())
        }
        return _json(
            {
                "model_spec": {
                    "name": target.name,
                    "signature_name": "",
                    "version": str(model.version),
                },
                "metadata": {"signature_def": {"signature_def": signature_defs}},
            }
        )


_NEVER = re.compile(r"(?!)")


def _is_beyond_64_bits(version: str) -> bool:
    digits = version.lstrip("0") or "0"
    return len(digits) > len(str(MAX_VERSION)) or int(digits) > MAX_VERSION


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()


def _signature(model: LoadedModel, name: str) -> Signature:
    wanted = name or DEFAULT_SIGNATURE
    if wanted not in model.signatures:
        raise invalid_argument(f'Serving signature name: "{wanted}" not found in signature def')
    return model.signatures[wanted]

"""A small stand-in for TF Serving: strict about what it is sent, and able to misbehave.

It listens on a free loopback port. The attributes of `FakeServing` set how it behaves.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

from PIL import Image

MODEL_NAME = "stable-diffusion"
FINGERPRINT = "0123456789abcdef"
MAX_TOKENS = 77
QUEUE_FULL = (
    "The batch scheduling queue to which this task was submitted is full; currently 8 batches "
    "enqueued and max_enqueued_batches is 8"
)
DESCRIPTION = {
    "format": 1,
    "family": "demo",
    "fingerprint": FINGERPRINT,
    "exporterVersion": 6,
    "profile": "exact",
    "precision": "float32",
    "samplers": ["dpmpp_2m_trailing"],
    "licence": "Apache-2.0",
    "limits": {},
}
INPUT_TYPES: dict[str, tuple[type, ...]] = {
    "prompt": (str,),
    "negative_prompt": (str,),
    "num_steps": (int,),
    "guidance_scale": (int, float),
    "seed": (int,),
}

Reply = tuple[int, bytes]


def picture_png(row: dict[str, Any]) -> bytes:
    """A picture that depends on every input, as a drawn one does."""
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest()
    out = BytesIO()
    Image.frombytes("RGB", (4, 4), (digest * 2)[:48]).save(out, "PNG")
    return out.getvalue()


def document(status: int, value: object) -> Reply:
    return status, json.dumps(value, indent=4).encode()


def error(status: int, message: str) -> Reply:
    return document(status, {"error": message})


class FakeServing:
    """One server. Attributes may be set between requests to change what it does.

    `predict_reply` and `status_reply`, if set, replace the regular responses, and `metrics_page`
    is served as its metrics. `described` is the model's description, or None for an older export;
    its empty `limits` leave those that the client assumes. `hold`, if set, delays predictions until
    it is set as an event, and `arrived` is set when one is waiting.
    """

    def __init__(self, port: int = 0) -> None:
        self.rows: list[dict[str, Any]] = []
        self.fingerprint = FINGERPRINT
        self.max_steps = 50
        self.described: dict[str, Any] | str | None = {**DESCRIPTION}
        self.times_described = 0
        self.state = "AVAILABLE"
        self.predict_reply: Reply | None = None
        self.status_reply: Reply | None = None
        self.metrics_page: str | None = None
        self.before_predict: Callable[[], None] | None = None
        self.hold: threading.Event | None = None
        self.arrived = threading.Event()
        self.write_pause_seconds = 0.0
        self.retry_after = ""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # headers and body leave in two writes
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(fake.status(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._send(fake.predict(self.path, body))

            def _send(self, reply: Reply) -> None:
                status, content = reply
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                if fake.retry_after:
                    self.send_header("Retry-After", fake.retry_after)
                self.end_headers()
                if fake.write_pause_seconds:
                    for position in range(len(content)):
                        self.wfile.write(content[position : position + 1])
                        self.wfile.flush()
                        time.sleep(fake.write_pause_seconds)
                else:
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # clients that give up are part of these tests

        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        if self.hold is not None:
            self.hold.set()
        self._server.shutdown()
        self._server.server_close()

    def status(self, path: str) -> Reply:
        if path == "/monitoring/prometheus/metrics" and self.metrics_page is not None:
            return 200, self.metrics_page.encode()
        if self.status_reply is not None:
            return self.status_reply
        if path != f"/v1/models/{MODEL_NAME}":
            return error(404, "Could not find any versions of model other")
        return document(
            200,
            {
                "model_version_status": [
                    {
                        "version": "1",
                        "state": self.state,
                        "status": {"error_code": "OK", "error_message": ""},
                    }
                ]
            },
        )

    def predict(self, path: str, body: bytes) -> Reply:
        if json.loads(body).get("signature_name") == "describe":
            return self.describe(path, json.loads(body))
        if self.before_predict is not None:
            self.before_predict()
        if self.hold is not None:
            self.arrived.set()
            self.hold.wait(30)
        if path != f"/v1/models/{MODEL_NAME}:predict":
            return error(404, "Servable not found for request: Latest(other)")
        if self.state != "AVAILABLE":
            return error(503, "the model is loading")
        if self.predict_reply is not None:
            return self.predict_reply
        request = json.loads(body)
        if set(request) != {"signature_name", "instances"}:
            return error(400, f"unexpected keys: {sorted(request)}")
        if request["signature_name"] != "serving_default":
            return error(400, "Serving signature name not found in signature def")
        (row,) = request["instances"]
        if set(row) != set(INPUT_TYPES):
            return error(400, f"Failed to process element: 0: keys are {sorted(row)}")
        for key, types in INPUT_TYPES.items():
            if type(row[key]) not in types:
                return error(400, f"JSON Value: {row[key]!r} Type of {key} is not as expected")
        self.rows.append(row)
        return document(200, {"predictions": [self.prediction(row)]})

    def describe(self, path: str, request: dict[str, Any]) -> Reply:
        """From a queue of its own, as in TF Serving: held and replaced pictures do not matter."""
        if path != f"/v1/models/{MODEL_NAME}:predict":
            return error(404, "Servable not found for request: Latest(other)")
        if self.state != "AVAILABLE":
            return error(503, "the model is loading")
        if self.described is None:
            return error(400, 'Serving signature name: "describe" not found in signature def')
        assert request == {"signature_name": "describe", "instances": [{"query": ""}]}
        self.times_described += 1
        text = self.described if isinstance(self.described, str) else json.dumps(self.described)
        return document(200, {"predictions": [text]})

    def prediction(self, row: dict[str, Any]) -> dict[str, Any]:
        tokens = len(row["prompt"].split()) + 2
        negative_tokens = len(row["negative_prompt"].split()) + 2
        return {
            "image_bytes": {"b64": base64.b64encode(picture_png(row)).decode()},
            "seed": row["seed"],
            "num_steps": min(row["num_steps"], self.max_steps),
            "prompt_tokens": tokens,
            "truncated": tokens > MAX_TOKENS,
            "negative_prompt_tokens": negative_tokens,
            "negative_prompt_truncated": negative_tokens > MAX_TOKENS,
            "fingerprint": self.fingerprint,
        }

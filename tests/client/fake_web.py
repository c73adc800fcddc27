"""A small stand-in for the web service's job API, in front of the fake model server.

It draws every job at once, up to `allowed_steps`. The attributes of `FakeWeb` set how it behaves.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from prediction import png
from tests.client.fake_serving import MODEL_NAME, FakeServing, Reply, document

JOB_KEYS = {"id", "prompt", "negativePrompt", "steps", "guidanceScale", "seed"}
INFOTEXT = "a star\nSteps: 1, Sampler: Euler, CFG scale: 1"
LONGEST_WAIT_SECONDS = 30.0


@dataclass
class FakeJob:
    request: dict[str, Any]
    state: str = "queued"
    version: int = 1
    place: int = 1
    step: int = 0
    prediction: dict[str, Any] = field(default_factory=dict[str, Any])
    error: dict[str, Any] | None = None

    @property
    def is_final(self) -> bool:
        return self.state not in ("queued", "drawing")


def problem(code: str, message: str = "no luck", **more: object) -> dict[str, Any]:
    return {"code": code, "message": message, **more}


class FakeWeb:
    """One web service. Attributes may be set between requests to change what it does.

    jobs: all that were made, by id. requests: "METHOD path" of all. refusal: answers every new job,
    as (status, error). failure: the error in which every job ends. hang_ups: the "METHOD path"s
    whose connection is closed once without an answer, after the request took effect. queue_moves:
    whether jobs leave the queue. allowed_steps: how far they are drawn. metrics_page: served on the
    same port. stalls: seconds by which the next polls are answered late.
    """

    def __init__(self, serving: FakeServing, port: int = 0) -> None:
        self.serving = serving
        self.jobs: dict[str, FakeJob] = {}
        self.requests: list[str] = []
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.failure: dict[str, Any] | None = None
        self.hang_ups: list[str] = []
        self.state = "ready"
        self.knows_the_model = True
        self.queue_moves = True
        self.allowed_steps = 10_000
        self.longest_wait_seconds = LONGEST_WAIT_SECONDS
        self.reply: Reply | None = None
        self.metrics_page: str | None = None
        self.stalls: list[float] = []
        self.changed = threading.Condition()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_DELETE(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = f"{self.command} {urlsplit(self.path).path}"
                fake.requests.append(asked)
                status, content = fake.reply or fake.answer(self.command, self.path, body)
                cut = [start for start in fake.hang_ups if asked.startswith(start)]
                if cut:
                    fake.hang_ups.remove(cut[0])
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # clients that give up are part of these tests

        self._server = Server(("127.0.0.1", port), Handler)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def only_job(self) -> FakeJob:
        (job,) = self.jobs.values()
        return job

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def change(self, **attributes: object) -> None:
        """Set attributes, and tell those who wait."""
        with self.changed:
            for name, value in attributes.items():
                setattr(self, name, value)
            for job in self.jobs.values():
                self._go_on(job)
            self.changed.notify_all()

    def wait_until(self, method: str, times: int = 1) -> None:
        """Until so many requests with this method have come."""
        deadline = time.monotonic() + 10
        while sum(asked.startswith(method) for asked in self.requests) < times:
            assert time.monotonic() < deadline, self.requests
            time.sleep(0.005)

    def answer(self, method: str, target: str, body: bytes) -> Reply:
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/metrics" and self.metrics_page is not None:
            return 200, self.metrics_page.encode()
        match method, url.path.removeprefix("/api/v1/").split("/"):
            case "GET", ["capabilities"]:
                return document(200, self.capabilities())
            case "GET", ["status"]:
                return document(200, self.status())
            case "POST", ["jobs"]:
                return self.submit(json.loads(body))
            case _, ["jobs", job_id, *_] if job_id not in self.jobs:
                return error(404, problem("not_found", "there is no such job"))
            case "DELETE", ["jobs", job_id]:
                return self.cancel(job_id)
            case "GET", ["jobs", job_id]:
                return self.poll(job_id, query)
            case "GET", ["jobs", job_id, "pictures", "0"]:
                return 200, picture_file(self.jobs[job_id])
            case _:
                return error(404, problem("not_found", "there is nothing here"))

    def capabilities(self) -> dict[str, Any]:
        described = self.serving.described
        model: dict[str, Any] = {}
        if isinstance(described, dict) and self.knows_the_model:
            model |= described
        model.pop("format", None)
        limits = model.pop("limits", {})
        return {
            "format": 1,
            "model": model or None,
            "limits": {**limits, "maxCount": 10, "maxCost": 10**9, "deadlineSeconds": 600},
            "progress": "real",
            "previews": True,
            "formats": ["png"],
            "apis": ["native"],
            "version": "1",
        }

    def status(self) -> dict[str, Any]:
        server = {
            "endpoint": "127.0.0.1:8500",
            "state": "ready",
            "fingerprint": self.serving.fingerprint,
            "secondsPerStep": 0.25,
            "busy": False,
        }
        states = [job.state for job in self.jobs.values()]
        return {
            "state": self.state,
            "modelServers": [server],
            "queued": states.count("queued"),
            "drawing": states.count("drawing"),
            "uptimeSeconds": 65.2,
        }

    def submit(self, request: dict[str, Any]) -> Reply:
        assert set(request) == JOB_KEYS, sorted(request)
        with self.changed:
            if request["id"] in self.jobs:
                return document(200, self.report(request["id"]))
            if self.refusal is not None:
                return error(*self.refusal)
            job = self.jobs[request["id"]] = FakeJob(request)
            self._go_on(job)
            return document(202, self.report(request["id"]))

    def poll(self, job_id: str, query: dict[str, str]) -> Reply:
        if self.stalls:
            time.sleep(self.stalls.pop())
        version = int(query["version"])
        seconds = min(float(query["wait"]), self.longest_wait_seconds)
        with self.changed:
            self.changed.wait_for(lambda: self.jobs[job_id].version != version, seconds)
            return document(200, self.report(job_id))

    def cancel(self, job_id: str) -> Reply:
        with self.changed:
            job = self.jobs[job_id]
            if not job.is_final:
                job.state, job.error = "cancelled", problem("cancelled")
                job.version += 1
            self.changed.notify_all()
            return document(200, self.report(job_id))

    def report(self, job_id: str) -> dict[str, Any]:
        job = self.jobs[job_id]
        drawn = job.prediction
        picture = {
            "url": f"/api/v1/jobs/{job_id}/pictures/0",
            "seed": drawn.get("seed"),
            "steps": drawn.get("num_steps"),
            "promptTokens": drawn.get("prompt_tokens"),
            "truncated": drawn.get("truncated"),
            "negativePromptTokens": drawn.get("negative_prompt_tokens"),
            "negativePromptTruncated": drawn.get("negative_prompt_truncated"),
            "fingerprint": drawn.get("fingerprint"),
            "seconds": 0.1,
        }
        return {
            "id": job_id,
            "state": job.state,
            "version": job.version,
            "place": job.place if job.state == "queued" else 0,
            "step": job.step,
            "steps": job.request["steps"],
            "progress": 0.5,
            "secondsLeft": None if job.is_final else 4.2,
            "created": "2026-01-01T00:00:00Z",
            "request": {},
            "notes": [],
            "pictures": [picture] if drawn else [],
            "preview": None,
            "error": job.error,
        }

    def _go_on(self, job: FakeJob) -> None:
        if job.is_final or not self.queue_moves:
            return
        job.version += 1
        job.state = "drawing"
        job.step = min(job.request["steps"], self.allowed_steps)
        if self.failure is not None:
            job.state, job.error = "failed", self.failure
        elif job.step == job.request["steps"]:
            job.prediction = self._drawn(job.request)
            job.state = "done"

    def _drawn(self, request: dict[str, Any]) -> dict[str, Any]:
        row = {
            "prompt": request["prompt"],
            "negative_prompt": request["negativePrompt"],
            "num_steps": request["steps"],
            "guidance_scale": request["guidanceScale"],
            "seed": request["seed"],
        }
        body = {"signature_name": "serving_default", "instances": [row]}
        status, content = self.serving.predict(
            f"/v1/models/{MODEL_NAME}:predict", json.dumps(body).encode()
        )
        assert status == 200, content
        return json.loads(content)["predictions"][0]


def picture_file(job: FakeJob) -> bytes:
    """With the service's own text chunks."""
    image = base64.b64decode(job.prediction["image_bytes"]["b64"])
    recipe = {"format": 1, "prompt": job.request["prompt"]}
    return png.with_text(image, {"parameters": INFOTEXT, "diffusion-serving": json.dumps(recipe)})


def error(status: int, content: dict[str, Any]) -> Reply:
    return document(status, {"error": content})

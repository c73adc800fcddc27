"""A stub of TF Serving with this project's model: it answers in milliseconds.

In a test, `with StubModelServer() as stub` serves from threads of the same process, which counts
and can be told to misbehave. As a process, to be killed: `python -m tests.web.stub_model_server`.

As TF Serving does, it notices neither hang-ups nor cancels; only a call's deadline stops it,
between two steps.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import sys
import threading
from collections import Counter
from concurrent import futures
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from PIL import Image

from prediction.limits import PictureRequest
from prediction.tensors import VALUE_FIELDS, value_of
from tfserving.model_status_pb2 import (
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelVersionStatus,
)
from tfserving.predict_pb2 import PredictRequest, PredictResponse
from tfserving.tensor_pb2 import DT_BOOL as BOOL
from tfserving.tensor_pb2 import DT_FLOAT as FLOAT
from tfserving.tensor_pb2 import DT_INT32 as INT32
from tfserving.tensor_pb2 import DT_INT64 as INT64
from tfserving.tensor_pb2 import DT_STRING as STRING

MODEL_NAME = "stable-diffusion"
INPUT_TYPES = {
    "prompt": STRING,
    "negative_prompt": STRING,
    "num_steps": INT32,
    "guidance_scale": FLOAT,
    "seed": INT64,
}
OUTPUT_TYPES = {
    **dict.fromkeys(("image_bytes", "state", "context", "preview"), STRING),
    **dict.fromkeys(("description", "fingerprint"), STRING),
    **dict.fromkeys(("num_steps", "step", "prompt_tokens", "negative_prompt_tokens"), INT32),
    **dict.fromkeys(("truncated", "negative_prompt_truncated"), BOOL),
    "seed": INT64,
}
CHUNKED = ("begin", "advance", "finish")
CALLS_AT_ONCE = 16
PREVIEW_SIZE = 8


@dataclass
class Behaviour:
    """What a test may change at any time.

    hangs, fails: signatures that never answer (until the stub ends or the name is removed), and
    that answer with a gRPC code. A signature may also be "status".
    """

    seconds_per_step: float = 0.0
    seconds_per_picture: float = 0.0
    """What begin and finish take together."""
    in_chunks: bool = True
    is_loading: bool = False
    fingerprint: str = "stub-1"
    licence: str = "none"
    image_size: int = 64
    default_steps: int = 4
    max_steps: int = 50
    hangs: set[str] = field(default_factory=set[str])
    fails: dict[str, grpc.StatusCode] = field(default_factory=dict[str, grpc.StatusCode])


class StubModelServer(grpc.GenericRpcHandler):
    """One model server on a port of loopback, from construction until `close`.

    calls: finished and running calls by signature. chunks: the `steps` of each `advance`.
    in_flight, most_in_flight: calls that draw. requests: what `begin` and `serving_default` got.
    """

    def __init__(self, behaviour: Behaviour | None = None, port: int = 0) -> None:
        self.behaviour = behaviour or Behaviour()
        self.calls: Counter[str] = Counter()
        self.chunks: list[int] = []
        self.requests: list[PictureRequest] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(CALLS_AT_ONCE),
            handlers=[self],
            options=[("grpc.so_reuseport", 0)],
        )
        bound = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.endpoint = f"127.0.0.1:{bound}"
        self._server.start()

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Connections end at once, as if the process were killed."""
        self._is_closed.set()
        self._server.stop(None).wait()

    def picture(self, request: PictureRequest, step: int | None = None) -> bytes:
        """The PNG that this stub draws. step: stopped before this many were done."""
        done = request.num_steps if step is None else step
        return picture_of(request, done, self.behaviour.image_size, self.behaviour.fingerprint)

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        handlers = {
            "/tensorflow.serving.PredictionService/Predict": self._predict,
            "/tensorflow.serving.ModelService/GetModelStatus": self._status,
        }
        handler = handlers.get(handler_call_details.method)
        return None if handler is None else grpc.unary_unary_rpc_method_handler(handler)

    def _status(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        self._start("status", GetModelStatusRequest.FromString(content).model_spec.name, context)
        response = GetModelStatusResponse()
        state = (
            ModelVersionStatus.State.LOADING
            if self.behaviour.is_loading
            else ModelVersionStatus.State.AVAILABLE
        )
        response.model_version_status.add(version=1, state=state)
        return response.SerializeToString()

    def _predict(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        request = PredictRequest.FromString(content)
        signature = request.model_spec.signature_name
        if signature != "describe":
            with self._lock:
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self._start(signature, request.model_spec.name, context)
            if self.behaviour.is_loading:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the model is not available yet")
            outputs = self._outputs(signature, request, context)
        finally:
            if signature != "describe":
                with self._lock:
                    self.in_flight -= 1
        response = PredictResponse()
        for alias, value in outputs.items():
            tensor = response.outputs[alias]
            tensor.dtype = OUTPUT_TYPES[alias]
            tensor.tensor_shape.dim.add(size=1)
            getattr(tensor, VALUE_FIELDS[tensor.dtype]).append(value)
        return response.SerializeToString()

    def _start(self, call: str, model_name: str, context: grpc.ServicerContext) -> None:
        """Count the call; hang or fail if it is to."""
        with self._lock:
            self.calls[call] += 1
        while call in self.behaviour.hangs and not self._is_closed.wait(0.01):
            pass
        if call in self.behaviour.fails:
            context.abort(self.behaviour.fails[call], "the stub was told to fail")
        if model_name != MODEL_NAME:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for {model_name}")

    def _outputs(
        self, signature: str, request: PredictRequest, context: grpc.ServicerContext
    ) -> dict[str, Any]:
        behaviour = self.behaviour
        if signature == "describe":
            return {"description": json.dumps(description_of(behaviour)).encode()}
        if signature in CHUNKED and not behaviour.in_chunks:
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{signature}" not found.',
            )
        if signature in ("serving_default", "begin"):
            wanted = _request_in(request)
            with self._lock:
                self.requests.append(wanted)
            if signature == "begin":
                self._compute(behaviour.seconds_per_picture / 2)
                return {
                    "state": _packed(wanted, 0, behaviour.fingerprint),
                    "context": wanted.prompt.encode(),
                    **self._said_of(wanted),
                }
            self._compute(behaviour.seconds_per_picture)
            self._draw(wanted.num_steps, context)
            return {"image_bytes": self.picture(wanted), **self._said_of(wanted)}
        drawn, step, fingerprint = _unpacked(value_of(request.inputs["state"], STRING))
        if fingerprint != behaviour.fingerprint:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the state is another model's")
        if signature == "finish":
            self._compute(behaviour.seconds_per_picture / 2)
            return {
                "image_bytes": self.picture(drawn, step),
                "fingerprint": behaviour.fingerprint.encode(),
            }
        if value_of(request.inputs["context"], STRING) != drawn.prompt.encode():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the context is another picture's")
        steps = value_of(request.inputs["steps"], INT32)
        with self._lock:
            self.chunks.append(steps)
        steps = min(steps, drawn.num_steps - step)
        self._draw(steps, context)
        return {
            "state": _packed(drawn, step + steps, fingerprint),
            "step": step + steps,
            "num_steps": drawn.num_steps,
            "preview": picture_of(drawn, step + steps, PREVIEW_SIZE, fingerprint),
        }

    def _draw(self, steps: int, context: grpc.ServicerContext) -> None:
        for _ in range(steps):
            self._compute(self.behaviour.seconds_per_step)
            left = context.time_remaining()
            if left is not None and left <= 0:
                context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the session timed out")

    def _compute(self, seconds: float) -> None:
        if seconds > 0:
            self._is_closed.wait(seconds)

    def _said_of(self, request: PictureRequest) -> dict[str, Any]:
        return {
            "seed": request.seed,
            "num_steps": request.num_steps,
            "prompt_tokens": len(request.prompt.split()) + 2,
            "truncated": False,
            "negative_prompt_tokens": len(request.negative_prompt.split()) + 2,
            "negative_prompt_truncated": False,
            "fingerprint": self.behaviour.fingerprint.encode(),
        }


def description_of(behaviour: Behaviour) -> dict[str, Any]:
    """What the signature `describe` answers."""
    described: dict[str, Any] = {
        "format": 1,
        "family": "stub",
        "fingerprint": behaviour.fingerprint,
        "profile": "exact",
        "precision": "float32",
        "samplers": ["ddim"],
        "licence": behaviour.licence,
        "limits": {
            "maxSteps": behaviour.max_steps,
            "maxPromptBytes": 8192,
            "maxPromptTokens": 77,
            "maxGuidanceScale": 30.0,
            "imageSize": behaviour.image_size,
            "defaultSteps": behaviour.default_steps,
            "defaultGuidanceScale": 7.5,
            "defaultNegativePrompt": "",
        },
    }
    if behaviour.in_chunks:
        described["signatures"] = ["serving_default", "describe", *CHUNKED]
    return described


@functools.lru_cache(maxsize=256)
def picture_of(request: PictureRequest, step: int, size: int, fingerprint: str) -> bytes:
    """A PNG of 8×8 coloured squares, others for each request and step."""
    text = json.dumps([asdict(request), step, fingerprint])
    colours = hashlib.shake_256(text.encode()).digest(8 * 8 * 3)
    image = Image.frombytes("RGB", (8, 8), colours).resize((size, size), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _request_in(request: PredictRequest) -> PictureRequest:
    values = {alias: value_of(request.inputs[alias], kind) for alias, kind in INPUT_TYPES.items()}
    texts = {alias: values[alias].decode() for alias in ("prompt", "negative_prompt")}
    guidance_scale = round(values["guidance_scale"], 4)  # it travels in single precision
    return PictureRequest(**{**values, **texts, "guidance_scale": guidance_scale})


def _packed(request: PictureRequest, step: int, fingerprint: str) -> bytes:
    return json.dumps([asdict(request), step, fingerprint]).encode()


def _unpacked(state: bytes) -> tuple[PictureRequest, int, str]:
    values, step, fingerprint = json.loads(state)
    return PictureRequest(**values), step, fingerprint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seconds-per-step", type=float, default=0.0)
    parser.add_argument("--seconds-per-picture", type=float, default=0.0)
    parser.add_argument("--fingerprint", default="stub-1")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--older-model", action="store_true", help="one that draws only whole")
    given = parser.parse_args()
    behaviour = Behaviour(
        seconds_per_step=given.seconds_per_step,
        seconds_per_picture=given.seconds_per_picture,
        in_chunks=not given.older_model,
        fingerprint=given.fingerprint,
        image_size=given.image_size,
    )
    with StubModelServer(behaviour, given.port) as stub:
        print(stub.endpoint, flush=True)
        sys.stdin.read()  # until whoever started it has gone


if __name__ == "__main__":
    main()

"""The fake server's gRPC port: the same answers and failures, carried by gRPC."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc

from devserver.errors import HTTP_STATUS, Code
from tests.client.fake_serving import FakeServing
from tfserving.model_status_pb2 import GetModelStatusRequest, GetModelStatusResponse
from tfserving.predict_pb2 import PredictRequest, PredictResponse
from tfserving.tensor_pb2 import DT_BOOL as BOOL
from tfserving.tensor_pb2 import DT_FLOAT as FLOAT
from tfserving.tensor_pb2 import DT_INT32 as INT32
from tfserving.tensor_pb2 import DT_INT64 as INT64
from tfserving.tensor_pb2 import DT_STRING as STRING

FIELDS = {INT32: "int_val", STRING: "string_val", INT64: "int64_val", BOOL: "bool_val"}
OUTPUT_TYPES = {
    "image_bytes": STRING,
    "seed": INT64,
    "num_steps": INT32,
    "prompt_tokens": INT32,
    "truncated": BOOL,
    "negative_prompt_tokens": INT32,
    "negative_prompt_truncated": BOOL,
    "description": STRING,
    "fingerprint": STRING,
}
CODES = {code.value[0]: code for code in grpc.StatusCode}
# The first of several codes with the same HTTP status is the one that the fake means.
CODE_OF_HTTP = {http: CODES[code] for code, http in reversed(HTTP_STATUS.items())} | {
    404: grpc.StatusCode.NOT_FOUND,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ALREADY_EXISTS,
    500: CODES[Code.INTERNAL],
}


class FakeRpc(grpc.GenericRpcHandler):
    """Serves `fake` over gRPC until it is closed. `edit`, if set, changes the outputs."""

    def __init__(self, fake: FakeServing) -> None:
        self._fake = fake
        self.edit: Callable[[Any], None] | None = None
        self._server = grpc.server(futures.ThreadPoolExecutor(32), handlers=[self])
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"grpc://127.0.0.1:{port}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait()

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        handlers = {
            "/tensorflow.serving.PredictionService/Predict": self._predict,
            "/tensorflow.serving.ModelService/GetModelStatus": self._status,
        }
        handler = handlers.get(handler_call_details.method)
        return None if handler is None else grpc.unary_unary_rpc_method_handler(handler)

    def _predict(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        request = PredictRequest.FromString(content)
        row = {alias: _python_value(tensor) for alias, tensor in request.inputs.items()}
        body = {"signature_name": request.model_spec.signature_name, "instances": [row]}
        path = f"/v1/models/{request.model_spec.name}:predict"
        status, answer = self._fake.predict(path, json.dumps(body).encode())
        if self._fake.described is None and body["signature_name"] == "describe":
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, 'Serving signature key "describe" not found.'
            )
        if status != 200:
            context.abort(CODE_OF_HTTP[status], json.loads(answer)["error"])
        try:
            (prediction,) = json.loads(answer)["predictions"]
        except (ValueError, LookupError, TypeError):
            return answer
        if isinstance(prediction, str):  # REST gives a single output bare
            prediction = {"description": prediction}
        response = PredictResponse()
        for key, value in prediction.items():
            tensor = response.outputs[key]
            tensor.dtype = OUTPUT_TYPES[key]
            getattr(tensor, FIELDS[tensor.dtype]).append(_wire_value(value))
        if self.edit is not None:
            self.edit(response)
        return response.SerializeToString()

    def _status(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        request = GetModelStatusRequest.FromString(content)
        status, answer = self._fake.status(f"/v1/models/{request.model_spec.name}")
        if status != 200:
            context.abort(CODE_OF_HTTP[status], json.loads(answer)["error"])
        response = GetModelStatusResponse()
        for entry in json.loads(answer)["model_version_status"]:
            version = response.model_version_status.add(
                version=int(entry["version"]), state=entry["state"]
            )
            version.status.error_message = entry["status"]["error_message"]
        return response.SerializeToString()


def _wire_value(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value


def _python_value(tensor: Any) -> Any:
    assert [dim.size for dim in tensor.tensor_shape.dim] == [1]
    if tensor.dtype == FLOAT:
        return tensor.float_val[0]
    (value,) = getattr(tensor, FIELDS[tensor.dtype])
    return value.decode() if isinstance(value, bytes) else value

"""TF Serving's gRPC services: PredictionService, ModelService and the standard health service.

Handlers take requests as bytes and parse them, so that a malformed one is counted, logged and
rejected like any other.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from devserver.errors import Code, ServingError, StartError, invalid_argument
from devserver.execution.predictor import Predictor, RequestNotes
from devserver.flags import FlagError, Flags
from devserver.metrics import Metrics
from devserver.model.loading import LoadedModel
from devserver.model.servable import Servable
from devserver.rest.http_server import bind_message
from devserver.rpc import tensor_proto
from tfserving.health_pb2 import HealthCheckRequest, HealthCheckResponse
from tfserving.model_metadata_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    SignatureDefMap,
)
from tfserving.model_pb2 import ModelSpec
from tfserving.model_status_pb2 import GetModelStatusRequest, GetModelStatusResponse
from tfserving.predict_pb2 import PredictRequest, PredictResponse

log = logging.getLogger("devserver")

_GRPC_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_HEALTH_SERVICES = ("", "ModelService", "PredictionService")
_SIGNATURE_DEF_MAP_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"

Handler = Callable[[bytes, grpc.ServicerContext, RequestNotes], bytes]


class RpcServer(grpc.GenericRpcHandler):
    """Listens once constructed; `start` begins handling requests.

    Raises:
        StartError: the port is in use, or the address is not one of this machine.
    """

    def __init__(
        self, flags: Flags, servable: Servable, predictor: Predictor, metrics: Metrics
    ) -> None:
        self._servable = servable
        self._predictor = predictor
        self._metrics = metrics
        self._as_content = flags.enable_serialization_as_tensor_content
        self._stopping = False
        prediction, model = (
            "/tensorflow.serving.PredictionService/",
            "/tensorflow.serving.ModelService/",
        )
        self._handlers: dict[str, Handler] = {
            prediction + "Predict": self._predict,
            prediction + "GetModelMetadata": self._get_model_metadata,
            prediction + "Classify": _unimplemented,
            prediction + "Regress": _unimplemented,
            prediction + "MultiInference": _unimplemented,
            model + "GetModelStatus": self._get_model_status,
            model + "HandleReloadConfigRequest": _unimplemented,
        }
        if flags.enable_grpc_healthcheck_service:
            self._handlers["/grpc.health.v1.Health/Check"] = self._check_health
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max(1, flags.grpc_max_threads), "grpc"),
            handlers=[self],
            options=_options(flags.grpc_channel_arguments),
            maximum_concurrent_rpcs=max(1, flags.grpc_max_threads),
        )
        if flags.port:
            self._bind(flags.host, flags.port)
        if flags.grpc_socket_path:
            self._bind_socket(flags.grpc_socket_path)

    def start(self) -> None:
        self._server.start()

    def stop(self, deadline: float) -> None:
        """Stops accepting requests, then waits for those in flight."""
        self._stopping = True
        self._server.stop(max(0.0, deadline - time.monotonic())).wait()

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            return None

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            return self._answer(method, handler, request, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    def _bind(self, host: str, port: int) -> None:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            # gRPC prints several lines of its own if it fails, so try a plain socket first.
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
            self._server.add_insecure_port(address)
        except (OSError, RuntimeError) as error:
            raise StartError(bind_message("gRPC", "port", host, port, error)) from error

    def _bind_socket(self, path: str) -> None:
        try:
            self._server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise StartError(f"--grpc_socket_path: cannot listen on {path}") from error

    def _answer(
        self, method: str, handler: Handler, request: bytes, context: grpc.ServicerContext
    ) -> bytes:
        start = time.monotonic()
        notes = RequestNotes()
        failure: ServingError | None = None
        answer = b""
        try:
            answer = handler(request, context, notes)
        except ServingError as error:
            failure = error
        except DecodeError:
            failure = ServingError(Code.INTERNAL, "The request is not a message of its type")
        except Exception as error:
            log.exception("gRPC %s failed", method)
            failure = ServingError(Code.INTERNAL, f"Internal error: {type(error).__name__}")
        code = failure.code if failure else Code.OK
        seconds = time.monotonic() - start
        if handler == self._predict:
            label = self._servable.metric_label(notes.model_name)
            self._metrics.record_request(label, code, seconds, "Predict", "GRPC")
        wait = notes.queue_wait_seconds
        log.info(
            "gRPC %s %s %.1f ms%s",
            method,
            code.name,
            seconds * 1000,
            "" if wait is None else f", queued {wait * 1000:.1f} ms",
        )
        if failure:
            context.abort(_GRPC_CODES[failure.code], failure.grpc_details())
        return answer

    def _model(self, spec: ModelSpec) -> LoadedModel:
        return self._servable.get(
            spec.name,
            spec.version.value if spec.HasField("version") else None,
            spec.version_label or None,
        )

    def _predict(self, request: bytes, context: grpc.ServicerContext, notes: RequestNotes) -> bytes:
        message = PredictRequest.FromString(request)
        notes.model_name = message.model_spec.name
        model = self._model(_model_spec(message))
        signature = tensor_proto.signature_of(model, message.model_spec.signature_name)
        inputs = tensor_proto.decode_inputs(signature, message)
        aliases = tensor_proto.output_aliases(signature, message)
        outputs = self._predictor.predict(
            model, signature, inputs, aliases, context.time_remaining(), notes
        )
        response = PredictResponse()
        response.model_spec.name = message.model_spec.name
        response.model_spec.signature_name = signature.name
        response.model_spec.version.value = model.version
        for alias, array in outputs.items():
            response.outputs[alias].CopyFrom(tensor_proto.encode(array, self._as_content))
        return response.SerializeToString()

    def _get_model_metadata(
        self, request: bytes, context: grpc.ServicerContext, notes: RequestNotes
    ) -> bytes:
        message = GetModelMetadataRequest.FromString(request)
        spec = _model_spec(message)
        if not message.metadata_field:
            raise invalid_argument(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for name in message.metadata_field:
            if name != "signature_def":
                raise invalid_argument(f"Metadata field {name} is not supported")
        model = self._model(spec)
        signatures = SignatureDefMap()
        for name, signature_def in model.signature_defs.items():
            # TensorFlow's own message, which has fields that ours does not declare.
            signatures.signature_def[name].MergeFromString(signature_def.SerializeToString())
        response = GetModelMetadataResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = model.version
        packed = response.metadata["signature_def"]
        packed.type_url = _SIGNATURE_DEF_MAP_URL
        packed.value = signatures.SerializeToString()
        return response.SerializeToString()

    def _get_model_status(
        self, request: bytes, context: grpc.ServicerContext, notes: RequestNotes
    ) -> bytes:
        spec = _model_spec(GetModelStatusRequest.FromString(request))
        version = spec.version.value if spec.HasField("version") else None
        response = GetModelStatusResponse()
        for status in self._servable.statuses(spec.name, version):
            entry = response.model_version_status.add(
                version=status.version, state=status.state.name
            )
            entry.status.SetInParent()
        return response.SerializeToString()

    def _check_health(
        self, request: bytes, context: grpc.ServicerContext, notes: RequestNotes
    ) -> bytes:
        service = HealthCheckRequest.FromString(request).service
        if service not in _HEALTH_SERVICES:
            raise ServingError(Code.NOT_FOUND, "unknown service")
        serving = self._servable.is_available and not self._stopping
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        return HealthCheckResponse(status=status).SerializeToString()


def _model_spec(
    message: PredictRequest | GetModelMetadataRequest | GetModelStatusRequest,
) -> ModelSpec:
    if not message.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return message.model_spec


def _unimplemented(request: bytes, context: grpc.ServicerContext, notes: RequestNotes) -> bytes:
    raise ServingError(
        Code.UNIMPLEMENTED, "This development server does not support this method; use Predict"
    )


def _options(channel_arguments: str) -> list[tuple[str, int | str]]:
    """gRPC's server options, those of the flag `grpc_channel_arguments` last."""
    options: dict[str, int | str] = {
        "grpc.max_receive_message_length": -1,
        "grpc.max_send_message_length": -1,
        # Otherwise a second server could start on the same port, and get half of the requests.
        "grpc.so_reuseport": 0,
    }
    for argument in filter(None, channel_arguments.split(",")):
        key, separator, value = argument.partition("=")
        if not separator:
            raise FlagError(f"--grpc_channel_arguments: expected key=value, not {argument!r}")
        options[key] = int(value) if value.lstrip("-").isdigit() else value
    return list(options.items())


def quiet_grpc() -> None:
    """gRPC's C core logs to stderr on its own; errors that matter are raised as exceptions."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

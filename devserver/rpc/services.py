"""TF Serving's gRPC services: PredictionService, ModelService and the standard health service.

Handlers take requests as bytes and parse them, so that a malformed one is counted, logged and
rejected like any other.
"""

from __future__ import annotations

from collections.abc import Callable

import grpc

from devserver.errors import Code, ServingError, invalid_argument
from devserver.execution.predictor import Predictor, RequestNotes
from devserver.memory import MemoryBudget
from devserver.model.loading import LoadedModel
from devserver.model.servable import Servable
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

PREDICT = "/tensorflow.serving.PredictionService/Predict"

_HEALTH_SERVICES = ("", "ModelService", "PredictionService")
_SIGNATURE_DEF_MAP_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"

Handler = Callable[[bytes, grpc.ServicerContext, RequestNotes], bytes]


class Services:
    """The methods by their paths. Thread-safe.

    Args:
        as_content: send outputs as `tensor_content`.
    """

    def __init__(
        self, servable: Servable, predictor: Predictor, memory: MemoryBudget, as_content: bool
    ) -> None:
        self._servable = servable
        self._predictor = predictor
        self._memory = memory
        self._as_content = as_content
        self._stopping = False

    def handlers(self, with_health: bool) -> dict[str, Handler]:
        prediction, model = (
            "/tensorflow.serving.PredictionService/",
            "/tensorflow.serving.ModelService/",
        )
        handlers: dict[str, Handler] = {
            PREDICT: self._predict,
            prediction + "GetModelMetadata": self._get_model_metadata,
            prediction + "Classify": _unimplemented,
            prediction + "Regress": _unimplemented,
            prediction + "MultiInference": _unimplemented,
            model + "GetModelStatus": self._get_model_status,
            model + "HandleReloadConfigRequest": _unimplemented,
        }
        if with_health:
            handlers["/grpc.health.v1.Health/Check"] = self._check_health
        return handlers

    def stop(self) -> None:
        """From here on, the health service says that nothing is served."""
        self._stopping = True

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
        aliases = tensor_proto.output_aliases(signature, message)
        with self._memory.share() as share:
            share.hold(tensor_proto.filled_bytes(message))
            inputs = tensor_proto.decode_inputs(signature, message)
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

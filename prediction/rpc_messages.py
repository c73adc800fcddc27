"""What is sent to TF Serving's gRPC API, and what its answers mean; no input or output."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from prediction import description, png
from prediction.answer import Advanced, Answer, Begun
from prediction.endpoints import is_loopback
from prediction.errors import one_line
from prediction.failures import Failures
from prediction.limits import PictureRequest
from prediction.model_status import ModelStatus, model_status_of
from prediction.rpc_failures import grpc
from prediction.tensors import VALUE_FIELDS, optional_value_of, value_of
from tfserving.model_status_pb2 import (
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelVersionStatus,
)
from tfserving.predict_pb2 import PredictRequest, PredictResponse
from tfserving.tensor_pb2 import (
    DT_BOOL,
    DT_FLOAT,
    DT_INT32,
    DT_INT64,
    DT_STRING,
    DataType,
    TensorProto,
)

T = TypeVar("T")

MAX_ANSWER_BYTES = 64 * 2**20
PREDICT = "/tensorflow.serving.PredictionService/Predict"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"

_Row = dict[str, TensorProto]

_STATES = {int(number): name for name, number in ModelVersionStatus.State.items()}


def channel_options(endpoint: str, max_answer_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_answer_bytes),
        # A proxy from the environment cannot reach this machine's loopback.
        ("grpc.enable_http_proxy", int(not is_loopback(endpoint))),
        # A server that starts again is found within moments; the usual longest pause is 2 minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]


class RpcMessages:
    """The messages for one model at one endpoint."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self._endpoint = endpoint
        self._model_name = model_name
        self._fail = Failures(endpoint, model_name)

    def predict_message(self, request: PictureRequest) -> bytes:
        return self._picture_message("serving_default", request)

    def begin_message(self, request: PictureRequest) -> bytes:
        return self._picture_message(description.BEGIN, request)

    def advance_message(self, state: bytes, context: bytes, steps: int) -> bytes:
        return self._predict_message(
            description.ADVANCE,
            ("state", DT_STRING, state),
            ("context", DT_STRING, context),
            ("steps", DT_INT32, steps),
        )

    def finish_message(self, state: bytes) -> bytes:
        return self._predict_message(description.FINISH, ("state", DT_STRING, state))

    def _picture_message(self, signature: str, request: PictureRequest) -> bytes:
        return self._predict_message(
            signature,
            ("prompt", DT_STRING, request.prompt.encode()),
            ("negative_prompt", DT_STRING, request.negative_prompt.encode()),
            ("num_steps", DT_INT32, request.num_steps),
            ("guidance_scale", DT_FLOAT, request.guidance_scale),
            ("seed", DT_INT64, request.seed),
        )

    def describe_message(self) -> bytes:
        return self._predict_message(description.SIGNATURE, (description.INPUT, DT_STRING, b""))

    def _predict_message(self, signature: str, *inputs: tuple[str, DataType, Any]) -> bytes:
        message = PredictRequest()
        message.model_spec.name = self._model_name
        message.model_spec.signature_name = signature
        for alias, dtype, value in inputs:
            tensor = message.inputs[alias]
            tensor.dtype = dtype
            tensor.tensor_shape.dim.add(size=1)
            getattr(tensor, VALUE_FIELDS[dtype]).append(value)
        return message.SerializeToString()

    def status_message(self) -> bytes:
        message = GetModelStatusRequest()
        message.model_spec.name = self._model_name
        return message.SerializeToString()

    def description(self, content: bytes) -> str:
        """The model's description in a response, empty if it is no text. Raises as `answer`."""
        try:
            outputs = dict(PredictResponse.FromString(content).outputs)
        except DecodeError:
            raise self._fail.unexpected(
                "no description of a model", f"{len(content)} bytes", grpc.StatusCode.OK.name
            ) from None
        try:
            return value_of(outputs[description.OUTPUT], DT_STRING).decode()
        except (ValueError, LookupError):
            return ""

    def answer(self, content: bytes) -> Answer:
        """The picture in a response. Raises UnexpectedAnswerError."""
        return self._read(
            content,
            "no picture",
            lambda row: Answer(png=_picture(row), endpoint=self._endpoint, **_described(row)),
        )

    def begun(self, content: bytes) -> Begun:
        """The state before the first step. Raises as `answer`."""
        return self._read(
            content,
            "no state of a picture",
            lambda row: Begun(
                state=value_of(row["state"], DT_STRING),
                context=value_of(row["context"], DT_STRING),
                **_described(row),
            ),
        )

    def advanced(self, content: bytes) -> Advanced:
        """The state some steps later. Raises as `answer`."""
        return self._read(
            content,
            "no state of a picture",
            lambda row: Advanced(
                state=value_of(row["state"], DT_STRING),
                step=value_of(row["step"], DT_INT32),
                num_steps=value_of(row["num_steps"], DT_INT32),
                preview=value_of(row["preview"], DT_STRING),
            ),
        )

    def finished(self, content: bytes) -> bytes:
        """The picture of a state, as PNG. Raises as `answer`."""
        return self._read(content, "no picture", _picture)

    def _read(self, content: bytes, problem: str, read: Callable[[_Row], T]) -> T:
        try:
            # A dict: a protobuf map makes an entry for a key that is missing.
            return read(dict(PredictResponse.FromString(content).outputs))
        except (DecodeError, ValueError, LookupError, TypeError, struct.error):
            raise self._fail.unexpected(
                problem, f"{len(content)} bytes", grpc.StatusCode.OK.name
            ) from None

    def model_status(self, content: bytes) -> ModelStatus:
        """The model's status in a response. Raises UnexpectedAnswerError."""
        try:
            answer = GetModelStatusResponse.FromString(content)
            return model_status_of(
                [
                    (entry.version, _STATES.get(entry.state, ""), entry.status.error_message)
                    for entry in answer.model_version_status
                ]
            )
        except (DecodeError, ValueError):
            raise self._fail.unexpected("no model status", f"{len(content)} bytes") from None


def _picture(row: _Row) -> bytes:
    image = value_of(row["image_bytes"], DT_STRING)
    png.check(image)
    return image


def _described(row: _Row) -> dict[str, Any]:
    """What a row says beside its picture or state."""
    return {
        "seed": value_of(row["seed"], DT_INT64),
        "num_steps": value_of(row["num_steps"], DT_INT32),
        "prompt_tokens": value_of(row["prompt_tokens"], DT_INT32),
        "truncated": value_of(row["truncated"], DT_BOOL),
        # A model from an older export does not say these two.
        "negative_prompt_tokens": optional_value_of(row.get("negative_prompt_tokens"), DT_INT32, 0),
        "negative_prompt_truncated": optional_value_of(
            row.get("negative_prompt_truncated"), DT_BOOL, False
        ),
        "fingerprint": one_line(value_of(row["fingerprint"], DT_STRING).decode()),
    }

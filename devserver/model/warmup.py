"""Warm-up records of a SavedModel: run before the model counts as available.

They are PredictionLogs in a TFRecord file inside the version folder. A record that fails makes the
load fail, so they are also a smoke test of an upload.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from devserver.errors import ServingError, StartError
from devserver.execution.predictor import Predictor, RequestNotes
from devserver.model.loading import LoadedModel, first_line
from devserver.rpc import tensor_proto
from tfserving.prediction_log_pb2 import PredictionLog

FILE_NAME = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000


def run(model: LoadedModel, version_folder: Path, passes: int, predictor: Predictor) -> int:
    """Runs the records `passes` times, without a time limit, and returns how many there are.

    Raises:
        StartError: the file is damaged, or a record fails.
    """
    path = version_folder / FILE_NAME
    if not path.is_file():
        return 0
    logs = _read(path)
    for number, log in enumerate(logs * passes):
        try:
            _run_record(model, log, predictor)
        except ServingError as error:
            raise StartError(
                f"warm-up record {number % len(logs)} of {path} failed: {error.code.name}: "
                f"{first_line(error)}"
            ) from error
    return len(logs)


def _run_record(model: LoadedModel, log: PredictionLog, predictor: Predictor) -> None:
    request = log.predict_log.request
    signature = tensor_proto.signature_of(model, request.model_spec.signature_name)
    inputs = tensor_proto.decode_inputs(signature, request)
    outputs = tensor_proto.output_aliases(signature, request)
    predictor.predict(model, signature, inputs, outputs, None, RequestNotes())


def _read(path: Path) -> list[PredictionLog]:
    import tensorflow as tf

    logs: list[PredictionLog] = []
    try:
        dataset: Any = tf.data.TFRecordDataset(str(path))
        for record in dataset.as_numpy_iterator():
            logs.append(PredictionLog.FromString(record))
            if len(logs) > MAX_RECORDS:
                raise StartError(f"{path} has more than {MAX_RECORDS} warm-up records")
    except (tf.errors.OpError, DecodeError) as error:
        raise StartError(
            f"{path}: {first_line(error)}. Please verify your warmup data is in TFRecord format."
        ) from error
    for number, log in enumerate(logs):
        kind = log.WhichOneof("log_type")
        if kind != "predict_log":
            raise StartError(
                f"warm-up record {number} of {path} is a {kind or 'record without content'}; "
                "this server runs predict_log only"
            )
    return logs

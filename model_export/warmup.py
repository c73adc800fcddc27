"""Warm-up records: requests that TF Serving runs before a model counts as loaded.

So a replica is warm before it is ready, and a damaged model fails to load. Imports TensorFlow
inside the function.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model_export.families import family
from model_export.spec import MODEL_NAME, ModelSpec
from tfserving.prediction_log_pb2 import PredictionLog

WARMUP_PATH = "assets.extra/tf_serving_warmup_requests"
_PROMPT = b"a small red circle on a white background"


@dataclass(frozen=True)
class BlankStrings:
    """What the signatures for chunks take: a state before a step and after it, and a context."""

    before: bytes
    after: bytes
    context: bytes


def write_warmup_requests(version_folder: Path, spec: ModelSpec, blank: BlankStrings) -> None:
    """PredictionLogs for a picture of one step in chunks, and where that is quick for a whole one.

    Each network then runs once. TensorFlow also prepares a graph for each signature, which for a
    large model takes longer than a step: so only those are prepared that the web service calls.
    """
    import tensorflow as tf

    picture = {
        "prompt": tf.constant([_PROMPT]),
        "negative_prompt": tf.constant([b""]),
        "num_steps": tf.constant([1], tf.int32),
        "guidance_scale": tf.constant([1.0], tf.float32),
        "seed": tf.constant([0], tf.int64),
    }
    requests = {
        "begin": picture,
        "advance": {
            "state": tf.constant([blank.before]),
            "context": tf.constant([blank.context]),
            "steps": tf.constant([1], tf.int32),
        },
        "finish": {"state": tf.constant([blank.after])},
    }
    if family(spec.family).draws_quickly:
        requests["serving_default"] = picture
    path = version_folder / WARMUP_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            record = PredictionLog()
            request = record.predict_log.request
            request.model_spec.name = MODEL_NAME
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                tensor = tf.make_tensor_proto(value)
                request.inputs[name].MergeFromString(tensor.SerializeToString())
            writer.write(record.SerializeToString(deterministic=True))

"""Warm-up records: requests that TF Serving runs before a model counts as loaded.

So a replica is warm before it is ready, and a damaged model fails to load. Imports TensorFlow
inside the function.
"""

from __future__ import annotations

from pathlib import Path

from model_export.spec import MAX_PROMPT_TOKENS, MODEL_NAME, ModelSpec
from model_export.vocabulary import END_OF_TEXT, START_OF_TEXT
from tfserving.prediction_log_pb2 import PredictionLog

WARMUP_PATH = "assets.extra/tf_serving_warmup_requests"
_QUICK_FAMILIES = ("demo",)
"""They draw a whole picture in seconds."""
_PROMPT = b"a small red circle on a white background"


def write_warmup_requests(
    version_folder: Path, spec: ModelSpec, state: bytes, context: bytes
) -> None:
    """One PredictionLog for each signature that draws, with one row and one step.

    state and context are of a picture of no steps: then `advance` and `finish` get ready without
    running the networks, which `serving_default` has done. If a step takes seconds, `prompt` and
    `tokens` have no request: every new replica would have to draw one picture more for each.
    """
    import tensorflow as tf

    empty_prompt = [[START_OF_TEXT] + [END_OF_TEXT] * (MAX_PROMPT_TOKENS - 1)]
    chosen = {
        "num_steps": tf.constant([1], tf.int32),
        "guidance_scale": tf.constant([1.0], tf.float32),
        "seed": tf.constant([0], tf.int64),
    }
    texts = {"prompt": tf.constant([_PROMPT]), "negative_prompt": tf.constant([b""])}
    strings = {"state": tf.constant([state]), "context": tf.constant([context])}
    requests = {
        "serving_default": texts | chosen,
        "begin": texts | chosen,
        "advance": strings | {"steps": tf.constant([1], tf.int32)},
        "finish": {"state": strings["state"]},
    }
    if spec.family in _QUICK_FAMILIES:
        requests["prompt"] = {"prompt": texts["prompt"]}
        requests["tokens"] = {
            "tokens": tf.constant(empty_prompt, tf.int32),
            "negative_prompt_tokens": tf.constant(empty_prompt, tf.int32),
            **chosen,
        }
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

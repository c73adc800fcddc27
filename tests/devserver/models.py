"""Small SavedModels that the tests generate, and how their warm-up records are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def export(folder: Path) -> None:
    """A SavedModel with one signature for every trait that the tests ask for."""
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self) -> None:
            self.half = tf.Variable(0.5)
            self.two = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def half_plus_two(self, x: Any) -> dict[str, Any]:
            return {"y": self.half * x + self.two}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def total(self, x: Any) -> dict[str, Any]:
            return {"y": tf.reduce_sum(x)}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, name="text"),
                tf.TensorSpec([None], tf.int32, name="times"),
            ]
        )
        def text(self, text: Any, times: Any) -> dict[str, Any]:
            repeated = tf.map_fn(
                lambda row: tf.strings.reduce_join(tf.repeat(row[0], tf.minimum(row[1], 100))),
                (text, times),
                fn_output_signature=tf.string,
            )
            return {
                "image_bytes": repeated,
                "echo": text,
                "length": tf.strings.length(repeated),
                "long": times > 2,
            }

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.uint8, name="pixels")])
        def checked(self, pixels: Any) -> dict[str, Any]:
            return {"pixels": tf.ensure_shape(pixels, [None, 2]) + 1}

        @tf.function(
            input_signature=[
                tf.TensorSpec([], tf.int64, name="integer"),
                tf.TensorSpec([], tf.bool, name="flag"),
                tf.TensorSpec([], tf.double, name="real"),
            ]
        )
        def scalars(self, integer: Any, flag: Any, real: Any) -> dict[str, Any]:
            return {"integer": integer, "flag": tf.logical_not(flag), "real": real / 3.0}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def half_floats(self, x: Any) -> dict[str, Any]:
            return {"y": tf.cast(x, tf.bfloat16)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="steps")])
        def slow(self, steps: Any) -> dict[str, Any]:
            """About a millisecond a step, and stops between two steps when cancelled."""
            start = tf.random.stateless_normal([160, 160], [1, 2]) / 20.0
            _, matrix = tf.while_loop(
                lambda step, _: step < tf.reduce_max(steps),
                lambda step, m: (step + 1, tf.linalg.matmul(start, m) / tf.norm(m)),
                (tf.constant(0), start),
                parallel_iterations=1,
            )
            finite = tf.cast(tf.math.is_finite(tf.reduce_sum(matrix)), tf.int32)
            return {"steps": steps * finite}

    model = Model()
    tf.saved_model.save(
        model,
        str(folder),
        signatures={
            "serving_default": model.half_plus_two,
            "total": model.total,
            "text": model.text,
            "checked": model.checked,
            "scalars": model.scalars,
            "half_floats": model.half_floats,
            "slow": model.slow,
        },
    )
    _add_signature_with_default(folder / "saved_model.pb")


def _add_signature_with_default(path: Path) -> None:
    """Adds the signature `with_default`: that of `text`, with 2 where `times` is left out."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    signatures = message.meta_graphs[0].signature_def
    signatures["with_default"].CopyFrom(signatures["text"])
    signatures["with_default"].defaults["times"].CopyFrom(tf.make_tensor_proto([2], tf.int32))
    path.write_bytes(message.SerializeToString())


def write_warmup(folder: Path, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Writes one predict record per (signature, inputs) into a version folder."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            for alias, value in inputs.items():
                request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())

"""A SavedModel with the project's signature that draws instantly, or as slowly as requested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_export.description import description
from model_export.spec import ModelSpec

FINGERPRINT = "0123456789abcdef"


def export(folder: Path, *, says_what_it_is: bool = True) -> None:
    """Pictures of 8 by 8 px that depend on the seed. A step takes about a millisecond."""
    import tensorflow as tf

    signature = [
        tf.TensorSpec([None], tf.string, name="prompt"),
        tf.TensorSpec([None], tf.string, name="negative_prompt"),
        tf.TensorSpec([None], tf.int32, name="num_steps"),
        tf.TensorSpec([None], tf.float32, name="guidance_scale"),
        tf.TensorSpec([None], tf.int64, name="seed"),
    ]

    def draw(row: Any) -> Any:
        steps, seed = row
        start = tf.random.stateless_normal([160, 160], [1, 2]) / 20.0
        _, matrix = tf.while_loop(
            lambda step, _: step < steps,
            lambda step, m: (step + 1, tf.linalg.matmul(start, m) / tf.norm(m)),
            (tf.constant(0), start),
            parallel_iterations=1,
        )
        # Part of the picture, so that the loop is not optimised away.
        zero = tf.cast(tf.math.is_nan(tf.reduce_sum(matrix)), tf.int32)
        pixels = tf.random.stateless_uniform([8, 8, 3], [seed, 0], 0, 256, tf.int32) + zero
        return tf.io.encode_png(tf.cast(pixels, tf.uint8))

    class Model(tf.Module):
        @tf.function(input_signature=signature)
        def serve(
            self, prompt: Any, negative_prompt: Any, num_steps: Any, guidance_scale: Any, seed: Any
        ) -> dict[str, Any]:
            pictures = tf.map_fn(
                draw, (num_steps, seed), fn_output_signature=tf.string, parallel_iterations=1
            )
            words = tf.strings.length(tf.strings.join([prompt, negative_prompt]))
            return {
                "image_bytes": pictures,
                "seed": seed,
                "num_steps": num_steps,
                "prompt_tokens": words,
                "truncated": guidance_scale > 29.0,
                "fingerprint": tf.fill(tf.shape(seed), FINGERPRINT),
            }

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="query")])
        def describe(self, query: Any) -> dict[str, Any]:
            text = description(ModelSpec(), FINGERPRINT)
            return {"description": tf.fill(tf.shape(query), text)}

    model = Model()
    signatures = {"serving_default": model.serve, "describe": model.describe}
    if not says_what_it_is:
        del signatures["describe"]
    tf.saved_model.save(model, str(folder), signatures=signatures)

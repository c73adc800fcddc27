"""Draws pictures in chunks, as a caller of `begin`, `advance` and `finish` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def drawn_in_chunks(
    call: Any, asked: Mapping[str, Any], chunks: Sequence[Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(the answer as serving_default would give it, what each advance answered).

    call(signature, **inputs) gives the outputs by name. Each of chunks is the steps of an advance:
    one number for all rows, or one for each.
    """
    import tensorflow as tf

    begun = call("begin", **asked)
    state, context = begun.pop("state"), begun.pop("context")
    answers: list[dict[str, Any]] = []
    for steps in chunks:
        given = tf.broadcast_to(tf.constant(steps, tf.int32), tf.shape(state))
        answers.append(call("advance", state=state, context=context, steps=given))
        state = answers[-1]["state"]
    return begun | call("finish", state=state), answers

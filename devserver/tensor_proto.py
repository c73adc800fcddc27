"""Predict requests and answers in protobuf form: TensorProtos to arrays and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from devserver.errors import Code, ServingError, invalid_argument
from devserver.model import DEFAULT_SIGNATURE, LoadedModel, Signature

MAX_ELEMENTS = 2**28
"""A TensorProto may claim any shape and repeat its last value to fill it; this is enough."""

_VALUE_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "object": "string_val",
    "float16": "half_val",
    "bfloat16": "half_val",
}


def signature_of(model: LoadedModel, name: str) -> Signature:
    """The signature that a gRPC request names.

    Raises:
        ServingError: FAILED_PRECONDITION when the model has none of that name.
    """
    wanted = name or DEFAULT_SIGNATURE
    if wanted not in model.signatures:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{wanted}" not found.')
    return model.signatures[wanted]


def decode_inputs(signature: Signature, request: Any) -> dict[str, np.ndarray]:
    """The arrays of a PredictRequest, with the signature's defaults filled in.

    Raises:
        ServingError: INVALID_ARGUMENT in the original's words.
    """
    sent, wanted = set(request.inputs), set(signature.inputs)
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({_braces(sent)}) != len({_braces(wanted)}). Sent extra: "
            f"{_braces(sent - wanted)}. Missing but required: {_braces(wanted - sent)}."
        )
    for alias in sorted((wanted - sent - set(signature.defaults)) | (sent - wanted)):
        problem = "not found in signature" if alias in sent else "missing in request"
        raise invalid_argument(
            f"input tensor alias {problem}: {alias}. Inputs expected to be in the set "
            f"{_braces(wanted)}."
        )
    return {
        alias: _array(alias, request.inputs[alias] if alias in sent else signature.defaults[alias])
        for alias in signature.inputs
    }


def output_aliases(signature: Signature, request: Any) -> list[str]:
    """What a PredictRequest wants back: its output filter, or everything.

    Raises:
        ServingError: INVALID_ARGUMENT for an alias that is unknown or doubled.
    """
    wanted = list(request.output_filter)
    for index, alias in enumerate(wanted):
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {_braces(signature.outputs)}."
            )
        if alias in wanted[:index]:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
    return wanted or list(signature.outputs)


def encode(array: np.ndarray, as_content: bool) -> Any:
    """A TensorProto with the values in its typed field, as TF Serving sends it by default."""
    import tensorflow as tf

    value_field = _VALUE_FIELDS.get(array.dtype.name)
    if as_content or value_field is None:
        return tf.make_tensor_proto(array)
    message = tf.compat.v1.make_tensor_proto([], array.dtype, shape=[0])
    message.ClearField("tensor_shape")
    message.ClearField("tensor_content")
    for size in array.shape:
        message.tensor_shape.dim.add(size=size)
    values = array.view(np.uint16) if value_field == "half_val" else array
    getattr(message, value_field).extend(values.ravel().tolist())
    return message


def _braces(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _array(alias: str, message: Any) -> np.ndarray:
    import tensorflow as tf

    elements = 1
    for dim in message.tensor_shape.dim:
        elements *= dim.size
    known = not message.tensor_shape.unknown_rank
    sizes_make_sense = all(0 <= dim.size <= MAX_ELEMENTS for dim in message.tensor_shape.dim)
    if not (known and sizes_make_sense and elements <= MAX_ELEMENTS):
        raise invalid_argument(f"tensor parsing error: {alias}")
    try:
        return np.asarray(tf.make_ndarray(message))
    except (TypeError, ValueError, IndexError, OverflowError):
        raise invalid_argument(f"tensor parsing error: {alias}") from None

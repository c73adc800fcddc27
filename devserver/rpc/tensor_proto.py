"""Predict requests and answers in protobuf form: TensorProtos to arrays and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from devserver.errors import Code, ServingError, invalid_argument
from devserver.model.loading import DEFAULT_SIGNATURE, LoadedModel, Signature
from tfserving.predict_pb2 import PredictRequest
from tfserving.tensor_pb2 import TensorProto

MAX_ELEMENTS = 2**28
MAX_FILLED_ELEMENTS = 2**22
"""A TensorProto may claim any shape and hold one value, which is repeated to fill it."""

_LARGEST_VALUE_BYTES = 16


@dataclass(frozen=True)
class _Field:
    """Where a TensorProto keeps the values of a type, and as which type."""

    name: str
    type: type
    is_reinterpreted: bool = False
    """The field holds the bits: of a half in an integer, of a complex number in two floats."""


_FIELDS: dict[str, _Field] = {
    "float32": _Field("float_val", np.float32),
    "float64": _Field("double_val", np.float64),
    "int8": _Field("int_val", np.int32),
    "int16": _Field("int_val", np.int32),
    "int32": _Field("int_val", np.int32),
    "uint8": _Field("int_val", np.int32),
    "uint16": _Field("int_val", np.int32),
    "int64": _Field("int64_val", np.int64),
    "uint32": _Field("uint32_val", np.uint32),
    "uint64": _Field("uint64_val", np.uint64),
    "bool": _Field("bool_val", np.bool_),
    "string": _Field("string_val", np.object_),
    "float16": _Field("half_val", np.uint16, True),
    "bfloat16": _Field("half_val", np.uint16, True),
    "complex64": _Field("scomplex_val", np.float32, True),
    "complex128": _Field("dcomplex_val", np.float64, True),
}
_CONTENT_TYPES = _FIELDS.keys() - {"bool", "uint16", "string", "complex64", "complex128"}
"""Those of which `tf.make_tensor_proto` writes more than one value as `tensor_content`."""


def signature_of(model: LoadedModel, name: str) -> Signature:
    """The signature that a gRPC request names.

    Raises:
        ServingError: FAILED_PRECONDITION when the model has none of that name.
    """
    wanted = name or DEFAULT_SIGNATURE
    if wanted not in model.signatures:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{wanted}" not found.')
    return model.signatures[wanted]


def decode_inputs(signature: Signature, request: PredictRequest) -> dict[str, np.ndarray]:
    """The arrays of a PredictRequest, with the signature's defaults filled in.

    Raises:
        ServingError: INVALID_ARGUMENT with TF Serving's message.
    """
    sent, wanted = set(request.inputs), set(signature.inputs)
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({{{_names(sent)}}}) != len({{{_names(wanted)}}}). Sent extra: "
            f"{{{_names(sent - wanted)}}}. Missing but required: {{{_names(wanted - sent)}}}."
        )
    arrays: dict[str, np.ndarray] = {}
    for alias, entry in signature.inputs.items():
        if alias not in sent and alias not in signature.defaults:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {entry.tensor}) not found in request "
                "and no default value provided. Inputs expected to be in the request "
                f"{{{_names(sent)}}}, or default input alias set: {_names(signature.defaults)}"
            )
        tensors = request.inputs if alias in sent else signature.defaults
        arrays[alias] = decode(alias, tensors[alias])
    if not sent <= wanted:
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {_names(sent & wanted)}, "
            f"request input: {_names(sent)}"
        )
    return arrays


def filled_bytes(request: PredictRequest) -> int:
    """The most that filling tensors up to the shapes they claim may take: twice a value's size."""
    elements = sum(
        min(_count([dim.size for dim in message.tensor_shape.dim]), MAX_FILLED_ELEMENTS)
        for message in request.inputs.values()
    )
    return 2 * _LARGEST_VALUE_BYTES * elements


def output_aliases(signature: Signature, request: PredictRequest) -> list[str]:
    """The outputs that a PredictRequest asks for: its output filter, or all of them.

    Raises:
        ServingError: INVALID_ARGUMENT for an unknown or duplicate alias.
    """
    wanted = list(request.output_filter)
    for index, alias in enumerate(wanted):
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {{{_names(signature.outputs)}}}."
            )
        if alias in wanted[:index]:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
    return wanted or list(signature.outputs)


def encode(array: np.ndarray, as_content: bool) -> TensorProto:
    """A TensorProto with the values in its typed field, as TF Serving sends it by default."""
    import tensorflow as tf

    name = "string" if array.dtype == np.object_ else array.dtype.name
    field = _FIELDS.get(name)
    if field is None:
        return TensorProto.FromString(tf.make_tensor_proto(array).SerializeToString())
    message = TensorProto(dtype=tf.dtypes.as_dtype(array.dtype).as_datatype_enum)
    message.tensor_shape.SetInParent()
    for size in array.shape:
        message.tensor_shape.dim.add(size=size)
    if as_content and array.size > 1 and name in _CONTENT_TYPES:
        message.tensor_content = array.tobytes()
        return message
    values = np.ascontiguousarray(array).ravel()
    getattr(message, field.name).extend(
        (values.view(field.type) if field.is_reinterpreted else values).tolist()
    )
    return message


def decode(alias: str, message: TensorProto) -> np.ndarray:
    """The array of a TensorProto, read as TensorFlow's C++ code reads it.

    Values beyond the shape's number of elements are ignored; where some are missing, the last one
    is repeated, or zero when there is none.

    Raises:
        ServingError: INVALID_ARGUMENT for a message that makes no tensor.
    """
    import tensorflow as tf

    refusal = invalid_argument(f"tensor parsing error: {alias}")
    try:
        kind = tf.dtypes.as_dtype(message.dtype)
    except TypeError:
        raise refusal from None
    field = _FIELDS.get(kind.name)
    shape = [dim.size for dim in message.tensor_shape.dim]
    known = not message.tensor_shape.unknown_rank and all(0 <= n <= MAX_ELEMENTS for n in shape)
    count = _count(shape)
    if field is None or not known or count > MAX_ELEMENTS:
        raise refusal
    values = _values(message, field, np.dtype(kind.as_numpy_dtype), count)
    if values is None:
        raise refusal
    try:
        return values.reshape(shape)
    except ValueError:  # more dimensions than NumPy has
        raise refusal from None


def _count(shape: Sequence[int]) -> int:
    """How many elements a shape has, or more than MAX_ELEMENTS: the product of a million sizes
    is a number that takes minutes to calculate."""
    count = 1
    for size in shape:
        count = min(count * max(0, size), MAX_ELEMENTS + 1)
    return count


def _values(message: TensorProto, field: _Field, dtype: np.dtype, count: int) -> np.ndarray | None:
    """The first `count` values; None when the message does not hold or imply them."""
    if message.tensor_content:
        is_whole = len(message.tensor_content) == count * dtype.itemsize
        if dtype == np.object_ or not is_whole:
            return None
        if dtype == np.bool_ and set(message.tensor_content) - {0, 1}:
            return None
        return np.frombuffer(message.tensor_content, dtype).copy()
    sent = getattr(message, field.name)
    if field.name == "half_val":
        values = np.array(sent, np.int32).astype(np.uint16).view(dtype)
    elif field.is_reinterpreted:
        values = np.array(sent[: len(sent) // 2 * 2], field.type).view(dtype)
    else:
        values = np.array(sent, field.type).astype(dtype, copy=False)
    missing = count - len(values)
    if missing <= 0:
        return values[:count]
    if count > MAX_FILLED_ELEMENTS:
        return None
    last = values[-1] if len(values) else b"" if dtype == np.object_ else 0
    return np.concatenate([values, np.full(missing, last, dtype)])


def _names(names: Iterable[str]) -> str:
    return ",".join(sorted(names))

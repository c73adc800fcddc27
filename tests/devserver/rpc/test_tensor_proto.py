"""TensorProtos: read as TensorFlow's own C++ code reads them, and written as it writes them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import assume

from devserver.errors import ServingError
from devserver.model.loading import Signature, TensorEntry
from devserver.rpc import tensor_proto
from tests.devserver.fuzzing import fuzz, tries
from tests.devserver.rpc.test_fuzz_rpc import tensors

FLOAT, HALF, STRING, UINT8, INT32, COMPLEX64, RESOURCE, VARIANT, FLOAT_REF = (
    *(1, 19, 7, 4, 3, 8, 20, 21, 101),
)


def tensor(dtype: int, shape: list[int], **fields: Any) -> Any:
    from tensorflow.core.framework import tensor_pb2

    message = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


READ = [
    (lambda: tensor(FLOAT, [2], float_val=[1, 2]), np.float32([1, 2])),
    (lambda: tensor(FLOAT, [3], float_val=[1, 2]), np.float32([1, 2, 2])),
    (lambda: tensor(FLOAT, [2], float_val=[1, 2, 3]), np.float32([1, 2])),
    (lambda: tensor(FLOAT, [2]), np.float32([0, 0])),
    (lambda: tensor(FLOAT, [], float_val=[5]), np.float32(5)),
    (lambda: tensor(FLOAT, [1], tensor_content=b"\0\0\x80\x3f"), np.float32([1])),
    (lambda: tensor(STRING, [2]), np.array([b"", b""], object)),
    (lambda: tensor(STRING, [1, 1], string_val=[b"\0a\0"]), np.array([[b"\0a\0"]], object)),
    (lambda: tensor(UINT8, [2], int_val=[300, -1]), np.uint8([44, 255])),
    (lambda: tensor(HALF, [1], half_val=[0x3C00]), np.float16([1])),
    (lambda: tensor(COMPLEX64, [1], scomplex_val=[1, 2, 3]), np.complex64([1 + 2j])),
]


@pytest.mark.parametrize(("make", "array"), READ)
def test_a_tensor_is_read_from_its_typed_field_or_its_content(make: Any, array: Any) -> None:
    read = tensor_proto.decode("x", make())
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


REFUSED = [
    lambda: tensor(FLOAT, [2], tensor_content=b"abc"),
    lambda: tensor(STRING, [1], tensor_content=b"\1a"),
    lambda: tensor(FLOAT, [-1]),
    lambda: tensor(FLOAT, [2**62, 4]),
    lambda: tensor(FLOAT, [tensor_proto.MAX_ELEMENTS]),
    lambda: tensor(FLOAT, [1] * 300, float_val=[1]),
    *(partial(tensor, dtype, [1]) for dtype in (0, RESOURCE, VARIANT, FLOAT_REF, 999)),
]


@pytest.mark.parametrize("make", REFUSED)
def test_what_makes_no_tensor_is_refused(make: Any) -> None:
    with pytest.raises(ServingError, match=r"^tensor parsing error: x$"):
        tensor_proto.decode("x", make())


@tries(200, long=20_000)
def test_any_tensor_is_read_as_tensorflow_reads_it(count: int) -> None:
    import tensorflow as tf

    def check(message: Any) -> None:
        sizes = [dim.size for dim in message.tensor_shape.dim]
        assume(all(-1 <= size <= 2**10 for size in sizes) and message.dtype < 100)
        try:
            read = tensor_proto.decode("x", message)
        except ServingError:
            return
        theirs = tf.io.parse_tensor(message.SerializeToString(), read.dtype)
        np.testing.assert_array_equal(read, np.asarray(theirs.numpy(), read.dtype))

    fuzz(tensors(), count, check)


WRITTEN = [
    (np.float32([1.5]), "float_val", [1.5]),
    (np.uint8([[1, 2]]), "int_val", [1, 2]),
    (np.array([b"a"], object), "string_val", [b"a"]),
    (np.int64([-1]), "int64_val", [-1]),
    (np.bool_(True), "bool_val", [True]),
    (np.float16([1]), "half_val", [0x3C00]),
    (np.complex64([1 + 2j]), "scomplex_val", [1, 2]),
]


@pytest.mark.parametrize(("array", "field", "values"), WRITTEN)
def test_a_tensor_is_written_to_its_typed_field(array: Any, field: str, values: list[Any]) -> None:
    message = tensor_proto.encode(np.asarray(array), as_content=False)
    assert list(getattr(message, field)) == values
    assert not message.tensor_content
    assert [dim.size for dim in message.tensor_shape.dim] == list(np.shape(array))


def test_a_tensor_is_written_as_content_when_told_to() -> None:
    message = tensor_proto.encode(np.float32([1, 2]), as_content=True)
    assert message.tensor_content == np.float32([1, 2]).tobytes()


def signature() -> Signature:
    """Two inputs, one of them with a default."""
    return Signature(
        "s",
        {"text": TensorEntry("text:0", "string"), "times": TensorEntry("times:0", "int32")},
        {},
        {"times": tensor(INT32, [1], int_val=[2])},
    )


def request(*aliases: str) -> Any:
    """A request with the same text for every alias."""
    from tensorflow_serving.apis import predict_pb2

    text = tensor(STRING, [1], string_val=[b"a"])
    return predict_pb2.PredictRequest(inputs=dict.fromkeys(aliases, text))


def test_a_default_fills_in_for_an_input() -> None:
    inputs = tensor_proto.decode_inputs(signature(), request("text"))
    assert {alias: value.tolist() for alias, value in inputs.items()} == {
        "text": [b"a"],
        "times": [2],
    }


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (
            ["times"],
            "Signature input alias: text(feed name: text:0) not found in request and no default "
            "value provided. Inputs expected to be in the request {times}, or default input alias "
            "set: times",
        ),
        (
            ["text", "other"],
            "Inputs contains invalid name. Used request inputs: text, request input: other,text",
        ),
        (
            ["text", "times", "other"],
            "input size does not match signature: 3!=2 len({other,text,times}) != "
            "len({text,times}). Sent extra: {other}. Missing but required: {}.",
        ),
    ],
)
def test_inputs_that_do_not_fit_the_signature_are_refused_in_the_originals_words(
    sent: list[str], message: str
) -> None:
    with pytest.raises(ServingError) as caught:
        tensor_proto.decode_inputs(signature(), request(*sent))
    assert caught.value.message == message


def test_the_order_of_checks_is_the_originals() -> None:
    sent = request("text", "other")
    sent.inputs["text"].CopyFrom(tensor(FLOAT, [-1]))
    with pytest.raises(ServingError, match="tensor parsing error: text"):
        tensor_proto.decode_inputs(signature(), sent)

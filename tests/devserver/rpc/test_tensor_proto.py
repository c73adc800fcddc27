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

FLOAT, HALF, STRING, UINT8, INT32, COMPLEX64, BOOL, RESOURCE, VARIANT, FLOAT_REF = (
    *(1, 19, 7, 4, 3, 8, 10, 20, 21, 101),
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
    (lambda: tensor(BOOL, [2], tensor_content=b"\0\1"), np.array([False, True])),
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
    lambda: tensor(BOOL, [2], tensor_content=b"\1\2"),
    lambda: tensor(FLOAT, [-1]),
    lambda: tensor(FLOAT, [2**62, 4]),
    lambda: tensor(FLOAT, [tensor_proto.MAX_ELEMENTS]),
    lambda: tensor(FLOAT, [1] * 300, float_val=[1]),
    *(partial(tensor, dtype, [1]) for dtype in (0, RESOURCE, VARIANT, FLOAT_REF, 999)),
]


@pytest.mark.parametrize("make", REFUSED)
def test_an_invalid_tensor_is_rejected(make: Any) -> None:
    with pytest.raises(ServingError, match=r"^tensor parsing error: x$"):
        tensor_proto.decode("x", make())


def with_equal_nans(array: Any) -> Any:
    """numpy knows no NaN of bfloat16."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


@tries(200, long=20_000)
def test_any_tensor_is_read_as_tensorflow_reads_it(count: int) -> None:
    import tensorflow as tf

    kinds: set[int] = set()

    def check(message: Any) -> None:
        sizes = [dim.size for dim in message.tensor_shape.dim]
        assume(all(-1 <= size <= 2**10 for size in sizes) and message.dtype < 100)
        try:
            read = tensor_proto.decode("x", message)
        except ServingError:
            return
        theirs = tf.io.parse_tensor(message.SerializeToString(), read.dtype)
        np.testing.assert_array_equal(
            with_equal_nans(read), with_equal_nans(np.asarray(theirs.numpy(), read.dtype))
        )
        kinds.add(message.dtype)

    fuzz(tensors(), count, check)
    assert len(kinds) > 5, "what is refused was compared with nothing"


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


def test_a_tensor_is_written_as_content_if_requested() -> None:
    message = tensor_proto.encode(np.float32([1, 2]), as_content=True)
    assert message.tensor_content == np.float32([1, 2]).tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3)])
@pytest.mark.parametrize("name", sorted(tensor_proto._FIELDS))
def test_content_is_written_as_tensorflow_writes_it(name: str, shape: tuple[int, ...]) -> None:
    import tensorflow as tf

    dtype = tf.dtypes.as_dtype(name).as_numpy_dtype
    array = np.full(shape, b"a" if name == "string" else 1, dtype)
    message = tensor_proto.encode(array, as_content=True)
    assert message.SerializeToString() == tf.make_tensor_proto(array).SerializeToString()


def test_a_type_that_has_no_field_here_is_written_as_tensorflow_writes_it() -> None:
    import tensorflow as tf

    array = np.ones(2, tf.dtypes.experimental.float8_e5m2.as_numpy_dtype)
    message = tensor_proto.encode(array, as_content=False)
    assert message.SerializeToString() == tf.make_tensor_proto(array).SerializeToString()


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
def test_inputs_that_do_not_fit_the_signature_get_tf_servings_message(
    sent: list[str], message: str
) -> None:
    with pytest.raises(ServingError) as caught:
        tensor_proto.decode_inputs(signature(), request(*sent))
    assert caught.value.message == message


def test_the_order_of_checks_is_tf_servings() -> None:
    sent = request("text", "other")
    sent.inputs["text"].CopyFrom(tensor(FLOAT, [-1]))
    with pytest.raises(ServingError, match="tensor parsing error: text"):
        tensor_proto.decode_inputs(signature(), sent)

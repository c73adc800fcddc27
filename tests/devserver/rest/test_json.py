"""JSON in and out: parsing, the two formats, TF Serving's messages."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devserver.errors import Code, ServingError
from devserver.rest.json_answer import encode
from devserver.rest.json_parse import MAX_NESTING, debug_text, parse_object
from devserver.rest.json_tensor import Format, decode, signature_name

PARSE_ERRORS = [
    (b"", "JSON Parse error: The document is empty"),
    (b" \n", "JSON Parse error: The document is empty. at offset: 2"),
    (b"instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
    (b"\xef\xbb\xbf{}", "JSON Parse error: Invalid value. at offset: 0"),
    (b'{"a": }', "JSON Parse error: Invalid value. at offset: 6"),
    (b'{"a" 1}', "Missing a colon after a name of object member."),
    (b'{"a": 1 "b"', "Missing a comma or } after an object member."),
    (b'{"a": [1 2]}', "Missing a comma or ] after an array element."),
    (b"{a: 1}", "Missing a name for object member."),
    (b'{"a": "b', "Missing a closing quotation mark in string."),
    (b'{"a": "\\x"}', "Invalid escape character in string."),
    (b'{"a": "\\u12"}', "Incorrect hex digit after \\u escape in string."),
    (b'{"a": "\\ud800"}', "The surrogate pair in string is invalid. at offset: 7"),
    (b'{"a": "\\udc00"}', "The surrogate pair in string is invalid. at offset: 7"),
    (b'{"a": "\xc3\xa9\\ud800x\\n"}', "The surrogate pair in string is invalid. at offset: 9"),
    (b'{"a": "\\ud800x\\udc00"}', "The surrogate pair in string is invalid. at offset: 7"),
    (b'{"a": "\\udc00"}', "The surrogate pair in string is invalid."),
    (b'{"a": "\n"}', "Invalid encoding in string."),
    (b'{"a": ' + b"9" * 5000 + b"}", "Number too big to be stored in double. at offset: 6"),
    (b'{"a": ["1e999", -1e999]}', "Number too big to be stored in double. at offset: 16"),
    (b'{"a": 1' + b"0" * 400 + b".5}", "Number too big to be stored in double. at offset: 6"),
    (b'{"a": [1.]}', "Miss fraction part in number. at offset: 9"),
    (b'{"a": 1e+}', "Miss exponent in number. at offset: 9"),
    (b"[1, 2]", "JSON Value: [1, 2] Is not object"),
    (b'"x"', 'JSON Value: "x" Is not object'),
]


@pytest.mark.parametrize(("body", "message"), PARSE_ERRORS)
def test_a_malformed_document_gets_tf_servings_message(body: bytes, message: str) -> None:
    with pytest.raises(ServingError) as caught:
        parse_object(body)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert message in caught.value.message


def test_text_after_the_first_value_is_ignored() -> None:
    assert parse_object(b' {"a": 1} trailing [') == {"a": 1}


def test_nan_and_infinity_are_numbers() -> None:
    values = parse_object(b'{"a": [NaN, -NaN, Infinity, -Infinity, Inf, -Inf, "Inf"]}')["a"]
    assert all(map(math.isnan, values[:2]))
    assert values[2:] == [math.inf, -math.inf, math.inf, -math.inf, "Inf"]


def test_the_first_of_duplicate_names_wins() -> None:
    assert parse_object(b'{"a": 1, "b": 2, "a": 3}') == {"a": 1, "b": 2}


def test_a_number_that_fits_a_double_is_accepted() -> None:
    values = parse_object(b'{"a": [1e308, 1e-999, 1' + b"0" * 300 + b", 1e000000001]}")["a"]
    assert values == [1e308, 0.0, 10**300, 10.0]


def test_escaped_surrogate_pairs_and_escaped_backslashes_are_accepted() -> None:
    assert parse_object(b'{"a": "\\ud83d\\ude00", "b": "\\\\ud800"}') == {
        "a": "\N{GRINNING FACE}",
        "b": "\\ud800",
    }


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": ' + b"[" * 100_000,
        b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' * 100_000,
        b'{"a":' + b"[[{" * 40_000,
    ],
)
def test_deep_nesting_is_rejected(body: bytes) -> None:
    with pytest.raises(ServingError, match=f"Nested deeper than {MAX_NESTING} levels"):
        parse_object(body)


def test_nesting_up_to_the_limit_is_accepted() -> None:
    depth = MAX_NESTING - 1
    assert "a" in parse_object(b'{"a": ' + b"[" * depth + b"]" * depth + b"}")


def test_brackets_inside_strings_are_not_nesting() -> None:
    text = '[{\\"' * 1000
    assert parse_object(f'{{"a": "{text}"}}'.encode()) == {"a": '[{"' * 1000}


@pytest.mark.parametrize("unit", [b'\\"', b"Inf", b"1e999", b"e00", b'"', b"\\", b'"\\', b"[\\"])
def test_the_time_to_parse_is_linear_in_the_length(unit: bytes) -> None:
    body = b'{"a": "' + b"[" * 100 + unit * 200_000
    start = time.monotonic()
    with pytest.raises(ServingError):
        parse_object(body)
    assert time.monotonic() - start < 5


def test_a_quoted_value_is_truncated() -> None:
    assert len(debug_text(list(range(10_000)))) == 256
    assert len(debug_text({str(n): n for n in range(10_000)})) == 256


def decoded(document: dict[str, Any], **dtypes: str) -> tuple[Format, dict[str, Any]]:
    request_format, arrays = decode(document, dtypes)
    return request_format, {name: array.tolist() for name, array in arrays.items()}


ACCEPTED = [
    ({"instances": [1, 2.5]}, {"x": "float"}, {"x": [1.0, 2.5]}),
    ({"instances": [[1, 2], [3, 4]]}, {"x": "int32"}, {"x": [[1, 2], [3, 4]]}),
    ({"instances": [{"x": 1}, {"x": 2}]}, {"x": "int64"}, {"x": [1, 2]}),
    (
        {"instances": [{"x": 1, "s": "a"}, {"s": "b", "x": 2}]},
        {"s": "string", "x": "uint8"},
        {"s": [b"a", b"b"], "x": [1, 2]},
    ),
    ({"instances": [{"b64": "aGk="}, "plain"]}, {"s": "string"}, {"s": [b"hi", b"plain"]}),
    ({"instances": [{"s": {"b64": "aGk"}}]}, {"s": "string"}, {"s": [b"hi"]}),
    ({"inputs": 3}, {"x": "int32"}, {"x": 3}),
    ({"inputs": {"b64": "/wA="}}, {"s": "string"}, {"s": b"\xff\0"}),
    ({"inputs": {"x": [], "s": [["a"]]}}, {"s": "string", "x": "float"}, {"s": [[b"a"]], "x": []}),
    ({"inputs": {"x": True, "more": 1}}, {"x": "bool"}, {"x": True}),
    ({"inputs": [2**64 - 1]}, {"x": "uint64"}, {"x": [2**64 - 1]}),
    ({"inputs": [300, -1]}, {"x": "uint8"}, {"x": [44, 255]}),
    ({"inputs": [10**30]}, {"x": "double"}, {"x": [1e30]}),
]


@pytest.mark.parametrize(("document", "dtypes", "expected"), ACCEPTED)
def test_a_request_becomes_arrays(
    document: dict[str, Any], dtypes: dict[str, str], expected: dict[str, Any]
) -> None:
    request_format, arrays = decoded(document, **dtypes)
    assert request_format.value in document
    assert arrays == expected


X, XS = {"x": "int32"}, {"s": "string", "x": "int32"}
REFUSED = [
    ({}, X, "Missing 'inputs' or 'instances' key"),
    ({"inputs": 1, "instances": [1]}, X, "expecting only one of 'inputs' or 'instances' keys"),
    ({"instances": 1}, X, "to be an list/array"),
    ({"instances": []}, X, "No values in 'instances' array"),
    ({"instances": [1]}, XS, "instances is a plain list, but expecting list of objects"),
    ({"inputs": [1]}, XS, "inputs is a plain value/list, but expecting an object"),
    ({"inputs": {"x": 1}}, XS, "Missing named input: s in 'inputs' object."),
    ({"instances": [{"x": 1}]}, XS, "keys must be equal to: s,x"),
    (
        {"instances": [{"y": 1}]},
        X,
        "Failed to process element: 0 key: y of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: y",
    ),
    ({"instances": [{"x": 1}, [1]]}, X, "Expecting object but got list at item 1 of input list"),
    ({"instances": [1, {"x": 1}]}, X, "Expecting value/list but got object at item 1"),
    ({"instances": [[1], [1, 2]]}, X, "Expecting tensor size: 1 but got: 2"),
    ({"instances": [[1, 2], [[1], [2]]]}, X, "Expecting shape [2] but got: [2,1]"),
    ({"inputs": [[1], 2]}, X, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM."),
    ({"inputs": [1, [2]]}, X, "Encountered list at unexpected level: 1 expected < 1"),
    ({"inputs": [[1, 2], [3]]}, X, "unexpected size: 1 at level: 1 expected size: 2"),
    ({"inputs": [1.0]}, X, "JSON Value: 1.0 Type: Number is not of expected type: int32"),
    ({"inputs": ["a"]}, X, 'JSON Value: "a" Type: String is not of expected type: int32'),
    ({"inputs": [True]}, X, "JSON Value: true Type: True is not of expected type: int32"),
    ({"inputs": [None]}, X, "JSON Value: null Type: Null is not of expected type: int32"),
    ({"inputs": [2**31]}, X, "is not of expected type: int32"),
    ({"inputs": [{"b64": "aGk="}]}, X, "Type: Object is not of expected type: int32"),
    ({"inputs": [1]}, {"x": "bool"}, "is not of expected type: bool"),
    ({"inputs": [-1]}, {"x": "uint32"}, "is not of expected type: uint32"),
    ({"inputs": [2**63]}, {"x": "int64"}, "is not of expected type: int64"),
    ({"inputs": [10**400]}, {"x": "float"}, "Number too big to be stored in double."),
    ({"inputs": [1]}, {"s": "string"}, "JSON Value: 1 Type: Number is not of expected type"),
    ({"inputs": [{"b64": 1}]}, {"s": "string"}, "not formatted correctly for base64 data"),
    ({"inputs": [{"b64": "a", "c": 1}]}, {"s": "string"}, "not formatted correctly for base64"),
    ({"inputs": [{"b64": "a!"}]}, {"s": "string"}, "Unable to base64 decode"),
    ({"inputs": [{"b64": "a"}]}, {"s": "string"}, "Unable to base64 decode"),
    ({"instances": [1.0]}, {"x": "half"}, "Error: UNIMPLEMENTED: Conversion of JSON Value: 1.0"),
]


@pytest.mark.parametrize(("document", "dtypes", "message"), REFUSED)
def test_a_request_that_does_not_fit_gets_tf_servings_message(
    document: dict[str, Any], dtypes: dict[str, str], message: str
) -> None:
    with pytest.raises(ServingError) as caught:
        decode(document, dtypes)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert message in caught.value.message


def test_an_input_type_without_json_form_is_unimplemented_in_column_format() -> None:
    with pytest.raises(ServingError) as caught:
        decode({"inputs": [1.0]}, {"x": "bfloat16"})
    assert caught.value.code is Code.UNIMPLEMENTED


def test_the_signature_name_must_be_a_string() -> None:
    assert signature_name({}) == ""
    assert signature_name({"signature_name": "a"}) == "a"
    with pytest.raises(ServingError, match=r"'signature_name' key must be a string value\."):
        signature_name({"signature_name": 100})


ANSWERS = [
    ({"y": np.array([2.5, 3.0], np.float32)}, [2.5, 3.0], [2.5, 3.0]),
    ({"y": np.array([[1], [2]], np.uint8)}, [[1], [2]], [[1], [2]]),
    (
        {"a": np.array([1, 2]), "b": np.array([True, False])},
        [{"a": 1, "b": True}, {"a": 2, "b": False}],
        {"a": [1, 2], "b": [True, False]},
    ),
    (
        {"image_bytes": np.array([b"\xff"], object), "text": np.array([b'a"\n'], object)},
        [{"image_bytes": {"b64": "/w=="}, "text": 'a"\n'}],
        {"image_bytes": [{"b64": "/w=="}], "text": ['a"\n']},
    ),
    ({"only_bytes": np.array([b""], object)}, [{"b64": ""}], [{"b64": ""}]),
    ({"y": np.zeros((0, 3))}, [], []),
]


@pytest.mark.parametrize(("outputs", "rows", "columns"), ANSWERS)
def test_arrays_become_a_response_in_the_requests_format(
    outputs: dict[str, Any], rows: Any, columns: Any
) -> None:
    assert json.loads(encode(Format.ROW, outputs)) == {"predictions": rows}
    assert json.loads(encode(Format.COLUMN, outputs)) == {"outputs": columns}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.1), "0.1"),
        (np.float32(3), "3.0"),
        (np.float32(1 / 3), "0.333333343"),
        (np.float64(1 / 3), "0.33333333333333331"),
        (np.float32(9e6), "9e+06"),
        (np.float32(math.nan), "NaN"),
        (np.float32(-math.inf), "-Infinity"),
    ],
)
def test_a_decimal_is_written_as_tf_serving_writes_it(value: Any, text: str) -> None:
    assert encode(Format.COLUMN, {"y": np.asarray(value)}).decode().split()[-2] == text


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": np.array(1.0)}, "Tensor name: y has no shape information "),
        (
            {"a": np.zeros(2), "b": np.zeros(3)},
            "Tensor name: b has inconsistent batch size: 3 expecting: 2",
        ),
        (
            {"y": np.zeros(2, np.float16)},
            "Failed to write JSON value for tensor type: half",
        ),
    ],
)
def test_outputs_that_do_not_fit_the_row_format_are_rejected(
    outputs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ServingError) as caught:
        encode(Format.ROW, outputs)
    assert caught.value.message == message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
DTYPES = st.sampled_from(["float", "int32", "uint8", "int64", "uint64", "bool", "string", "half"])


@settings(max_examples=150, deadline=None)
@given(value=json_values, key=st.sampled_from(["inputs", "instances"]), dtype=DTYPES)
def test_any_json_is_decoded_or_rejected(value: Any, key: str, dtype: str) -> None:
    try:
        _, arrays = decode({key: value}, {"x": dtype})
    except ServingError as error:
        assert error.code in (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED)
    else:
        assert set(arrays) == {"x"}


@settings(max_examples=150, deadline=None)
@given(st.binary() | st.text().map(lambda text: b'{"a": "' + text.encode() + b'"}'))
def test_any_bytes_are_parsed_or_rejected(body: bytes) -> None:
    try:
        assert isinstance(parse_object(body), dict)
    except ServingError as error:
        assert error.code is Code.INVALID_ARGUMENT


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(width=32)))
def test_float32_values_survive_a_round_trip(values: list[float]) -> None:
    sent = np.array(values, np.float32)
    text = encode(Format.COLUMN, {"y": sent})
    _, arrays = decode({"inputs": json.loads(text)["outputs"]}, {"x": "float"})
    np.testing.assert_array_equal(arrays["x"], sent)
